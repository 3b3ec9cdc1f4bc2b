//! What can go wrong, with the file, the value and the controller that were meant.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure, named so that a person can act on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call on a path failed.
    #[error("{operation} {}: {source}", path.display())]
    Os {
        /// What was tried: `open`, `mkdir`, `read` and so on.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel did not take a value.
    #[error("write {value:?} to {}: {source}{}", path.display(), hint(path, source))]
    Write {
        /// What was written.
        value: String,
        /// The file; its name begins with the controller's.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file of the kernel says something that this version does not understand.
    #[error("{} has unexpected content: {content:?}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The part that was not understood.
        content: String,
    },
    /// The directory that should be a cgroup is on another file system.
    #[error("{} is not on a cgroup file system", path.display())]
    NotCgroupfs {
        /// The directory.
        path: PathBuf,
    },
    /// No control group hierarchy is mounted.
    #[error("no control group hierarchy is mounted; mount one, or turn control groups off")]
    NotMounted,
    /// A cgroup path that names no group of the container's own.
    #[error("invalid cgroup path {path:?}: {reason}")]
    Path {
        /// The path as given.
        path: String,
        /// Why it cannot be used.
        reason: &'static str,
    },
    /// The group to be made is there already and in use.
    #[error("container's cgroup is not empty: {count} process(es) found")]
    NotEmpty {
        /// The number of processes in it and its sub-groups.
        count: usize,
    },
    /// The group to be made is there already and frozen.
    #[error("container's cgroup unexpectedly frozen")]
    Frozen,
    /// A group in which processes cannot be: `domain invalid` or `threaded` (cgroups(7)).
    #[error("{} has cgroup.type {kind:?}, which takes no containers", path.display())]
    Type {
        /// The group.
        path: PathBuf,
        /// Content of `cgroup.type`.
        kind: String,
    },
    /// A resource is asked for whose controller is not available here.
    #[error("{field} needs the cgroup controller {controller:?}, which is not available here")]
    Controller {
        /// The controller.
        controller: String,
        /// The field of the configuration.
        field: String,
    },
    /// A resource has a value that cannot be right.
    #[error("{field}: {value}: {reason}")]
    Value {
        /// The field of the configuration.
        field: &'static str,
        /// The value as given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `memory.checkBeforeUpdate` was asked for and the new limit is below the present usage.
    #[error("unable to set memory limit to {limit} (current usage: {usage})")]
    MemoryInUse {
        /// The limit asked for, in bytes.
        limit: i64,
        /// The present usage, in bytes.
        usage: u64,
    },
    /// Something did not come about in time.
    #[error("{} did not {what} within {seconds} s", path.display())]
    Timeout {
        /// What was waited for: `freeze`, `become empty`.
        what: &'static str,
        /// The group.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The device rules cannot be said in the language of the v1 controller.
    #[error(
        "device rules cannot be enforced by cgroup v1: {specific} would be allowed less than the wider {general}"
    )]
    DeviceRules {
        /// The narrower pattern.
        specific: String,
        /// The wider pattern that stands against it.
        general: String,
    },
    /// A call of bpf(2) for the device program failed.
    #[error("device program: {operation} at {}: {source}", path.display())]
    Bpf {
        /// What was tried: `load`, `attach`, `query`, `detach`.
        operation: &'static str,
        /// The group.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Shares of cache or memory bandwidth are asked for, and this machine has none to give.
    #[error(
        "Intel RDT is not available: no resctrl file system is mounted (`mount -t resctrl resctrl /sys/fs/resctrl`, where the processor has it)"
    )]
    NoResctrl,
    /// systemd was asked for, and does not run here.
    #[error(
        "systemd does not run here, so it cannot make control groups; make them in the file system instead (cgroupfs)"
    )]
    NoSystemd,
    /// systemd did not do what it was asked to.
    #[error("systemd: {what} the unit {unit}: {message}")]
    Systemd {
        /// What it was asked: `start`, `change`, `join`, `stop`.
        what: &'static str,
        /// The unit.
        unit: String,
        /// What it says.
        message: String,
    },
    /// A change failed, and putting the old values back failed too.
    #[error("{cause}; and the old values could not be restored: {restore}")]
    Restore {
        /// Why the change failed.
        cause: Box<Error>,
        /// Why the old values could not be restored.
        restore: Box<Error>,
    },
}

impl Error {
    /// A failed system call.
    pub(crate) fn os(operation: &'static str, path: &Path, source: Errno) -> Self {
        Self::Os { operation, path: path.to_owned(), source: source.into() }
    }

    /// A refused value.
    pub(crate) fn value(field: &'static str, value: impl ToString, reason: &'static str) -> Self {
        Self::Value { field, value: value.to_string(), reason }
    }

    /// The kernel's error number, where it was the kernel that refused.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Os { source, .. } | Self::Write { source, .. } | Self::Bpf { source, .. } => {
                source.raw_os_error()
            }
            Self::Restore { cause, .. } => cause.raw_os_error(),
            _ => None,
        }
    }

    /// Whether this process lacks the right (`EACCES`, `EPERM`, `EROFS`): what a caller without root, and without a
    /// limit that it must enforce, may go on from.
    pub fn is_permission(&self) -> bool {
        [Errno::ACCESS, Errno::PERM, Errno::ROFS].into_iter().any(|e| self.is(e))
    }

    /// Whether the group, or a file of it, is not there (any more).
    pub fn is_not_found(&self) -> bool {
        self.is(Errno::NOENT) || self.is(Errno::NODEV)
    }

    /// Whether it is this error number.
    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.raw_os_error() == Some(errno.raw_os_error())
    }
}

/// What to do about a refused write, where one thing is the usual cause.
fn hint(path: &Path, source: &io::Error) -> &'static str {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match source.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::BUSY) if file == "cgroup.procs" => {
            " (a group with controllers enabled for its children takes no processes)"
        }
        Some(Errno::BUSY) if file.starts_with("memory.") => {
            " (the usage is above the new limit and could not be reclaimed)"
        }
        Some(Errno::OPNOTSUPP) if file == "cgroup.procs" => {
            " (the group is threaded or invalid: see cgroup.type)"
        }
        Some(Errno::INVAL) if file == "cpu.rt_runtime_us" => {
            " (the groups above need real-time runtime first)"
        }
        Some(Errno::NOENT) if file.starts_with("blkio.bfq.") || file == "io.weight" => {
            " (weights of block devices need the I/O scheduler bfq)"
        }
        _ => "",
    }
}
