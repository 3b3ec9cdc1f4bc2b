//! Landlock: a process gives up access rights for itself and its children (landlock(7)).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Result;

use crate::fd::result;

const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
const LANDLOCK_RULE_PATH_BENEATH: u32 = 1;
const LANDLOCK_RULE_NET_PORT: u32 = 2;

/// What a ruleset denies where no rule allows it: `struct landlock_ruleset_attr`, as of ABI 6.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// `LANDLOCK_ACCESS_FS_…`.
    pub fs: u64,
    /// `LANDLOCK_ACCESS_NET_…`; since ABI 4.
    pub net: u64,
    /// `LANDLOCK_SCOPE_…`, which no rule allows; since ABI 6.
    pub scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct NetPort {
    allowed: u64,
    port: u64,
}

/// The version of the interface that this kernel has, from 1 (Linux 5.13) on.
///
/// `ENOSYS` where the kernel has no Landlock, `EOPNOTSUPP` where it was not enabled at boot.
pub fn abi() -> Result<u32> {
    let nothing = std::ptr::null::<Handled>();
    // SAFETY: with this flag the kernel takes a null pointer and the length 0.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, LANDLOCK_CREATE_RULESET_VERSION)
    };
    result(version).map(|version| u32::try_from(version).unwrap_or(0))
}

/// A ruleset without rules, close-on-exec.
///
/// `EINVAL` for an access right and `E2BIG` for a kind of right that this kernel does not know, `ENOMSG` where nothing is
/// handled.
pub fn create_ruleset(handled: Handled) -> Result<OwnedFd> {
    // SAFETY: the structure is valid for the size given; the kernel takes a longer one than it knows where the rest is zero.
    let fd = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size_of::<Handled>(), 0_u32)
    };
    let fd = result(fd)?;
    // SAFETY: the call succeeded, so this is a new descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Allows rights for a file, or for a directory and all that is beneath it, whatever its path becomes.
///
/// `EINVAL` for a right that the ruleset does not handle, or that files do not have; `ENOMSG` for no right at all.
pub fn allow_path(ruleset: BorrowedFd<'_>, parent: BorrowedFd<'_>, allowed: u64) -> Result<()> {
    let rule = PathBeneath { allowed, parent: parent.as_raw_fd() };
    // SAFETY: the structure is the one of this kind of rule, and outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            LANDLOCK_RULE_PATH_BENEATH,
            &raw const rule,
            0_u32,
        )
    };
    result(done).map(drop)
}

/// Allows rights for a port. Port 0 is any of those that the kernel chooses itself.
///
/// `EAFNOSUPPORT` where the kernel has no TCP; otherwise as [`allow_path`].
pub fn allow_port(ruleset: BorrowedFd<'_>, port: u16, allowed: u64) -> Result<()> {
    let rule = NetPort { allowed, port: u64::from(port) };
    // SAFETY: the structure is the one of this kind of rule, and outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            LANDLOCK_RULE_NET_PORT,
            &raw const rule,
            0_u32,
        )
    };
    result(done).map(drop)
}

/// Restricts this thread and all that it will execute and fork, for good.
///
/// `EPERM` without no_new_privs and without CAP_SYS_ADMIN; `E2BIG` for the seventeenth ruleset on one another.
pub fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: takes numbers only.
    result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) }).map(drop)
}
