//! Where init's words go: to the runtime while it listens, and to a file of the state directory after the gate.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::protocol::{Channel, Report};
use crate::{Doing, Failure, Result, Stage};

/// Where init's words go.
#[derive(Debug)]
pub(crate) enum Outlet<'a> {
    /// To the runtime.
    Runtime(&'a mut Channel),
    /// To a file, for `start`.
    File {
        /// What `start` reads when init has ended without executing.
        record: OwnedFd,
        /// The start gate: `start` waits until it is closed, by the execve or after the last word.
        _gate: OwnedFd,
    },
}

impl Outlet<'_> {
    /// Says something; nobody listens after the gate.
    pub(crate) fn report(&mut self, report: &Report, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        match self {
            Self::Runtime(channel) => channel.send(report, fd),
            Self::File { .. } => Ok(()),
        }
    }

    /// Says something that stops nothing.
    pub(crate) fn warn(&mut self, warning: impl Into<String>) -> Result<()> {
        self.report(&Report::Warning(warning.into()), None)
    }

    /// Waits for the runtime's word to go on.
    pub(crate) fn wait(&mut self) -> Result<()> {
        match self {
            Self::Runtime(channel) => channel.wait_for_continue(),
            Self::File { .. } => Ok(()),
        }
    }

    /// Says everything by write(2) from here on; see [`Channel::speak_plainly`].
    pub(crate) fn speak_plainly(&mut self) {
        if let Self::Runtime(channel) = self {
            channel.speak_plainly();
        }
    }

    /// Says why this process ends, as far as anybody can hear it.
    pub(crate) fn fail(&mut self, stage: Stage, failure: Failure) {
        match self {
            Self::Runtime(channel) => drop(channel.send(&Report::Failed(stage, failure), None)),
            Self::File { record: file, .. } => {
                let record = serde_json::to_vec(&(stage, failure)).unwrap_or_default();
                drop(rustix::io::write(&*file, &record).doing(|| "record a failure"));
            }
        }
    }
}

/// Reads what [`Outlet::fail`] left in the file.
pub fn recorded_failure(record: &[u8]) -> Option<(Stage, Failure)> {
    serde_json::from_slice(record).ok()
}
