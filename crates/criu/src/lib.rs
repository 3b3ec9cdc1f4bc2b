//! Speaking with CRIU (Checkpoint/Restore In Userspace): the messages of its RPC, and the conversation with `criu swrk`.
//!
//! CRIU is a program of the machine's. Whoever starts it gives it one end of [`Conversation::pair`] and its number:
//! `criu swrk NUMBER`; it then serves requests, of which a save or a restore is the last, and ends. Nothing is started here.
#![forbid(unsafe_code)]

mod conversation;
mod error;
mod images;
mod log;
pub mod rpc;
mod stats;
mod step;
mod version;

pub use conversation::{Conversation, Event};
pub use error::{Error, Result};
pub use images::{Truncated, check_memory};
pub use log::complaints;
pub use stats::DumpStats;
pub use step::Step;
pub use version::Version;
