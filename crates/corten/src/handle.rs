//! What a container's operations work on: its place, what is saved of it, and what the kernel says of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corten_cgroups::Group;

use crate::child::Started;
use crate::launch::Launcher;
use crate::status::Status;
use crate::store::{Saved, Store};
use crate::{Config, Error, Id, Result, oci};

/// The state directory, and the way to start containers there.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) root: PathBuf,
    pub(crate) launcher: Launcher,
    /// What was started here, by container: children of this program, which nobody else can collect. The init of a pid
    /// namespace cannot end before every process in it is collected (pid_namespaces(7)).
    started: Mutex<BTreeMap<String, Vec<Arc<Started>>>>,
}

impl Home {
    pub(crate) fn new(root: PathBuf, launcher: Launcher) -> Self {
        Self { root, launcher, started: Mutex::default() }
    }

    fn started(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Arc<Started>>>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A container.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) home: Arc<Home>,
    pub(crate) id: Id,
    pub(crate) store: Store,
    /// What was last read or written; others may have changed it since.
    saved: Mutex<Saved>,
}

impl Handle {
    pub(crate) fn new(home: Arc<Home>, id: Id, store: Store, saved: Saved) -> Self {
        Self { home, id, store, saved: Mutex::new(saved) }
    }

    /// What was last read or written.
    pub(crate) fn saved(&self) -> MutexGuard<'_, Saved> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group of a container that has not stopped.
    pub(crate) fn running_group(&self, saved: &Saved) -> Result<Group> {
        if self.status_of(saved)? == Status::Stopped {
            return Err(Error::not_running());
        }
        Self::group(saved).ok_or_else(|| Error::unsupported("the container has no control group"))
    }

    /// Notes a process that was started.
    pub(crate) fn remember(&self, process: Arc<Started>) {
        let mut started = self.home.started();
        let processes = started.entry(self.id.to_string()).or_default();
        // What has ended is collected now, and told when it is asked for.
        processes.retain(|process| !matches!(process.wait(Some(Duration::ZERO)), Ok(Some(_))));
        processes.push(process);
    }

    /// Collects the processes that were started, all of which are killed: programs first, for init waits for them.
    pub(crate) fn collect(&self, limit: Duration) -> Result<()> {
        let processes = self.home.started().remove(self.id.as_str()).unwrap_or_default();
        processes.iter().rev().try_for_each(|process| process.wait(Some(limit)).map(drop))
    }

    /// Reads the state again: another program may have started the container.
    pub(crate) fn refresh(&self) -> Result<Saved> {
        let mut saved = self.saved();
        let fresh = self.store.load(Some(&saved))?;
        *saved = fresh.clone();
        Ok(fresh)
    }

    /// Its control group, where it has one.
    pub(crate) fn group(saved: &Saved) -> Option<Group> {
        saved.facts.cgroup.clone().map(Group::open)
    }

    /// What it is doing.
    pub(crate) fn status_of(&self, saved: &Saved) -> Result<Status> {
        let Some(init) = saved.facts.init.as_ref() else { return Ok(Status::Stopped) };
        if !init.is_alive()? {
            return Ok(Status::Stopped);
        }
        if let Some(group) = Self::group(saved)
            && group.exists()
            && group.is_frozen()?
        {
            return Ok(Status::Paused);
        }
        let waits = init.starting || self.store.open_gate()?.is_some();
        Ok(if waits { Status::Created } else { Status::Running })
    }

    /// Its state in the form of the OCI specification.
    pub(crate) fn oci_state_of(&self, config: &Config, status: &str, pid: Option<i32>) -> oci::State {
        oci::State {
            oci_version: oci::VERSION.to_owned(),
            id: self.id.to_string(),
            status: status.to_owned(),
            pid,
            bundle: bundle_of(config).display().to_string(),
            annotations: config.annotations().clone(),
        }
    }
}

/// A container that was not made from a bundle has its root file system's directory for one.
pub(crate) fn bundle_of(config: &Config) -> &Path {
    config.bundle().unwrap_or(config.rootfs())
}
