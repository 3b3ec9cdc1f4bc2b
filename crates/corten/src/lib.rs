//! Create and manage Linux containers from any Rust program.
#![forbid(unsafe_code)]

pub mod config;
mod error;
mod hooks;
mod id;
mod process;

pub use config::{
    Cgroup, Config, ConfigBuilder, Namespace, Namespaces, Network, NetworkKind, Route, SpecOptions,
};
pub use error::{Error, ErrorKind, ErrorStage, Result};
pub use id::Id;
pub use process::{Process, ProcessBuilder, Stdio, User};

/// The types of the OCI runtime specification.
pub use corten_oci as oci;
