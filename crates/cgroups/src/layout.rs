//! Which control group hierarchies this host has, where they are mounted, and where this process is in each.

use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// The hierarchies of this host, as this process sees them. Plain data: nothing is kept open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    mounts: Vec<Mount>,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Controllers of a v1 hierarchy, or its `name=...`; empty for v2.
    pub(crate) controllers: Vec<String>,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// The group that the mount shows as its root, as this process's cgroup namespace names it.
    pub(crate) root: PathBuf,
    /// The group that this process is in, named likewise.
    pub(crate) own: PathBuf,
}

impl Mount {
    /// The group of this process, relative to the mount point; the mount point itself where the mount does not show it.
    pub(crate) fn own_relative(&self) -> &Path {
        self.shown_own().unwrap_or(Path::new(""))
    }

    /// Whether the mount shows the group of this process.
    pub(crate) fn shows_own(&self) -> bool {
        self.shown_own().is_some()
    }

    fn shown_own(&self) -> Option<&Path> {
        let plain = |path: &&Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        // Of a group outside of the root of the cgroup namespace the kernel says `/../other`.
        self.own.strip_prefix(&self.root).ok().filter(plain)
    }
}

/// A line of mountinfo that is a cgroup mount, and the mount's id.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    id: u64,
    mount: Mount,
}

impl Layout {
    /// Reads the layout from `/proc/self/mountinfo` and `/proc/self/cgroup` (proc(5), cgroups(7)).
    ///
    /// Mounts that are hidden under others are left out. Fails with [`Error::NotMounted`] where none is left, and where
    /// /proc cannot be read.
    pub fn detect() -> Result<Self> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| Error::Os {
                operation: "read",
                path: path.to_owned(),
                source,
            })
        };
        let mountinfo = read(Path::new("/proc/self/mountinfo"))?;
        let cgroup = read(Path::new("/proc/self/cgroup"))?;
        let mut mounts: Vec<Mount> = Vec::new();
        for candidate in candidates(&mountinfo, &cgroup) {
            let known = mounts.iter().any(|m| m.controllers == candidate.mount.controllers);
            if !known && is_visible(&candidate)? {
                mounts.push(candidate.mount);
            }
        }
        if mounts.is_empty() {
            return Err(Error::NotMounted);
        }
        Ok(Self { mounts })
    }

    /// Whether the unified hierarchy (v2) is the only one.
    pub fn is_unified(&self) -> bool {
        self.mounts.iter().all(|m| m.controllers.is_empty())
    }

    /// Whether the unified hierarchy (v2) is mounted, alone or beside v1 hierarchies (a hybrid host).
    pub fn has_v2(&self) -> bool {
        self.mounts.iter().any(|m| m.controllers.is_empty())
    }

    /// The controllers of the mounted v1 hierarchies, and their names where they have no controller (`name=systemd`).
    pub fn v1_controllers(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().flat_map(|m| &m.controllers).map(String::as_str)
    }

    /// The directory of the group that this process is in on v2; `None` where v2 is not mounted.
    pub fn own_v2(&self) -> Option<PathBuf> {
        let mount = self.mounts.iter().find(|m| m.controllers.is_empty())?;
        Some(mount.point.join(mount.own_relative()))
    }

    /// The mounts.
    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// The layout that the texts of `/proc/PID/mountinfo` and `/proc/PID/cgroup` tell of. The kernel is not asked which mounts
    /// are hidden under others, so these are among them.
    pub fn read(mountinfo: &[u8], cgroup: &[u8]) -> Self {
        Self { mounts: candidates(mountinfo, cgroup).into_iter().map(|candidate| candidate.mount).collect() }
    }

    #[cfg(test)]
    pub(crate) fn from_text(mountinfo: &str, cgroup: &str) -> Self {
        Self::read(mountinfo.as_bytes(), cgroup.as_bytes())
    }
}

/// Whether a path leads to this very mount: what is mounted over it would hide it.
fn is_visible(candidate: &Candidate) -> Result<bool> {
    let path = &candidate.mount.point;
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    match rustix::fs::statx(rustix::fs::CWD, path, flags, StatxFlags::MNT_ID) {
        Ok(found) => Ok(found.stx_mnt_id == candidate.id),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(false),
        Err(e) => Err(Error::os("statx", path, e)),
    }
}

