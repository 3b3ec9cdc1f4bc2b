//! Removing a container's directories, with all groups beneath them.

use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use crate::dir::{Dir, optional};
use crate::error::Result;
use crate::events::{self, Deadline};
use crate::path::Place;

/// How long the last processes, already killed, may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Removes the group of one hierarchy. A missing one is fine.
pub(crate) fn remove(place: &Place) -> Result<()> {
    let relative = place.relative()?;
    let mount = Dir::mount_point(&place.mount)?;
    if attempt(&mount, relative)? {
        return Ok(());
    }
    events::retry(&mount, Deadline::after(PATIENCE), "let go of a group that still has processes", |_| {
        if place.is_v2()
            && let Some(dir) = optional(mount.child(relative))?
        {
            optional(events::wait(&dir, "populated 0", Deadline::after(PATIENCE), "become empty"))?;
        }
        attempt(&mount, relative)
    })
}

/// Removes the group if it is empty, and the groups beneath it first; false while something is in the way.
fn attempt(parent: &Dir, relative: &Path) -> Result<bool> {
    match parent.remove(relative) {
        Err(e) if e.is(Errno::BUSY) => {}
        other => return other.map(|()| true),
    }
    let Some(dir) = optional(parent.child(relative))? else { return Ok(true) };
    for name in dir.children()? {
        attempt(&dir, Path::new(&name))?;
    }
    match parent.remove(relative) {
        Err(e) if e.is(Errno::BUSY) => Ok(false),
        other => other.map(|()| true),
    }
}
