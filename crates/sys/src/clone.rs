//! The second clone: a copy of a single-threaded process, in new namespaces and a cgroup (clone(2)).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};

use crate::fd::result;
use crate::namespace::Namespaces;
use crate::thread::SingleThreaded;

/// Which of the two processes returned.
#[derive(Debug)]
pub enum Clone {
    /// The process that called, and what it knows of the copy.
    Original {
        /// The copy's process id, as the caller's pid namespace has it.
        pid: i32,
        /// The copy's pidfd, close-on-exec.
        pidfd: OwnedFd,
    },
    /// The copy.
    Copy,
}

/// The argument of clone3(2), as `struct clone_args` of linux/sched.h with the fields up to `cgroup` (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Copies this process as a *sibling* (CLONE_PARENT: its parent is this process's parent), in new namespaces and,
/// where one is given, in the cgroup v2 directory behind `cgroup`.
///
/// The memory is copied on write, so the copy goes on from here as after fork(2). `EINVAL` from the init of a pid
/// namespace; `EBUSY` or `EOPNOTSUPP` for a cgroup that can hold no process.
pub fn clone_sibling(_: &SingleThreaded, new: Namespaces, cgroup: Option<BorrowedFd<'_>>) -> Result<Clone> {
    let mut arguments =
        CloneArgs { flags: u64::from(new.bits()) | libc::CLONE_PARENT as u64, ..CloneArgs::default() };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(|_| Errno::BADF)?;
    }
    with_pidfd(arguments)
}

/// Copies this process as an ordinary child that shares its table of file descriptors (CLONE_FILES), and nothing else.
///
/// What one opens or closes the other has opened or closed, so the copy must drop no descriptor that the other still owns.
pub fn fork_sharing_fds(_: &SingleThreaded) -> Result<Clone> {
    with_pidfd(CloneArgs {
        flags: libc::CLONE_FILES as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    })
}

/// Clones without CLONE_VM, and takes the copy's pidfd.
fn with_pidfd(mut arguments: CloneArgs) -> Result<Clone> {
    let mut pidfd: libc::c_int = -1;
    // No reference to it may be made while the kernel has its address: the compiler would take it for unchanged.
    let place = &raw mut pidfd;
    arguments.flags |= libc::CLONE_PIDFD as u64;
    arguments.pidfd = place as u64;
    // SAFETY: without CLONE_VM the copy has memory and stack of its own; the callers' token proves that no lock of another
    // thread is copied in its locked state; `pidfd` outlives the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<CloneArgs>()) };
    match result(pid)? {
        0 => Ok(Clone::Copy),
        pid => Ok(Clone::Original {
            pid: i32::try_from(pid).map_err(|_| Errno::OVERFLOW)?,
            // SAFETY: `place` is valid, and the kernel has just put a new descriptor there (CLONE_PIDFD), which nobody else
            // knows.
            pidfd: unsafe { OwnedFd::from_raw_fd(place.read_volatile()) },
        }),
    }
}

/// Copies this process as an ordinary child (fork(2)), in new namespaces of these kinds; `None` in the copy.
pub fn fork(_: &SingleThreaded, new: Namespaces) -> Result<Option<i32>> {
    let mut arguments =
        CloneArgs { flags: u64::from(new.bits()), exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() };
    // SAFETY: as above.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<CloneArgs>()) };
    match result(pid)? {
        0 => Ok(None),
        pid => Ok(Some(i32::try_from(pid).map_err(|_| Errno::OVERFLOW)?)),
    }
}
