//! The few calls that rustix lacks.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};
use std::io;

use corten_testkit::Scheduling;

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

/// Policy and parameters of this thread (sched_getattr(2)).
pub fn scheduling() -> Option<Scheduling> {
    /// `struct sched_attr` of linux/sched/types.h, version 0.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let mut attributes = Attributes::default();
    let size = size_of::<Attributes>();
    // SAFETY: the structure is valid for the size given; 0 is this thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    let Attributes { size: _, policy, flags, nice, priority, runtime, deadline, period } = attributes;
    (done == 0).then_some(Scheduling { policy, flags, nice, priority, runtime, deadline, period })
}

/// Class and level of this thread (ioprio_get(2)).
pub fn io_priority() -> Option<(u32, u32)> {
    const PROCESS: c_int = 1;
    // SAFETY: takes numbers only; 0 is this thread.
    let value = unsafe { libc::syscall(libc::SYS_ioprio_get, PROCESS, 0) };
    u32::try_from(value).ok().map(|value| (value >> 13, value & 7))
}

/// Mode with flags, and the first 64 nodes of this thread's memory policy (get_mempolicy(2)).
pub fn memory_policy() -> Option<(u32, u64)> {
    // The kernel writes as many bits as it is told of, and refuses fewer than it has nodes.
    const BITS: usize = 1024;
    let mut mode: c_int = 0;
    let mut nodes = [0_u64; BITS / 64];
    let nothing = std::ptr::null::<u8>();
    // SAFETY: the mode is valid, and the words are for the number of bits; without flags no address is looked at.
    let done = unsafe {
        libc::syscall(libc::SYS_get_mempolicy, &raw mut mode, nodes.as_mut_ptr(), BITS, nothing, 0)
    };
    (done == 0).then_some((mode.cast_unsigned(), nodes[0]))
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
