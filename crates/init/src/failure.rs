//! A failure inside the new process, in a form that travels to the runtime.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong, where, and on which object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What a program can decide by.
    pub kind: Kind,
    /// The operation and its object, as a phrase: `mount "proc" at /proc`.
    pub what: String,
    /// The kernel's error number, where it was the kernel that refused.
    pub errno: Option<i32>,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The kernel refused an operation.
    System,
    /// The configuration asks for something that cannot be.
    Invalid,
    /// Something that was asked for is not there.
    NotFound,
    /// Something that was asked for is not supported here.
    Unsupported,
    /// A hook failed or took too long.
    Hook,
    /// The other side of the protocol ended or said something unexpected.
    Protocol,
}

/// Where it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// In the first process, before the namespaces.
    Bootstrap,
    /// In the container's init.
    Init,
    /// In a program that joins a running container.
    Exec,
}

/// The result of something that can fail inside the new process.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that no system call reported.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), errno: None, hint: None }
    }

    /// A configuration that asks for something that cannot be.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, what)
    }

    /// The kernel's refusal of an operation.
    pub fn system(what: impl Into<String>, errno: rustix::io::Errno) -> Self {
        Self { errno: Some(errno.raw_os_error()), ..Self::new(Kind::System, what) }
    }

    /// The same failure with advice for the person who reads it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the kernel refused with this error number.
    pub fn is(&self, errno: rustix::io::Errno) -> bool {
        self.errno == Some(errno.raw_os_error())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(errno) = self.errno {
            write!(f, ": {}", describe(errno))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// The words of strerror(3) in lower case, as runc prints them.
fn describe(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Says what was being done when an operation failed.
pub trait Doing<T> {
    /// Turns the error into a [`Failure`] of this operation, as in `.doing(|| format!("open {path}"))`.
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|errno| Failure::system(what(), errno))
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(errno) => Failure::system(what(), errno),
            None => Failure::new(Kind::System, format!("{}: {error}", what().into())),
        })
    }
}
