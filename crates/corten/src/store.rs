//! The state directory: `<root>/<id>/` with `state.json`, the start gate, and the record of a failure after it.
//!
//! A state file is written under a temporary name and renamed, so that a crash leaves the old one or the new one.
//! Changes hold a lock on the directory, never across a hook or the gate; readers take none.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use corten_cgroups::Paths;

use crate::{Config, Error, ErrorKind, Id, Result};

/// What is remembered of a container. Everything that can change by itself is asked of the kernel instead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Version of this format.
    pub(crate) version: u32,
    /// When the container was created, RFC 3339 with nanoseconds, UTC.
    pub(crate) created: String,
    /// User id of who created it.
    pub(crate) owner: u32,
    /// Its init, once that exists.
    pub(crate) init: Option<SavedInit>,
    /// Its control group, once that is decided; `None` without one.
    pub(crate) cgroup: Option<Paths>,
    /// Its configuration.
    pub(crate) config: Config,
}

/// An init, such that another process with its number is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedInit {
    /// Process id.
    pub(crate) pid: i32,
    /// Start time in clock ticks after boot (proc_pid_stat(5), field 22).
    pub(crate) start_time: u64,
}

/// The present version of [`Saved`].
pub(crate) const VERSION: u32 = 1;

const STATE: &str = "state.json";
const GATE: &str = "exec.fifo";
const FAILURE: &str = "failure";

/// The directory of one container.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
}

/// Held while the state changes.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "closing it unlocks")] OwnedFd);

impl Store {
    /// The directory of a container, whether it exists or not.
    pub(crate) fn of(root: &Path, id: &Id) -> Self {
        Self { path: root.join(id.as_str()) }
    }

    /// Makes the directory; [`ErrorKind::Exists`] where the id is in use.
    pub(crate) fn create(root: &Path, id: &Id) -> Result<Self> {
        let store = Self::of(root, id);
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).recursive(true);
        builder
            .create(root)
            .map_err(|e| Error::io(format!("make the state directory {}", root.display()), e))?;
        match rustix::fs::mkdir(&store.path, Mode::from_raw_mode(0o711)) {
            Ok(()) => Ok(store),
            Err(Errno::EXIST) => Err(Error::new(ErrorKind::Exists, "container with given ID already exists")),
            Err(errno) => Err(Error::io(format!("make the state directory {}", store.path.display()), errno)),
        }
    }

    /// Whether the directory exists.
    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Locks the directory against changes by others; waits for whoever is at it.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let doing = |errno: Errno| match errno {
            Errno::NOENT => Error::new(ErrorKind::NotFound, "container does not exist"),
            errno => Error::io(format!("lock {}", self.path.display()), errno),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&self.path, flags, Mode::empty()).map_err(doing)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&directory, FlockOperation::LockExclusive))
            .map_err(doing)?;
        Ok(Lock(directory))
    }

    /// Reads the state; [`ErrorKind::NotFound`] where there is no container.
    pub(crate) fn load(&self) -> Result<Saved> {
        let path = self.path.join(STATE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.exists() => {
                return Err(Error::new(ErrorKind::NotFound, "container does not exist"));
            }
            Err(error) => {
                let why = Error::io(format!("read {}", path.display()), error);
                return Err(corrupt(&why.to_string()));
            }
        };
        let saved: Saved = serde_json::from_slice(&text)
            .map_err(|error| corrupt(&format!("{}: {error}", path.display())))?;
        match saved.version {
            VERSION => Ok(saved),
            other => Err(corrupt(&format!("{} has version {other}, this is {VERSION}", path.display()))),
        }
    }

    /// Writes the state. Only with the lock held.
    pub(crate) fn save(&self, saved: &Saved, _: &Lock) -> Result<()> {
        let temporary = self.path.join(".state.json");
        let doing = |error: std::io::Error| Error::io(format!("write {}", temporary.display()), error);
        let text = serde_json::to_vec(saved).map_err(|error| doing(error.into()))?;
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(doing)?;
        file.write_all(&text).map_err(doing)?;
        std::fs::rename(&temporary, self.path.join(STATE)).map_err(doing)
    }

    /// Makes the start gate and the file for a failure after it; both are opened for init.
    ///
    /// The gate is open for reading and writing: so it is ready at once, and a read waits although nobody else has it open.
    pub(crate) fn make_gate(&self) -> Result<(OwnedFd, OwnedFd)> {
        let (gate, failure) = (self.path.join(GATE), self.path.join(FAILURE));
        let doing = |path: &Path, errno: Errno| Error::io(format!("make {}", path.display()), errno);
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, &gate, fifo, Mode::from_raw_mode(0o600), 0).map_err(|e| doing(&gate, e))?;
        let fifo = rustix::fs::open(&gate, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| doing(&gate, e))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::APPEND | OFlags::CLOEXEC;
        let file =
            rustix::fs::open(&failure, flags, Mode::from_raw_mode(0o600)).map_err(|e| doing(&failure, e))?;
        Ok((fifo, file))
    }

    /// Opens the gate for writing; `None` where init does not wait there.
    pub(crate) fn open_gate(&self) -> Result<Option<OwnedFd>> {
        let path = self.path.join(GATE);
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(gate) => Ok(Some(gate)),
            Err(Errno::NOENT | Errno::NXIO) => Ok(None),
            Err(errno) => Err(Error::io(format!("open {}", path.display()), errno)),
        }
    }

    /// Removes the gate.
    pub(crate) fn remove_gate(&self) -> Result<()> {
        let path = self.path.join(GATE);
        match rustix::fs::unlink(&path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::io(format!("remove {}", path.display()), errno)),
        }
    }

    /// What failed after the gate, as init recorded it.
    pub(crate) fn failure(&self) -> Option<Error> {
        let mut record = Vec::new();
        File::open(self.path.join(FAILURE)).ok()?.take(1 << 20).read_to_end(&mut record).ok()?;
        let (stage, failure) = corten_init::recorded_failure(&record)?;
        Some(Error::from_failure(failure, stage.into()))
    }

    /// Removes the directory and all that is in it.
    pub(crate) fn remove(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io(format!("remove {}", self.path.display()), error)),
        }
    }
}

fn corrupt(why: &str) -> Error {
    Error::new(ErrorKind::CorruptState, format!("the saved state of the container cannot be used: {why}"))
}

/// The ids under a state directory, in order; none where it does not exist.
pub(crate) fn ids(root: &Path) -> Result<Vec<Id>> {
    let doing = |error| Error::io(format!("list {}", root.display()), error);
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(doing(error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(doing)?;
        let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if let (true, Some(name)) = (directory, entry.file_name().to_str())
            && let Ok(id) = Id::try_from(name)
        {
            ids.push(id);
        }
    }
    ids.sort();
    Ok(ids)
}
