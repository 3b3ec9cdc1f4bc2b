//! Mapping the owners of mounts (mount_setattr(2), MOUNT_ATTR_IDMAP): stage 1's part of `rootfs::idmap`.

use std::os::fd::AsFd;

use corten_sys::thread::SingleThreaded;
use rustix::io::Errno;

use crate::namespaces::make_user;
use crate::rootfs::{IdMapped, Mapping};
use crate::{Doing, Failure, Result};

/// Maps the mounts, in a process that has the caller's privileges still.
pub(crate) fn apply(proof: &SingleThreaded, mounts: &[IdMapped]) -> Result<()> {
    let mut made = Vec::new();
    for IdMapped { destination, mount, mapping, recursive } in mounts {
        let doing = || format!("map the owners of the mount at {}", destination.display());
        let there = made.iter().find(|(known, _)| *known == mapping).map(|(_, namespace)| namespace);
        let namespace = match (there, mapping) {
            (Some(there), _) => rustix::io::fcntl_dupfd_cloexec(there, 3).doing(doing)?,
            (None, Mapping::Namespace(slot)) => slot.copy()?,
            (None, Mapping::Ids { users, groups }) => make_user(proof, users, groups)?,
        };
        let mount = mount.copy()?;
        corten_sys::mount::map_ids(mount.as_fd(), namespace.as_fd(), *recursive).map_err(|errno| {
            let failure = Failure::system(doing(), errno);
            match errno {
                Errno::INVAL => {
                    failure.hint("its file system, or one below it, does not support id-mapped mounts")
                }
                Errno::PERM => failure.hint("only who rules the file system may map it, and only once"),
                _ => failure,
            }
        })?;
        made.push((mapping, namespace));
    }
    Ok(())
}
