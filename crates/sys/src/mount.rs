//! Mounts: what rustix lacks of the new mount API.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{Errno, Result};

use crate::fd::result;

bitflags::bitflags! {
    /// Attributes of a mount (mount_setattr(2), `MOUNT_ATTR_…`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Attributes: u64 {
        /// Read-only.
        const RDONLY = 0x1;
        /// Set-user-id bits have no effect.
        const NOSUID = 0x2;
        /// Device nodes cannot be opened.
        const NODEV = 0x4;
        /// Programs cannot be executed.
        const NOEXEC = 0x8;
        /// The field of the access time modes; relatime is zero.
        const ATIME = 0x70;
        /// Access times are not updated.
        const NOATIME = 0x10;
        /// Access times are always updated.
        const STRICTATIME = 0x20;
        /// Access times of directories are not updated.
        const NODIRATIME = 0x80;
        /// Symbolic links are not followed.
        const NOSYMFOLLOW = 0x20_0000;
    }
}

/// Propagation of a mount (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// MS_SHARED.
    Shared,
    /// MS_SLAVE.
    Slave,
    /// MS_PRIVATE.
    Private,
    /// MS_UNBINDABLE.
    Unbindable,
}

impl Propagation {
    /// The kernel's bit.
    pub fn bits(self) -> u64 {
        match self {
            Self::Unbindable => 1 << 17,
            Self::Private => 1 << 18,
            Self::Slave => 1 << 19,
            Self::Shared => 1 << 20,
        }
    }
}

/// What is changed of a mount.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Attributes to set.
    pub set: Attributes,
    /// Attributes to clear; a change of the access time mode clears all of [`Attributes::ATIME`].
    pub clear: Attributes,
    /// Propagation to take.
    pub propagation: Option<Propagation>,
    /// Whether the mounts below change as well.
    pub recursive: bool,
}

/// `struct mount_attr` of linux/mount.h, version 0.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// `MOUNT_ATTR_IDMAP`: the mount shows owners as a user namespace maps them.
const IDMAP: u64 = 0x10_0000;

const AT_EMPTY_PATH: libc::c_int = 0x1000;
const AT_RECURSIVE: libc::c_int = 0x8000;

/// Changes the mount behind a descriptor of its root (mount_setattr(2), Linux 5.12).
///
/// `EPERM` for an attribute that is locked in this user namespace; nothing is changed then.
pub fn change(mount: BorrowedFd<'_>, change: Change) -> Result<()> {
    let attributes = MountAttr {
        set: change.set.bits(),
        clear: change.clear.bits(),
        propagation: change.propagation.map_or(0, Propagation::bits),
        user_namespace: 0,
    };
    set_attributes(mount, &attributes, change.recursive)
}

/// Lets a mount that is attached nowhere show the owners of its files as the user namespace maps them, from the ids inside to
/// those outside (mount_setattr(2), `MOUNT_ATTR_IDMAP`, Linux 5.12); with `recursive` the mounts below as well.
///
/// `EINVAL` for a file system that cannot do it, `EPERM` where the caller does not rule the file system or the mount is
/// mapped already; nothing is changed then.
pub fn map_ids(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>, recursive: bool) -> Result<()> {
    let user_namespace = u64::try_from(user_namespace.as_raw_fd()).map_err(|_| Errno::BADF)?;
    set_attributes(mount, &MountAttr { set: IDMAP, clear: 0, propagation: 0, user_namespace }, recursive)
}

fn set_attributes(mount: BorrowedFd<'_>, attributes: &MountAttr, recursive: bool) -> Result<()> {
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty string, and the structure is valid for the size given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<MountAttr>(),
        )
    };
    result(done).map(drop)
}
