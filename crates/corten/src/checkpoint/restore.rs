//! Bringing a container back.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use corten_cgroups::Group;
use corten_criu::rpc::{CgroupRoot, Kind, Options};
use corten_criu::{Event, Step, Version};
use corten_init::payload::Keyring;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::criu::{Criu, Directory, LOG_LEVEL, Order, Prepared, Setting};
use super::dump::{NETWORK, cgroup_mode, config_file, empties, network_bit};
use super::inherited::Inherited;
use super::options::{CgroupMode, Restore};
use super::{labels, lent, mounts};
use crate::child::{self, Started};
use crate::handle::Handle;
use crate::launch::Ready;
use crate::store::{Lock, Saved, SavedInit};
use crate::{
    Config, Error, ErrorKind, Namespace, Result, Signal, Status, cgroup, hooks, network, oci, plan, rdt,
    start,
};

/// Name of CRIU's log.
const LOG: &str = "restore.log";

/// Brings processes back; see [`Container::restore`](crate::Container::restore).
pub(crate) fn restore(container: &Handle, mut request: Restore) -> Result<(Arc<Started>, Option<OwnedFd>)> {
    let lock = container.store.lock()?;
    let mut saved = container.refresh()?;
    if container.status_of(&saved)? != Status::Stopped {
        return Err(Error::new(ErrorKind::Running, "container already has init process"));
    }
    check(&request, &saved.config)?;
    let config_file = config_file(&saved.config)?;
    let mut criu = Criu::find(&container.home.launcher)?;
    check_criu(&request, &mut criu, &saved.config)?;
    let images = Directory::find(&request.images)?;
    corten_criu::check_memory(&images.path, rustix::param::page_size() as u64)
        .map_err(|truncated| Error::new(ErrorKind::Criu, truncated.to_string()))?;
    let work = request.work.as_deref().map(Directory::make).transpose()?;
    let empty_network = empties(request.empty_network || !has_network(&images)?, &saved.config);
    let mut options = options(&request, &saved.config);
    options.empty_ns = empty_network.then(network_bit);
    options.config_file = config_file;
    let mut inherited = Inherited::default();
    inherited.namespaces(&saved.config, &mut options)?;
    saved.facts.descriptors = inherited.standard_files(&request, &images)?;
    let _lent = match saved.config.namespaces().is_new(Namespace::User) {
        true => lent::lend(&images.path, host_root(saved.config.gid_mappings()))?,
        false => Vec::new(),
    };
    let prepared = criu.prepare()?;
    let crius = prepared.pid();
    let group = cgroup::make_around(
        container,
        &mut saved,
        &lock,
        crius,
        request.cgroups == Some(CgroupMode::Strict),
    )?;
    let console = request.console_socket.take();
    let mut restoring = Restoring {
        container,
        crius,
        saved,
        group,
        lock: Some(lock),
        init: None,
        console,
        terminal: None,
        empty_network,
    };
    match restoring.carry_out(prepared, &request, options, inherited, (&images, work.as_ref())) {
        Ok(()) => {}
        Err(error) => {
            restoring.take_back((!request.shell_job).then_some(crius));
            return Err(error);
        }
    }
    let Restoring { saved, init, terminal, .. } = restoring;
    let (pid, pidfd) =
        init.ok_or_else(|| Error::new(ErrorKind::Protocol, "criu has restored no process that it told of"))?;
    let started = Arc::new(Started::new(pid, pidfd));
    *container.saved() = saved.clone();
    container.remember(Arc::clone(&started));
    start::poststart(container, &saved, &started.pidfd)?;
    Ok((started, terminal))
}

/// Refuses what cannot come back, before anything is touched.
fn check(request: &Restore, config: &Config) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new(ErrorKind::PermissionDenied, "restore needs root, as CRIU does"));
    }
    mounts::refuse(config)?;
    labels::check(request.lsm_profile.as_deref(), request.lsm_mount_context.as_deref(), config)?;
    for (container, host) in &request.veths {
        if ![container, host].iter().all(|name| mounts::is_plain(name)) {
            return Err(Error::invalid(format!("{container:?} and {host:?} are no names of a veth pair")));
        }
        if config.networks().iter().any(|network| network.name == *container) {
            return Err(Error::invalid(format!("the configuration names the other end of {container}")));
        }
    }
    Ok(())
}

