//! The directory that a throw-away container lives in, and goes with.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use corten::{Launcher, Runtime};

/// What the names of these directories, and the containers' ids, begin with.
const PREFIX: &str = "corten-try-";

/// A directory that only the caller can enter; it is removed when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    name: String,
    /// The directory, locked as long as its container lives: a program that was killed holds no lock.
    _lock: File,
}

impl Scratch {
    /// Makes one in the directory for temporary files (`TMPDIR`, else `/tmp`).
    pub fn new() -> io::Result<Self> {
        // Two programs that have the same number one after the other differ in the time.
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("{PREFIX}{:x}-{:x}", std::process::id(), time.as_nanos() & 0xff_ffff);
        let path = parent()?.join(&name);
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("make the directory {}: {error}", path.display()))
        })?;
        let lock = File::open(&path)?;
        lock.try_lock()?;
        Ok(Self { path, name, _lock: lock })
    }

    /// The id of the container, which is the name of the directory too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A directory in it, made now.
    pub fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::DirBuilder::new().mode(0o755).create(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!("remove {}: {error}", self.path.display());
        }
    }
}

/// The directory for temporary files, whose path is resolved: mounts are made under it.
fn parent() -> io::Result<PathBuf> {
    let path = std::env::temp_dir();
    path.canonicalize().map_err(|error| {
        io::Error::new(error.kind(), format!("the directory for temporary files {}: {error}", path.display()))
    })
}

/// Removes what the caller's earlier ones left that were killed: their containers ended with them.
pub fn sweep(launcher: &Launcher) {
    let Ok(parent) = parent() else { return };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Err(error) = sweep_one(&entry.path(), launcher)
        {
            tracing::debug!("{} stays: {error}", entry.path().display());
        }
    }
}

fn sweep_one(path: &Path, launcher: &Launcher) -> io::Result<()> {
    let directory = rustix::fs::open(
        path,
        rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    let directory = File::from(directory);
    let metadata = directory.metadata()?;
    // What another made here, or opened to others, is not ours to look into.
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        return Ok(());
    }
    match directory.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(()),
        locked => locked?,
    }
    let runtime = Runtime::open(path.join("state"), launcher.clone()).map_err(io::Error::other)?;
    for entry in runtime.list().map_err(io::Error::other)? {
        runtime.purge(&entry.id).map_err(io::Error::other)?;
    }
    fs::remove_dir_all(path)
}
