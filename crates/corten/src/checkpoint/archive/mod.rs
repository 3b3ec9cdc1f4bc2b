//! A checkpoint as one file: what the processes were, the configuration, and what another machine must have to go on with it.
//!
//! It is a tar archive (pax(1)) in Zstandard: [`manifest::MANIFEST`], [`manifest::CONFIG`], and CRIU's images below
//! [`manifest::IMAGES`], with those of the pre-dumps that they build on. The root file system is not in it.

mod frames;
mod manifest;
mod read;
mod write;

use std::io::Read;
use std::path::{Path, PathBuf};

use manifest::{MOST_PARENTS, Machine, Manifest, VERSION};

use super::criu::{Criu, Directory};
use crate::handle::Handle;
use crate::launch::Launcher;
use crate::{Config, ConfigBuilder, Error, Id, Result};

/// A checkpoint that has been taken out of its archive, see [`Archive::unpack`].
#[derive(Debug)]
pub struct Archive {
    manifest: Manifest,
    config: Config,
    images: PathBuf,
}

impl Archive {
    /// How many pre-dumps, one building on the other, an archive can hold beside a checkpoint's own images.
    pub const MOST_PRE_DUMPS: usize = MOST_PARENTS;

    /// Takes a checkpoint out of its archive, into a directory that is made for it and must not be there before. Where it
    /// fails, the directory is removed.
    ///
    /// An archive is to be trusted as its checkpoint is: whoever made it decides what the restored processes are, and its
    /// configuration may have hooks. Unpacking alone is safe.
    pub fn unpack(from: impl Read, into: impl AsRef<Path>) -> Result<Self> {
        let into = into.as_ref();
        let (manifest, config) = read::unpack(from, into)?;
        let images = std::path::absolute(into)
            .map_err(|error| Error::io(format!("find {}", into.display()), error))?;
        Ok(Self { manifest, config, images })
    }

    /// The id of the container that was saved.
    pub fn id(&self) -> Result<Id> {
        Id::try_from(self.manifest.id.as_str())
    }

    /// Whether its first program had a terminal: a restore needs a socket that takes one then.
    pub fn terminal(&self) -> bool {
        self.manifest.terminal
    }

    /// The directory with CRIU's images, for a [`Restore`](crate::Restore).
    pub fn images(&self) -> &Path {
        &self.images
    }

    /// The configuration, where what was in the old bundle is in this one now: the root file system, and sources of bind
    /// mounts. `bundle` is absolute.
    pub fn config(&self, bundle: &Path) -> Result<Config> {
        let Some(old) = self.config.bundle() else { return Ok(self.config.clone()) };
        let moved = |path: &Path| path.strip_prefix(old).ok().map(|rest| bundle.join(rest));
        let mut builder = ConfigBuilder::from(self.config.clone()).bundle(bundle);
        if let Some(rootfs) = moved(self.config.rootfs()) {
            builder = builder.rootfs(rootfs);
        }
        let mut mounts = self.config.mounts().to_vec();
        for mount in &mut mounts {
            if let Some(source) = mount.source.as_deref().and_then(|source| moved(Path::new(source))) {
                mount.source = Some(source.display().to_string());
            }
        }
        builder.mounts(mounts).build()
    }

    /// Refuses what this machine cannot go on with; see [`Runtime::check`](crate::Runtime::check).
    pub(crate) fn check(&self, launcher: &Launcher) -> Result<()> {
        let criu = Criu::find(launcher)?;
        let here = Machine::this(criu.version())?;
        if self.manifest.machine.is_newer_than(&here) {
            tracing::warn!(
                "container {:?} comes from Linux {}, and here is {}, which may lack what its programs use",
                self.manifest.id,
                self.manifest.machine.kernel,
                here.kernel
            );
        }
        match self.manifest.machine.misfit(&here) {
            None => Ok(()),
            Some(why) => Err(Error::unsupported(format!(
                "container {:?} cannot be restored on this machine: {why}",
                self.manifest.id
            ))),
        }
    }
}

/// Writes a checkpoint and its container's configuration to an archive; see
/// [`Container::export`](crate::Container::export).
pub(crate) fn export(container: &Handle, images: &Path, to: impl std::io::Write) -> Result<()> {
    let saved = container.refresh()?;
    let criu = Criu::find(&container.home.launcher)?;
    let images = Directory::find(images)?;
    let manifest = Manifest {
        version: VERSION,
        id: container.id.to_string(),
        terminal: saved.facts.terminal,
        machine: Machine::this(criu.version())?,
        images: write::images(&images.path)?,
    };
    write::archive(&manifest, &saved.config, &images.path, to)
}

#[cfg(test)]
mod tests {
    use super::manifest::tests::machine;
    use super::*;

    #[test]
    fn what_was_in_the_bundle_is_in_the_new_one() {
        let bind = |source: &str| crate::oci::Mount {
            destination: "/d".to_owned(),
            typ: Some("bind".to_owned()),
            source: Some(source.to_owned()),
            options: vec!["bind".to_owned()],
            ..crate::oci::Mount::default()
        };
        let config = Config::builder("/old/bundle/rootfs").bundle("/old/bundle");
        let config = config
            .mounts(vec![bind("/old/bundle/data"), bind("/srv"), bind("/old/bundles")])
            .build()
            .unwrap();
        let manifest = Manifest {
            version: VERSION,
            id: "one".to_owned(),
            terminal: false,
            machine: machine(),
            images: Vec::new(),
        };
        let archive = Archive { manifest, config, images: PathBuf::new() };
        let config = archive.config(Path::new("/new")).unwrap();
        assert_eq!(config.rootfs(), Path::new("/new/rootfs"));
        assert_eq!(config.bundle(), Some(Path::new("/new")));
        let sources: Vec<_> = config.mounts().iter().map(|mount| mount.source.as_deref().unwrap()).collect();
        assert_eq!(sources, ["/new/data", "/srv", "/old/bundles"]);
    }
}