fn check_criu(request: &Restore, criu: &mut Criu<'_>, config: &Config) -> Result<()> {
    if config.namespaces().path_of(Namespace::Pid).is_some() {
        criu.needs(Version::new(3, 15, 0), "a container in an existing pid namespace")?;
    }
    if request.lsm_profile.is_some() || request.lsm_mount_context.is_some() {
        criu.needs(Version::new(3, 16, 0), "--lsm-profile and --lsm-mount-context")?;
    }
    if request.lazy_pages && criu.features()?.lazy_pages != Some(true) {
        return Err(Error::unsupported(
            "--lazy-pages is not possible: criu is missing features: this kernel cannot let memory follow later (LazyPages)",
        ));
    }
    Ok(())
}

/// What CRIU is asked for, but for descriptors and control groups.
fn options(request: &Restore, config: &Config) -> Options {
    Options {
        log_level: Some(LOG_LEVEL),
        log_file: Some(LOG.to_owned()),
        notify_scripts: Some(true),
        rst_sibling: Some(true),
        evasive_devices: Some(true),
        orphan_pts_master: Some(true),
        root: Some(config.rootfs().display().to_string()),
        tcp_established: Some(request.tcp_established),
        tcp_close: request.tcp_close.then_some(true),
        ext_unix_sk: Some(request.external_unix_sockets),
        shell_job: Some(request.shell_job),
        file_locks: Some(request.file_locks),
        lazy_pages: Some(request.lazy_pages),
        auto_dedup: Some(request.auto_dedup),
        lsm_profile: request.lsm_profile.clone(),
        lsm_mount_context: request.lsm_mount_context.clone(),
        mntns_compat_mode: mounts::follow_the_host(config).then_some(true),
        external: request.veths.iter().map(veth).collect(),
        manage_cgroups: Some(manages(request, config)),
        manage_cgroups_mode: cgroups(request, config).map(cgroup_mode),
        ..Options::default()
    }
}

/// What CRIU is told of a veth pair: its name inside and on the host.
fn veth((container, host): &(String, String)) -> String {
    format!("veth[{container}]:{host}")
}

