//! Making the mounts, each attached to the descriptor of its place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_sys::mount::{Attributes, Change, change};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;

use super::copy_up;
use super::devices;
use super::idmap::{IdMapped, Idmap, Mapping, Source};
use super::isolate;
use super::label;
use super::over_proc;
use super::plan::{FileSystem, Hierarchy, Rootfs, Step, What};
use super::root::{self, Root};
use super::tree::{attach, clone_tree, make, set_propagation};
use crate::inherited::Slot;
use crate::{Doing, Failure, Result};

/// A root file system that is mounted, but not yet entered.
#[derive(Debug)]
pub struct Prepared {
    pub(super) plan: Rootfs,
    pub(super) root: Root,
    /// Mounts that become read-only when everything below them is made.
    pub(super) readonly_later: Vec<OwnedFd>,
    /// The host's /dev/null, as a mount of its own.
    pub(super) null: Option<OwnedFd>,
}

impl Rootfs {
    /// Makes the mounts, devices and links of the container, beside the present root.
    pub fn prepare(mut self) -> Result<Prepared> {
        if !self.mount_namespace {
            let root = root::host(&self.path)
                .doing(|| format!("open the root file system {}", self.path.display()))?;
            return Ok(Prepared { plan: self, root: Root(root), readonly_later: Vec::new(), null: None });
        }
        isolate::isolate(&self)?;
        // Before anything is mounted, so that no mount can change what a source's path means.
        let sources = self.mounts.iter_mut().map(open_source).collect::<Result<Vec<_>>>()?;
        let null = if self.masked.is_empty() { None } else { Some(devices::host_null()?) };
        let host_devices = devices::open_host(&self)?;
        let root = Root(isolate::attach_root(&self.path)?);
        let mut prepared = Prepared { plan: self, root, readonly_later: Vec::new(), null };
        let steps = std::mem::take(&mut prepared.plan.mounts);
        for (step, source) in steps.iter().zip(sources) {
            prepared.mount(step, source)?;
        }
        devices::make(&prepared.plan, &prepared.root, host_devices)?;
        Ok(prepared)
    }
}

impl Rootfs {
    /// Opens the sources of bind mounts beforehand, in the runtime: root of a user namespace may not get to all of them.
    /// What the runtime may not copy either, init tries itself.
    pub fn open_sources(&mut self, mut hand_over: impl FnMut(OwnedFd) -> Slot) -> Result<()> {
        for step in self.mounts.iter_mut().filter(|step| step.idmap.is_none()) {
            let What::Bind { source, recursive, tree } = &mut step.what else { continue };
            match clone_tree(CWD, source, *recursive) {
                Ok(copy) => *tree = Some(hand_over(copy)),
                Err(Errno::PERM) => {}
                Err(errno) => return Err(errno).doing(|| bind(source, &step.destination)),
            }
        }
        Ok(())
    }

    /// Makes the mounts whose owners are mapped, in the runtime, which rules their file systems; stage 1 maps them.
    pub fn make_id_mapped(&mut self, mut hand_over: impl FnMut(OwnedFd) -> Slot) -> Result<Vec<IdMapped>> {
        let mut mapped = Vec::new();
        for step in &mut self.mounts {
            let Some(Idmap { recursive, source: mapping }) = step.idmap.take() else { continue };
            let doing = || format!("make the id-mapped mount at {}", step.destination.display());
            let (slot, mount) = match &mut step.what {
                What::Bind { source, recursive, tree } => {
                    (tree, clone_tree(CWD, source, *recursive).doing(doing)?)
                }
                What::FileSystem { fs, tree, .. } => {
                    let (attributes, _) = at_first(step.set, &fs.kind);
                    (tree, make(fs, attributes).map_err(|failure| during(doing(), failure))?)
                }
                What::Cgroups { .. } => continue,
            };
            let mount = hand_over(mount);
            let mapping = match mapping {
                Source::Ids { users, groups } => Mapping::Ids { users, groups },
                Source::Namespace(path) => {
                    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
                    let opened = rustix::fs::open(&path, flags, Mode::empty());
                    let doing = || format!("open the user namespace {}", path.display());
                    Mapping::Namespace(hand_over(opened.doing(doing)?))
                }
            };
            *slot = Some(Slot(mount.0));
            mapped.push(IdMapped { destination: step.destination.clone(), mount, mapping, recursive });
        }
        Ok(mapped)
    }
}

/// The attributes that a new file system has at first, and whether it becomes read-only later: a read-only tmpfs would take
/// no mount points of later mounts.
fn at_first(set: u64, kind: &str) -> (Attributes, bool) {
    let attributes = Attributes::from_bits_retain(set);
    let later = kind == "tmpfs" && attributes.contains(Attributes::RDONLY);
    (if later { attributes - Attributes::RDONLY } else { attributes }, later)
}

