//! The one error type of the library.

use std::fmt;

use corten_init::{Failure, Stage};

/// The result of an operation on containers.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed, on which object, and what to do about it.
///
/// A program decides by [`Error::kind`]; a person reads the message.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    stage: ErrorStage,
    message: String,
    errno: Option<i32>,
}

/// What a program can decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A container with this id exists.
    Exists,
    /// There is no container with this id.
    NotFound,
    /// The id is not allowed.
    InvalidId,
    /// The configuration, or another argument, is not allowed.
    InvalidConfig,
    /// The operation needs a container that is running, and it is not.
    NotRunning,
    /// The operation needs a container that is not running, and it is.
    Running,
    /// The operation is not possible on a paused container.
    Paused,
    /// The operation needs a paused container, and it is not.
    NotPaused,
    /// Something that was asked for is not supported by this version, this kernel or this machine.
    Unsupported,
    /// The program to run does not exist, or cannot be run.
    CommandNotFound,
    /// A hook failed or took too long.
    Hook,
    /// A control group operation failed.
    Cgroup,
    /// The kernel refused for lack of privileges.
    PermissionDenied,
    /// The new process ended, or said something unexpected, in the middle of the start.
    Protocol,
    /// The kernel refused an operation; see [`Error::raw_os_error`].
    System,
    /// CRIU failed to save or restore a container; the message has its reasons.
    Criu,
    /// The saved state of a container cannot be read.
    CorruptState,
}

/// In which process something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorStage {
    /// In the calling process.
    Host,
    /// In the re-executed copy, before the container's namespaces.
    Bootstrap,
    /// In the container's init.
    Init,
    /// In a program that joins a running container.
    Exec,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, stage: ErrorStage::Host, message: message.into(), errno: None }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidConfig, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// What an operation answers that needs a running container.
    pub(crate) fn not_running() -> Self {
        Self::new(ErrorKind::NotRunning, "container not running")
    }

    /// What a failed system or file operation was doing, with the kernel's answer.
    pub(crate) fn io(what: impl Into<String>, error: impl Into<std::io::Error>) -> Self {
        let failure =
            corten_init::Doing::<()>::doing(Err(error.into()) as std::io::Result<()>, || what.into());
        match failure {
            Err(failure) => Self::from_failure(failure, ErrorStage::Host),
            Ok(()) => Self::new(ErrorKind::System, "no error"),
        }
    }

    pub(crate) fn from_failure(failure: Failure, stage: ErrorStage) -> Self {
        let denied = [rustix::io::Errno::PERM, rustix::io::Errno::ACCESS].iter().any(|e| failure.is(*e));
        let kind = match failure.kind {
            corten_init::Kind::System if denied => ErrorKind::PermissionDenied,
            corten_init::Kind::System => ErrorKind::System,
            corten_init::Kind::Invalid => ErrorKind::InvalidConfig,
            corten_init::Kind::NotFound => ErrorKind::CommandNotFound,
            corten_init::Kind::Unsupported => ErrorKind::Unsupported,
            corten_init::Kind::Hook => ErrorKind::Hook,
            corten_init::Kind::Protocol => ErrorKind::Protocol,
        };
        Self(Box::new(Inner { kind, stage, message: failure.to_string(), errno: failure.errno }))
    }

    /// What a program can decide by.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// In which process it failed.
    pub fn stage(&self) -> ErrorStage {
        self.0.stage
    }

    /// The kernel's error number (errno(3)), where it was the kernel that refused.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.errno
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::from_failure(failure, ErrorStage::Host)
    }
}

impl From<Stage> for ErrorStage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Bootstrap => Self::Bootstrap,
            Stage::Init => Self::Init,
            Stage::Exec => Self::Exec,
        }
    }
}

impl From<corten_cgroups::Error> for Error {
    fn from(error: corten_cgroups::Error) -> Self {
        let kind = match error.is_permission() {
            true => ErrorKind::PermissionDenied,
            false => ErrorKind::Cgroup,
        };
        let mut new = Self::new(kind, error.to_string());
        new.0.errno = error.raw_os_error();
        new
    }
}
