//! Becoming another program (execve(2)).

use std::ffi::{CStr, CString, c_char};

use rustix::io::{Errno, Result};

use crate::fd::result;

/// Sets the execution domain of this process, such as `PER_LINUX32` (personality(2)).
pub fn set_personality(domain: u32) -> Result<()> {
    // SAFETY: takes a number only.
    result(unsafe { libc::syscall(libc::SYS_personality, domain) }).map(drop)
}

/// Executes the program at `path`; returns only where that fails, with the reason.
pub fn execve(path: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both vectors end with a null and point to strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    crate::fd::last_error()
}

/// Ends this process at once, without running anything that the program registered.
pub fn exit(status: i32) -> ! {
    // SAFETY: takes a number and ends the process.
    unsafe { libc::_exit(status) }
}
