//! Descriptors that tell of lack of memory and of pressure, for whoever waits in poll(2) or an event loop.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

pub use corten_cgroups::{Oom, PressureLevel, PressureTrigger, Resource};

use crate::Result;

/// Tells when processes of a container are killed for lack of memory.
///
/// Its descriptor ([`AsFd`]) is readable (`POLLIN`) when there may be news, which [`OomEvents::take`] gives.
#[derive(Debug)]
pub struct OomEvents(pub(crate) corten_cgroups::OomEvents);

impl OomEvents {
    /// What happened since the last call; `None` if nothing did. Never waits.
    pub fn take(&mut self) -> Result<Option<Oom>> {
        Ok(self.0.take()?)
    }

    /// Waits for something to happen, at most so long; `None` when nothing did, or nothing can any more: the last process
    /// has gone (v2), or the container's control group has.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<Option<Oom>> {
        Ok(self.0.wait(limit)?)
    }
}

impl AsFd for OomEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Tells when a container is under pressure.
///
/// Its descriptor ([`AsFd`]) has the events [`PressureEvents::interest`] when it is; [`PressureEvents::take`] clears them.
#[derive(Debug)]
pub struct PressureEvents(pub(crate) corten_cgroups::PressureEvents);

impl PressureEvents {
    /// The events to poll for (poll(2)): `POLLPRI` on v2, `POLLIN` on v1.
    pub fn interest(&self) -> i16 {
        self.0.interest()
    }

    /// Waits for pressure, at most so long; false when there was none. Fails where the container is gone (v2).
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<bool> {
        Ok(self.0.wait(limit)?)
    }

    /// Clears the event.
    pub fn take(&mut self) -> Result<()> {
        Ok(self.0.take()?)
    }
}

impl AsFd for PressureEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
