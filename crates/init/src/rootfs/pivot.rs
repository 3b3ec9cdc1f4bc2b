//! Changing the root.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_move, unmount,
};

use super::mounts::Prepared;
use super::root;
use super::tree::set_propagation;
use crate::{Doing, Result};

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
