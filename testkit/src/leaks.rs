//! What a container may have left behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::report::Mount;

/// Where to look.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// What the names of one's own cgroups and mounts contain, and no further digit after it; empty looks at none.
    pub marker: String,
    /// A directory whose entries are looked at, if it exists: the runtime's state directory.
    pub state: Option<PathBuf>,
    /// Whether to look at this process's file descriptors and children too: only where no other case runs beside.
    pub process: bool,
}

/// What there was at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    watch: Watch,
    seen: BTreeSet<String>,
}

impl Snapshot {
    /// Looks now.
    pub fn take(watch: Watch) -> Snapshot {
        let seen = look(&watch);
        Snapshot { watch, seen }
    }

    /// What came or went since: `+ cgroup /sys/fs/cgroup/…`, `- fd 3 …`.
    pub fn changes(&self) -> Vec<String> {
        let now = look(&self.watch);
        let came = now.difference(&self.seen).map(|item| format!("+ {item}"));
        let went = self.seen.difference(&now).map(|item| format!("- {item}"));
        came.chain(went).collect()
    }

    /// Panics with the list if anything came or went.
    #[track_caller]
    pub fn assert_unchanged(&self) {
        let changes = self.changes();
        assert!(changes.is_empty(), "left behind:\n{}", changes.join("\n"));
    }
}

fn look(watch: &Watch) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    if !watch.marker.is_empty() {
        seen.extend(mounts(&watch.marker));
        seen.extend(cgroups(&watch.marker));
    }
    if let Some(directory) = &watch.state {
        seen.extend(entries(directory).map(|path| format!("state {}", path.display())));
    }
    if watch.process {
        seen.extend(fds());
        seen.extend(children());
    }
    seen
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn mountinfo() -> Vec<Mount> {
    Mount::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// Markers end with a number: what has a longer one is another case's, which runs beside.
fn names(text: &str, marker: &str) -> bool {
    let rest = |(at, found): (usize, &str)| text.get(at + found.len()..).unwrap_or_default();
    text.match_indices(marker).map(rest).any(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

fn mounts(marker: &str) -> Vec<String> {
    let ours = |mount: &Mount| names(&mount.mountpoint, marker) || names(&mount.root, marker);
    let mounts = mountinfo().into_iter().filter(ours);
    mounts.map(|mount| format!("mount {} {} {}", mount.id, mount.fstype, mount.mountpoint)).collect()
}

fn cgroups(marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = mountinfo()
        .into_iter()
        .filter(|mount| mount.fstype == "cgroup" || mount.fstype == "cgroup2")
        .map(|mount| PathBuf::from(mount.mountpoint))
        .collect();
    while let Some(directory) = left.pop() {
        for path in entries(&directory).filter(|path| path.is_dir()) {
            if path.file_name().is_some_and(|name| names(&name.to_string_lossy(), marker)) {
                found.push(format!("cgroup {}", path.display()));
            }
            left.push(path);
        }
    }
    found
}

/// All but the descriptor that this very look needs.
fn fds() -> Vec<String> {
    let own = format!("/proc/{}/fd", std::process::id());
    let describe = |path: PathBuf| {
        let target = fs::read_link(&path).ok()?.to_string_lossy().into_owned();
        (target != own).then(|| format!("fd {} {target}", path.file_name().unwrap_or_default().display()))
    };
    entries(Path::new("/proc/self/fd")).filter_map(describe).collect()
}

/// Children of any thread, those included that have ended and were not waited for.
fn children() -> Vec<String> {
    let read = |task: PathBuf| fs::read_to_string(task.join("children")).unwrap_or_default();
    let pids: String = entries(Path::new("/proc/self/task")).map(read).collect();
    let describe = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, after)| after.chars().next()).unwrap_or('?');
        format!("child {pid} {state}")
    };
    pids.split_whitespace().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_number_is_another_cases() {
        for ours in ["/tmp/case-7-2", "/tmp/case-7-2/rootfs", "corten-case-7-2.scope", "case-7-26 case-7-2"] {
            assert!(names(ours, "case-7-2"), "{ours}");
        }
        for other in ["/tmp/case-7-26", "case-7-20/case-7-21", "case-7", ""] {
            assert!(!names(other, "case-7-2"), "{other}");
        }
    }
}
