//! File descriptors as numbers: those a process inherits, and closing all others.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags, Result};

/// Takes ownership of a descriptor that this process was started with and marks it close-on-exec.
///
/// Only for the start of a process whose descriptors the caller knows, such as the re-executed copy: a number that
/// something else in the process owns must not be given here. Fails with `EBADF` where it is not open.
pub fn inherited(number: RawFd) -> Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the number is only used to ask the kernel for its flags; a closed one is answered with EBADF.
    let borrowed = unsafe { rustix::fd::BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and by this function's contract nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A copy, close-on-exec, of a descriptor that this process was started with and nobody has taken yet.
///
/// As [`inherited`], only for a process whose descriptors the caller knows. Fails with `EBADF` where it is not open.
pub fn copy_inherited(number: RawFd) -> Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the number is only used to ask the kernel for a copy; a closed one is answered with EBADF.
    let borrowed = unsafe { rustix::fd::BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_dupfd_cloexec(borrowed, 3)
}

/// Moves descriptors to the numbers 0, 1, 2, … in their order, whatever is open there; all but the standard files are
/// close-on-exec.
///
/// Only for the start of a process whose descriptors the caller knows: what owns one of these numbers is replaced.
pub fn place(fds: Vec<OwnedFd>) -> Result<()> {
    let count = RawFd::try_from(fds.len()).map_err(|_| Errno::MFILE)?;
    // First out of the way of the numbers that they will get, each closed where it was.
    let away = |fd: OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, count);
    let fds: Vec<OwnedFd> = fds.into_iter().map(away).collect::<Result<_>>()?;
    for (number, fd) in (0..count).zip(fds) {
        let flag = if number < 3 { 0 } else { libc::O_CLOEXEC };
        // SAFETY: takes numbers only; by this function's contract nobody else owns the replaced one. The new owner is who
        // takes it with `inherited`.
        result(unsafe { libc::dup3(fd.as_raw_fd(), number, flag) }.into())?;
    }
    Ok(())
}

/// Lets the program that this process executes inherit a descriptor. Fails with `EBADF` where it is not open.
pub fn keep_across_exec(number: RawFd) -> Result<()> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the number is only used to change a flag; a closed one is answered with EBADF.
    rustix::io::fcntl_setfd(unsafe { rustix::fd::BorrowedFd::borrow_raw(number) }, FdFlags::empty())
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11).
///
/// A seccomp filter may forbid the call, as those of older container engines do; then each number is marked by itself. Allocates
/// nothing.
pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    match close_range(first, libc::CLOSE_RANGE_CLOEXEC) {
        Err(Errno::PERM | Errno::NOSYS | Errno::ACCESS) => close_each_on_exec_from(first),
        answer => answer,
    }
}

/// As many numbers as a process can have, where its limit does not tell: the usual value of fs.nr_open (proc_sys_fs(5)).
const MOST: u64 = 1 << 20;

fn close_each_on_exec_from(first: RawFd) -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: MOST, rlim_max: MOST };
    // SAFETY: the structure is valid, and outlives the call. Where the filter forbids this as well, it stays as it is.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let end = RawFd::try_from(limit.rlim_max.min(MOST)).map_err(|_| Errno::OVERFLOW)?;
    for number in first..end {
        // SAFETY: takes numbers only; marking a descriptor close-on-exec ends nobody's ownership.
        match result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }.into()) {
            Ok(_) | Err(Errno::BADF) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Closes every descriptor from `first` on (close_range(2), Linux 5.9).
///
/// Only for a process that uses none of them any more, whoever in it believes to own them.
pub fn close_from(first: RawFd) -> Result<()> {
    close_range(first, 0)
}

/// Marks every descriptor from `first` on close-on-exec, or closes it (close_range(2)).
fn close_range(first: RawFd, flags: libc::c_uint) -> Result<()> {
    let first = libc::c_uint::try_from(first).map_err(|_| Errno::BADF)?;
    // SAFETY: takes numbers only. Marking a descriptor close-on-exec ends nobody's ownership; `close_from` states its contract.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) };
    result(done).map(drop)
}

/// The kernel's answer as a result: the value, or the error number of this thread.
pub(crate) fn result(answer: libc::c_long) -> Result<libc::c_long> {
    if answer >= 0 {
        return Ok(answer);
    }
    Err(last_error())
}

/// The error number that the last failed call left in this thread.
pub(crate) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
