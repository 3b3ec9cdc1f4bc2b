//! Closing what the container may not write or read, and what is needed while it was open.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use corten_sys::mount::{Attributes, Change, change};
use rustix::io::Errno;

use super::mounts::Prepared;
use super::plan::FileSystem;
use super::root::{Root, is_directory};
use super::tree::{attach, clone_tree, make};
use crate::{Doing, Result};

/// Makes the root of this process's mount namespace read-only.
pub(crate) fn make_root_readonly() -> Result<()> {
    let root = Root::own()?;
    change(root.0.as_fd(), Change { set: Attributes::RDONLY, ..Change::default() })
        .doing(|| "make the root file system read-only")
}

/// Makes read-only what is mounted at these paths. Where nothing is, nothing of the host's can be changed.
pub(crate) fn make_mounts_readonly(paths: &[PathBuf]) -> Result<()> {
    let root = Root::own()?;
    for path in paths {
        let Some(place) = find(&root, path)? else { continue };
        match change(place.as_fd(), Change { set: Attributes::RDONLY, ..Change::default() }) {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => {
                return Err(crate::Failure::system(format!("make {} read-only", path.display()), errno));
            }
        }
    }
    Ok(())
}

impl Prepared {
    /// Makes read-only what is to be, and masks what is to be masked.
    pub fn seal(self) -> Result<()> {
        let readonly = Change { set: Attributes::RDONLY, ..Change::default() };
        for mount in &self.readonly_later {
            change(mount.as_fd(), readonly).doing(|| "make a tmpfs read-only")?;
        }
        if self.plan.masked.is_empty() && self.plan.readonly_paths.is_empty() && !self.plan.readonly {
            return Ok(());
        }
        let root = Root::own()?;
        for path in &self.plan.readonly_paths {
            make_readonly(&root, path)?;
        }
        mask(&root, &self.plan.masked, self.null)?;
        if self.plan.readonly { make_root_readonly() } else { Ok(()) }
    }
}

/// What is not there need not be closed: images and kernels differ.
fn find(root: &Root, path: &Path) -> Result<Option<OwnedFd>> {
    match root.find(path) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(crate::Failure::system(format!("find {}", path.display()), errno)),
    }
}

fn make_readonly(root: &Root, path: &Path) -> Result<()> {
    let doing = || format!("make {} read-only", path.display());
    let Some(place) = find(root, path)? else { return Ok(()) };
    let tree = clone_tree(&place, Path::new(""), true).doing(doing)?;
    change(tree.as_fd(), Change { set: Attributes::RDONLY, ..Change::default() }).doing(doing)?;
    attach(&tree, place).doing(doing)
}

/// Puts /dev/null over files, and one empty directory over all directories.
fn mask(root: &Root, paths: &[PathBuf], null: Option<OwnedFd>) -> Result<()> {
    let mut file = Cover { mount: null, attached: false };
    let mut directory = Cover { mount: None, attached: false };
    for path in paths {
        let doing = || format!("mask {}", path.display());
        let Some(place) = find(root, path)? else { continue };
        if !is_directory(&place)? {
            file.put_over(&place).doing(doing)?;
            continue;
        }
        if directory.mount.is_none() {
            let empty = FileSystem::plain("tmpfs", &["size=0", "nr_inodes=1", "mode=755"]);
            directory.mount = Some(make(&empty, Attributes::RDONLY)?);
        }
        directory.put_over(&place).doing(doing)?;
    }
    Ok(())
}

/// A mount that is put over many places: first itself, then copies, which can be made of an attached mount only.
struct Cover {
    mount: Option<OwnedFd>,
    attached: bool,
}

impl Cover {
    fn put_over(&mut self, place: &OwnedFd) -> rustix::io::Result<()> {
        let Some(mount) = &self.mount else { return Err(Errno::NODEV) };
        if self.attached {
            return attach(clone_tree(mount, Path::new(""), false)?, place);
        }
        attach(mount, place)?;
        self.attached = true;
        Ok(())
    }
}
