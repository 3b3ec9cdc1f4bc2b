//! The calls of the benchmark that no safe crate has.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use corten_sys::namespace::Namespaces;
use corten_sys::thread::SingleThreaded;
use rustix::process::Pid;

/// `struct clone_args` of linux/sched.h, up to `cgroup`.
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

/// fork(2) into new namespaces and a cgroup (clone3(2)). `None` in the copy.
pub fn fork_into(
    _: &SingleThreaded,
    new: Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Option<Pid>> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut arguments =
        CloneArgs { flags: u64::from(new.bits()), exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?;
    }
    // SAFETY: without CLONE_VM the copy has memory and stack of its own, and by the token no lock of another thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<CloneArgs>()) };
    match i32::try_from(pid).map_err(io::Error::other)? {
        ..0 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// How a child ended.
pub struct Ended {
    /// Whether its status was 0.
    pub success: bool,
    /// The most memory, in bytes, that it or one of the children it has waited for held at once.
    pub peak: u64,
}

/// Waits for a child (wait4(2)). The kernel counts what the child held before its execve(2) too: what it had from this
/// process.
pub fn wait(pid: u32) -> io::Result<Ended> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both are valid to write to.
    if unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zeros is a value of it, and the kernel has filled it in.
    let usage = unsafe { usage.assume_init() };
    Ok(Ended { success: status == 0, peak: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024 })
}
