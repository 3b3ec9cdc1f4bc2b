//! Create and manage Linux containers from any Rust program.
#![forbid(unsafe_code)]

mod error;
mod id;

pub use error::{Error, ErrorKind, ErrorStage, Result};
pub use id::Id;

/// The types of the OCI runtime specification.
pub use corten_oci as oci;
