//! Types of the [OCI runtime specification] 1.3: the configuration of a container, its state, and what a runtime can do.
//!
//! They hold what a document says and nothing else: names such as capabilities, namespace types or mount options stay
//! strings, so that a document with a name that this version does not know can still be read, judged and written back
//! unchanged, in its own order. Deciding what a name means is the business of the crates above.
//!
//! [OCI runtime specification]: https://github.com/opencontainers/runtime-spec
#![forbid(unsafe_code)]

mod config;
mod default;
mod features;
mod linux;
mod null;
mod process;
mod resources;
mod seccomp;
mod state;

pub use config::*;
pub use default::default_spec;
pub use features::*;
pub use linux::*;
pub use process::*;
pub use resources::*;
pub use seccomp::*;
pub use state::*;

/// A map that keeps the order of the document it was read from.
pub type Map<V> = indexmap::IndexMap<String, V>;

/// The version of the specification that these types describe.
pub const VERSION: &str = "1.3.0";
