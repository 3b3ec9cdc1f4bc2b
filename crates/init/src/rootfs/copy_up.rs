//! `tmpcopyup`: a tmpfs that begins with what the directory below it holds.
//!
//! Everything is read and made through descriptors, no symbolic link is followed, and a directory that changes meanwhile
//! can only change what is copied. The depth is bounded by the limit of open files.

use std::ffi::CStr;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags};
use rustix::io::Errno;

use crate::{Doing, Failure, Kind, Result};

/// A directory that is being copied.
struct Level {
    entries: Dir,
    from: OwnedFd,
    to: OwnedFd,
}

/// Copies what is in a directory into the file system that will hide it. The root of that one stays as it is: its mode and
/// owner are what the mount's options say.
pub(super) fn copy_up(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let mut levels =
        vec![enter(from.as_fd(), c".", to.as_fd(), c".").doing(|| "open the directory to copy")?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.entries.next() else {
            let filled = levels.pop();
            if let Some(level) = filled.filter(|_| !levels.is_empty()) {
                // Last, for a directory that is not writable could not be filled.
                like(&level.from, &level.to).doing(|| "copy the mode of a directory")?;
            }
            continue;
        };
        let entry = entry.doing(|| "read a directory")?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let doing = || format!("copy {name:?}");
        if let Some(below) = copy(&level.from, &level.to, name).map_err(|failure| within(doing(), failure))? {
            levels.push(below);
        }
    }
    Ok(())
}

fn within(what: String, failure: Failure) -> Failure {
    Failure { what: format!("{what}: {}", failure.what), ..failure }
}

fn enter(
    from: BorrowedFd<'_>,
    source: &CStr,
    to: BorrowedFd<'_>,
    target: &CStr,
) -> rustix::io::Result<Level> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = rustix::fs::openat(from, source, flags, Mode::empty())?;
    let to = rustix::fs::openat(to, target, flags, Mode::empty())?;
    Ok(Level { entries: Dir::read_from(&from)?, from, to })
}

/// Copies one entry; a directory is made, and given back to be filled.
fn copy(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> Result<Option<Level>> {
    let status =
        rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW).doing(|| "look at the original")?;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700)).doing(|| "make the directory")?;
            return enter(from.as_fd(), name, to.as_fd(), name).doing(|| "open the directory").map(Some);
        }
        FileType::RegularFile => copy_file(from, to, name).doing(|| "copy the file")?,
        FileType::Symlink => copy_link(from, to, name, &status).doing(|| "copy the symbolic link")?,
        FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
            make_node(to, name, &status).doing(|| "make the node")?;
        }
        // A socket is nothing without the program that listens on it.
        FileType::Socket => {}
        FileType::Unknown => return Err(Failure::new(Kind::System, "a file of an unknown type")),
    }
    Ok(None)
}

fn copy_file(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> std::io::Result<()> {
    // What became something else since it was looked at is not waited for, and refused below.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut original = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
    if !original.metadata()?.is_file() {
        return Err(Errno::AGAIN.into());
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut copy = File::from(rustix::fs::openat(to, name, flags, Mode::from_raw_mode(0o600))?);
    std::io::copy(&mut original, &mut copy)?;
    like(&original, &copy)?;
    Ok(())
}

fn copy_link(from: &OwnedFd, to: &OwnedFd, name: &CStr, status: &Stat) -> rustix::io::Result<()> {
    let target = rustix::fs::readlinkat(from, name, Vec::new())?;
    rustix::fs::symlinkat(target, to, name)?;
    own(to, name, AtFlags::SYMLINK_NOFOLLOW, status)
}

fn make_node(to: &OwnedFd, name: &CStr, status: &Stat) -> rustix::io::Result<()> {
    let (kind, mode) =
        (FileType::from_raw_mode(status.st_mode), Mode::from_raw_mode(status.st_mode & 0o7777));
    rustix::fs::mknodat(to, name, kind, mode, status.st_rdev)?;
    own(to, name, AtFlags::SYMLINK_NOFOLLOW, status)
}

/// Gives a copy the owner, the mode and the extended attributes of the original.
fn like(original: impl AsFd, copy: impl AsFd) -> rustix::io::Result<()> {
    let status = rustix::fs::fstat(&original)?;
    own(&copy, c"", AtFlags::EMPTY_PATH, &status)?;
    // After the owner, whose change takes set-user-ID away.
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(status.st_mode & 0o7777))?;
    copy_attributes(original.as_fd(), copy.as_fd())
}

/// Extended attributes (xattr(7)), capabilities of files among them, as far as a tmpfs has them and this process may set them.
fn copy_attributes(original: BorrowedFd<'_>, copy: BorrowedFd<'_>) -> rustix::io::Result<()> {
    const LARGEST: usize = 64 << 10;
    let mut names = vec![MaybeUninit::uninit(); LARGEST];
    let names = match rustix::fs::flistxattr(original, &mut names[..]) {
        Ok((names, _)) => &*names,
        Err(Errno::NOTSUP | Errno::RANGE) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mut space = vec![MaybeUninit::uninit(); LARGEST];
    for name in names.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let value = match rustix::fs::fgetxattr(original, name, &mut space[..]) {
            Ok((value, _)) => &*value,
            Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => continue,
            Err(errno) => return Err(errno),
        };
        match rustix::fs::fsetxattr(copy, name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Gives a copy the owner of the original; one that has no number in this user namespace cannot be had.
fn own(at: impl AsFd, name: &CStr, flags: AtFlags, original: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(original.st_uid), Gid::from_raw(original.st_gid));
    match rustix::fs::chownat(at, name, Some(uid), Some(gid), flags) {
        Err(Errno::INVAL | Errno::PERM) => Ok(()),
        other => other,
    }
}
