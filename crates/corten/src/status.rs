//! What a container is doing, as the kernel tells it each time.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::store::SavedInit;
use crate::{Error, Result, oci};

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Its init waits at the start gate.
    Created,
    /// Its init runs the user's program.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It has no process.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// All that can be said of a container at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct State {
    /// Its id.
    pub id: String,
    /// What it is doing.
    pub status: Status,
    /// Process id of its init; `None` when stopped.
    pub pid: Option<i32>,
    /// Absolute path of its bundle.
    pub bundle: PathBuf,
    /// Absolute path of its root file system.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339 with nanoseconds, UTC.
    pub created: String,
    /// The annotations of its configuration.
    pub annotations: oci::Map<String>,
    /// User id of who created it.
    pub owner: u32,
    /// Directories of its control group, by controller; empty name for cgroup v2.
    pub cgroup_paths: oci::Map<PathBuf>,
}

impl SavedInit {
    /// Notes a process that has just been started.
    pub(crate) fn of(pid: i32) -> Result<Self> {
        match stat(pid)? {
            Some(Stat { start_time, .. }) => Ok(Self { pid, start_time, starting: false }),
            None => {
                Err(Error::new(crate::ErrorKind::Protocol, "the container's process has ended unexpectedly"))
            }
        }
    }

    /// Whether this very process is there and has not ended.
    pub(crate) fn is_alive(&self) -> Result<bool> {
        Ok(stat(self.pid)?
            .is_some_and(|stat| stat.start_time == self.start_time && !"ZX".contains(stat.state)))
    }

    /// Its pidfd; `None` where it has ended.
    pub(crate) fn pidfd(&self) -> Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(Error::io(format!("open process {}", self.pid), errno)),
        };
        // The number may have passed on before the descriptor was opened; from then on it cannot.
        Ok(self.is_alive()?.then_some(pidfd))
    }
}

/// What proc_pid_stat(5) tells of a process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// State, a letter.
    state: char,
    /// The parent's process id.
    pub(crate) parent: i32,
    /// In clock ticks after boot.
    start_time: u64,
}

/// Reads it; `None` where there is no such process.
pub(crate) fn stat(pid: i32) -> Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(None),
        Err(error) => return Err(Error::io(format!("read {path}"), error)),
    };
    parse_stat(&text)
        .map(Some)
        .ok_or_else(|| Error::new(crate::ErrorKind::System, format!("{path} makes no sense")))
}

/// The command is in parentheses and may hold any character, so the fields are counted after the last one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let after = text.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = std::str::from_utf8(text.get(after..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // State is field 3, the parent field 4, and the start time field 22.
    let parent = fields.next()?.parse().ok()?;
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(Stat { state, parent, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_cannot_forge_its_fields() {
        let text = b"7 (a) Z 1 ) R 1 1 1 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 4242 99 1\n";
        assert_eq!(parse_stat(text), Some(Stat { state: 'R', parent: 1, start_time: 4242 }));
        let bytes = b"7 (\xff\xfe) S 3 1 1 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 4242 99 1\n";
        assert_eq!(parse_stat(bytes), Some(Stat { state: 'S', parent: 3, start_time: 4242 }));
        assert_eq!(parse_stat(b"7 (a"), None);
    }

    #[test]
    fn this_process_is_alive_and_another_with_its_number_is_not() {
        let own = SavedInit::of(std::process::id().cast_signed()).unwrap();
        assert!(own.is_alive().unwrap());
        assert!(!SavedInit { start_time: own.start_time + 1, ..own }.is_alive().unwrap());
    }
}
