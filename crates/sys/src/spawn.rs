//! The first clone: starts a program from a descriptor without copying the caller's memory.
//!
//! `CLONE_VM|CLONE_VFORK` lets the child borrow the caller's memory until it executes, so the cost does not depend on
//! how much of it there is, and other threads go on. The child runs on a stack of its own with every signal blocked,
//! does nothing but move descriptors and execute, and allocates nothing.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, Result};

/// What to start.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program's file.
    pub program: BorrowedFd<'a>,
    /// Its arguments, the name first.
    pub arguments: &'a [CString],
    /// Its environment.
    pub environment: &'a [CString],
    /// Its descriptors 0, 1, 2, …; it gets no others.
    pub fds: &'a [BorrowedFd<'a>],
}

/// A process that was started, by number and by descriptor (close-on-exec).
#[derive(Debug)]
pub struct Spawned {
    /// Its process id.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
}

/// Starts an ordinary program from its path, as [`Spawn::start`] does; `fds` are its descriptors 0, 1, 2, …
///
/// It gets no other descriptors, a process group of its own, and the default disposition of every signal, none blocked.
pub fn start_group(
    path: &CStr,
    arguments: &[CString],
    environment: &[CString],
    fds: &[BorrowedFd<'_>],
) -> Result<Spawned> {
    start(Program::Path(path.as_ptr()), arguments, environment, fds)
}

/// What the child executes.
enum Program {
    /// The file behind a descriptor.
    Fd(RawFd),
    /// The file at a path, in a process group of its own, with signals as a fresh program expects them.
    Path(*const c_char),
}

/// What the child reads, and the one thing it writes: `error`.
struct Child {
    program: Program,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    fds: *mut RawFd,
    count: c_int,
    error: c_int,
}

const STACK: usize = 32 * 1024;

impl Spawn<'_> {
    /// Starts the program and returns once it is executing.
    ///
    /// The new process has every signal blocked. Its exit signal is SIGCHLD. Fails as execveat(2) does where the
    /// program cannot be executed; nothing is left then.
    pub fn start(&self) -> Result<Spawned> {
        start(Program::Fd(self.program.as_raw_fd()), self.arguments, self.environment, self.fds)
    }
}

fn start(
    program: Program,
    arguments: &[CString],
    environment: &[CString],
    fds: &[BorrowedFd<'_>],
) -> Result<Spawned> {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    let mut fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let mut child = Child {
        program,
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        fds: fds.as_mut_ptr(),
        count: c_int::try_from(fds.len()).map_err(|_| Errno::MFILE)?,
        error: 0,
    };
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end;
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mask = crate::signal::block_all()?;
    // SAFETY: the child shares this memory, but CLONE_VFORK stops this thread until the child has executed or
    // ended, so `child`, the vectors and the stack outlive it and nothing touches them meanwhile; with every
    // signal blocked no handler runs in it; `run` keeps to async-signal-safe calls.
    let pid = unsafe {
        libc::clone(run, top.cast::<c_void>(), flags, (&raw mut child).cast::<c_void>(), &raw mut pidfd)
    };
    let failure = if pid < 0 { Some(crate::fd::last_error()) } else { None };
    crate::signal::restore(&mask)?;
    drop(stack);
    if let Some(errno) = failure {
        return Err(errno);
    }
    // SAFETY: the clone succeeded, so the kernel has put a new descriptor there, which nobody else knows.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if child.error != 0 {
        reap(&pidfd);
        return Err(Errno::from_raw_os_error(child.error));
    }
    Ok(Spawned { pid, pidfd })
}

/// Collects a child that could not execute; one that somebody else collected is fine as well.
fn reap(pidfd: &OwnedFd) {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;
    while let Err(Errno::INTR) = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {}
}

/// The pointers that execve(2) expects: one for each string, and a null.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The child: moves its descriptors to 0, 1, 2, … and executes.
extern "C" fn run(child: *mut c_void) -> c_int {
    // SAFETY: `start` passes a pointer to a `Child` that outlives this process's use of the shared memory.
    let child = unsafe { &mut *child.cast::<Child>() };
    child.error = execute(child);
    // SAFETY: ends this process without running anything of the caller's, whose memory it shares.
    unsafe { libc::_exit(127) }
}

/// Returns the error number where something fails, and does not return where the program executes.
fn execute(child: &Child) -> c_int {
    const EMPTY: &CStr = c"";
    // SAFETY: every call takes numbers, or pointers that `start` made from live strings and vectors, `fds` of `count`
    // elements. The table of signal handlers is this process's own (no CLONE_SIGHAND), and none is left when signals
    // are unblocked.
    unsafe {
        // First out of the way of the numbers that they will get, then into place; dup2 clears close-on-exec.
        let program = match child.program {
            Program::Fd(fd) => libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, child.count),
            Program::Path(_) => libc::setpgid(0, 0),
        };
        if program < 0 {
            return *libc::__errno_location();
        }
        for slot in 0..child.count as usize {
            let fd = child.fds.add(slot);
            *fd = libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, child.count);
            if *fd < 0 {
                return *libc::__errno_location();
            }
        }
        for slot in 0..child.count {
            if libc::dup2(*child.fds.add(slot as usize), slot) < 0 {
                return *libc::__errno_location();
            }
        }
        if let Err(errno) = crate::fd::close_on_exec_from(child.count) {
            return errno.raw_os_error();
        }
        let (arguments, environment) = (child.arguments, child.environment);
        match child.program {
            Program::Fd(_) => {
                let flag = libc::AT_EMPTY_PATH;
                libc::syscall(libc::SYS_execveat, program, EMPTY.as_ptr(), arguments, environment, flag);
            }
            Program::Path(path) => {
                if let Err(errno) = crate::signal::reset() {
                    return errno.raw_os_error();
                }
                libc::execve(path, arguments, environment);
            }
        }
        *libc::__errno_location()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    fn cat(fd: BorrowedFd<'_>, program: BorrowedFd<'_>, arguments: &[&str]) -> Result<Spawned> {
        let arguments: Vec<CString> = arguments.iter().map(|a| CString::new(*a).unwrap()).collect();
        let null = std::fs::File::open("/dev/null").unwrap();
        let fds = [null.as_fd(), fd, null.as_fd()];
        Spawn { program, arguments: &arguments, environment: &[], fds: &fds }.start()
    }

    #[test]
    fn the_program_gets_its_descriptors_and_no_others() {
        let (mut read, write) = std::io::pipe().unwrap();
        let program = std::fs::File::open("/bin/ls").unwrap();
        let spawned = cat(write.as_fd(), program.as_fd(), &["ls", "/proc/self/fd"]).unwrap();
        drop(write);
        let mut seen = String::new();
        read.read_to_string(&mut seen).unwrap();
        reap(&spawned.pidfd);
        assert_eq!(
            seen.split_whitespace().collect::<Vec<_>>(),
            ["0", "1", "2", "3"],
            "3 is the directory itself"
        );
    }

    #[test]
    fn a_file_that_cannot_execute_is_an_error() {
        let program = std::fs::File::open("/etc/passwd").unwrap();
        let error = cat(program.as_fd(), program.as_fd(), &["passwd"]).unwrap_err();
        assert_eq!(error, Errno::ACCESS);
    }
}
