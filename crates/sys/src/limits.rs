//! Resource limits by number (getrlimit(2)), so that a limit newer than the bindings can be set as well.

use rustix::io::Result;

use crate::fd::result;

/// A limit of this process: soft and hard; the largest number means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What the kernel enforces.
    pub soft: u64,
    /// The ceiling of the soft limit.
    pub hard: u64,
}

/// Reads a limit of this process.
pub fn get(resource: u32) -> Result<Limit> {
    prlimit(resource, None)
}

/// Sets a limit of this process. `EPERM` for a hard limit above the present one without CAP_SYS_RESOURCE.
pub fn set(resource: u32, limit: Limit) -> Result<()> {
    prlimit(resource, Some(limit)).map(drop)
}

fn prlimit(resource: u32, new: Option<Limit>) -> Result<Limit> {
    // RLIM64_INFINITY is the largest number on every architecture.
    let new = new.map(|limit| [limit.soft, limit.hard]);
    let new = new.as_ref().map_or(std::ptr::null(), |limit| limit.as_ptr());
    let mut old = [0_u64; 2];
    // SAFETY: both are null or valid `struct rlimit64`, and outlive the call; 0 is this process.
    result(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, old.as_mut_ptr()) })?;
    Ok(Limit { soft: old[0], hard: old[1] })
}
