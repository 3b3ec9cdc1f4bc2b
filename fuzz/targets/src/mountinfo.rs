//! The texts of `/proc/PID/mountinfo` and `/proc/PID/cgroup`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use corten_cgroups::{Group, Layout, Paths, fuzz};

/// Whatever the texts are, no group is outside of the mount of its hierarchy, and a path is read as the kernel wrote it.
///
/// An input is mountinfo, the groups of this process, those of another one, and a configured path, with NUL bytes between.
pub fn mountinfo(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (mountinfo, own, other, path) = (part(), part(), part(), part());
    let layout = Layout::read(mountinfo, own);
    let path = String::from_utf8_lossy(path);
    if let Ok(paths) = Group::plan(&layout, Some(&path), "id") {
        stays_inside(&paths);
        if let Ok(below) = fuzz::group_below(&paths, &path) {
            stays_inside(&below);
        }
    }
    if let Ok(paths) = fuzz::group_of_process(&layout, other) {
        stays_inside(&paths);
    }
    let text = String::from_utf8_lossy(mountinfo);
    if let Some(point) = fuzz::resctrl_mount(&text) {
        assert!(text.contains(point));
    }
    for written in [own, other] {
        is_read_as_written(written);
    }
}

fn stays_inside(paths: &Paths) {
    for (mount, _, directory) in paths.hierarchies() {
        let below = directory.strip_prefix(mount).ok();
        let plain = |below: &Path| {
            let mut parts = below.components().peekable();
            parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        assert!(below.is_some_and(plain), "{} beneath {}", directory.display(), mount.display());
    }
}

/// A mount point as the kernel writes it (fs/proc_namespace.c: blank, tab, newline, backslash in octal).
fn is_read_as_written(point: &[u8]) {
    let mut line = b"30 23 0:26 / ".to_vec();
    for byte in point {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => line.extend(format!("\\{byte:03o}").bytes()),
            _ => line.push(*byte),
        }
    }
    line.extend(b" rw - cgroup2 none rw\n");
    let layout = Layout::read(&line, b"0::/\n");
    // What a path has at its end that is no name goes with the joining of an empty one.
    let read = layout.own_v2().unwrap_or_default();
    assert_eq!(read.components().as_path(), Path::new(OsStr::from_bytes(point)).components().as_path());
}