/// The cgroup mounts among the lines of mountinfo. Hierarchies without a controller are used only if they are systemd's,
/// as runc does.
fn candidates(mountinfo: &[u8], cgroup: &[u8]) -> Vec<Candidate> {
    let groups = own_groups(cgroup);
    let mut found = Vec::new();
    for line in mountinfo.split(|b| *b == b'\n') {
        let Some((id, root, point, kind, options)) = cgroup_mount(line) else { continue };
        let group = groups.iter().find(|(controllers, _)| match kind {
            b"cgroup2" => controllers.is_empty(),
            _ => !controllers.is_empty() && controllers.iter().all(|c| options.contains(&c.as_bytes())),
        });
        let Some((controllers, own)) = group else { continue };
        if controllers.iter().any(|c| c.starts_with("name=") && c != "name=systemd") {
            continue;
        }
        let (controllers, own) = (controllers.clone(), own.clone());
        found.push(Candidate {
            id,
            mount: Mount { controllers, point: mountinfo_path(point), root: mountinfo_path(root), own },
        });
    }
    found
}

/// Id, root, mount point, file system type and super block options of a line of mountinfo, if it is a cgroup mount.
#[allow(clippy::type_complexity)]
fn cgroup_mount(line: &[u8]) -> Option<(u64, &[u8], &[u8], &[u8], Vec<&[u8]>)> {
    let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    // Optional fields end with a lone hyphen, after the six fixed ones.
    let hyphen = 6 + words.get(6..)?.iter().position(|w| *w == b"-")?;
    let kind = *words.get(hyphen + 1)?;
    if kind != b"cgroup" && kind != b"cgroup2" {
        return None;
    }
    let id = std::str::from_utf8(words[0]).ok()?.parse().ok()?;
    let options = words.get(hyphen + 3)?.split(|b| *b == b',').collect();
    Some((id, words[3], words[4], kind, options))
}

/// Controllers and own group, for each line of `/proc/self/cgroup`.
pub(crate) fn own_groups(cgroup: &[u8]) -> Vec<(Vec<String>, PathBuf)> {
    let mut groups = Vec::new();
    for line in cgroup.split(|b| *b == b'\n') {
        let mut fields = line.splitn(3, |b| *b == b':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let controllers = String::from_utf8_lossy(controllers);
        let controllers = controllers.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
        groups.push((controllers, PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()))));
    }
    groups
}

/// A path of mountinfo, in which space, tab, newline and backslash are written in octal (proc_pid_mountinfo(5)).
pub fn mountinfo_path(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal =
            tail.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(|d| (b'0'..b'8').contains(d)));
        match octal {
            Some(digits) => {
                path.push(digits.iter().fold(0_u8, |value, d| value.wrapping_mul(8).wrapping_add(d - b'0')));
                rest = &tail[3..];
            }
            None => {
                path.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
23 1 8:1 / / rw - ext4 /dev/sda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 master:3 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /box /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/my\\040v2 rw,relatime - cgroup2 cgroup2 rw
42 31 0:39 / /sys/fs/cgroup/elogind rw - cgroup cgroup rw,name=elogind
";
    const GROUPS: &str = "9:name=systemd:/a\n8:name=elogind:/\n4:memory:/box/in:side\n1:cpu,cpuacct:/\n0::/user.slice/s.scope\n";

    #[test]
    fn a_hybrid_host_is_read() {
        let layout = Layout::from_text(HYBRID, GROUPS);
        assert!(layout.has_v2() && !layout.is_unified());
        assert_eq!(layout.v1_controllers().collect::<Vec<_>>(), ["cpu", "cpuacct", "memory", "name=systemd"]);
        let memory = &layout.mounts()[1];
        assert_eq!(memory.own_relative(), Path::new("in:side"));
        assert_eq!(layout.mounts()[3].point, Path::new("/sys/fs/cgroup/my v2"));
    }

    #[test]
    fn a_unified_host_is_read() {
        let layout =
            Layout::from_text("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 none rw,nsdelegate\n", "0::/\n");
        assert!(layout.has_v2() && layout.is_unified());
    }

    #[test]
    fn garbage_is_skipped() {
        let layout =
            Layout::from_text("\n1 2 3\nx y z / /p rw - cgroup2 a rw\n1 2 3 4 5 6 - cgroup2\n", "0::/\nx\n");
        assert!(layout.mounts().is_empty());
    }

    #[test]
    fn own_group_outside_the_mount_is_its_root() {
        let layout = Layout::from_text("30 23 0:26 /a /m rw - cgroup2 none rw\n", "0::/b/c\n");
        assert_eq!(layout.mounts()[0].own_relative(), Path::new(""));
        let namespaced = Layout::from_text("30 23 0:26 / /m rw - cgroup2 none rw\n", "0::/../other\n");
        assert_eq!(namespaced.mounts()[0].own_relative(), Path::new(""));
    }
}