/// Whether the images have a network namespace with what was in it: at least its loopback interface.
fn has_network(images: &Directory) -> Result<bool> {
    let doing = |error| Error::io(format!("read the directory {}", images.path.display()), error);
    for entry in std::fs::read_dir(&images.path).map_err(doing)? {
        if entry.map_err(doing)?.file_name().as_bytes().starts_with(NETWORK.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How CRIU restores control groups. That there is none before, where that is wanted, is seen to when the container's is made, in which
/// CRIU itself is.
fn cgroups(request: &Restore, config: &Config) -> Option<CgroupMode> {
    match request.cgroups {
        Some(CgroupMode::Strict) => Some(CgroupMode::Full),
        None if !config.cgroup().managed => Some(CgroupMode::Ignore),
        other => other,
    }
}

/// Without a group of its own everything stays in the caller's.
fn manages(request: &Restore, config: &Config) -> bool {
    config.cgroup().managed && request.cgroups != Some(CgroupMode::Ignore)
}

/// The container's root as the host knows it.
fn host_root(mappings: &[oci::IdMapping]) -> u32 {
    mappings.iter().find(|mapping| mapping.container_id == 0).map_or(0, |mapping| mapping.host_id)
}

/// A restore under way.
struct Restoring<'a> {
    container: &'a Handle,
    /// CRIU's process.
    crius: i32,
    saved: Saved,
    group: Option<Group>,
    /// Held until the first process is known.
    lock: Option<Lock>,
    init: Option<(i32, OwnedFd)>,
    console: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    empty_network: bool,
}

impl Restoring<'_> {
    fn carry_out(
        &mut self,
        prepared: Prepared<'_>,
        request: &Restore,
        mut options: Options,
        inherited: Inherited,
        (images, work): (&Directory, Option<&Directory>),
    ) -> Result<()> {
        let config = Arc::clone(&self.saved.config);
        let lock = self.lock.take();
        if let Some(lock) = &lock {
            rdt::make(self.container, &mut self.saved, lock)?;
            if !self.empty_network {
                let pairs = network::announce(self.container, &mut self.saved, lock)?;
                options.external.extend(pairs.iter().map(veth));
            }
            self.container.store.save(&self.saved.facts, lock)?;
        }
        self.lock = lock;
        let mounts = plan::mount_plan(&config, self.group.as_ref())?;
        mounts.make_places()?;
        if config.readonlyfs() {
            // CRIU changes the root through a directory that it makes there, or in the root itself, which is read-only.
            mounts.make_directory("/tmp")?;
        }
        if self.group.is_some() && manages(request, &config) {
            options.cgroup_roots = cgroup_roots(prepared.pid())?;
        }
        let hierarchies = plan::hierarchies(self.group.as_ref());
        let own = std::fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| Error::io("read /proc/self/mountinfo", error))?;
        let externals = mounts::externals(&config, &hierarchies, &mounts::points(&own));
        options.external_mounts = mounts::on_restore(&externals, !config.mask_paths().is_empty());
        options.inherit_fds = inherited.keys;
        // A shell's job gets the caller's terminal again. Any other is the container's own, and has lost its other end.
        let input = request.shell_job.then(|| plan::standard_input(&request.stdio)).transpose()?;
        let input = input.filter(|input| rustix::termios::isatty(input));
        options.orphan_pts_master = Some(input.is_none());
        let setting = Setting {
            callers_session: request.shell_job,
            input,
            keyring: (!config.no_new_keyring()).then(|| Keyring {
                name: format!("_ses.{}", self.container.id),
                uid: host_root(config.uid_mappings()),
                gid: host_root(config.gid_mappings()),
            }),
            root: Some(config.rootfs().to_owned()),
            ..Setting::default()
        };
        let order = Order { kind: Kind::Restore, options, images, work, interval: None };
        prepared.carry_out(order, setting, inherited.fds, |event| self.take(event, request))?;
        self.known(None, false)
    }

    fn take(&mut self, event: Event, request: &Restore) -> Result<()> {
        let Event::Step { step, pid, fd } = event else { return Ok(()) };
        match step {
            Step::SetupNamespaces => {
                self.known(pid, true)?;
                self.fill_network()?;
                let pid = self.init.as_ref().map(|(pid, _)| *pid);
                let state = self.container.oci_state_of(&self.saved.config, "creating", pid);
                hooks::run_before_pivot(&self.saved.config, &state)
            }
            Step::PostRestore => {
                self.known(pid, true)?;
                self.seal()?;
                if !self.empty_network {
                    network::connect(&self.saved, || self.network_socket())?;
                }
                if let Some(group) = &self.group {
                    cgroup::limit(&self.saved.config, group)?;
                }
                let pid = self.init.as_ref().map_or(0, |(pid, _)| *pid);
                rdt::attach_all(&self.saved, pid)
            }
            Step::PreResume => {
                let Some((pid, pidfd)) = &self.init else { return Ok(()) };
                let crius = self.crius.to_string();
                labels::check_restored(*pid, &crius, request.lsm_profile.as_deref(), &self.saved.config)
                    // It must not go on, and CRIU would let it.
                    .inspect_err(|_| self.end(pidfd))
            }
            Step::OrphanPtsMaster => {
                self.saved.facts.terminal = true;
                self.terminal = start::hand_over(self.console.take(), fd)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Kills what was restored: the first process, and those that would not end with it. CRIU is in the same group, and has to answer.
    fn end(&self, init: &OwnedFd) {
        drop(child::send(init, Signal::KILL));
        let all = self.group.as_ref().and_then(|group| group.processes().ok()).unwrap_or_default();
        for pid in all.into_iter().filter(|pid| *pid != self.crius).filter_map(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// CRIU binds the root as it is, and writes there: whether it is read-only is not in the images. What it binds over masked
    /// files is writable in the newer of its two ways to restore mounts.
    fn seal(&self) -> Result<()> {
        let (root, paths) = (self.saved.config.readonlyfs(), self.saved.config.mask_paths());
        if !root && paths.is_empty() {
            return Ok(());
        }
        let namespace = self.namespace("mnt")?;
        Ready::start(&self.container.home.launcher)?.seal(
            namespace,
            root,
            paths.iter().map(Into::into).collect(),
        )
    }

    /// A network namespace that comes back empty gets what a new one has, before hooks and connections find it.
    fn fill_network(&mut self) -> Result<()> {
        if !self.empty_network {
            return Ok(());
        }
        let (inside, pid) = (self.network_socket()?, self.init.as_ref().map_or(0, |(pid, _)| *pid));
        network::fill(self.container, &mut self.saved, inside, pid)
    }

    /// A netlink socket in the network namespace of the first process.
    fn network_socket(&self) -> Result<OwnedFd> {
        Ready::start(&self.container.home.launcher)?.network_socket(self.namespace("net")?)
    }

    /// A namespace of the first process.
    fn namespace(&self, name: &str) -> Result<OwnedFd> {
        let pid = self.init.as_ref().map_or(0, |(pid, _)| *pid);
        let path = format!("/proc/{pid}/ns/{name}");
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::io(format!("open {path}"), errno))
    }

    /// Saves the first process, so that it can be found after a crash, and whether it is still on its way.
    fn known(&mut self, pid: Option<i32>, starting: bool) -> Result<()> {
        let lock = match self.lock.take() {
            Some(lock) => lock,
            None => self.container.store.lock()?,
        };
        if let (None, Some(pid)) = (&self.init, pid) {
            let init = SavedInit::of(pid)?;
            let ended = || Error::new(ErrorKind::Protocol, "the restored process has ended unexpectedly");
            self.init = Some((pid, init.pidfd()?.ok_or_else(ended)?));
            self.saved.facts.init = Some(init);
        }
        self.saved.facts.init.iter_mut().for_each(|init| init.starting = starting);
        self.container.store.save(&self.saved.facts, &lock)
    }

    /// Ends what was restored, and takes back what was made. CRIU has ended.
    fn take_back(&mut self, session: Option<i32>) {
        drop(self.lock.take());
        if let Some((_, pidfd)) = self.init.take() {
            drop(child::send(&pidfd, Signal::KILL));
            let options = WaitIdOptions::EXITED;
            let _ = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), options));
        } else if let Some(session) = session.and_then(Pid::from_raw) {
            // One that failed before it was told of is a child of this process, and still in CRIU's session.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            let _ = waitid(WaitId::Pgid(Some(session)), options);
        }
        start::undo(self.container, &mut self.saved, self.group.as_ref());
    }
}

/// Where CRIU itself is: what the images call the container's group is there now.
fn cgroup_roots(pid: i32) -> Result<Vec<CgroupRoot>> {
    let path = format!("/proc/{pid}/cgroup");
    let table = std::fs::read_to_string(&path).map_err(|error| Error::io(format!("read {path}"), error))?;
    Ok(parse_roots(&table))
}

/// A line is `HIERARCHY:CONTROLLERS:PATH` (cgroups(7)); v2 has no controllers.
fn parse_roots(table: &str) -> Vec<CgroupRoot> {
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        let root = move |controller: &str| CgroupRoot {
            controllers: Some(controller.to_owned()),
            path: path.clone(),
        };
        Some(controllers.split(',').map(root).collect::<Vec<_>>())
    };
    table.lines().filter_map(line).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_controller_has_its_root() {
        let roots = parse_roots("4:cpu,cpuacct:/a/b\n1:name=systemd:/c:d\n0::/e\n");
        let roots: Vec<_> =
            roots.iter().map(|root| (root.controllers.as_deref().unwrap(), root.path.as_str())).collect();
        assert_eq!(roots, [("cpu", "/a/b"), ("cpuacct", "/a/b"), ("name=systemd", "/c:d"), ("", "/e")]);
    }
}
