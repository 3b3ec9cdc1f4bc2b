//! Create and manage Linux containers from any Rust program.
//!
//! A container is started in two steps: the program executes a sealed copy of itself, which becomes the container's
//! init. So a program that uses this library calls [`init`] first in `main`; it may have any number of threads after that.
//!
//! ```no_run
//! use corten::{Config, Id, Launcher, Process, Runtime};
//!
//! fn main() -> corten::Result<()> {
//!     let hook = corten::init(); // in the re-executed copy this never returns
//!     let runtime = Runtime::open("/run/containers", Launcher::self_exe(hook))?;
//!     let config = Config::builder("/your/path/to/rootfs").hostname("testing").build()?;
//!     let container = runtime.create(&Id::try_from("container-id")?, config)?;
//!     let child = container.run(Process::builder("/bin/sh").env("PATH", "/bin").build()?)?;
//!     let status = child.wait()?;
//!     container.destroy()?;
//!     std::process::exit(status.code());
//! }
//! ```
//!
//! The library starts no threads, and changes nothing of the caller's process: no working directory, mask, environment,
//! signal, limit or descriptor. Everything is synchronous; what can be waited for is a descriptor ([`Child`] is `AsFd`).
#![forbid(unsafe_code)]

mod cgroup;
pub mod check;
mod checkpoint;
mod child;
pub mod config;
mod container;
mod error;
mod features;
#[doc(hidden)]
pub mod fuzz;
mod handle;
mod hooks;
mod id;
mod idmap;
mod launch;
mod lsm;
mod network;
mod notify;
mod plan;
mod process;
mod rdt;
mod resources;
mod runtime;
mod seccomp;
mod signal;
mod start;
pub mod stats;
mod status;
mod store;
mod time;
mod update;

pub use checkpoint::{Archive, CgroupMode, Checkpoint, Cost, NetworkLock, Progress, Restore};
pub use child::{Child, ExitStatus};
pub use config::{
    Cgroup, Config, ConfigBuilder, Landlock, LandlockPath, LandlockPort, LandlockRules, LandlockRuleset,
    Namespace, Namespaces, Network, NetworkKind, Route, SpecOptions,
};
pub use container::{Container, Created, Refused};
pub use error::{Error, ErrorKind, ErrorStage, Result};
pub use features::features;
pub use id::Id;
pub use launch::{InitHook, Launcher, init};
pub use notify::{Oom, OomEvents, PressureEvents, PressureLevel, PressureTrigger, Resource};
pub use process::{Process, ProcessBuilder, Stdio, User};
pub use runtime::{Entry, Runtime};
pub use signal::Signal;
pub use stats::Stats;
pub use status::{State, Status};
pub use time::rfc3339;

/// The types of the OCI runtime specification.
pub use corten_oci as oci;
