//! From a configuration to a list of steps: pure, and checked without privileges.

use std::path::{Path, PathBuf};

use corten_oci::{Device, Mount};
use corten_sys::mount::{Attributes, Propagation};
use serde::{Deserialize, Serialize};

use super::idmap::{self, Container, Idmap};
use super::label;
use super::options::Options;
use super::over_proc;
use super::root::clean;
use crate::inherited::Slot;
use crate::{Failure, Result};

/// What a configuration says of the root file system.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its absolute path on the host.
    pub rootfs: &'a Path,
    /// Where relative sources of bind mounts start.
    pub bundle: &'a Path,
    /// Whether it is read-only.
    pub readonly: bool,
    /// Propagation of its mount.
    pub propagation: Option<&'a str>,
    /// Whether the root is changed without pivot_root(2), as an initial ram file system demands.
    pub no_pivot: bool,
    /// The SELinux option and label of mounts that take one, such as `context`.
    pub mount_label: Option<(&'a str, &'a str)>,
    /// Mounts in their order.
    pub mounts: &'a [Mount],
    /// Device nodes, the default ones among them.
    pub devices: &'a [Device],
    /// Paths that cannot be read.
    pub masked: &'a [String],
    /// Paths that cannot be written.
    pub readonly_paths: &'a [String],
    /// Whether the host's devices are mounted, since no device nodes can be made, as in a user namespace.
    pub bind_devices: bool,
    /// Its id mappings, for id-mapped mounts that name none.
    pub id_maps: Container<'a>,
    /// Whether there is a mount namespace.
    pub mount_namespace: bool,
    /// Whether there is a cgroup namespace.
    pub cgroup_namespace: bool,
    /// How the host's control groups look.
    pub cgroups: &'a [Hierarchy],
    /// Whether those are the caller's, since the container has none of its own: it may look at them, and not write.
    pub foreign_cgroups: bool,
}

/// One mounted hierarchy of control groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Name of its mount below `/sys/fs/cgroup`; empty for cgroup v2 alone.
    pub name: String,
    /// What mounts it again: controllers and `name=`; empty for cgroup v2.
    pub options: Vec<String>,
    /// The container's own directory on the host.
    pub directory: PathBuf,
}

/// The steps of making a root file system.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rootfs {
    pub(super) path: PathBuf,
    pub(super) readonly: bool,
    pub(super) propagation: Option<Spread>,
    pub(super) no_pivot: bool,
    pub(super) mount_namespace: bool,
    pub(super) mounts: Vec<Step>,
    pub(super) devices: Option<Vec<Node>>,
    pub(super) bind_devices: bool,
    pub(super) masked: Vec<PathBuf>,
    pub(super) readonly_paths: Vec<PathBuf>,
}

/// Propagation, and whether of the mounts below as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) bits: u64,
    pub(super) recursive: bool,
}

/// One mount to make.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) destination: PathBuf,
    pub(super) what: What,
    pub(super) set: u64,
    pub(super) clear: u64,
    pub(super) recursive_set: u64,
    pub(super) recursive_clear: u64,
    pub(super) propagation: Vec<Spread>,
    /// How its owners are mapped, which the runtime and stage 1 see to.
    #[serde(skip)]
    pub(super) idmap: Option<Idmap>,
}

/// What is mounted. Where the runtime has made the mount itself, it comes as a descriptor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum What {
    /// A part of the host.
    Bind { source: PathBuf, recursive: bool, tree: Option<Slot> },
    /// A file system.
    FileSystem {
        fs: FileSystem,
        copy_up: bool,
        tree: Option<Slot>,
        /// A label for the root of a file system that takes none as an option.
        relabel: Option<String>,
    },
    /// The control groups; `directory` is what holds several hierarchies.
    Cgroups { hierarchies: Vec<Hierarchy>, namespace: bool, directory: FileSystem },
}

/// A file system to make.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileSystem {
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) flags: Vec<String>,
    pub(super) data: Vec<String>,
}

impl FileSystem {
    /// One whose source is named as its kind.
    pub(super) fn plain(kind: &str, data: &[&str]) -> Self {
        let data = data.iter().map(|option| (*option).to_owned()).collect();
        Self { kind: kind.to_owned(), source: kind.to_owned(), flags: Vec::new(), data }
    }
}

/// One device node to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) path: PathBuf,
    pub(super) kind: char,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Plans the root file system of a container.
pub fn plan(request: &Request<'_>) -> Result<Rootfs> {
    if !request.mount_namespace {
        refuse_mounts(request)?;
    }
    let mounts = request.mounts.iter().map(|mount| step(mount, request)).collect::<Result<Vec<_>>>()?;
    // Somebody's own /dev is theirs to fill.
    let own_dev =
        mounts.iter().any(|m| m.destination == Path::new("/dev") && matches!(m.what, What::Bind { .. }));
    let make_devices = request.mount_namespace && !own_dev;
    Ok(Rootfs {
        path: request.rootfs.to_owned(),
        readonly: request.readonly,
        propagation: request.propagation.map(spread).transpose()?,
        no_pivot: request.no_pivot,
        mount_namespace: request.mount_namespace,
        mounts,
        devices: make_devices.then(|| request.devices.iter().map(node).collect::<Result<_>>()).transpose()?,
        bind_devices: request.bind_devices,
        masked: request.masked.iter().map(|path| clean(path)).collect(),
        readonly_paths: request.readonly_paths.iter().map(|path| clean(path)).collect(),
    })
}

