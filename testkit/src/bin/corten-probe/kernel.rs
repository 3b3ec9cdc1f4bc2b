//! The few calls that rustix lacks.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};
use std::io;

/// `keyctl(KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING)`: what keyctl_describe(3) tells of the session keyring.
pub fn session_keyring() -> Option<String> {
    const DESCRIBE: c_long = 6;
    const SESSION: c_long = -3;
    let mut text = [0_u8; 512];
    // SAFETY: the buffer is valid for the length given; the rest are numbers.
    let length = unsafe { libc::syscall(libc::SYS_keyctl, DESCRIBE, SESSION, text.as_mut_ptr(), text.len()) };
    let length = usize::try_from(length).ok()?.min(text.len());
    let text = text[..length].split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// For a program that waits after whoever read its output has gone.
pub fn ignore_broken_pipes() {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Blocks the signals given, or all, so that one that comes stays pending until [`next_signal`].
pub fn block_signals(signals: &[c_int]) -> io::Result<libc::sigset_t> {
    // SAFETY: a signal set is plain bits, for which all zeros is a value; it is filled before it is used.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is valid and exclusively borrowed in each call.
    let done = unsafe {
        if signals.is_empty() {
            libc::sigfillset(&raw mut set)
        } else {
            libc::sigemptyset(&raw mut set)
        };
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    };
    if done == 0 { Ok(set) } else { Err(io::Error::last_os_error()) }
}

/// Waits for one of the blocked signals and returns its number.
pub fn next_signal(set: &libc::sigset_t) -> io::Result<c_int> {
    loop {
        // SAFETY: the set is valid; a null pointer asks for no details.
        let signal = unsafe { libc::sigwaitinfo(set, std::ptr::null_mut()) };
        if signal > 0 {
            return Ok(signal);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
