//! The state directory: `<root>/<id>/` with `state.json`, the configuration, the start gate, and the record of a failure
//! after it.
//!
//! A state file is written under a temporary name and renamed, so that a crash leaves the old one or the new one. The
//! configuration, which is long and hardly ever changes, is a file of its own for each change, and the state names it.
//! Changes hold a lock on the directory, never across a hook or the gate; readers take none.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use corten_cgroups::Paths;
use corten_cgroups::resctrl::Class;
use corten_cgroups::systemd::Unit;

use crate::{Config, Error, ErrorKind, Id, Result};

/// What is remembered of a container. Everything that can change by itself is asked of the kernel instead.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub(crate) facts: Facts,
    /// Its configuration.
    pub(crate) config: Arc<Config>,
}

/// What `state.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Version of this format.
    version: u32,
    /// When the container was created, RFC 3339 with nanoseconds, UTC.
    pub(crate) created: String,
    /// User id of who created it.
    pub(crate) owner: u32,
    /// Its init, once that exists.
    pub(crate) init: Option<SavedInit>,
    /// Its control group, once that is decided; `None` without one.
    pub(crate) cgroup: Option<Paths>,
    /// Its class of service, where it has one (Intel RDT).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rdt: Option<Class>,
    /// The unit of systemd that the group belongs to, where it was systemd that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<Unit>,
    /// The ends on the host of its veth pairs: what is to be, saved before it is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) host_ends: Vec<HostEnd>,
    /// What the standard files of its first program were, as links under `/proc/PID/fd`: a checkpoint tells a restore, which
    /// puts others in the place of pipes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) descriptors: Vec<String>,
    /// Whether its first program has a terminal of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) terminal: bool,
    /// How often the configuration was changed.
    changes: u32,
}

/// The end on the host of a veth pair, such that another device with its name is not taken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostEnd {
    /// Its name.
    pub(crate) name: String,
    /// Its hardware address, which was chosen at random.
    pub(crate) address: [u8; 6],
}

/// An init, such that another process with its number is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedInit {
    /// Process id.
    pub(crate) pid: i32,
    /// Start time in clock ticks after boot (proc_pid_stat(5), field 22).
    pub(crate) start_time: u64,
    /// Whether it is still on its way to the user's program, and hooks, which may look at the container, run meanwhile.
    /// A container with a start gate needs no such mark.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) starting: bool,
}

/// The present version of [`Facts`] and of the configuration's file.
const VERSION: u32 = 1;

const STATE: &str = "state.json";

/// Name of the state that is to take its place.
const NEXT: &str = ".state.json";
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

/// A change of the configuration that is prepared. It has never been if this is dropped.
pub(crate) struct Change<'a> {
    store: &'a Store,
    /// None once it has come to be.
    next: Option<Saved>,
}

impl Change<'_> {
    /// Makes it count.
    pub(crate) fn commit(mut self, saved: &mut Saved) -> Result<()> {
        self.store.turn()?;
        let old = self.store.path.join(config_name(saved.facts.changes));
        if let Some(next) = self.next.take() {
            *saved = next;
        }
        if let Err(error) = std::fs::remove_file(&old) {
            tracing::warn!("remove {}: {error}", old.display());
        }
        Ok(())
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if let Some(next) = &self.next {
            let names = [config_name(next.facts.changes), NEXT.to_owned()];
            names.iter().for_each(|name| drop(std::fs::remove_file(self.store.path.join(name))));
        }
    }
}

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

    /// Reads the state; [`ErrorKind::NotFound`] where there is no container. The configuration of `known` is taken where
    /// it has not changed since.
    pub(crate) fn load(&self, known: Option<&Saved>) -> Result<Saved> {
        let mut facts = self.facts()?;
        loop {
            if let Some(known) = known.filter(|known| known.facts.changes == facts.changes) {
                return Ok(Saved { facts, config: Arc::clone(&known.config) });
            }
            match self.read(&config_name(facts.changes)) {
                Ok(config) => return Ok(Saved { facts, config: Arc::new(config) }),
                Err(error) => {
                    // The configuration may have been changed, or the container deleted, since the state was read.
                    let now = self.facts()?;
                    if now.changes == facts.changes {
                        return Err(error);
                    }
                    facts = now;
                }
            }
        }
    }

    fn facts(&self) -> Result<Facts> {
        let facts: Facts = match self.read(STATE) {
            Err(_) if !self.exists() => {
                return Err(Error::new(ErrorKind::NotFound, "container does not exist"));
            }
            facts => facts?,
        };
        match facts.version {
            VERSION => Ok(facts),
            other => Err(corrupt(&format!("{} has version {other}, this is {VERSION}", self.path.display()))),
        }
    }

    /// Writes the first state, of a container that has never been started.
    pub(crate) fn save_new(&self, created: String, config: Config, lock: &Lock) -> Result<Saved> {
        let owner = rustix::process::geteuid().as_raw();
        let facts = Facts {
            version: VERSION,
            created,
            owner,
            init: None,
            cgroup: None,
            rdt: None,
            unit: None,
            host_ends: Vec::new(),
            descriptors: Vec::new(),
            terminal: false,
            changes: 0,
        };
        self.write(&config_name(0), &config)?;
        self.save(&facts, lock)?;
        Ok(Saved { facts, config: Arc::new(config) })
    }

    /// Writes the state. Only with the lock held.
    pub(crate) fn save(&self, facts: &Facts, _: &Lock) -> Result<()> {
        self.write(NEXT, facts)?;
        self.turn()
    }

    /// What was written as the next state is the state now.
    fn turn(&self) -> Result<()> {
        std::fs::rename(self.path.join(NEXT), self.path.join(STATE))
            .map_err(|error| Error::io(format!("write {}", self.path.join(STATE).display()), error))
    }

    /// Writes a changed configuration, which does not count yet: what takes room is done. Only with the lock held.
    pub(crate) fn prepare(&self, saved: &Saved, config: Config, _: &Lock) -> Result<Change<'_>> {
        let facts = Facts { changes: saved.facts.changes.wrapping_add(1), ..saved.facts.clone() };
        let change = Change { store: self, next: Some(Saved { facts, config: Arc::new(config) }) };
        if let Some(Saved { facts, config }) = &change.next {
            self.write(&config_name(facts.changes), &**config)?;
            self.write(NEXT, facts)?;
        }
        Ok(change)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.path.join(name);
        let text = std::fs::read(&path)
            .map_err(|error| corrupt(&Error::io(format!("read {}", path.display()), error).to_string()))?;
        serde_json::from_slice(&text).map_err(|error| corrupt(&format!("{}: {error}", path.display())))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.path.join(name);
        let doing = |error: std::io::Error| Error::io(format!("write {}", path.display()), error);
        let text = serde_json::to_vec(value).map_err(|error| doing(error.into()))?;
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&path).and_then(|mut file| file.write_all(&text)).map_err(doing)
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

fn config_name(changes: u32) -> String {
    format!("config-{changes}.json")
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
