//! Finding and making places inside a root directory that somebody else may be changing at the same time.
//!
//! Every path is resolved by the kernel with the root as its `/` (openat2(2), `RESOLVE_IN_ROOT`), in one step, to a
//! descriptor; nothing is looked up by its path afterwards. Missing directories are made one at a time in the
//! descriptor of their parent (CVE-2021-30465, CVE-2024-45310).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{Doing, Failure, Result};

/// A root directory.
#[derive(Debug)]
pub(super) struct Root(pub(super) OwnedFd);

/// How often a resolution is tried that a rename elsewhere has disturbed (`EAGAIN`).
const TRIES: usize = 128;

impl Root {
    /// The present root directory of this process.
    pub(super) fn own() -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open("/", flags, Mode::empty()).map(Self).doing(|| "open the root directory")
    }

    /// What is at `path`; symbolic links are followed inside the root.
    pub(super) fn find(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        self.open(path, OFlags::PATH, ResolveFlags::empty())
    }

    /// What is at `path`, which must have no symbolic link in it.
    pub(super) fn find_plain(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        self.open(path, OFlags::PATH, ResolveFlags::NO_SYMLINKS)
    }

    fn open(&self, path: &Path, flags: OFlags, resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = flags | OFlags::CLOEXEC;
        let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut last = Errno::AGAIN;
        for _ in 0..TRIES {
            match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => last = Errno::AGAIN,
                other => return other,
            }
        }
        Err(last)
    }

    /// The directory at `path`, made with its parents where it is missing (mode 0755 less the mask).
    pub(super) fn directory(&self, path: &Path) -> Result<OwnedFd> {
        self.directory_or_new(path).map(|(directory, _)| directory)
    }

    /// The same, and whether it was missing.
    pub(super) fn directory_or_new(&self, path: &Path) -> Result<(OwnedFd, bool)> {
        let doing = || format!("make the directory {} inside the root file system", path.display());
        match self.open(path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty()) {
            Err(Errno::NOENT) => Ok((self.make_directories(path).doing(doing)?, true)),
            other => Ok((other.doing(doing)?, false)),
        }
    }

    fn make_directories(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut made = PathBuf::from("/");
        let mut parent = self.open(&made, flags, ResolveFlags::empty())?;
        for name in path.components().filter_map(normal) {
            made.push(name);
            parent = match self.open(&made, flags, ResolveFlags::empty()) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                    self.open(&made, flags, ResolveFlags::empty())?
                }
                other => other?,
            };
        }
        Ok(parent)
    }

    /// The file at `path`, made empty where it is missing.
    pub(super) fn file(&self, path: &Path) -> Result<OwnedFd> {
        match self.find(path) {
            Err(Errno::NOENT) => {}
            other => return other.doing(|| format!("find {} inside the root file system", path.display())),
        }
        let (parent, name) = self.parent(path)?;
        let doing = || format!("make the file {} inside the root file system", path.display());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&parent, &*name, flags, Mode::from_raw_mode(0o644)) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Failure::system(doing(), errno)),
        }
        self.find(path).doing(doing)
    }

    /// The directory that holds `path`, made where it is missing, and the name in it.
    pub(super) fn parent(&self, path: &Path) -> Result<(OwnedFd, PathBuf)> {
        let name =
            path.file_name().ok_or_else(|| Failure::invalid(format!("{} names no file", path.display())))?;
        let parent = self.directory(path.parent().unwrap_or(Path::new("/")))?;
        Ok((parent, PathBuf::from(name)))
    }
}

fn normal(component: Component<'_>) -> Option<&std::ffi::OsStr> {
    match component {
        Component::Normal(name) => Some(name),
        _ => None,
    }
}

/// A path with `.` and `..` taken out by its text, as an absolute path inside a root.
pub fn clean(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

/// Whether a descriptor is of a directory.
pub(super) fn is_directory(fd: impl AsFd) -> Result<bool> {
    let status = rustix::fs::fstat(fd).doing(|| "look at a mount's source")?;
    Ok(FileType::from_raw_mode(status.st_mode) == FileType::Directory)
}

/// What is at a path inside this process's root, for its place only; symbolic links cannot lead out of it.
pub(crate) fn find(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Root(rustix::fs::open("/", flags, Mode::empty())?).find(path)
}

/// Opens a path of the host, for its mount only.
pub(super) fn host(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_lead_upwards() {
        for (path, expected) in [("/a/../../b", "/b"), ("a/./b//c", "/a/b/c"), ("..", "/"), ("/", "/")] {
            assert_eq!(clean(path), Path::new(expected), "{path}");
        }
    }
}
