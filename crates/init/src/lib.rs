//! What runs inside the new process of a container, and the protocol it speaks with the runtime.
#![forbid(unsafe_code)]

mod failure;
pub mod hooks;
pub mod inherited;
pub mod rootfs;

pub use failure::{Doing, Failure, Kind, Result, Stage};
