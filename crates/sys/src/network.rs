//! Network interfaces: netdevice(7) and rtnetlink(7).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::fd::result;

/// Brings the loopback interface of this network namespace up; the kernel gives it its addresses.
pub fn loopback_up() -> Result<()> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all zeros is a valid `struct ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads a `struct ifreq`, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    result(libc::c_long::from(done)).map(drop)
}

/// A socket for rtnetlink(7), which speaks to this thread's network namespace whoever uses it. A refusal comes with the
/// kernel's own words (`NETLINK_EXT_ACK`) and without the request repeated (`NETLINK_CAP_ACK`), Linux 4.12.
pub fn route_socket() -> Result<OwnedFd> {
    // The protocol 0 of this family is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
        let yes: libc::c_int = 1;
        let length = libc::socklen_t::try_from(size_of_val(&yes)).unwrap_or(libc::socklen_t::MAX);
        // SAFETY: reads an int of the length given, which outlives the call.
        let done = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_NETLINK,
                option,
                (&raw const yes).cast::<libc::c_void>(),
                length,
            )
        };
        result(libc::c_long::from(done))?;
    }
    Ok(socket)
}
