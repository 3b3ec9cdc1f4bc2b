//! What the tests of Corten share; no program that is delivered uses it.
//!
//! A container test makes a [`Rootfs`] and a [`Bundle`], runs the probe in it, and reads the [`Report`] of what the
//! probe sees from inside. [`Suite`] runs the cases of a test program and counts a case that cannot run on this
//! machine as ignored, with the reason. [`Snapshot`] finds what a container has left behind.
#![forbid(unsafe_code)]

mod binaries;
mod bundle;
mod engine;
mod host;
mod leaks;
mod report;
mod rootfs;
mod run;
mod suite;
mod view;

pub use binaries::{Target, build, build_commit, corten, example, probe};
pub use bundle::{Bundle, default_spec};
pub use engine::{DEFAULT_CAPABILITIES, Engine};
pub use host::{Requirement, missing};
pub use leaks::{Snapshot, Watch};
pub use libtest_mimic::Failed;
pub use report::{
    CAPABILITIES, Capabilities, CapabilitySet, Ids, Limit, Link, Mount, Node, Report, Scheduling, Signals,
    Window,
};
pub use rootfs::{Rootfs, Scratch, install};
pub use run::{Output, Run, patience, rounds};
pub use suite::Suite;
pub use view::View;
