//! Creating and joining namespaces (namespaces(7)).

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{Errno, Result};

use crate::fd::result;
use crate::thread::SingleThreaded;

bitflags::bitflags! {
    /// Kinds of namespaces, as the `CLONE_NEW…` bits of clone(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Namespaces: u32 {
        /// CLONE_NEWTIME, time_namespaces(7).
        const TIME = 0x80;
        /// CLONE_NEWNS, mount_namespaces(7).
        const MOUNT = 0x2_0000;
        /// CLONE_NEWCGROUP, cgroup_namespaces(7).
        const CGROUP = 0x200_0000;
        /// CLONE_NEWUTS, uts_namespaces(7).
        const UTS = 0x400_0000;
        /// CLONE_NEWIPC, ipc_namespaces(7).
        const IPC = 0x800_0000;
        /// CLONE_NEWUSER, user_namespaces(7).
        const USER = 0x1000_0000;
        /// CLONE_NEWPID, pid_namespaces(7).
        const PID = 0x2000_0000;
        /// CLONE_NEWNET, network_namespaces(7).
        const NET = 0x4000_0000;
    }
}

/// Whether this process is in another user namespace than the machine's first, as in one that an engine has made for an ordinary user.
pub fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Moves this process into the namespace behind `fd`, which must be of the kind `kind` (setns(2)).
pub fn join(_: &SingleThreaded, fd: BorrowedFd<'_>, kind: Namespaces) -> Result<()> {
    setns(fd, kind)
}

/// Moves this process into several namespaces of the process behind `pidfd` at once (setns(2), Linux 5.8).
pub fn join_process(_: &SingleThreaded, pidfd: BorrowedFd<'_>, kinds: Namespaces) -> Result<()> {
    setns(pidfd, kinds)
}

fn setns(fd: BorrowedFd<'_>, kinds: Namespaces) -> Result<()> {
    let kinds = libc::c_int::try_from(kinds.bits()).map_err(|_| Errno::INVAL)?;
    // SAFETY: takes numbers only, and the token proves that no other thread sees its namespaces change.
    result(unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), kinds) }).map(drop)
}

/// Moves this process into new namespaces (unshare(2)).
pub fn unshare(_: &SingleThreaded, kinds: Namespaces) -> Result<()> {
    // SAFETY: takes a number only, and the token proves that no other thread sees its namespaces change.
    result(unsafe { libc::syscall(libc::SYS_unshare, kinds.bits()) }).map(drop)
}
