//! Freezing and thawing.

use std::time::Duration;

use crate::dir::Dir;
use crate::error::Result;
use crate::events::{self, Deadline};

/// How long a group may take to come to rest. A process in an uninterruptible sleep (a dead NFS server) holds it up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Freezes a v2 group and waits until all its processes stand still; a group that does not comply is thawed again.
pub(crate) fn v2_freeze(dir: &Dir) -> Result<()> {
    dir.write("cgroup.freeze", "1")?;
    events::wait(dir, "frozen 1", Deadline::after(PATIENCE), "freeze").inspect_err(|_| {
        // The failure that is reported is the first.
        let _ = v2_thaw(dir);
    })
}

/// Thaws a v2 group. It runs on unless a group above it is frozen too.
pub(crate) fn v2_thaw(dir: &Dir) -> Result<()> {
    dir.write("cgroup.freeze", "0")
}

/// Whether a v2 group itself was asked to freeze.
///
/// Not `frozen` of `cgroup.events`: that is also set by a frozen group above, and not yet set by a freeze under way.
pub(crate) fn v2_frozen(dir: &Dir) -> Result<bool> {
    Ok(dir.read("cgroup.freeze")?.trim_end() == "1")
}

/// Freezes a group of the v1 freezer.
///
/// The kernel's freezer misses processes that are being forked while it works, and reports `FREEZING` then: writing
/// `FROZEN` again catches them, and a short thaw now and then frees those that block one another.
pub(crate) fn v1_freeze(dir: &Dir) -> Result<()> {
    let done = events::retry(dir, Deadline::after(PATIENCE), "freeze", |attempt| {
        if attempt % 20 == 19 {
            v1_thaw(dir)?;
        }
        dir.write("freezer.state", "FROZEN")?;
        Ok(dir.read("freezer.state")?.trim_end() == "FROZEN")
    });
    done.inspect_err(|_| {
        // The failure that is reported is the first.
        let _ = v1_thaw(dir);
    })
}

/// Thaws a group of the v1 freezer.
pub(crate) fn v1_thaw(dir: &Dir) -> Result<()> {
    dir.write("freezer.state", "THAWED")
}

/// Whether a group of the v1 freezer was itself asked to freeze, and not only a group above it.
pub(crate) fn v1_frozen(dir: &Dir) -> Result<bool> {
    Ok(dir.read("freezer.self_freezing")?.trim_end() == "1")
}
