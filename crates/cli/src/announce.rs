//! `--pidfd-socket` and `--pid-file`.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use crate::error::Result;
use crate::{pid_file, sockets};

/// Tells who is to know of a container's first program: a socket gets its pidfd, a file its process id.
pub fn announce(
    (pid, pidfd): (i32, BorrowedFd<'_>),
    socket: Option<OwnedFd>,
    file: Option<&Path>,
) -> Result<()> {
    if let Some(socket) = socket {
        sockets::send(&socket, "standard", pidfd)?;
    }
    file.map_or(Ok(()), |path| pid_file::write(path, pid))
}
