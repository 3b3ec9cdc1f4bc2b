//! A started process: init, or a program that has joined a container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::termios::Winsize;

use crate::{Error, ErrorKind, Result, Signal};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this status, 0 to 255.
    Exited(i32),
    /// A signal ended it.
    Signaled(Signal),
    /// It ended, and the caller's program has taken its status away (it ignores SIGCHLD, or waits for any child) from
    /// a kernel that does not keep it (before 6.15).
    Unknown,
}

impl ExitStatus {
    /// Whether it exited with status 0.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }

    /// As a shell has it: the exit status, 128 and the signal's number, or 255 where it is unknown.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal.as_raw(),
            Self::Unknown => 255,
        }
    }

    /// From a wait status (wait(2)).
    fn from_raw(status: i32) -> Self {
        match Signal::from_raw(status & 0x7f) {
            Some(signal) => Self::Signaled(signal),
            None => Self::Exited((status >> 8) & 0xff),
        }
    }
}

/// A process of ours, known by its pidfd.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    /// Collected once, told as often as asked.
    status: Mutex<Option<ExitStatus>>,
}

impl Started {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, status: Mutex::new(None) }
    }

    /// Waits for its end, at most for a time; `None` when that is over.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<Option<ExitStatus>> {
        if !ended(&self.pidfd, timeout)? {
            return Ok(None);
        }
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = *status {
            return Ok(Some(status));
        }
        let collected = self.collect()?;
        *status = Some(collected);
        Ok(Some(collected))
    }

    fn collect(&self) -> Result<ExitStatus> {
        let options = WaitIdOptions::EXITED;
        match rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(self.pidfd.as_fd()), options)) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ok(ExitStatus::Exited(code)),
                (_, Some(number)) => {
                    Ok(Signal::from_raw(number).map_or(ExitStatus::Unknown, ExitStatus::Signaled))
                }
                _ => Ok(ExitStatus::Unknown),
            },
            Ok(None) => Ok(ExitStatus::Unknown),
            // Somebody else in this program has collected it, or it ignores SIGCHLD.
            Err(Errno::CHILD) => corten_sys::pidfd::exit_status(self.pidfd.as_fd())
                .map(|status| status.map_or(ExitStatus::Unknown, ExitStatus::from_raw))
                .map_err(|errno| Error::io(format!("ask how process {} ended", self.pid), errno)),
            Err(errno) => Err(Error::io(format!("wait for process {}", self.pid), errno)),
        }
    }
}

/// Waits until the process behind a pidfd has ended; `false` when the time is over.
pub(crate) fn ended(pidfd: &OwnedFd, timeout: Option<Duration>) -> Result<bool> {
    let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(std::time::Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut ready = [PollFd::new(pidfd, PollFlags::IN)];
        match poll(&mut ready, left.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::io("wait for a process", errno)),
        }
    }
}

/// A process that this program has started in a container.
///
/// Dropping it does not end the process. [`AsFd`] gives its pidfd, which becomes readable when it ends, so that an
/// event loop can wait for it.
#[derive(Debug)]
pub struct Child {
    process: Arc<Started>,
    ends: Ends,
}

/// The other ends of what a process has.
#[derive(Debug)]
pub(crate) struct Ends {
    /// The master of its terminal.
    pub(crate) terminal: Option<OwnedFd>,
    /// The listener of its seccomp filter.
    pub(crate) listener: Option<OwnedFd>,
}

impl Child {
    pub(crate) fn new(process: Arc<Started>, ends: Ends) -> Self {
        Self { process, ends }
    }

    /// Its process id, as this program's pid namespace has it.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Waits for its end.
    pub fn wait(&self) -> Result<ExitStatus> {
        self.process.wait(None).map(|status| status.unwrap_or(ExitStatus::Unknown))
    }

    /// How it ended, if it has.
    pub fn try_wait(&self) -> Result<Option<ExitStatus>> {
        self.process.wait(Some(Duration::ZERO))
    }

    /// Waits for its end, at most for a time; `None` when that is over.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<ExitStatus>> {
        self.process.wait(Some(timeout))
    }

    /// Sends it a signal; [`ErrorKind::NotRunning`] where it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(&self.process.pidfd, signal)
    }

    /// Sets the size of its terminal, in characters; an error where it has none, or it was taken.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let terminal =
            self.ends.terminal.as_ref().ok_or_else(|| Error::invalid("the process has no terminal"))?;
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(terminal, size).map_err(|errno| Error::io("resize the terminal", errno))
    }

    /// The master of its terminal, once.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.ends.terminal.take()
    }

    /// The listener of its seccomp filter, once, where the configuration leaves it to
    /// [this program](crate::ConfigBuilder::seccomp_listener).
    pub fn take_seccomp_listener(&mut self) -> Option<OwnedFd> {
        self.ends.listener.take()
    }

    /// Leaves it to itself. It stays a child of this program: as long as that lives and nobody waits for it, what is left of it
    /// when it has ended goes with the container.
    pub fn detach(self) {}
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }
}

/// Sends a signal to the process behind a pidfd.
pub(crate) fn send(pidfd: &OwnedFd, signal: Signal) -> Result<()> {
    match corten_sys::pidfd::send_signal(pidfd.as_fd(), signal.as_raw()) {
        Ok(()) => Ok(()),
        Err(Errno::SRCH) => Err(Error::new(ErrorKind::NotRunning, "container not running")),
        Err(errno) => Err(Error::io(format!("send {signal}"), errno)),
    }
}
