//! Saving a container.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use corten_cgroups::Group;
use corten_criu::rpc::{self, Features, Kind, Options, PageServer};
use corten_criu::{DumpStats, Event, Step, Version};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

use super::criu::{Criu, Directory, LOG_LEVEL, Order, number};
use super::options::{CgroupMode, Checkpoint, Cost, NetworkLock, Progress};
use super::{labels, mounts, processes};
use crate::handle::Handle;
use crate::store::{Saved, SavedInit};
use crate::{Config, Error, ErrorKind, Namespace, Result, Status, child, plan};

/// Name of CRIU's log.
const LOG: &str = "dump.log";

/// Name of the file that tells what the standard files of the first program were, as runc writes it.
pub(super) const DESCRIPTORS: &str = "descriptors.json";

/// Names of namespaces that are the host's.
pub(super) const EXTERNAL_NET: &str = "extRootNetNS";
pub(super) const EXTERNAL_PID: &str = "extRootPidNS";

/// How often somebody who wants to know is told how far it is.
const OFTEN: Duration = Duration::from_millis(200);

/// How long processes that CRIU has killed take to end.
const DEADLINE: Duration = Duration::from_secs(10);

/// Saves the processes of a container; see [`Container::checkpoint`](crate::Container::checkpoint).
pub(crate) fn checkpoint(container: &Handle, mut request: Checkpoint<'_>) -> Result<Cost> {
    let lock = container.store.lock()?;
    let saved = container.refresh()?;
    let status = container.status_of(&saved)?;
    let init = match (status, saved.facts.init) {
        (Status::Running | Status::Paused, Some(init)) => init,
        (status, _) => {
            return Err(Error::new(
                ErrorKind::NotRunning,
                format!("container cannot be checkpointed in {status} state"),
            ));
        }
    };
    let group = Handle::group(&saved).filter(Group::exists);
    check(&request, &saved, init, group.as_ref())?;
    let config_file = config_file(&saved.config)?;
    let mut criu = Criu::find(&container.home.launcher)?;
    check_criu(&request, &mut criu, &saved)?;
    let frozen = group.as_ref().filter(|_| request.cgroups != Some(CgroupMode::Ignore));
    let freezer = frozen.and_then(|group| freezer(group.paths(), &criu));
    let paused = status == Status::Paused;
    if paused {
        check_paused(freezer.as_deref(), group.as_ref())?;
    }
    let images = Directory::make(&request.images)?;
    let work = request.work.as_deref().map(Directory::make).transpose()?;
    check_parent(&request, &images)?;
    let mut options = options(&request, &criu, &saved.config, init.pid);
    options.config_file = config_file;
    options.freeze_cgroup = freezer;
    let told = describe(&saved, init, group.as_ref(), &mut options)?;
    if !request.pre_dump {
        write_descriptors(&images, &told)?;
        remove_network(&images)?;
    }
    let mut progress = Watch::new(&mut request, &images, init, group.as_ref());
    let kind = if request.pre_dump { Kind::PreDump } else { Kind::Dump };
    let interval = progress.wanted().then_some(OFTEN);
    let order = Order { kind, options, images: &images, work: work.as_ref(), interval };
    let pidfd = init.pidfd()?;
    // Who fetches the memory may take long, and nothing of the container changes any more.
    let lock = if request.lazy_pages { None } else { Some(lock) };
    let done = criu.save(order, |event| match event {
        // Where it fails now, CRIU lets the container go on.
        Event::Step { step: Step::PostDump, .. } => {
            labels::check_saved(init.pid, &images.path, &saved.config)
        }
        event => progress.take(event),
    });
    if let Err(error) = done {
        go_on(group.as_ref(), paused);
        return Err(error);
    }
    progress.tell_now();
    drop(lock);
    match pidfd {
        // CRIU has killed it, and may have returned first.
        Some(pidfd) if progress.stops => child::ended(&pidfd, Some(DEADLINE)).map(drop)?,
        _ => {}
    }
    Ok(cost(work.as_ref().unwrap_or(&images)))
}

/// What CRIU has measured, in its working directory.
fn cost(work: &Directory) -> Cost {
    let stats = DumpStats::read(&work.path);
    stats.map_or_else(Cost::default, |stats| Cost {
        frozen: Some(stats.frozen),
        written: Some(stats.pages_written.saturating_mul(rustix::param::page_size() as u64)),
    })
}

