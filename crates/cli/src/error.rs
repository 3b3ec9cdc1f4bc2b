//! What a command answers when it fails.

use std::io;
use std::path::Path;

/// The result of a command.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation on a container.
    #[error(transparent)]
    Container(#[from] corten::Error),
    /// A file or system operation.
    #[error("{what}: {source}")]
    System {
        /// What was done, to which object.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// JSON that cannot be read.
    #[error("{what}: {source}")]
    Json {
        /// Which.
        what: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The arguments ask for what cannot be, or is not there.
    #[error("{0}")]
    Usage(String),
    /// Another program failed.
    #[error("{program} failed: {status}")]
    Program {
        /// Which.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
}

impl Error {
    /// A wrong argument.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }
}

/// Says what a system operation was doing.
pub trait Doing<T> {
    /// Says what was done, to which object.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::System { what: what(), source: source.into() })
    }
}

/// JSON from bytes; `path` for the message.
pub fn from_json<T: serde::de::DeserializeOwned>(text: &[u8], path: &Path) -> Result<T> {
    serde_json::from_slice(text).map_err(|source| Error::Json { what: path.display().to_string(), source })
}
