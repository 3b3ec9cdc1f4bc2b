//! What can go wrong in a conversation.

use rustix::io::Errno;

/// The result of a conversation.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed.
    #[error("{doing}: {errno}")]
    Socket {
        /// What was done.
        doing: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
    /// CRIU ended before it had answered.
    #[error("criu ended without an answer")]
    Ended,
    /// CRIU said something that is no answer.
    #[error("criu gave an answer that makes no sense: {0}")]
    Nonsense(String),
    /// CRIU could not do it.
    #[error("{}", failed(*errno, message.as_deref()))]
    Failed {
        /// The error number that CRIU gives as the reason; often none.
        errno: Option<Errno>,
        /// CRIU's own words.
        message: Option<String>,
    },
}

fn failed(errno: Option<Errno>, message: Option<&str>) -> String {
    let mut text = "criu failed".to_owned();
    if let Some(message) = message {
        text += ": ";
        text += message;
    }
    if let Some(errno) = errno {
        text += &format!(": {errno}");
    }
    text
}
