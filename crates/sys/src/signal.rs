//! Signal masks and dispositions of the calling thread and process (signal(7)), by the kernel's own calls: the C
//! library hides two of its signals from its wrappers, and a container must not inherit those either.

use std::ffi::c_long;
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Result;

use crate::fd::result;

/// Signals are numbered from 1 to 64; the kernel's set is one bit for each.
const SET: usize = size_of::<u64>();

/// A signal mask, to be put back.
#[derive(Debug)]
pub struct Mask(u64);

/// Blocks every signal of the calling thread and returns the mask that it had.
pub fn block_all() -> Result<Mask> {
    swap(u64::MAX)
}

/// Puts a mask back.
pub fn restore(mask: &Mask) -> Result<()> {
    swap(mask.0).map(drop)
}

/// Makes every disposition of this process default and unblocks every signal, as a freshly started program expects.
///
/// Only for a process that runs no handler of anybody's: the re-executed copy.
pub fn reset() -> Result<()> {
    let settable = |signal: &i32| ![libc::SIGKILL, libc::SIGSTOP].contains(signal);
    (1..=64).filter(settable).try_for_each(make_default)?;
    swap(0).map(drop)
}

/// Makes the disposition of SIGCHLD the default one: a parent that ignores it hands that on, and the kernel would throw
/// away how this process's children end (sigaction(2)).
///
/// Only for a program of one's own.
pub fn keep_exit_statuses() -> Result<()> {
    make_default(libc::SIGCHLD)
}

fn make_default(signal: i32) -> Result<()> {
    // SIG_DFL with an empty mask and no flags is all zeros in the kernel's structure, on every architecture.
    let default = [0_u64; 4];
    let none = std::ptr::null_mut::<u64>();
    // SAFETY: the structure is valid and at least as large as the kernel's; installing SIG_DFL calls nothing.
    let done =
        unsafe { libc::syscall(libc::SYS_rt_sigaction, c_long::from(signal), default.as_ptr(), none, SET) };
    result(done).map(drop)
}

fn swap(new: u64) -> Result<Mask> {
    let mut old = 0_u64;
    // SAFETY: both sets are valid for the size given, and outlive the call.
    let done = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const new, &raw mut old, SET)
    };
    result(done).map(|_| Mask(old))
}

/// Waits for any blocked signal to arrive, and takes it (sigwaitinfo(2)); returns its number.
pub fn wait() -> Result<i32> {
    let any = u64::MAX;
    let (info, timeout) = (std::ptr::null_mut::<u8>(), std::ptr::null::<u8>());
    loop {
        // SAFETY: the set is valid for the size given; no details and no timeout are asked for.
        match result(unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const any, info, timeout, SET) })
        {
            Ok(signal) => return i32::try_from(signal).map_err(|_| rustix::io::Errno::INVAL),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A descriptor that is readable when a blocked signal has arrived (signalfd(2)), close-on-exec.
///
/// It gets those that the reading thread has blocked, or that are for the whole process.
pub fn fd() -> Result<OwnedFd> {
    let any = u64::MAX;
    // SAFETY: the set is valid for the size given, and read during the call only.
    let fd = result(unsafe {
        libc::syscall(libc::SYS_signalfd4, -1, &raw const any, SET, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    })?;
    let fd = i32::try_from(fd).map_err(|_| rustix::io::Errno::BADF)?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes a signal from such a descriptor; `None` where none has arrived.
pub fn take(fd: &OwnedFd) -> Result<Option<i32>> {
    // `struct signalfd_siginfo`, whose first field is the number.
    let mut info = [0; 128];
    match rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut info)) {
        Ok(_) => Ok(Some(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Sends a signal, real-time ones among them, to a process (kill(2)).
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: takes numbers only.
    result(unsafe { libc::syscall(libc::SYS_kill, pid, signal) }).map(drop)
}
