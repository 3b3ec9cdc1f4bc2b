//! Control groups v2.

pub(crate) mod cpu;
pub(crate) mod hugetlb;
pub(crate) mod io;
pub(crate) mod memory;
pub(crate) mod unified;

use std::path::Path;

use crate::dir::Dir;
use crate::error::{Error, Result};

/// Enables every controller that the hierarchy has for the children of each group from the mount point down to the
/// parent of `relative`.
///
/// All at once, then one by one: the kernel refuses some in some places (no right, real-time processes, processes of the
/// parent's own). What stays off is noticed when a resource needs it.
pub(crate) fn enable_all(mount: &Dir, relative: &Path, leaf: &Dir) -> Result<()> {
    let available = mount.read("cgroup.controllers")?;
    enable(mount, relative, leaf, &available.split_whitespace().collect::<Vec<_>>())
}

/// Enables the given controllers likewise. Costs one read where they are enabled already.
pub(crate) fn enable(mount: &Dir, relative: &Path, leaf: &Dir, wanted: &[&str]) -> Result<()> {
    let present = leaf.read("cgroup.controllers")?;
    let present: Vec<&str> = present.split_whitespace().collect();
    let missing: Vec<String> =
        wanted.iter().filter(|name| !present.contains(name)).map(|name| format!("+{name}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut above: Vec<&Path> = relative.ancestors().skip(1).collect();
    above.reverse();
    for parent in above {
        let dir = if parent.as_os_str().is_empty() { None } else { Some(mount.child(parent)?) };
        let dir = dir.as_ref().unwrap_or(mount);
        if dir.write("cgroup.subtree_control", &missing.join(" ")).is_err() {
            for name in &missing {
                let _ = dir.write("cgroup.subtree_control", name);
            }
        }
    }
    Ok(())
}

/// Refuses a group that takes no processes, or only threads (cgroups(7), "Thread mode").
pub(crate) fn check_type(dir: &Dir) -> Result<()> {
    match dir.read("cgroup.type")?.trim_end() {
        "domain" | "domain threaded" => Ok(()),
        kind => Err(Error::Type { path: dir.path().to_owned(), kind: kind.to_owned() }),
    }
}
