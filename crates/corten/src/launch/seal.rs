//! A copy of a program that nobody can write to, not even root inside a container that finds it through `/proc`
//! (CVE-2019-5736).

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// Copies a program into memory and seals it.
pub(super) fn seal(program: &Path) -> Result<OwnedFd> {
    let doing = |errno: Errno| Error::io(format!("make a sealed copy of {}", program.display()), errno);
    let source =
        File::open(program).map_err(|error| Error::io(format!("open {}", program.display()), error))?;
    let copy = executable_memfd()?;
    let mut left = source.metadata().map_err(|error| Error::io("read the program's size", error))?.len();
    while left > 0 {
        let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::io::retry_on_intr(|| rustix::fs::sendfile(&copy, &source, None, chunk))
            .map_err(doing)?
        {
            0 => break,
            sent => left = left.saturating_sub(sent as u64),
        }
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals).map_err(doing)?;
    Ok(copy)
}

/// A memfd that may be executed; kernels before 6.3 do not know the flag, and let every memfd be.
fn executable_memfd() -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let created = match rustix::fs::memfd_create("corten", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create("corten", flags),
        other => other,
    };
    created.map_err(|errno| match errno {
        Errno::ACCESS => Error::unsupported(
            "make a sealed copy of the program: the sysctl vm.memfd_noexec=2 forbids executable memory files; set it to 1 or 0",
        ),
        errno => Error::io("make a sealed copy of the program", errno),
    })
}
