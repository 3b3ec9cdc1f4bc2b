//! The pseudo-terminal of a container (pts(4)).
//!
//! Everything goes by descriptors: the container may have put anything at the names in `/dev` (CVE-2025-52565).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::outlet::Outlet;
use crate::payload::Process;
use crate::protocol::Report;
use crate::{Doing, Failure, Kind, Result, rootfs};

/// f_type of devpts (linux/magic.h).
const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// Makes a terminal if one is asked for: the runtime gets its master, this process the other end as its standard files
/// and controlling terminal, and a new container finds it at `/dev/console`.
pub(crate) fn attach(outlet: &mut Outlet<'_>, process: &Process, console: bool) -> Result<()> {
    let Some((rows, columns)) = process.terminal else { return Ok(()) };
    let master = open_master()?;
    rustix::pty::unlockpt(&master).doing(|| "unlock the terminal")?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).doing(|| "open the terminal's other end")?;
    if rows > 0 && columns > 0 {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).doing(|| "set the size of the terminal")?;
    }
    if console {
        rootfs::bind_console(slave.as_fd())?;
    }
    outlet.report(&Report::Terminal, Some(master.as_fd()))?;
    drop(master);
    rustix::process::ioctl_tiocsctty(&slave).doing(|| "make the terminal the controlling one")?;
    let doing = || "make the terminal the standard files";
    rustix::stdio::dup2_stdin(&slave).doing(doing)?;
    rustix::stdio::dup2_stdout(&slave).doing(doing)?;
    rustix::stdio::dup2_stderr(&slave).doing(doing)
}

/// Opens `/dev/pts/ptmx` after proof that it is what it says: the multiplexer of a devpts file system.
fn open_master() -> Result<OwnedFd> {
    let doing = || "open /dev/pts/ptmx for a terminal";
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let look = rustix::fs::openat2(
        rustix::fs::CWD,
        "/dev/pts/ptmx",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )
    .doing(doing)
    .map_err(|failure| failure.hint("a terminal needs a devpts file system mounted at /dev/pts"))?;
    let status = rustix::fs::fstat(&look).doing(doing)?;
    let file_system = rustix::fs::fstatfs(&look).doing(doing)?;
    let genuine = file_system.f_type as i64 == DEVPTS_SUPER_MAGIC
        && FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
        && status.st_rdev == rustix::fs::makedev(5, 2);
    if !genuine {
        return Err(Failure::new(
            Kind::Invalid,
            "/dev/pts/ptmx in the container is not a terminal multiplexer",
        ));
    }
    let master =
        rustix::fs::openat2(rustix::fs::CWD, "/dev/pts/ptmx", flags, Mode::empty(), resolve).doing(doing)?;
    let opened = rustix::fs::fstat(&master).doing(doing)?;
    if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino) {
        return Err(Failure::new(Kind::Invalid, "/dev/pts/ptmx was exchanged while it was opened"));
    }
    Ok(master)
}
