//! File descriptors that the runtime hands to the new process, each at a number that the payload names.

use std::os::fd::{OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use crate::{Doing, Result};

/// Where the new process finds one of the descriptors that come with the payload.
///
/// Taking it moves the descriptor out of the slot; the number is closed on execve(2) from then on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot(pub RawFd);

impl Slot {
    /// A copy of the descriptor, which stays in its slot.
    pub fn copy(&self) -> Result<OwnedFd> {
        corten_sys::fd::copy_inherited(self.0)
            .doing(|| format!("copy the inherited file descriptor {}", self.0))
    }

    /// Takes the descriptor; each slot is taken once.
    pub fn take(self) -> Result<OwnedFd> {
        corten_sys::fd::inherited(self.0).doing(|| format!("take the inherited file descriptor {}", self.0))
    }
}
