//! The program as something that nobody can write to, not even root inside a container that finds it through `/proc`
//! (CVE-2019-5736): a view of its directory through a read-only overlay, or a copy in memory.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{MemfdFlags, Mode, OFlags, ResolveFlags, SealFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

use crate::{Error, Result};

/// The program, sealed. The overlay costs a tenth of the copy, in time and in memory, but only root can make one.
pub(super) fn seal(program: &Path) -> Result<OwnedFd> {
    let source =
        File::open(program).map_err(|error| Error::io(format!("open {}", program.display()), error))?;
    match overlay(program, &source) {
        Ok(sealed) => Ok(sealed),
        Err(errno) => {
            tracing::debug!("no overlay of {}: {errno}; it is copied", program.display());
            copy(program, &source)
        }
    }
}

/// The program seen through an overlay that has no upper layer, so that nothing can make it writable, and is mounted nowhere.
fn overlay(program: &Path, source: &File) -> rustix::io::Result<OwnedFd> {
    let path = match program == Path::new(super::SELF) {
        true => std::fs::read_link(program).map_err(|_| Errno::NOENT)?,
        false => program.canonicalize().map_err(|_| Errno::NOENT)?,
    };
    let directory = path
        .parent()
        .and_then(Path::to_str)
        .filter(|path| !path.contains([':', '\\']))
        .ok_or(Errno::INVAL)?;
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", "corten")?;
    // An overlay without an upper layer must have two others; nothing is looked for in the second one.
    fsconfig_set_string(context.as_fd(), "lowerdir", format!("{directory}:/dev"))?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let sealed = rustix::fs::openat2(&mount, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    // Another file may have that path by now, or in this mount namespace.
    let (ours, theirs) = (source.metadata().map_err(|_| Errno::IO)?, rustix::fs::fstat(&sealed)?);
    let same = (ours.ino(), ours.size().cast_signed(), ours.mtime())
        == (theirs.st_ino, theirs.st_size, theirs.st_mtime);
    if same { Ok(sealed) } else { Err(Errno::STALE) }
}

/// A copy in memory, sealed against every change.
fn copy(program: &Path, source: &File) -> Result<OwnedFd> {
    let doing = |errno: Errno| Error::io(format!("make a sealed copy of {}", program.display()), errno);
    let copy = executable_memfd()?;
    let mut left = source.metadata().map_err(|error| Error::io("read the program's size", error))?.len();
    while left > 0 {
        let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::io::retry_on_intr(|| rustix::fs::sendfile(&copy, source, None, chunk)).map_err(doing)? {
            0 => break,
            sent => left = left.saturating_sub(sent as u64),
        }
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals).map_err(doing)?;
    Ok(copy)
}

/// A memfd that may be executed; kernels before 6.3 do not know the flag, and let every memfd be.
fn executable_memfd() -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let created = match rustix::fs::memfd_create("corten", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create("corten", flags),
        other => other,
    };
    created.map_err(|errno| match errno {
        Errno::ACCESS => Error::unsupported(
            "make a sealed copy of the program: the sysctl vm.memfd_noexec=2 forbids executable memory files; set it to 1 or 0",
        ),
        errno => Error::io("make a sealed copy of the program", errno),
    })
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::*;

    /// Whatever way there is on this machine, the file that is executed cannot be opened for writing by anybody.
    fn assert_sealed(sealed: &OwnedFd) {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", sealed.as_raw_fd());
        let write = rustix::fs::openat(CWD, path.as_str(), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        match write {
            Err(errno) => assert!([Errno::ROFS, Errno::ACCESS, Errno::PERM].contains(&errno), "{errno}"),
            Ok(file) => assert_eq!(rustix::io::write(&file, b"#!"), Err(Errno::PERM)),
        }
    }

    #[test]
    fn a_sealed_program_is_the_same_and_cannot_be_written() {
        let sealed = seal(Path::new("/proc/self/exe")).unwrap();
        let size = std::fs::metadata("/proc/self/exe").unwrap().len();
        assert_eq!(rustix::fs::fstat(&sealed).unwrap().st_size.cast_unsigned(), size);
        assert_sealed(&sealed);
    }

    #[test]
    fn a_copy_is_the_same_and_cannot_be_written() {
        let source = File::open("/proc/self/exe").unwrap();
        let copy = copy(Path::new("/proc/self/exe"), &source).unwrap();
        assert_eq!(
            rustix::fs::fstat(&copy).unwrap().st_size.cast_unsigned(),
            source.metadata().unwrap().len()
        );
        assert_sealed(&copy);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = seal(Path::new("/nonexistent/corten")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/corten"), "{error}");
    }
}
