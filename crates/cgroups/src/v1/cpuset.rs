//! cpuset of v1 (cpuset(7)).

use std::path::Path;

use crate::dir::Dir;
use crate::error::Result;

/// Gives the group CPUs and memory nodes where it has none: a new group of v1 has none, and takes no process before it
/// has both. They are its parent's; a parent without any gets its own parent's first. `made` are known to be new.
pub(crate) fn inherit(mount: &Dir, relative: &Path, made: &[&Path]) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        value(mount, relative, made, file)?;
    }
    Ok(())
}

/// What the group has, after it was given it where need be.
fn value(mount: &Dir, relative: &Path, made: &[&Path], file: &str) -> Result<String> {
    let Some(parent) = relative.parent() else { return mount.read(file) };
    let dir = mount.child(relative)?;
    if !made.contains(&relative) {
        let own = dir.read(file)?;
        if !own.trim().is_empty() {
            return Ok(own);
        }
    }
    let inherited = value(mount, parent, made, file)?;
    dir.write(file, inherited.trim_end())?;
    Ok(inherited)
}