/// CRIU works in the processes themselves: those that are paused it lets go for as long as it holds each by itself, where it is told
/// of the group that is frozen. On cgroup v1 it waits for ever for a frozen one.
fn check_paused(freezer: Option<&str>, group: Option<&Group>) -> Result<()> {
    let v1 = group.is_some_and(|group| group.paths().get("freezer").is_some());
    if freezer.is_some() && !v1 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Paused, "container cannot be checkpointed in paused state: resume it first"))
}

/// After a failure the container is as it was, though CRIU may have ended in the middle.
fn go_on(group: Option<&Group>, paused: bool) {
    let Some(group) = group.filter(|group| group.exists()) else { return };
    if let Err(error) = if paused { group.freeze() } else { group.thaw() } {
        tracing::warn!("after the failed checkpoint: {error}");
    }
}

/// Refuses what cannot come back, before anything is touched.
fn check(request: &Checkpoint<'_>, saved: &Saved, init: SavedInit, group: Option<&Group>) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new(ErrorKind::PermissionDenied, "checkpoint needs root, as CRIU does"));
    }
    mounts::refuse(&saved.config)?;
    if request.pre_dump && request.lazy_pages {
        return Err(Error::invalid("a pre-dump cannot have lazy pages"));
    }
    if request.status.is_some() && !request.lazy_pages {
        return Err(Error::invalid(
            "the status descriptor is told when memory is served: it needs lazy pages",
        ));
    }
    if request.lazy_pages && request.page_server.is_none() {
        return Err(Error::invalid("lazy pages need the address and port to serve them at (page server)"));
    }
    let Some(group) = group else { return Ok(()) };
    let strangers = processes::strangers(&group.processes()?, init.pid, processes::parent);
    match strangers.first() {
        None => Ok(()),
        Some(pid) => Err(Error::unsupported(format!(
            "process {pid} of the container is no descendant of its first one, and CRIU cannot save it: end programs that \
             were started by exec first"
        ))),
    }
}

/// Refuses a CRIU or a kernel that lacks what is asked for.
fn check_criu(request: &Checkpoint<'_>, criu: &mut Criu<'_>, saved: &Saved) -> Result<()> {
    if saved.config.namespaces().path_of(Namespace::Pid).is_some() {
        criu.needs(Version::new(3, 15, 0), "a container in an existing pid namespace")?;
    }
    if request.tcp_close {
        criu.needs(Version::new(4, 0, 0), "--tcp-close")?;
    }
    match request.network_lock {
        None => {}
        Some(NetworkLock::Skip) => criu.needs(Version::new(3, 19, 0), "--network-lock skip")?,
        Some(_) => criu.needs(Version::new(3, 16, 0), "--network-lock")?,
    }
    if !(request.pre_dump || request.lazy_pages) {
        return Ok(());
    }
    let Features { mem_track, lazy_pages } = criu.features()?;
    let lacking = [
        (
            request.pre_dump && mem_track != Some(true),
            "a pre-dump",
            "tell which memory is written (MemTrack)",
        ),
        (
            request.lazy_pages && lazy_pages != Some(true),
            "--lazy-pages",
            "let memory follow later (LazyPages)",
        ),
    ];
    match lacking.iter().find(|(lacks, ..)| *lacks) {
        Some((_, what, can)) => Err(Error::unsupported(format!(
            "{what} is not possible: criu is missing features: this kernel cannot {can}"
        ))),
        None => Ok(()),
    }
}

/// The parent's images must be where CRIU will look for them.
fn check_parent(request: &Checkpoint<'_>, images: &Directory) -> Result<()> {
    let Some(parent) = &request.parent else { return Ok(()) };
    if parent.is_absolute() {
        return Err(Error::invalid(format!(
            "parent-path must be relative to the images, and {} is absolute",
            parent.display()
        )));
    }
    let place = images.path.join(parent);
    match place.canonicalize() {
        Ok(path) if path == images.path => {
            Err(Error::invalid(format!("parent-path: {} are the images themselves", place.display())))
        }
        Ok(path) if path.is_dir() => Ok(()),
        _ => Err(Error::invalid(format!("parent-path: {} is no directory", place.display()))),
    }
}

