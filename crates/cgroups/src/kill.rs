//! Killing every process of a v1 group; v2 has `cgroup.kill`.

use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

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
    let sent = processes::in_tree(group).and_then(|pids| signal(group, &pids));
    freezer::v1_thaw(freezer)?;
    sent?;
    frozen.or_else(|_| rounds(group))
}

fn rounds(group: &Dir) -> Result<()> {
    events::retry(group, Deadline::after(PATIENCE), "become empty", |_| {
        let pids = processes::in_tree(group)?;
        signal(group, &pids)?;
        Ok(pids.is_empty())
    })
}

/// Each by a pidfd, of a process that is in the group while there is one: so a stranger that has got the id of one that ended
/// is left alone.
///
/// Errors are left aside: a process that has gone is what is wanted, and one that must not be killed shows up when the
/// group cannot be removed.
fn signal(group: &Dir, pids: &[i32]) -> Result<()> {
    let open = |pid: &i32| pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok().map(|fd| (*pid, fd));
    let opened: Vec<_> = pids.iter().filter_map(open).collect();
    let there = processes::in_tree(group)?;
    for (_, pidfd) in opened.iter().filter(|(pid, _)| there.binary_search(pid).is_ok()) {
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
    }
    Ok(())
}
