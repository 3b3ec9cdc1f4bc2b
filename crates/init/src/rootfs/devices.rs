//! Device nodes and the usual links in /dev (specification: `config-linux.md#default-devices`).
//!
//! Nodes and links are made in the descriptor of their directory: an image can have made /dev a link to anywhere
//! (CVE-2026-41579).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_sys::mount::{Attributes, Change, change};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid};
use rustix::io::Errno;

use super::over_proc;
use super::plan::{Node, Rootfs};
use super::root::{self, Root};
use super::tree::{attach, clone_tree};
use crate::{Doing, Failure, Result};

/// f_type of devpts (linux/magic.h).
const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// Links of every container; the last one only where the kernel has its target.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
];

/// The host's /dev/null as a mount of its own, after proof that it is one (CVE-2025-31133). It is read-only, which forbids nothing that
/// a null device is for: the container's root owns it where there is no user namespace, and would change its mode for all the host.
pub(super) fn host_null() -> Result<OwnedFd> {
    let doing = || "open the host's /dev/null";
    let null = clone_tree(CWD, Path::new("/dev/null"), false).doing(doing)?;
    let status = rustix::fs::fstat(&null).doing(doing)?;
    let genuine = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
        && status.st_rdev == rustix::fs::makedev(1, 3);
    if !genuine {
        return Err(Failure::invalid("the host's /dev/null is not the null device"));
    }
    change(null.as_fd(), Change { set: Attributes::RDONLY, ..Change::default() })
        .doing(|| "make the host's /dev/null read-only")?;
    Ok(null)
}

/// In a user namespace no device node can be made: the host's own are mounted instead.
pub(super) fn open_host(plan: &Rootfs) -> Result<Vec<Option<OwnedFd>>> {
    let open = |node: &Node| {
        if !plan.bind_devices || node.kind == 'p' {
            return Ok(None);
        }
        let tree = clone_tree(CWD, &node.path, false);
        tree.map(Some).doing(|| format!("open the host's device {}", node.path.display()))
    };
    plan.devices.iter().flatten().map(open).collect()
}

/// Makes the nodes and links.
pub(super) fn make(plan: &Rootfs, root: &Root, host: Vec<Option<OwnedFd>>) -> Result<()> {
    let Some(nodes) = &plan.devices else { return Ok(()) };
    // The mask would take permissions away that a device is to have.
    let mask = rustix::process::umask(Mode::empty());
    let made = nodes.iter().zip(host).try_for_each(|(node, host)| match host {
        Some(host) => {
            let place = root.file(&node.path)?;
            over_proc::check_place(root, &place, &node.path, &host)?;
            attach(&host, place).doing(|| format!("bind mount the device {}", node.path.display()))
        }
        None => make_node(node, root),
    });
    rustix::process::umask(mask);
    made?;
    make_links(root)
}

fn make_node(node: &Node, root: &Root) -> Result<()> {
    let doing = || format!("make the device {}", node.path.display());
    let (parent, name) = root.parent(&node.path)?;
    let (kind, device) = match node.kind {
        'p' => (FileType::Fifo, 0),
        'b' => (FileType::BlockDevice, rustix::fs::makedev(node.major, node.minor)),
        _ => (FileType::CharacterDevice, rustix::fs::makedev(node.major, node.minor)),
    };
    match rustix::fs::mknodat(&parent, &name, kind, Mode::from_raw_mode(node.mode), device) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            let there = rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).doing(doing)?;
            if FileType::from_raw_mode(there.st_mode) != kind
                || (kind != FileType::Fifo && there.st_rdev != device)
            {
                return Err(Failure::invalid(format!("{} exists, and is another file", node.path.display())));
            }
        }
        Err(errno) => return Err(Failure::system(doing(), errno)),
    }
    if (node.uid, node.gid) == (0, 0) {
        return Ok(());
    }
    let (uid, gid) = (Some(Uid::from_raw(node.uid)), Some(Gid::from_raw(node.gid)));
    rustix::fs::chownat(&parent, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).doing(doing)
}

fn make_links(root: &Root) -> Result<()> {
    let dev = root.directory(Path::new("/dev"))?;
    for (name, target) in LINKS {
        if name == "core" && rustix::fs::access(target, rustix::fs::Access::EXISTS).is_err() {
            continue;
        }
        match rustix::fs::symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Failure::system(format!("link /dev/{name} to {target}"), errno)),
        }
    }
    let doing = || "link /dev/ptmx to pts/ptmx";
    match rustix::fs::unlinkat(&dev, "ptmx", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(Failure::system(doing(), errno)),
    }
    rustix::fs::symlinkat("pts/ptmx", &dev, "ptmx").doing(doing)
}

/// Mounts the container's end of a terminal at /dev/console (CVE-2025-52565).
pub fn bind_console(slave: BorrowedFd<'_>) -> Result<()> {
    let doing = || "mount the terminal at /dev/console";
    if rustix::fs::fstatfs(slave).doing(doing)?.f_type as i64 != DEVPTS_SUPER_MAGIC {
        return Err(Failure::invalid("the terminal is not of a devpts file system"));
    }
    let root = Root::own()?;
    let place = root.file(Path::new("/dev/console"))?;
    if root::is_directory(&place)? {
        return Err(Failure::invalid("/dev/console in the container is a directory"));
    }
    let tree = clone_tree(slave, Path::new(""), false).doing(doing)?;
    over_proc::check_place(&root, &place, Path::new("/dev/console"), &tree)?;
    attach(tree.as_fd(), place).doing(doing)
}