/// What CRIU is asked for, but for the container's own.
fn options(request: &Checkpoint<'_>, criu: &Criu<'_>, config: &Config, pid: i32) -> Options {
    // With the option "lazy pages" the address is where they are served.
    let server = request.page_server.as_ref();
    Options {
        pid: Some(pid),
        log_level: Some(LOG_LEVEL),
        log_file: Some(LOG.to_owned()),
        notify_scripts: Some(true),
        orphan_pts_master: Some(true),
        leave_running: Some(request.leave_running),
        tcp_established: Some(request.tcp_established),
        tcp_skip_in_flight: Some(request.tcp_skip_in_flight),
        tcp_close: request.tcp_close.then_some(true),
        link_remap: Some(request.link_remap),
        ext_unix_sk: Some(request.external_unix_sockets),
        shell_job: Some(request.shell_job),
        file_locks: Some(request.file_locks),
        auto_dedup: Some(request.auto_dedup),
        lazy_pages: Some(request.lazy_pages),
        status_fd: request.status.as_ref().filter(|_| !criu.is(STATUS_READY)).map(number),
        page_server: server.map(|(address, port)| PageServer {
            address: Some(address.clone()),
            port: Some(i32::from(*port)),
        }),
        parent_img: request.parent.as_ref().map(|parent| parent.to_string_lossy().into_owned()),
        track_mem: (request.pre_dump || request.parent.is_some()).then_some(true),
        empty_ns: empties(request.empty_network, config).then(network_bit),
        manage_cgroups: Some(request.cgroups != Some(CgroupMode::Ignore)),
        manage_cgroups_mode: request.cgroups.map(cgroup_mode),
        network_lock: request.network_lock.map(|method| {
            match method {
                NetworkLock::Iptables => rpc::NetworkLock::Iptables,
                NetworkLock::Nftables => rpc::NetworkLock::Nftables,
                NetworkLock::Skip => rpc::NetworkLock::Skip,
            }
            .into()
        }),
        ..Options::default()
    }
}

/// The first CRIU that comes to [`StatusReady`](corten_criu::Step::StatusReady); older ones write to the descriptor themselves.
const STATUS_READY: Version = Version::new(3, 15, 0);

/// Whether the network namespace is saved empty: only one of the container's own is saved at all.
pub(super) fn empties(asked: bool, config: &Config) -> bool {
    asked && config.namespaces().is_new(Namespace::Net)
}

/// `CLONE_NEWNET`.
pub(super) fn network_bit() -> u32 {
    corten_sys::namespace::Namespaces::NET.bits()
}

pub(super) fn cgroup_mode(mode: CgroupMode) -> i32 {
    match mode {
        CgroupMode::Soft => rpc::CgroupMode::Soft,
        CgroupMode::Full => rpc::CgroupMode::Full,
        CgroupMode::Strict => rpc::CgroupMode::Strict,
        CgroupMode::Ignore => rpc::CgroupMode::Ignore,
    }
    .into()
}

/// The directory whose processes CRIU freezes; without one it stops each by itself.
fn freezer(paths: &corten_cgroups::Paths, criu: &Criu<'_>) -> Option<String> {
    let v2 = || paths.get("").filter(|_| criu.is(Version::new(3, 14, 0)));
    paths.get("freezer").or_else(v2).map(|path| path.display().to_string())
}

/// Adds what is the container's own, and tells what its standard files are called in the images.
fn describe(
    saved: &Saved,
    init: SavedInit,
    group: Option<&Group>,
    options: &mut Options,
) -> Result<Vec<String>> {
    let config = &saved.config;
    let pid = init.pid;
    options.root = Some(config.rootfs().display().to_string());
    for (kind, name) in [(Namespace::Net, EXTERNAL_NET), (Namespace::Pid, EXTERNAL_PID)] {
        if config.namespaces().path_of(kind).is_some() {
            let path = format!("/proc/{pid}/ns/{}", kind.proc_name());
            let inode =
                std::fs::metadata(&path).map_err(|error| Error::io(format!("look at {path}"), error))?.ino();
            options.external.push(format!("{}[{inode}]:{name}", kind.proc_name()));
        }
    }
    let table = read(&format!("/proc/{pid}/mountinfo"))?;
    let points = mounts::points(&table);
    let hierarchies = plan::hierarchies(group);
    let own = mounts::points(&read("/proc/self/mountinfo")?);
    let externals = mounts::externals(config, &hierarchies, &own);
    let root = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        rustix::fs::open(&root, flags, Mode::empty()).map_err(|e| Error::io(format!("open {root}"), e))?;
    let place = |path: &Path| place(root.as_fd(), path);
    options.external_mounts = mounts::on_dump(&externals, config.mask_paths(), &points, place);
    let mut told = saved.facts.descriptors.clone();
    told.resize(3, String::new());
    for (number, told) in told.iter_mut().enumerate() {
        if let Some(key) = file_outside(pid, number, &table) {
            options.external.push(key.clone());
            *told = key;
        }
    }
    options.external.dedup();
    Ok(told)
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::io(format!("read {path}"), error))
}