fn bind(source: &Path, destination: &Path) -> String {
    format!("bind mount {} at {}", source.display(), destination.display())
}

/// The source of a bind mount, as a tree of its own, or the file system that the runtime has made.
fn open_source(step: &mut Step) -> Result<Option<OwnedFd>> {
    let (source, recursive, tree) = match &mut step.what {
        What::Bind { source, recursive, tree } => (source, recursive, tree),
        What::FileSystem { tree, .. } => return tree.take().map(Slot::take).transpose(),
        What::Cgroups { .. } => return Ok(None),
    };
    let doing = || bind(source, &step.destination);
    let tree = match tree.take() {
        Some(slot) => slot.take()?,
        None => clone_tree(CWD, source, *recursive).doing(doing)?,
    };
    over_proc::check_source(&tree, &step.destination)?;
    Ok(Some(tree))
}

impl Prepared {
    fn mount(&mut self, step: &Step, source: Option<OwnedFd>) -> Result<()> {
        match &step.what {
            What::Bind { source: path, .. } => {
                let Some(tree) = source else { return Ok(()) };
                let place = match root::is_directory(&tree)? {
                    true => self.root.directory(&step.destination)?,
                    false => self.root.file(&step.destination)?,
                };
                over_proc::check_place(&self.root, &place, &step.destination, &tree)?;
                let doing = || bind(path, &step.destination);
                set_exactly(tree.as_fd(), step).doing(doing)?;
                spread(tree.as_fd(), step).doing(doing)?;
                attach(&tree, place).doing(doing)
            }
            What::FileSystem { .. } => self.file_system(step, source),
            What::Cgroups { .. } => self.cgroups(step),
        }
    }

    fn file_system(&mut self, step: &Step, made: Option<OwnedFd>) -> Result<()> {
        let What::FileSystem { fs, copy_up, relabel, .. } = &step.what else { return Ok(()) };
        let FileSystem { kind, source, .. } = fs;
        let at = step.destination.display();
        let doing = || format!("mount {kind:?} (source {source:?}) at {at}");
        let (place, new) = self.place(kind, &step.destination)?;
        let (attributes, later) = at_first(step.set, kind);
        let mount = match made {
            Some(mount) => mount,
            None => make(fs, attributes).map_err(|failure| during(doing(), failure))?,
        };
        // As the directory that it hides, where there was one and nothing else is asked for; the owner is what uid= and gid= say.
        if kind == "tmpfs" && !new && !fs.data.iter().any(|data| data.starts_with("mode=")) {
            let mode = rustix::fs::fstat(&place).doing(doing)?.st_mode & 0o7777;
            rustix::fs::chmodat(&mount, ".", Mode::from_raw_mode(mode), AtFlags::empty()).doing(doing)?;
        }
        over_proc::check_place(&self.root, &place, &step.destination, &mount)?;
        if *copy_up {
            copy_up::copy_up(&place, &mount).map_err(|failure| during(doing(), failure))?;
        }
        attach(&mount, &place).doing(doing)?;
        if let Some(label) = relabel {
            label::relabel(&mount, label).doing(|| format!("label {at} {label:?}"))?;
        }
        spread(mount.as_fd(), step).doing(doing)?;
        if later {
            self.readonly_later.push(mount);
        }
        Ok(())
    }

    /// The place of a file system, and whether it was missing. That of procfs and sysfs must be a directory of the image's own, for what the runtime
    /// and the program find there is trusted (CVE-2019-19921, CVE-2023-27561).
    fn place(&self, kind: &str, destination: &Path) -> Result<(OwnedFd, bool)> {
        let (place, new) = self.root.directory_or_new(destination)?;
        if !matches!(kind, "proc" | "sysfs") {
            return Ok((place, new));
        }
        self.root.find_plain(destination).map(|place| (place, new)).map_err(|errno| match errno {
            Errno::LOOP => Failure::invalid(format!(
                "filesystem {kind:?} must be mounted on ordinary directory: {} has a symbolic link in it",
                destination.display()
            )),
            errno => {
                Failure::system(format!("find {} inside the root file system", destination.display()), errno)
            }
        })
    }

