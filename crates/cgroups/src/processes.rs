//! The processes of a group and its sub-groups.

use std::path::Path;

use rustix::io::Errno;

use crate::dir::{Dir, optional};
use crate::error::{Error, Result};

/// The ids of the processes in a group and in all groups beneath it, sorted, each once.
///
/// Processes that this process's pid namespace does not show (0 in `cgroup.procs`) are left out.
pub(crate) fn in_tree(dir: &Dir) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    collect(dir, &mut found)?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn collect(dir: &Dir, found: &mut Vec<i32>) -> Result<()> {
    match dir.read("cgroup.procs") {
        Ok(content) => {
            for line in content.lines() {
                let pid: i32 = line.parse().map_err(|_| Error::Content {
                    path: dir.path().join("cgroup.procs"),
                    content: line.to_owned(),
                })?;
                found.extend((pid > 0).then_some(pid));
            }
        }
        // A threaded group: its processes are listed by the domain above it.
        Err(e) if e.is(Errno::OPNOTSUPP) => {}
        Err(e) => return Err(e),
    }
    for name in dir.children()? {
        // Groups come and go while they are listed.
        if let Some(child) = optional(dir.child(Path::new(&name)))? {
            optional(collect(&child, found))?;
        }
    }
    Ok(())
}
