//! A directory of a file system of the kernel's, of cgroups or resctrl, and its files: the one place where this crate touches
//! them.
//!
//! A mount point is opened by its absolute path without following symbolic links and checked to be cgroupfs; everything
//! else is opened beneath it, on the same mount, so that nothing planted in a path leads elsewhere.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// `CGROUP_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP_V1: u64 = 0x0027_e0eb;
/// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP_V2: u64 = 0x6367_7270;

/// How every file beneath a mount point is resolved.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// An open directory of a cgroup file system.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    /// For messages.
    path: PathBuf,
}

impl Dir {
    /// Opens a mount point and checks that it is a cgroup file system.
    pub(crate) fn mount_point(path: &Path) -> Result<Self> {
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)
            .map_err(|e| Error::os("open", path, e))?;
        let kind = rustix::fs::fstatfs(&fd).map_err(|e| Error::os("statfs", path, e))?.f_type;
        if !matches!(u64::try_from(kind), Ok(CGROUP_V1 | CGROUP_V2)) {
            return Err(Error::NotCgroupfs { path: path.to_owned() });
        }
        Ok(Self { fd, path: path.to_owned() })
    }

    /// A directory of another file system of the kernel's, which the caller has checked.
    pub(crate) fn of(fd: OwnedFd, path: impl Into<PathBuf>) -> Self {
        Self { fd, path: path.into() }
    }

    /// Opens a directory beneath this one.
    pub(crate) fn child(&self, relative: &Path) -> Result<Self> {
        let path = self.path.join(relative);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(&self.fd, relative, flags, Mode::empty(), BENEATH)
            .map_err(|e| Error::os("open", &path, e))?;
        Ok(Self { fd, path })
    }

    /// The absolute path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory; false where there is one already. `relative` has normal components only.
    pub(crate) fn make(&self, relative: &Path) -> Result<bool> {
        match rustix::fs::mkdirat(&self.fd, relative, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(e) => Err(Error::os("mkdir", &self.path.join(relative), e)),
        }
    }

    /// Gives this directory to a user, and in it the files that the kernel says belong with it (cgroups(7), "Delegation").
    pub(crate) fn give_to(&self, user: u32) -> Result<()> {
        const LIST: &str = "/sys/kernel/cgroup/delegate";
        let list = std::fs::read_to_string(LIST);
        let list = list.map_err(|source| Error::Os { operation: "read", path: LIST.into(), source })?;
        for name in list.lines().chain([""]) {
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
            match rustix::fs::chownat(&self.fd, name, Some(rustix::fs::Uid::from_raw(user)), None, flags) {
                // Files of controllers that are off.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(Error::os("chown", &self.path.join(name), e)),
            }
        }
        Ok(())
    }

    /// Removes a directory; a missing one is fine.
    pub(crate) fn remove(&self, relative: &Path) -> Result<()> {
        match rustix::fs::unlinkat(&self.fd, relative, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(Error::os("rmdir", &self.path.join(relative), e)),
        }
    }

    /// The names of the directories in this one: its sub-groups.
    ///
    /// A cgroup has dozens of files, so their number is asked first: kernfs counts sub-directories in the link count.
    pub(crate) fn children(&self) -> Result<Vec<OsString>> {
        let failed = |e| Error::os("list", &self.path, e);
        if rustix::fs::fstat(&self.fd).map_err(failed)?.st_nlink <= 2 {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if entry.file_type() == rustix::fs::FileType::Directory && name != b"." && name != b".." {
                names.push(std::os::unix::ffi::OsStringExt::from_vec(name.to_vec()));
            }
        }
        Ok(names)
    }

    /// Opens a file of this group.
    pub(crate) fn open(&self, file: &str, flags: OFlags) -> Result<File> {
        let path = self.path.join(file);
        // A file of the kernel cannot block on opening; anything else that stood here would be refused by BENEATH.
        let fd = rustix::fs::openat2(&self.fd, file, flags | OFlags::CLOEXEC, Mode::empty(), BENEATH)
            .map_err(|e| Error::os("open", &path, e))?;
        Ok(File { fd, path })
    }

    /// Reads a file of this group.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        self.open(file, OFlags::RDONLY)?.read()
    }

    /// Reads a file that this kernel, or this kind of group, may not have.
    pub(crate) fn read_if_there(&self, file: &str) -> Result<Option<String>> {
        optional(self.read(file))
    }

    /// Writes to a file of this group in one call.
    pub(crate) fn write(&self, file: &str, value: &str) -> Result<()> {
        match self.open(file, OFlags::WRONLY) {
            Ok(file) => file.write(value),
            Err(Error::Os { path, source, .. }) => {
                Err(Error::Write { value: value.to_owned(), path, source })
            }
            Err(other) => Err(other),
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An open file of a group.
#[derive(Debug)]
pub(crate) struct File {
    fd: OwnedFd,
    path: PathBuf,
}

impl File {
    /// The absolute path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole content, from its beginning.
    pub(crate) fn read(&self) -> Result<String> {
        let mut content = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::pread(&self.fd, &mut buffer, content.len() as u64) {
                Ok(0) => break,
                Ok(n) => content.extend_from_slice(&buffer[..n]),
                Err(Errno::INTR) => {}
                Err(e) => return Err(Error::os("read", &self.path, e)),
            }
        }
        String::from_utf8(content).map_err(|e| Error::Content {
            path: self.path.clone(),
            content: String::from_utf8_lossy(e.as_bytes()).into_owned(),
        })
    }

    /// Writes a value in one call.
    pub(crate) fn write(&self, value: &str) -> Result<()> {
        match rustix::io::retry_on_intr(|| rustix::io::write(&self.fd, value.as_bytes())) {
            Ok(n) if n == value.len() => Ok(()),
            Ok(_) => Err(self.refused(value, Errno::IO)),
            Err(e) => Err(self.refused(value, e)),
        }
    }

    fn refused(&self, value: &str, errno: Errno) -> Error {
        Error::Write { value: value.to_owned(), path: self.path.clone(), source: errno.into() }
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> Self {
        file.fd
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// None where the file or the group is not there.
pub(crate) fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}
