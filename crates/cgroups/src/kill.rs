//! Killing every process of a v1 group; v2 has `cgroup.kill`.

use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::dir::Dir;
use crate::error::Result;
use crate::events::{self, Deadline};
use crate::{freezer, processes};

/// How long processes that cannot be frozen may keep ahead of being killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends SIGKILL to every process of a group and its sub-groups.
///
/// While they are frozen none can fork, and none can end and leave its id to a stranger. `freezer` is the same group in
/// the freezer's hierarchy; where there is none, or it does not freeze, rounds follow until no process is left.
pub(crate) fn v1(group: &Dir, freezer: Option<&Dir>) -> Result<()> {
    let Some(freezer) = freezer else { return rounds(group) };
    let frozen = freezer::v1_freeze(freezer);
    let sent = processes::in_tree(group).map(|pids| signal(&pids));
    freezer::v1_thaw(freezer)?;
    sent?;
    frozen.or_else(|_| rounds(group))
}

fn rounds(group: &Dir) -> Result<()> {
    events::retry(group, Deadline::after(PATIENCE), "become empty", |_| {
        let pids = processes::in_tree(group)?;
        signal(&pids);
        Ok(pids.is_empty())
    })
}

/// Errors are left aside: a process that has gone is what is wanted, and one that must not be killed shows up when the
/// group cannot be removed.
fn signal(pids: &[i32]) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}
