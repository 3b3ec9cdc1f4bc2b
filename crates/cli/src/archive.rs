//! `checkpoint --export` and `restore --import`: where the archive and the images are meanwhile.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use corten::{Archive, Container, Id};

use crate::error::{Doing, Error, Result};

/// Where archives are unpacked, unless `TMPDIR` says otherwise: they are too large for a file system in memory.
const UNPACKED: &str = "/var/tmp";

/// An archive that is to be made.
pub struct Export {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    /// The directory of the images, where it goes when the archive is there.
    own: Option<PathBuf>,
    /// Whether all is done.
    written: bool,
}

impl Export {
    /// Makes the file, so that what can fail fails before the container is stopped. `images` is the directory that was asked
    /// for.
    pub fn new(path: &Path, images: Option<&Path>) -> Result<Self> {
        let path = std::path::absolute(path).doing(|| format!("find {}", path.display()))?;
        let partial = beside(&path, "partial")?;
        let doing = || format!("make {}", partial.display());
        let file = File::options().write(true).create_new(true).mode(0o600).open(&partial).doing(doing)?;
        let mut export = Self { path, partial, file, own: None, written: false };
        if images.is_none() {
            let own = beside(&export.path, "images")?;
            DirBuilder::new().mode(0o700).create(&own).doing(|| format!("make {}", own.display()))?;
            export.own = Some(own);
        }
        Ok(export)
    }

    /// The directory for the images, where none was asked for.
    pub fn images(&self) -> Option<&Path> {
        self.own.as_deref()
    }

    /// Writes the archive. Where that fails the images are kept, for the container may have ended.
    pub fn write(mut self, container: &Container, images: &Path) -> Result<()> {
        let kept = self.own.take();
        let written = container.export(images, &self.file).map_err(Error::from).and_then(|()| {
            let doing = || format!("write {}", self.path.display());
            self.file.sync_all().and_then(|()| fs::rename(&self.partial, &self.path)).doing(doing)
        });
        match written {
            Ok(()) => {
                self.own = kept;
                self.written = true;
                Ok(())
            }
            Err(error) => Err(Error::usage(format!(
                "{error}\nthe container is saved in {}: bring it back with restore --image-path, or try again",
                images.display()
            ))),
        }
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.partial));
        self.own.iter().for_each(|own| clear(own, self.written));
    }
}

/// Removes images. Unless all went well a log stays: whoever reads of a failure is told where it is.
fn clear(images: &Path, well: bool) {
    for entry in fs::read_dir(images).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // Of a pre-dump, out of an archive.
            drop(fs::remove_dir_all(entry.path()));
        } else if well || Path::new(&entry.file_name()).extension() != Some("log".as_ref()) {
            drop(fs::remove_file(entry.path()));
        }
    }
    drop(fs::remove_dir(images));
}

/// A hidden name in the directory of a file, which no other process takes.
fn beside(path: &Path, ending: &str) -> Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::usage(format!("the archive {} has no name", path.display())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(format!("{ending}-{}", std::process::id()));
    Ok(path.with_file_name(hidden))
}

/// An archive that has been unpacked.
pub struct Import {
    pub archive: Archive,
    /// Where it was unpacked, where nobody asked for that.
    own: Option<PathBuf>,
    /// Whether all is done.
    pub restored: bool,
}

impl Import {
    /// Unpacks an archive into `images`, or into a directory that goes with this.
    pub fn new(path: &Path, id: &Id, images: Option<&Path>) -> Result<Self> {
        let file = File::open(path).doing(|| format!("open {}", path.display()))?;
        let (into, own) = match images {
            Some(images) => (images.to_owned(), None),
            None => temporary(id).map(|own| (own.clone(), Some(own)))?,
        };
        let archive = Archive::unpack(file, into)
            .map_err(|error| Error::usage(format!("import {}: {error}", path.display())))?;
        Ok(Self { archive, own, restored: false })
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.own.iter().for_each(|own| clear(own, self.restored));
    }
}

/// A name that nobody can have taken before.
fn temporary(id: &Id) -> Result<PathBuf> {
    const RANDOM: &str = "/proc/sys/kernel/random/uuid";
    let directory = std::env::var_os("TMPDIR").filter(|path| !path.is_empty()).unwrap_or(UNPACKED.into());
    let random = fs::read_to_string(RANDOM).doing(|| format!("read {RANDOM}"))?;
    Ok(Path::new(&directory).join(format!("corten-restore-{id}-{}", random.trim())))
}
