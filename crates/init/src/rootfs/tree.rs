//! Mounts that are attached nowhere yet, and attaching them (the mount interface of descriptors, Linux 5.2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_sys::mount::{Attributes, Change, Propagation, change};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::plan::{FileSystem, Spread};
use crate::{Doing, Failure, Result};

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
pub(super) fn make(fs: &FileSystem, attributes: Attributes) -> Result<OwnedFd> {
    let FileSystem { kind, source, flags, data } = fs;
    let doing = || format!("make a file system of type {kind:?}");
    let context = fsopen(kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC).doing(doing)?;
    if !source.is_empty() {
        fsconfig_set_string(context.as_fd(), "source", source.as_str())
            .doing(|| format!("set the source {source:?}"))?;
    }
    for flag in flags {
        fsconfig_set_flag(context.as_fd(), flag.as_str()).doing(|| format!("set the option {flag:?}"))?;
    }
    for option in data {
        set_option(context.as_fd(), kind, option)?;
    }
    fsconfig_create(context.as_fd()).doing(doing)?;
    let attributes = MountAttrFlags::from_bits_retain(attributes.bits() as u32);
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).doing(doing)
}

/// The longest value that fsconfig(2) takes, in bytes.
const LONGEST: usize = 255;

fn set_option(context: BorrowedFd<'_>, kind: &str, option: &str) -> Result<()> {
    let doing = || format!("set the option {option:?}");
    match option.split_once('=') {
        None => fsconfig_set_flag(context, option).doing(doing),
        Some((key, value)) if value.len() <= LONGEST => fsconfig_set_string(context, key, value).doing(doing),
        // A stack of image layers is longer than that, and can be given one by one from Linux 6.5 on.
        Some(("lowerdir", value)) if kind == "overlay" => {
            layers(value).iter().try_for_each(|(key, layer)| {
                fsconfig_set_string(context, *key, layer.as_str())
                    .doing(|| format!("set the layer {layer:?}"))
            })
        }
        Some(_) => Err(Failure::invalid(format!("{}: a value has up to {LONGEST} bytes", doing()))),
    }
}

/// The layers of an overlay's `lowerdir`, each with its option: `:` divides them, `::` precedes one that holds data
/// alone, and a backslash takes the meaning of what follows.
fn layers(value: &str) -> Vec<(&'static str, String)> {
    let mut layers = vec![("lowerdir+", String::new())];
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, layers.last_mut()) {
            (':', Some((key, layer))) if layer.is_empty() => *key = "datadir+",
            (':', _) => layers.push(("lowerdir+", String::new())),
            ('\\', Some((_, layer))) => layer.extend(characters.next()),
            (other, Some((_, layer))) => layer.push(other),
            (_, None) => {}
        }
    }
    layers
}

/// Sets how mounts and unmounts spread from and to this mount (mount_namespaces(7)).
pub(super) fn set_propagation(mount: BorrowedFd<'_>, spread: Spread) -> rustix::io::Result<()> {
    let kinds = [Propagation::Shared, Propagation::Slave, Propagation::Private, Propagation::Unbindable];
    let propagation = kinds.into_iter().find(|kind| kind.bits() == spread.bits);
    change(mount, Change { propagation, recursive: spread.recursive, ..Change::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_taken_apart() {
        let expected = [("lowerdir+", "/a:b"), ("lowerdir+", "/c"), ("datadir+", "/d\\e")];
        let layers = layers(r"/a\:b:/c::/d\\e");
        assert_eq!(layers.iter().map(|(key, path)| (*key, path.as_str())).collect::<Vec<_>>(), expected);
    }
}