/// Where a path of the configuration is in the container, and whether it is a directory.
fn place(root: BorrowedFd<'_>, path: &Path) -> Option<(PathBuf, bool)> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found =
        rustix::fs::openat2(root, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).ok()?;
    let directory = FileType::from_raw_mode(rustix::fs::fstat(&found).ok()?.st_mode) == FileType::Directory;
    let link = format!("/proc/self/fd/{}", number(&found));
    let path = rustix::fs::readlinkat(CWD, link, Vec::new()).ok()?;
    Some((OsString::from_vec(path.into_bytes()).into(), directory))
}

/// What CRIU calls a standard file of init that lies on none of the container's mounts, such as a log of the host's.
fn file_outside(pid: i32, number: usize, table: &str) -> Option<String> {
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
    let mount: u64 = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()?;
    let inside = table.lines().any(|line| line.split(' ').next() == Some(&mount.to_string()));
    let file = std::fs::metadata(format!("/proc/{pid}/fd/{number}")).ok()?;
    (!inside && file.is_file()).then(|| format!("file[{mount:x}:{:x}]", file.ino()))
}

/// Options that go before those of this program: the annotation's file, or the machine's.
pub(super) fn config_file(config: &Config) -> Result<Option<String>> {
    const ANNOTATION: &str = "org.criu.config";
    const DEFAULT: &str = "/etc/criu/runc.conf";
    match config.annotations().get(ANNOTATION).map(String::as_str) {
        Some("") => Ok(None),
        // CRIU would go on without it.
        Some(path) if !Path::new(path).is_file() => {
            Err(Error::invalid(format!("annotation {ANNOTATION}: {path} is no file")))
        }
        Some(path) => Ok(Some(path.to_owned())),
        None => Ok(Path::new(DEFAULT).exists().then(|| DEFAULT.to_owned())),
    }
}

/// Removes the network interfaces of an earlier checkpoint into the same directory: where this one has none, they would be taken for
/// its own.
fn remove_network(images: &Directory) -> Result<()> {
    let doing = |error| Error::io(format!("remove old images in {}", images.path.display()), error);
    for entry in std::fs::read_dir(&images.path).map_err(doing)? {
        let entry = entry.map_err(doing)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(NETWORK) && name.ends_with(".img") {
            std::fs::remove_file(entry.path()).map_err(doing)?;
        }
    }
    Ok(())
}

/// How the names of images of network interfaces begin.
pub(super) const NETWORK: &str = "netdev-";

fn write_descriptors(images: &Directory, told: &[String]) -> Result<()> {
    let doing = |error| Error::io(format!("write {}", images.path.join(DESCRIPTORS).display()), error);
    let text = serde_json::to_vec(told).map_err(|error| doing(std::io::Error::from(error)))?;
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(images.path.join(DESCRIPTORS));
    file.and_then(|mut file| file.write_all(&text)).map_err(doing)
}

/// Who watches the dump.
struct Watch<'a, 'b> {
    tell: Option<Box<dyn FnMut(Progress) + Send + 'b>>,
    status: Option<OwnedFd>,
    images: &'a Directory,
    resident: u64,
    /// Whether the container ends with the dump.
    stops: bool,
}

impl<'a, 'b> Watch<'a, 'b> {
    fn new(
        request: &mut Checkpoint<'b>,
        images: &'a Directory,
        init: SavedInit,
        group: Option<&Group>,
    ) -> Self {
        let tell = request.progress.take();
        let pids = || group.and_then(|group| group.processes().ok()).unwrap_or_else(|| vec![init.pid]);
        Self {
            resident: if tell.is_some() { pids().into_iter().map(processes::resident).sum() } else { 0 },
            tell,
            status: request.status.take(),
            images,
            stops: !request.pre_dump && !request.leave_running,
        }
    }

    fn wanted(&self) -> bool {
        self.tell.is_some()
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Quiet => self.tell_now(),
            // Only a CRIU that was not given the descriptor tells of it.
            Event::Step { step: Step::StatusReady, .. } => {
                if let Some(status) = self.status.take() {
                    rustix::io::write(&status, &[0])
                        .map_err(|errno| Error::io("write to the status descriptor", errno))?;
                }
            }
            Event::Step { .. } => {}
        }
        Ok(())
    }

    fn tell_now(&mut self) {
        let Some(tell) = &mut self.tell else { return };
        let written = pages(&self.images.path);
        tell(Progress { written, resident: self.resident });
    }
}

/// Bytes of memory in the images.
fn pages(images: &Path) -> u64 {
    let entries = std::fs::read_dir(images).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("pages-"))
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}
