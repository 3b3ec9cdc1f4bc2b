//! Making the mount points alone, for somebody else who mounts: CRIU finds them, but does not make them.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::plan::{Rootfs, Step, What};
use super::root::{self, Root};
use crate::{Doing, Result};

/// What a mount point lies on.
#[derive(Debug, PartialEq, Eq)]
enum Ground<'a> {
    /// On the root file system.
    Root,
    /// On a bind mount: its source, and the place below.
    Bind(&'a Path, PathBuf),
    /// On a file system that comes with what is in it.
    FileSystem,
}

impl Rootfs {
    /// Makes the mount points that are on the host: those in the root file system, and in the sources of bind mounts.
    pub fn make_places(&self) -> Result<()> {
        for (index, step) in self.mounts.iter().enumerate() {
            let (root, place) = match ground(self.mounts.get(..index).unwrap_or_default(), &step.destination)
            {
                Ground::Root => (&*self.path, step.destination.clone()),
                Ground::Bind(source, place) => (source, place),
                Ground::FileSystem => continue,
            };
            let root = open(root)?;
            match &step.what {
                What::Bind { source, .. } if !is_directory(source)? => root.file(&place)?,
                _ => root.directory(&place)?,
            };
        }
        Ok(())
    }

    /// Makes a directory of the root file system, where it is not there.
    pub fn make_directory(&self, place: &str) -> Result<()> {
        open(&self.path)?.directory(Path::new(place)).map(drop)
    }
}

fn open(root: &Path) -> Result<Root> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(root, flags, Mode::empty());
    opened.map(Root).doing(|| format!("open the root file system {}", root.display()))
}

fn is_directory(source: &Path) -> Result<bool> {
    let source =
        root::host(source).doing(|| format!("open {}, the source of a bind mount", source.display()))?;
    root::is_directory(source)
}

/// The last mount before that covers the place says what it lies on.
fn ground<'a>(before: &'a [Step], place: &Path) -> Ground<'a> {
    let covers = |step: &&Step| place.starts_with(&step.destination);
    match before.iter().rev().find(covers).map(|step| (&step.what, &step.destination)) {
        None => Ground::Root,
        Some((What::Bind { source, .. }, destination)) => {
            let rest = place.strip_prefix(destination).unwrap_or(Path::new(""));
            Ground::Bind(source, Path::new("/").join(rest))
        }
        Some(_) => Ground::FileSystem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::plan::FileSystem;

    fn step(destination: &str, bind: Option<&str>) -> Step {
        let what = match bind {
            Some(source) => What::Bind { source: source.into(), recursive: false, tree: None },
            None => What::FileSystem {
                fs: FileSystem::plain("tmpfs", &[]),
                copy_up: false,
                tree: None,
                relabel: None,
            },
        };
        Step {
            destination: destination.into(),
            what,
            set: 0,
            clear: 0,
            recursive_set: 0,
            recursive_clear: 0,
            propagation: Vec::new(),
            idmap: None,
        }
    }

    #[test]
    fn a_place_lies_on_the_last_mount_that_covers_it() {
        let before = [step("/data", Some("/srv")), step("/data/tmp", None), step("/dev", None)];
        let ground = |place: &str| ground(&before, Path::new(place));
        assert_eq!(ground("/etc"), Ground::Root);
        assert_eq!(ground("/data/x/y"), Ground::Bind(Path::new("/srv"), "/x/y".into()));
        assert_eq!(ground("/data/tmp/x"), Ground::FileSystem);
        assert_eq!(ground("/database"), Ground::Root);
    }
}
