//! `--console-socket` and `--pidfd-socket`: Unix stream sockets that get a descriptor.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, sendmsg, socket_with,
};

use crate::error::{Doing, Result};

/// Connects to a socket by its path, which may be longer than an address can be (unix(7)).
pub fn open(path: &Path) -> Result<OwnedFd> {
    let doing = || format!("connect to {}", path.display());
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).doing(doing)?;
    let file = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).doing(doing)?;
    let short = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let address = SocketAddrUnix::new(short).doing(doing)?;
    connect(&socket, &address).doing(doing)?;
    Ok(socket)
}

/// Sends a descriptor with a word that says what it is.
pub fn send(socket: &OwnedFd, word: &str, fd: BorrowedFd<'_>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let text = [IoSlice::new(word.as_bytes())];
    rustix::io::retry_on_intr(|| sendmsg(socket, &text, &mut control, SendFlags::NOSIGNAL))
        .map(drop)
        .doing(|| "send the pidfd to its socket".to_owned())
}