    /// The control groups: the v2 hierarchy, or a directory of the v1 hierarchies.
    fn cgroups(&mut self, step: &Step) -> Result<()> {
        let What::Cgroups { hierarchies, namespace, directory } = &step.what else { return Ok(()) };
        let at = step.destination.display();
        let attributes = Attributes::from_bits_retain(step.set);
        let place = self.root.directory(&step.destination)?;
        if let [only] = &hierarchies[..]
            && only.name.is_empty()
        {
            let mount = cgroup_mount(only, *namespace, attributes)?;
            over_proc::check_place(&self.root, &place, &step.destination, &mount)?;
            attach(&mount, &place).doing(|| format!("mount the control groups at {at}"))?;
            return spread(mount.as_fd(), step).doing(|| format!("mount the control groups at {at}"));
        }
        let plain = Attributes::NOSUID | Attributes::NODEV | Attributes::NOEXEC;
        let directory = make(directory, plain)?;
        over_proc::check_place(&self.root, &place, &step.destination, &directory)?;
        attach(&directory, &place).doing(|| format!("mount the control groups at {at}"))?;
        for hierarchy in hierarchies {
            let place = self.root.directory(&step.destination.join(&hierarchy.name))?;
            let mount = cgroup_mount(hierarchy, *namespace, attributes)?;
            attach(&mount, place).doing(|| format!("mount the control groups {} at {at}", hierarchy.name))?;
            let controllers: Vec<_> = hierarchy.options.iter().filter(|o| !o.starts_with("name=")).collect();
            for controller in controllers.iter().filter(|c| controllers.len() > 1 && ***c != hierarchy.name) {
                rustix::fs::symlinkat(&hierarchy.name, &directory, controller.as_str())
                    .doing(|| format!("link the controller {controller} at {at}"))?;
            }
        }
        if attributes.contains(Attributes::RDONLY) {
            self.readonly_later.push(directory);
        }
        Ok(())
    }
}

/// One hierarchy as the container sees it: its own directory.
fn cgroup_mount(hierarchy: &Hierarchy, namespace: bool, attributes: Attributes) -> Result<OwnedFd> {
    let unified = hierarchy.options.is_empty();
    if namespace {
        let (kind, options) = match unified {
            true => ("cgroup2", Vec::new()),
            false => ("cgroup", hierarchy.options.clone()),
        };
        let fs = FileSystem {
            kind: kind.to_owned(),
            source: "cgroup".to_owned(),
            flags: Vec::new(),
            data: options,
        };
        match make(&fs, attributes) {
            Err(failure) if failure.is(Errno::PERM) || failure.is(Errno::BUSY) => {}
            other => return other,
        }
    }
    let path = &hierarchy.directory;
    let doing = || format!("bind mount the control group {}", path.display());
    let tree = clone_tree(CWD, path, false).doing(doing)?;
    change(tree.as_fd(), Change { set: attributes, ..Change::default() }).doing(doing)?;
    Ok(tree)
}

fn during(what: String, mut failure: Failure) -> Failure {
    failure.what = format!("{what}: {}", failure.what);
    failure
}

/// Every attribute that a bind mount takes from its options alone, where it has any.
const EXACT: Attributes = Attributes::RDONLY
    .union(Attributes::NOSUID)
    .union(Attributes::NODEV)
    .union(Attributes::NOEXEC)
    .union(Attributes::NODIRATIME);

/// Gives a bind mount exactly the attributes that its options name. Those that the host has locked (mount_namespaces(7))
/// stay, but not against an explicit wish.
fn set_exactly(tree: BorrowedFd<'_>, step: &Step) -> rustix::io::Result<()> {
    let set = Attributes::from_bits_retain(step.set);
    let clear = Attributes::from_bits_retain(step.clear);
    if set.is_empty() && clear.is_empty() {
        return Ok(());
    }
    let exact = Change { set, clear: (clear | EXACT) - (set - Attributes::ATIME), ..Change::default() };
    match change(tree, exact) {
        Err(Errno::PERM) => {}
        other => return other,
    }
    let locked = present(tree)?;
    if clear.intersects(locked - Attributes::ATIME) {
        return Err(Errno::PERM);
    }
    change(tree, Change { set, clear: clear & Attributes::ATIME, ..Change::default() })
}

/// The attributes of a mount.
fn present(mount: BorrowedFd<'_>) -> rustix::io::Result<Attributes> {
    let flags = rustix::fs::fstatvfs(mount)?.f_flag;
    let pairs = [
        (StatVfsMountFlags::RDONLY, Attributes::RDONLY),
        (StatVfsMountFlags::NOSUID, Attributes::NOSUID),
        (StatVfsMountFlags::NODEV, Attributes::NODEV),
        (StatVfsMountFlags::NOEXEC, Attributes::NOEXEC),
        (StatVfsMountFlags::NODIRATIME, Attributes::NODIRATIME),
    ];
    Ok(pairs.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, attribute)| attribute).collect())
}

/// Propagation and what holds for the mounts below as well.
fn spread(mount: BorrowedFd<'_>, step: &Step) -> rustix::io::Result<()> {
    for spread in &step.propagation {
        set_propagation(mount, *spread)?;
    }
    let set = Attributes::from_bits_retain(step.recursive_set);
    let clear = Attributes::from_bits_retain(step.recursive_clear);
    if set.is_empty() && clear.is_empty() {
        return Ok(());
    }
    change(mount, Change { set, clear, recursive: true, ..Change::default() })
}
