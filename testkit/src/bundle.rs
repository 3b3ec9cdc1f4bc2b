//! Bundles: a configuration beside a root file system.

use std::fs;
use std::io;
use std::path::Path;

use corten_oci::Spec;

use crate::{Rootfs, Scratch};

/// A directory with a `config.json`; it goes with the guard, the root file system too.
#[derive(Debug)]
pub struct Bundle {
    rootfs: Rootfs,
    /// What `config.json` says.
    pub spec: Spec,
}

impl Bundle {
    /// Writes the [default configuration](default_spec) for this root, changed by `edit`.
    pub fn new(rootfs: Rootfs, edit: impl FnOnce(&mut Spec)) -> io::Result<Bundle> {
        let mut spec = default_spec();
        edit(&mut spec);
        let bundle = Bundle { rootfs, spec };
        bundle.write()?;
        Ok(bundle)
    }

    /// Writes `config.json` again, after a change of [`spec`](Bundle::spec).
    pub fn write(&self) -> io::Result<()> {
        fs::write(self.path().join("config.json"), serde_json::to_vec_pretty(&self.spec)?)
    }

    /// The bundle's directory.
    pub fn path(&self) -> &Path {
        self.rootfs.scratch().path()
    }

    /// A name unique on the machine, for the container and its cgroup.
    pub fn id(&self) -> &str {
        self.rootfs.scratch().name()
    }

    /// The root file system.
    pub fn rootfs(&self) -> &Rootfs {
        &self.rootfs
    }

    /// The directory that goes with the bundle.
    pub fn scratch(&self) -> &Scratch {
        self.rootfs.scratch()
    }
}

/// The configuration that `corten spec` writes, except that the program is the probe and there is no terminal.
pub fn default_spec() -> Spec {
    let mut spec = corten_oci::default_spec();
    let process = spec.process.get_or_insert_default();
    process.args = vec!["/bin/probe".to_owned()];
    process.terminal = false;
    spec
}
