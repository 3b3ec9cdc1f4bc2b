//! Mounts that are attached nowhere yet, and attaching them (the mount interface of descriptors, Linux 5.2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_sys::mount::{Attributes, Change, Propagation, change};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::plan::Spread;
use crate::{Doing, Result};

/// A copy of a mount, attached nowhere; with the mounts below it if `recursive`.
pub(super) fn clone_tree(at: impl AsFd, path: &Path, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags |= OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    open_tree(at, path, flags)
}

/// Attaches a mount to a place.
pub(super) fn attach(mount: impl AsFd, place: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", flags)
}

/// A new mount of a file system, attached nowhere.
pub(super) fn make(
    kind: &str,
    source: &str,
    flags: &[String],
    data: &[String],
    attributes: Attributes,
) -> Result<OwnedFd> {
    let doing = || format!("make a file system of type {kind:?}");
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).doing(doing)?;
    if !source.is_empty() {
        fsconfig_set_string(context.as_fd(), "source", source)
            .doing(|| format!("set the source {source:?}"))?;
    }
    for flag in flags {
        fsconfig_set_flag(context.as_fd(), flag.as_str()).doing(|| format!("set the option {flag:?}"))?;
    }
    for option in data {
        let set = match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(context.as_fd(), key, value),
            None => fsconfig_set_flag(context.as_fd(), option.as_str()),
        };
        set.doing(|| format!("set the option {option:?}"))?;
    }
    fsconfig_create(context.as_fd()).doing(doing)?;
    let attributes = MountAttrFlags::from_bits_retain(attributes.bits() as u32);
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).doing(doing)
}

/// Sets how mounts and unmounts spread from and to this mount (mount_namespaces(7)).
pub(super) fn set_propagation(mount: BorrowedFd<'_>, spread: Spread) -> rustix::io::Result<()> {
    let kinds = [Propagation::Shared, Propagation::Slave, Propagation::Private, Propagation::Unbindable];
    let propagation = kinds.into_iter().find(|kind| kind.bits() == spread.bits);
    change(mount, Change { propagation, recursive: spread.recursive, ..Change::default() })
}
