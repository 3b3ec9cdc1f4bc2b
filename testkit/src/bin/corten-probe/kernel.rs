//! The few calls that rustix lacks.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_long};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `keyctl(KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING)`: what keyctl_describe(3) tells of the session keyring.
pub fn session_keyring() -> Option<String> {
    const DESCRIBE: c_long = 6;
    ask_keyring(DESCRIBE)
}

/// `keyctl(KEYCTL_GET_SECURITY, KEY_SPEC_SESSION_KEYRING)`: its label (keyctl_get_security(3)).
pub fn session_keyring_label() -> Option<String> {
    const GET_SECURITY: c_long = 17;
    ask_keyring(GET_SECURITY)
}

fn ask_keyring(question: c_long) -> Option<String> {
    const SESSION: c_long = -3;
    let mut text = [0_u8; 512];
    // SAFETY: the buffer is valid for the length given; the rest are numbers.
    let length = unsafe { libc::syscall(libc::SYS_keyctl, question, SESSION, text.as_mut_ptr(), text.len()) };
    let length = usize::try_from(length).ok()?.min(text.len());
    let text = text[..length].split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// An address of a network interface, as getifaddrs(3) gives it.
pub struct InterfaceAddress {
    /// The interface.
    pub name: String,
    /// Whether it is up.
    pub up: bool,
    /// An address and how many leading bits of it name the network; `None` for other kinds of addresses.
    pub address: Option<(IpAddr, u32)>,
}

/// The addresses of all network interfaces, at least one of each.
pub fn interface_addresses() -> Vec<InterfaceAddress> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the pointer is valid; what it is set to is freed below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: an entry of the list, which is not freed yet.
        let entry = unsafe { &*next };
        // SAFETY: the name of an entry is a C string.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy().into_owned();
        // SAFETY: both are null or socket addresses of the family that their first field tells.
        let address = unsafe { ip(entry.ifa_addr).zip(ip(entry.ifa_netmask)) };
        let address = address.map(|(address, mask)| match mask {
            IpAddr::V4(mask) => (address, mask.to_bits().leading_ones()),
            IpAddr::V6(mask) => (address, mask.to_bits().leading_ones()),
        });
        found.push(InterfaceAddress { name, up: entry.ifa_flags & libc::IFF_UP as u32 != 0, address });
        next = entry.ifa_next;
    }
    // SAFETY: the list that getifaddrs gave, once.
    unsafe { libc::freeifaddrs(list) };
    found
}

/// The address in a socket address of the internet.
///
/// # Safety
/// The pointer is null or to a socket address of the family that its first field tells.
unsafe fn ip(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: a socket address begins with its family, and its form is that of the family; it may lie at any address.
    unsafe {
        match c_int::from((&raw const (*address).sa_family).read_unaligned()) {
            libc::AF_INET => {
                let address = address.cast::<libc::sockaddr_in>().read_unaligned();
                Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let address = address.cast::<libc::sockaddr_in6>().read_unaligned();
                Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
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
