//! Cutting the mount namespace off from the host's, and making a mount of the root file system.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use corten_sys::mount::{Change, Propagation, change};
use rustix::fs::{CWD, Mode, OFlags, StatxFlags};

use super::plan::{Rootfs, Spread};
use super::root;
use super::tree::{attach, clone_tree, set_propagation};
use crate::{Doing, Result};

/// Keeps what is mounted from now on from the host. By default the host's own changes still arrive (slave).
pub(super) fn isolate(plan: &Rootfs) -> Result<()> {
    let slave = Spread { bits: Propagation::Slave.bits(), recursive: true };
    let root = root::host(Path::new("/")).doing(|| "open the host's root")?;
    set_propagation(root.as_fd(), plan.propagation.unwrap_or(slave)).doing(|| "set the propagation of /")?;
    let shared = plan.propagation.is_some_and(|spread| spread.bits == Propagation::Shared.bits());
    if shared { make_parent_private(&plan.path) } else { Ok(()) }
}

/// A mount on the root file system must not spread to a shared mount around it.
fn make_parent_private(rootfs: &Path) -> Result<()> {
    let doing = || format!("make the mount around {} private", rootfs.display());
    let id = |fd: &OwnedFd| -> Result<u64> {
        let status =
            rustix::fs::statx(fd, "", rustix::fs::AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).doing(doing)?;
        Ok(status.stx_mnt_id)
    };
    let mut here = root::host(rootfs).doing(doing)?;
    let own = id(&here)?;
    loop {
        let up =
            rustix::fs::openat(&here, "..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).doing(doing)?;
        let same =
            rustix::fs::fstat(&up).doing(doing)?.st_ino == rustix::fs::fstat(&here).doing(doing)?.st_ino;
        if id(&up)? != own || same {
            break;
        }
        here = up;
    }
    change(here.as_fd(), Change { propagation: Some(Propagation::Private), ..Change::default() }).doing(doing)
}

/// Makes a mount of a directory at its own place, in a mount namespace that was just made, and that nobody else sees.
pub fn mount_over_itself(path: &Path) -> Result<()> {
    let slave = Spread { bits: Propagation::Slave.bits(), recursive: true };
    let root = root::host(Path::new("/")).doing(|| "open the host's root")?;
    set_propagation(root.as_fd(), slave).doing(|| "set the propagation of /")?;
    attach_root(path).map(drop)
}

/// Makes a mount of the root file system, which pivot_root(2) demands.
pub(super) fn attach_root(path: &Path) -> Result<OwnedFd> {
    let doing = || format!("mount the root file system {}", path.display());
    let tree = clone_tree(CWD, path, true).doing(doing)?;
    attach(&tree, root::host(path).doing(doing)?).doing(doing)?;
    Ok(tree)
}
