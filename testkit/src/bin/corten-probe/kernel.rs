//! The few calls that rustix lacks.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_long};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use corten_testkit::Scheduling;

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

/// Makes a terminal a line of the Serial Line Internet Protocol: a network device of its own, as long as it is open.
pub fn make_slip_line(terminal: &OwnedFd) -> io::Result<()> {
    /// Its number among the line disciplines (linux/tty.h).
    const N_SLIP: c_int = 1;
    let discipline = N_SLIP;
    // SAFETY: TIOCSETD reads an int, which outlives the call.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSETD, &raw const discipline) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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

/// A system call by number; what is not a number of arguments is zero.
pub fn system_call(number: c_long, arguments: [c_long; 6]) -> io::Result<c_long> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the tests ask for calls that take numbers only.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// A system call of i386 without arguments, made by a program of x86_64.
#[cfg(target_arch = "x86_64")]
pub fn system_call_of_i386(number: i32) -> io::Result<i32> {
    let answer: i32;
    // SAFETY: the tests ask for calls that take nothing; the kernel changes no other register than those named.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("eax") number => answer, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    if answer < 0 { Err(io::Error::from_raw_os_error(-answer)) } else { Ok(answer) }
}

/// Not on this architecture.
#[cfg(not(target_arch = "x86_64"))]
pub fn system_call_of_i386(_: i32) -> io::Result<i32> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// `_IOWR('!', NUMBER, TYPE)`.
const fn notification_request<T>(number: libc::c_ulong) -> libc::c_ulong {
    (3 << 30) | ((size_of::<T>() as libc::c_ulong) << 16) | ((b'!' as libc::c_ulong) << 8) | number
}

/// The next call that a seccomp filter asks about (seccomp_unotify(2)); `None` where it has ended meanwhile.
pub fn receive_notification(listener: BorrowedFd<'_>) -> io::Result<Option<libc::seccomp_notif>> {
    let request = notification_request::<libc::seccomp_notif>(0);
    // SAFETY: plain numbers, for which zeros are values; the kernel wants them.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is that of the request, and outlives the call.
    match unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut asked) } {
        0 => Ok(Some(asked)),
        _ => gone(()).map(|()| None),
    }
}

/// Lets the call fail, or go on.
pub fn answer_notification(listener: BorrowedFd<'_>, id: u64, errno: Option<i32>) -> io::Result<()> {
    let request = notification_request::<libc::seccomp_notif_resp>(1);
    let flags = if errno.is_none() { libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 } else { 0 };
    let mut answer = libc::seccomp_notif_resp { id, val: 0, error: -errno.unwrap_or(0), flags };
    // SAFETY: the structure is that of the request, and outlives the call.
    match unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut answer) } {
        0 => Ok(()),
        _ => gone(()),
    }
}

/// The last error, unless it is that the process has ended.
fn gone<T>(value: T) -> io::Result<T> {
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ENOENT) { Ok(value) } else { Err(error) }
}
