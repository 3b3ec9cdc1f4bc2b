//! Control groups of Linux for containers: v1, hybrid and v2 hosts (cgroups(7)).
//!
//! ```no_run
//! # fn main() -> corten_cgroups::Result<()> {
//! use corten_cgroups::{Group, Layout};
//!
//! let layout = Layout::detect()?;
//! let paths = Group::plan(&layout, Some("/containers/one"), "one")?; // save these, then make them
//! let group = Group::create(paths)?;
//! group.attach(4711)?;
//! group.kill()?;
//! group.remove()
//! # }
//! ```
//!
//! There is no global state; everything may be used from any number of threads at once.
#![forbid(unsafe_code)]

mod apply;
mod create;
mod devices;
mod dir;
mod error;
mod events;
mod freezer;
#[doc(hidden)]
pub mod fuzz;
mod group;
mod kill;
mod layout;
mod notify;
mod path;
mod processes;
mod remove;
pub mod resctrl;
mod resources;
pub mod stats;
mod step;
pub mod systemd;
mod undo;
mod v1;
mod v2;
mod values;

pub use error::{Error, Result};
pub use group::Group;
pub use layout::{Layout, mountinfo_path};
pub use notify::{Oom, OomEvents, PressureEvents, PressureLevel, PressureTrigger, Resource};
pub use path::Paths;
pub use stats::Stats;
pub use step::Warning;
