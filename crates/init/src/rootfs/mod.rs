//! The root file system of a container: planned by the runtime, made by init.
//!
//! [`plan`] turns a configuration into steps. [`Rootfs::prepare`] makes mounts and devices in the place of the root file
//! system, [`Prepared::enter`] makes that the root, [`Prepared::seal`] closes what the container may not write or read.
//! Everything in the root goes by descriptors, see `root`.

mod copy_up;
mod devices;
mod idmap;
mod isolate;
mod label;
mod mounts;
mod options;
mod over_proc;
mod pivot;
mod places;
mod plan;
mod root;
mod seal;
mod tree;

pub use devices::bind_console;
pub use idmap::{Container as ContainerIds, IdMapped, Mapping};
pub(crate) use isolate::mount_over_itself;
pub use mounts::Prepared;
pub use options::known_mount_options;
pub use plan::{Hierarchy, Request, Rootfs, plan};
pub use root::clean;
pub(crate) use root::find;
pub(crate) use seal::{make_mounts_readonly, make_root_readonly};
