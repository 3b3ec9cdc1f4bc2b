//! The set of containers under one state directory.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::container::Container;
use crate::handle::{Handle, Home};
use crate::store::{self, Store};
use crate::time::rfc3339;
use crate::{Archive, Config, Error, ErrorKind, Id, Launcher, Result};

/// The containers under one state directory, and the way to start them.
///
/// It remembers nothing but those two: several in one program, or in several programs, see the same containers.
#[derive(Clone, Debug)]
pub struct Runtime {
    home: Arc<Home>,
}

/// One entry of [`Runtime::list`].
#[derive(Debug)]
pub struct Entry {
    /// The container's id.
    pub id: Id,
    /// The container, or why its saved state cannot be used.
    pub container: Result<Container>,
}

impl Runtime {
    /// Uses a state directory, an absolute path that is made when the first container is.
    pub fn open(root: impl AsRef<Path>, launcher: Launcher) -> Result<Self> {
        let root = root.as_ref();
        if !root.is_absolute() || root == Path::new("/") {
            let message =
                format!("the state directory must be an absolute path other than /, not {}", root.display());
            return Err(Error::invalid(message));
        }
        Ok(Self { home: Arc::new(Home::new(root.to_owned(), launcher)) })
    }

    /// The state directory.
    pub fn root(&self) -> &Path {
        &self.home.root
    }

    /// Creates a container: its state directory, and nothing that runs. [`ErrorKind::Exists`] where the id is in use.
    pub fn create(&self, id: &Id, config: Config) -> Result<Container> {
        config.check_host()?;
        let store = Store::create(&self.home.root, id)?;
        let save = |lock| store.save_new(rfc3339(SystemTime::now()), config, &lock);
        let saved = store.lock().and_then(save).inspect_err(|_| drop(store.remove()))?;
        Ok(Container(Handle::new(Arc::clone(&self.home), id.clone(), store, saved)))
    }

    /// Refuses with [`ErrorKind::Unsupported`] what this machine cannot go on with: another
    /// architecture, size of pages, or version of control groups, an older CRIU, and a processor that lacks what the programs
    /// may use. A kernel that lacks something is found by the restore itself.
    pub fn check(&self, archive: &Archive) -> Result<()> {
        archive.check(&self.home.launcher)
    }

    /// Finds a container that was created before, perhaps by another program; [`ErrorKind::NotFound`] where there is none.
    pub fn load(&self, id: &Id) -> Result<Container> {
        let store = Store::of(&self.home.root, id);
        let saved = store.load(None)?;
        Ok(Container(Handle::new(Arc::clone(&self.home), id.clone(), store, saved)))
    }

    /// All containers, in the order of their ids.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let load = |id: Id| match self.load(&id) {
            // Deleted since the directory was read.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            container => Some(Entry { container, id }),
        };
        Ok(store::ids(&self.home.root)?.into_iter().filter_map(load).collect())
    }

    /// Removes a container whatever state it is in: kills what runs, and clears what a crash has left.
    ///
    /// `Ok` where there is none.
    pub fn purge(&self, id: &Id) -> Result<()> {
        match self.load(id) {
            Ok(container) => container.purge(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            // Nothing was started before the first state was written, and none is written in place.
            Err(error) if error.kind() == ErrorKind::CorruptState => {
                tracing::warn!("{error}");
                Store::of(&self.home.root, id).remove()
            }
            Err(error) => Err(error),
        }
    }
}
