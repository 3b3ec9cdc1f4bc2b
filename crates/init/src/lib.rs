//! What runs inside the new process of a container, and the protocol it speaks with the runtime.
//!
//! The story, file by file: [`bootstrap`] is stage 1, which clones `create` (a new container's init) or `join` (a
//! program in a running one); both end in `process`, which becomes the user's program. A helper of the runtime's, such as CRIU,
//! is started by the same road (`host_program`).
#![forbid(unsafe_code)]

mod bootstrap;
mod create;
mod credentials;
mod failure;
pub mod hooks;
mod host_program;
mod idmapped;
pub mod inherited;
mod join;
mod landlock;
mod last;
mod lsm;
pub mod namespaces;
mod outlet;
mod passwd;
pub mod payload;
mod proc;
mod process;
pub mod protocol;
mod reaper;
pub mod rootfs;
pub mod scheduling;
mod terminal;

pub use bootstrap::enter_if_copy;
pub use failure::{Doing, Failure, Kind, Result, Stage};
pub use outlet::recorded_failure;
