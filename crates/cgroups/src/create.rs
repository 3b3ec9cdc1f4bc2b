//! Making a container's directories.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::path::{Paths, Place};
use crate::{freezer, processes, v1, v2};

/// What to do with a directory that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// Use it if nothing else does.
    Unused,
    /// Use it with the processes in it: systemd has made it for them.
    Adopt,
}

/// What was made so far; all of it is removed when it is dropped without having been kept.
#[derive(Default)]
struct Made {
    mounts: Vec<Dir>,
    /// Index of the mount, and the directory beneath it.
    dirs: Vec<(usize, PathBuf)>,
}

impl Drop for Made {
    fn drop(&mut self) {
        for (mount, dir) in self.dirs.iter().rev() {
            // Nothing better can be done with a second failure than to report the first.
            let _ = self.mounts[*mount].remove(dir);
        }
    }
}

/// Makes every directory and opens it. On failure, what was made is removed again.
pub(crate) fn create(paths: &Paths, present: Present) -> Result<Vec<Dir>> {
    let mut made = Made::default();
    let place = |place: &Place| made.place(place, paths.is_unified(), present);
    let dirs = paths.places().iter().map(place).collect::<Result<_>>()?;
    made.dirs.clear();
    Ok(dirs)
}

impl Made {
    /// Makes and opens the directory in one hierarchy.
    fn place(&mut self, place: &Place, unified: bool, present: Present) -> Result<Dir> {
        let relative = place.relative()?;
        let first = self.dirs.len();
        self.mounts.push(Dir::mount_point(&place.mount)?);
        let mount = self.mounts.len() - 1;
        let fresh = self.make(mount, relative)?;
        let mount = &self.mounts[mount];
        let dir = mount.child(relative)?;
        if !fresh && present == Present::Unused {
            refuse_used(place, &dir)?;
        }
        if place.is_v2() {
            v2::check_type(&dir)?;
            // Beside v1 hierarchies a controller of v2 is enabled only for a resource that needs it.
            if unified {
                v2::enable_all(mount, relative, &dir)?;
            }
        } else if place.controllers.iter().any(|c| c == "cpuset") {
            let made = self.dirs[first..].iter().map(|(_, dir)| dir.as_path());
            v1::cpuset::inherit(mount, relative, &made.collect::<Vec<_>>())?;
        }
        Ok(dir)
    }

    /// Makes the directory, and those above it if they are missing; false where it was there already.
    fn make(&mut self, mount: usize, relative: &Path) -> Result<bool> {
        match self.make_one(mount, relative) {
            Err(e) if e.is(Errno::NOENT) => {}
            other => return other,
        }
        let mut above: Vec<&Path> =
            relative.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()).collect();
        above.reverse();
        for parent in above {
            self.make_one(mount, parent)?;
        }
        self.make_one(mount, relative)
    }

    fn make_one(&mut self, mount: usize, relative: &Path) -> Result<bool> {
        let fresh = self.mounts[mount].make(relative)?;
        if fresh {
            self.dirs.push((mount, relative.to_owned()));
        }
        Ok(fresh)
    }
}

/// A group that was there already must be neither in use nor frozen: else two containers would share it, or the new one
/// would never get further than its first step.
fn refuse_used(place: &Place, dir: &Dir) -> Result<()> {
    let count = processes::in_tree(dir)?.len();
    if count > 0 {
        return Err(Error::NotEmpty { count });
    }
    let frozen = match place.is_v2() {
        true => freezer::v2_frozen(dir)?,
        false if place.controllers.iter().any(|c| c == "freezer") => freezer::v1_frozen(dir)?,
        false => false,
    };
    if frozen { Err(Error::Frozen) } else { Ok(()) }
}
