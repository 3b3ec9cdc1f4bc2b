//! Checkpoint and restore: a container's processes are saved to images by CRIU, and brought back from them.

mod archive;
mod criu;
mod dump;
mod inherited;
mod labels;
mod lent;
mod mounts;
mod options;
mod processes;
mod restore;

pub use archive::Archive;
pub(crate) use archive::export;
pub(crate) use dump::checkpoint;
pub use options::{CgroupMode, Checkpoint, Cost, NetworkLock, Progress, Restore};
pub(crate) use restore::restore;
