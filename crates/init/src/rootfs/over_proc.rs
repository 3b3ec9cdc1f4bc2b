//! What may be mounted at /proc and below it: what is there decides what programs of the container, and in many runtimes the
//! runtime itself, read and write (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::root::Root;
use crate::{Doing, Failure, Result};

/// What may be mounted over a file of /proc: files that containers are shown instead of the host's.
const FILES: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// f_type of a procfs (linux/magic.h), and the number of its root, which is the same in all of them.
const PROC_SUPER_MAGIC: i64 = 0x9fa0;
const PROC_ROOT_INO: u64 = 1;

/// Checks a destination by its text.
pub(super) fn check(path: &Path, may_be_procfs: bool) -> Result<()> {
    let allowed = match path {
        _ if !path.starts_with("/proc") => true,
        _ if path == Path::new("/proc") => may_be_procfs,
        _ => FILES.iter().any(|known| path == Path::new(known)),
    };
    if allowed { Ok(()) } else { Err(refused(path)) }
}

/// Checks the place that a destination has turned out to be: a link of the image can lead to /proc too.
pub(super) fn check_place(root: &Root, place: &OwnedFd, destination: &Path, source: &OwnedFd) -> Result<()> {
    let doing = || format!("look at {} inside the root file system", destination.display());
    if !is_procfs(place).doing(doing)? {
        return Ok(());
    }
    let proc = match root.find(Path::new("/proc")) {
        Ok(proc) => proc,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(Failure::system(doing(), errno)),
    };
    if mount_id(place).doing(doing)? != mount_id(&proc).doing(doing)? {
        return Ok(());
    }
    let allowed = match is_root(place).doing(doing)? {
        true => is_procfs_root(source).doing(doing)?,
        false => FILES.iter().any(|known| destination == Path::new(known)),
    };
    if allowed { Ok(()) } else { Err(refused(destination)) }
}

/// Refuses a bind mount over /proc that shows anything but a whole procfs.
pub(super) fn check_source(tree: &OwnedFd, destination: &Path) -> Result<()> {
    let doing = || format!("look at the source of {}", destination.display());
    match destination != Path::new("/proc") || is_procfs_root(tree).doing(doing)? {
        true => Ok(()),
        false => {
            Err(Failure::invalid("/proc can only be a mount of type proc, or a bind mount of a whole one"))
        }
    }
}

fn refused(path: &Path) -> Failure {
    Failure::invalid(format!("{} cannot be mounted because it is inside /proc", path.display()))
}

fn is_procfs_root(fd: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(is_procfs(fd)? && is_root(fd)?)
}

fn is_procfs(fd: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type as i64 == PROC_SUPER_MAGIC)
}

fn is_root(fd: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(rustix::fs::fstat(fd)?.st_ino == PROC_ROOT_INO)
}

fn mount_id(fd: impl AsFd) -> rustix::io::Result<u64> {
    rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(|status| status.stx_mnt_id)
}