fn refuse_mounts(request: &Request<'_>) -> Result<()> {
    let asked = [
        ("mounts", !request.mounts.is_empty()),
        ("maskedPaths", !request.masked.is_empty()),
        ("readonlyPaths", !request.readonly_paths.is_empty()),
        ("root.readonly", request.readonly),
        ("rootfsPropagation", request.propagation.is_some()),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((field, _)) => {
            Err(Failure::invalid(format!("{field} needs a mount namespace of the container's own")))
        }
        None => Ok(()),
    }
}

fn spread(name: &str) -> Result<Spread> {
    let options = Options::parse(&[name.to_owned()])?;
    match options.propagation.as_slice() {
        [(kind, recursive)] => Ok(Spread { bits: kind.bits(), recursive: *recursive }),
        _ => Err(Failure::invalid(format!(
            "rootfsPropagation {name:?} is none of shared, slave, private, unbindable"
        ))),
    }
}

fn step(mount: &Mount, request: &Request<'_>) -> Result<Step> {
    let Mount { destination, typ, source, options, uid_mappings: _, gid_mappings: _ } = mount;
    let texts = [destination, source.as_ref().unwrap_or(destination), typ.as_ref().unwrap_or(destination)];
    if texts.into_iter().chain(options).any(|text| text.contains('\0')) {
        return Err(Failure::invalid(format!(
            "mounts: a field of the mount at {destination:?} has a NUL byte"
        )));
    }
    let path = clean(destination);
    if path == Path::new("/") {
        return Err(Failure::invalid(format!("mounts: {destination:?} would hide the root file system")));
    }
    let parsed = Options::parse(options)?;
    let what = what(mount, &path, &parsed, request)?;
    let idmap = idmap::decide(mount, parsed.idmap.as_ref(), request.id_maps)?;
    if idmap.is_some() && matches!(what, What::Cgroups { .. }) {
        return Err(Failure::invalid(format!("mounts: control groups at {destination} cannot be id-mapped")));
    }
    // That the source of a bind mount is a procfs is checked when it is opened.
    let may_be_procfs = match &what {
        What::FileSystem { fs, .. } => fs.kind == "proc",
        What::Bind { .. } => true,
        What::Cgroups { .. } => false,
    };
    over_proc::check(&path, may_be_procfs)?;
    let spreads =
        |(kind, recursive): &(Propagation, bool)| Spread { bits: kind.bits(), recursive: *recursive };
    let look_only = request.foreign_cgroups && matches!(what, What::Cgroups { .. });
    let kept = if look_only { Attributes::RDONLY } else { Attributes::empty() };
    Ok(Step {
        destination: path,
        what,
        set: parsed.set.union(kept).bits(),
        clear: parsed.clear.difference(kept).bits(),
        recursive_set: parsed.recursive_set.bits(),
        recursive_clear: parsed.recursive_clear.bits(),
        propagation: parsed.propagation.iter().map(spreads).collect(),
        idmap,
    })
}

fn what(mount: &Mount, path: &Path, options: &Options, request: &Request<'_>) -> Result<What> {
    let at = path.display();
    let kind = mount.typ.as_deref().filter(|kind| !matches!(*kind, "" | "none"));
    let bind = options.bind.or((kind == Some("bind")).then_some(false));
    if let Some(recursive) = bind {
        let Some(source) = mount.source.as_deref().filter(|source| !source.is_empty()) else {
            return Err(Failure::invalid(format!("mounts: the bind mount at {at} has no source")));
        };
        if let Some(data) = options.data.first() {
            return Err(Failure::invalid(format!(
                "mounts: bind mount at {at} cannot have the option {data:?}"
            )));
        }
        return Ok(What::Bind { source: request.bundle.join(source), recursive, tree: None });
    }
    let Some(kind) = kind else {
        return Err(Failure::invalid(format!("mounts: the mount at {at} has no type")));
    };
    if kind == "cgroup" || kind == "cgroup2" {
        let hierarchies = request.cgroups.to_vec();
        let mut directory = FileSystem::plain("tmpfs", &["mode=755"]);
        label::add(&mut directory.data, request.mount_label);
        return Ok(What::Cgroups { hierarchies, namespace: request.cgroup_namespace, directory });
    }
    let mut data: Vec<String> = options.data.iter().flat_map(|data| label::split(data)).collect();
    let relabel = match kind {
        "proc" | "sysfs" => None,
        "mqueue" => request.mount_label.map(|(_, label)| label.to_owned()),
        _ => {
            label::add(&mut data, request.mount_label);
            None
        }
    };
    let fs = FileSystem {
        kind: kind.to_owned(),
        source: mount.source.clone().unwrap_or_else(|| kind.to_owned()),
        flags: options.flags.clone(),
        data,
    };
    Ok(What::FileSystem { fs, copy_up: options.copy_up, tree: None, relabel })
}

fn node(device: &Device) -> Result<Node> {
    let Device { typ, path, major, minor, file_mode, uid, gid } = device;
    let wrong = || Failure::invalid(format!("linux.devices: {path:?} is no device node: {device:?}"));
    let number = |number: &Option<i64>| u32::try_from(number.unwrap_or(0)).map_err(|_| wrong());
    let kind = match typ.as_str() {
        "c" | "u" => 'c',
        "b" => 'b',
        "p" => 'p',
        _ => return Err(wrong()),
    };
    Ok(Node {
        path: clean(path),
        kind,
        major: number(major)?,
        minor: number(minor)?,
        mode: file_mode.unwrap_or(0o666) & 0o7777,
        uid: uid.unwrap_or(0),
        gid: gid.unwrap_or(0),
    })
}
