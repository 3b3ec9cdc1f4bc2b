//! Cutting the mount namespace off from the host's, and changing the root.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use corten_sys::mount::{Change, Propagation, change};
use rustix::fs::{CWD, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_move, unmount,
};

use super::mounts::{Prepared, attach, clone_tree, set_propagation};
use super::plan::{Rootfs, Spread};
use super::root;
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

/// Makes a mount of the root file system, which pivot_root(2) demands.
pub(super) fn attach_root(path: &Path) -> Result<OwnedFd> {
    let doing = || format!("mount the root file system {}", path.display());
    let tree = clone_tree(CWD, path, true).doing(doing)?;
    attach(&tree, root::host(path).doing(doing)?).doing(doing)?;
    Ok(tree)
}

impl Prepared {
    /// Makes the root file system the root.
    pub fn enter(&mut self) -> Result<()> {
        let doing = || "enter the root file system";
        rustix::process::fchdir(&self.root.0).doing(doing)?;
        if !self.plan.mount_namespace {
            rustix::process::chroot(".").doing(doing)?;
        } else if self.plan.no_pivot {
            cover_host_file_systems(&self.plan.path)?;
            mount_move(".", "/").doing(doing)?;
            rustix::process::chroot(".").doing(doing)?;
        } else {
            pivot()?;
        }
        rustix::process::chdir("/").doing(doing)?;
        if let Some(spread) = self.plan.propagation {
            let root = root::Root::own()?;
            set_propagation(root.0.as_fd(), spread)
                .doing(|| "set the propagation of the root file system")?;
        }
        Ok(())
    }
}

/// Puts the old root over the new one and takes it away, so that no directory for it is needed.
fn pivot() -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty()).doing(|| "open the old root")?;
    rustix::process::pivot_root(".", ".").doing(|| "pivot_root")?;
    rustix::process::fchdir(&old).doing(|| "enter the old root")?;
    // What is unmounted here must not be unmounted on the host.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change(".", slave).doing(|| "cut the old root off")?;
    unmount(".", UnmountFlags::DETACH).doing(|| "take the old root away")
}

/// Without pivot_root(2) the host's mounts stay below: a procfs or sysfs among them would let the container mount
/// another one that shows all of it.
fn cover_host_file_systems(rootfs: &Path) -> Result<()> {
    let doing = || "cover the host's /proc and /sys";
    let table = std::fs::read_to_string("/proc/self/mountinfo").doing(doing)?;
    for line in table.lines() {
        let mut fields = line.split(' ');
        let (root, place) = (fields.nth(3), fields.next());
        let kind = fields.skip_while(|field| *field != "-").nth(1);
        let (Some("/"), Some(place), Some("proc" | "sysfs")) = (root, place, kind) else { continue };
        if Path::new(place).starts_with(rootfs) {
            continue;
        }
        match unmount(place, UnmountFlags::DETACH) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::INVAL) => {
                mount("tmpfs", place, "tmpfs", MountFlags::empty(), None).doing(doing)?;
            }
            Err(errno) => return Err(crate::Failure::system(doing(), errno)),
        }
    }
    Ok(())
}
