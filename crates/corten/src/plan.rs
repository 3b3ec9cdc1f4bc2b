//! Turning a configuration and a process into the payload of the new process.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_cgroups::{Group, Layout, Paths};
use corten_init::inherited::Slot;
use corten_init::payload::{
    Bootstrap, Capabilities, Create, Gate, IdMaps, Job, Join, JoinContainer, Labels, Payload,
    Process as Order, Rlimit,
};
use corten_init::rootfs;
use corten_sys::namespace::{Namespaces as Kinds, in_user_namespace};
use rustix::fs::{Mode, OFlags};

use crate::config::{
    Attributes, capability_mask, cpus, io_priority, memory_policy, personality, rlimit_resource, scheduler,
    sysctl_path,
};
use crate::idmap::{self, Way};
use crate::launch::Descriptors;
use crate::{Config, Error, Id, Namespace, Process, Result, Stdio, lsm, oci, seccomp};

/// What a new process is started with.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Its orders.
    pub(crate) payload: Payload,
    /// Its descriptors.
    pub(crate) fds: Descriptors,
    /// The cgroups that the runtime moves it into once it exists.
    pub(crate) attach: Attach,
}

/// The cgroups that clone3(2) cannot put a new process into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    /// None.
    Nothing,
    /// Those of v1.
    V1,
    /// All: from within a user or a cgroup namespace that was joined it may not be possible to clone into them.
    Everything,
}

impl Attach {
    fn of(group: Option<&Group>, cloned_into: bool) -> Self {
        match group {
            None => Self::Nothing,
            Some(_) if !cloned_into => Self::Everything,
            Some(group) if group.paths().is_unified() => Self::Nothing,
            Some(_) => Self::V1,
        }
    }

    /// Moves the process.
    pub(crate) fn carry_out(self, group: Option<&Group>, pid: i32) -> Result<()> {
        match (self, group) {
            (Self::V1, Some(group)) => Ok(group.attach_v1(pid)?),
            (Self::Everything, Some(group)) => Ok(group.attach(pid)?),
            _ => Ok(()),
        }
    }
}

/// The default file mode creation mask (specification: `config.md#user`).
const UMASK: u32 = 0o022;

/// Plans the init of a new container.
pub(crate) fn create(
    config: &Config,
    id: &Id,
    process: Process,
    group: Option<&Group>,
    gate: Option<(OwnedFd, OwnedFd)>,
    state: oci::State,
) -> Result<Plan> {
    let namespaces = config.namespaces();
    let attributes = process.attributes_in(config);
    let Process { stdio, preserve_fds, .. } = &process;
    let mut fds = descriptors(stdio, preserve_fds, process.terminal)?;
    let by_path = |kind| namespaces.contains(kind) && !namespaces.is_new(kind);
    let clones_into = !by_path(Namespace::User) && !by_path(Namespace::Cgroup);
    let cgroup = group.filter(|_| clones_into).map(Group::clone_target).transpose()?.flatten();
    let attach = Attach::of(group, clones_into);
    // Where the runtime moves init, the cgroup namespace is made after that: its root is where init is then.
    let unshare_cgroup = namespaces.is_new(Namespace::Cgroup) && attach != Attach::Nothing;
    let new = |kind: &Namespace| namespaces.is_new(*kind);
    let late = |kind: &Namespace| *kind == Namespace::Time || (unshare_cgroup && *kind == Namespace::Cgroup);
    let kinds: Kinds =
        Namespace::ALL.into_iter().filter(|kind| new(kind) && !late(kind)).map(kind_of).collect();
    let way = idmap::way(config);
    let mut rootfs = root_file_system(config, group, &mut fds)?;
    let idmapped = rootfs.make_id_mapped(|fd| fds.push(fd))?;
    let bootstrap = Bootstrap {
        oom_score_adj: attributes.oom_score_adj,
        rlimits: rlimits(&attributes),
        idmapped,
        join: joins(config, &mut fds)?,
        join_container: None,
        create: kinds.bits(),
        cgroup: cgroup.map(|cgroup| fds.push(cgroup)),
        cpus: None,
        network: crate::network::is_needed(config),
        dumpable_until_mapped: !matches!(way, Way::None | Way::Direct),
    };
    let create = Create {
        user_namespace: namespaces.contains(Namespace::User),
        joined_maps: joined_maps(config),
        setgroups_denied: way == Way::OwnId,
        unshare_cgroup,
        time_offsets: namespaces.is_new(Namespace::Time).then(|| time_offsets(config.time_offsets())),
        loopback: namespaces.is_new(Namespace::Net),
        rootfs,
        hostname: config.hostname().map(str::to_owned),
        domainname: config.domainname().map(str::to_owned),
        sysctls: sysctls(config)?,
        runtime_hooks: crate::hooks::any_before_pivot(config),
        create_container: config.hooks().create_container.clone(),
        start_container: config.hooks().start_container.clone(),
        hook_output: hook_output(config, &mut fds)?,
        state,
        gate: gate.map(|(fifo, failure)| Gate { fifo: fds.push(fifo), failure: fds.push(failure) }),
    };
    let process = order(config, id, process, &attributes)?;
    Ok(Plan { payload: Payload { bootstrap, job: Job::Create(Box::new(create)), process }, fds, attach })
}

/// What the configuration says of the id maps of a user namespace that it joins.
fn joined_maps(config: &Config) -> Option<IdMaps> {
    let (users, groups) = (config.uid_mappings().to_vec(), config.gid_mappings().to_vec());
    let said = !users.is_empty() || !groups.is_empty();
    (said && !config.namespaces().is_new(Namespace::User)).then_some(IdMaps { users, groups })
}

/// Plans a program that joins a running container. `own_clocks` tells of a time namespace that the configuration need not know of.
pub(crate) fn exec(
    config: &Config,
    id: &Id,
    process: Process,
    group: Option<&Group>,
    init: OwnedFd,
    own_clocks: bool,
) -> Result<Plan> {
    let namespaces = config.namespaces();
    if !namespaces.contains(Namespace::Mount) {
        return Err(Error::unsupported("exec in a container without a mount namespace is not supported"));
    }
    let attributes = process.attributes_in(config);
    let mut fds = descriptors(&process.stdio, &process.preserve_fds, process.terminal)?;
    let cgroup = group.map(Group::clone_target).transpose()?.flatten();
    let mut kinds: Kinds = namespaces.iter().map(|(kind, _)| kind_of(kind)).collect();
    if own_clocks {
        kinds |= Kinds::TIME;
    }
    let [before, after] = attributes.cpu_affinity.as_ref().map(cpus).transpose()?.unwrap_or_default();
    let bootstrap = Bootstrap {
        oom_score_adj: attributes.oom_score_adj,
        rlimits: rlimits(&attributes),
        idmapped: Vec::new(),
        join: Vec::new(),
        join_container: Some(JoinContainer { pidfd: fds.push(init), kinds: kinds.bits() }),
        create: 0,
        cgroup: cgroup.map(|cgroup| fds.push(cgroup)),
        cpus: before,
        network: false,
        dumpable_until_mapped: false,
    };
    let job = Job::Exec { user_namespace: namespaces.contains(Namespace::User), cpus: after };
    let process = order(config, id, process, &attributes)?;
    let attach = Attach::of(group, true);
    Ok(Plan { payload: Payload { bootstrap, job, process }, fds, attach })
}

/// The kernel's bit for a kind of namespace.
fn kind_of(kind: Namespace) -> Kinds {
    match kind {
        Namespace::User => Kinds::USER,
        Namespace::Ipc => Kinds::IPC,
        Namespace::Uts => Kinds::UTS,
        Namespace::Net => Kinds::NET,
        Namespace::Pid => Kinds::PID,
        Namespace::Mount => Kinds::MOUNT,
        Namespace::Cgroup => Kinds::CGROUP,
        Namespace::Time => Kinds::TIME,
    }
}

/// Opens the namespaces that have a path, now and once: what a path names can change.
fn joins(config: &Config, fds: &mut Descriptors) -> Result<Vec<Join>> {
    let mut joins = Vec::new();
    for (kind, path) in config.namespaces().iter() {
        let Some(path) = path else { continue };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
            Error::io(format!("open the {} namespace {}", kind.as_str(), path.display()), errno)
        })?;
        joins.push(Join { kind: kind_of(kind).bits(), fd: fds.push(fd), path: path.display().to_string() });
    }
    Ok(joins)
}

/// Standard files, and those that the program inherits.
fn descriptors(stdio: &Stdio, preserve: &[OwnedFd], terminal: bool) -> Result<Descriptors> {
    // A terminal replaces the standard files later.
    let standard = standard_files(if terminal { &Stdio::Null } else { stdio })?;
    let inherited = preserve.iter().map(|fd| copy(fd.as_fd())).collect::<Result<_>>()?;
    Ok(Descriptors::new(standard, inherited))
}

fn copy(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|errno| Error::io("copy a file descriptor", errno))
}

/// Copies of the standard files that are asked for.
pub(crate) fn standard_files(stdio: &Stdio) -> Result<[OwnedFd; 3]> {
    let null = || -> Result<OwnedFd> {
        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::io("open /dev/null", errno))
    };
    Ok(match stdio {
        Stdio::Inherit => {
            [copy(rustix::stdio::stdin())?, copy(rustix::stdio::stdout())?, copy(rustix::stdio::stderr())?]
        }
        Stdio::Null => [null()?, null()?, null()?],
        Stdio::Fds { stdin, stdout, stderr } => {
            [copy(stdin.as_fd())?, copy(stdout.as_fd())?, copy(stderr.as_fd())?]
        }
    })
}

/// A copy of the standard input that is asked for.
pub(crate) fn standard_input(stdio: &Stdio) -> Result<OwnedFd> {
    standard_files(stdio).map(|[input, ..]| input)
}

/// What standard files are, as links under `/proc/PID/fd`.
pub(crate) fn links_of(files: &[OwnedFd]) -> Vec<String> {
    let link = |fd: &OwnedFd| {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        std::fs::read_link(link).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
    };
    files.iter().map(link).collect()
}

/// The files for the output of the hooks that init runs.
fn hook_output(config: &Config, fds: &mut Descriptors) -> Result<(Option<Slot>, Option<Slot>)> {
    let hooks = config.hooks();
    if hooks.create_container.is_empty() && hooks.start_container.is_empty() {
        return Ok((None, None));
    }
    let output = crate::hooks::output(config)?;
    Ok((output.stdout.map(|fd| fds.push(fd)), output.stderr.map(|fd| fds.push(fd))))
}

/// The user's program with what the configuration says where the process says nothing.
fn order(config: &Config, id: &Id, process: Process, attributes: &Attributes) -> Result<Order> {
    let inherit =
        u32::try_from(process.preserve_fds.len()).map_err(|_| Error::invalid("too many descriptors"))?;
    let labels = Labels { apparmor: attributes.apparmor_profile.clone(), selinux: attributes.label.clone() };
    labels.apparmor.as_deref().map_or(Ok(()), lsm::check_apparmor)?;
    labels.selinux.as_deref().map_or(Ok(()), lsm::check_selinux)?;
    Ok(Order {
        args: process.args,
        env: process.env,
        cwd: process.cwd,
        user: process.user.into(),
        additional_gids: process.additional_gids,
        additional_groups: process.additional_groups,
        keep_groups: config.keep_original_groups(),
        umask: attributes.umask.unwrap_or(UMASK),
        capabilities: attributes.capabilities.as_ref().map(capabilities),
        no_new_privileges: attributes.no_new_privileges.unwrap_or(false),
        labels,
        landlock: lsm::landlock(attributes)?,
        parent_death_signal: config.parent_death_signal().unwrap_or(0),
        terminal: process
            .terminal
            .then(|| process.console_size.map_or((0, 0), |size| (size.height, size.width))),
        inherit,
        keyring: (!config.no_new_keyring()).then(|| format!("_ses.{id}")),
        reaper: process.init_reaper,
        scheduler: attributes.scheduler.as_ref().map(scheduler).transpose()?,
        io_priority: attributes.io_priority.as_ref().map(io_priority).transpose()?,
        memory_policy: config.memory_policy().map(memory_policy).transpose()?,
        personality: config.personality().map(personality).transpose()?,
        seccomp: seccomp::filter(config)?,
    })
}

/// The sets as bits. What is unknown here or to this kernel was warned of, and is left out.
fn capabilities(sets: &oci::Capabilities) -> Capabilities {
    let known = known_capabilities();
    let mask = |names: &[String]| capability_mask(names).0 & known;
    let oci::Capabilities { bounding, effective, inheritable, permitted, ambient } = sets;
    Capabilities {
        bounding: mask(bounding),
        effective: mask(effective),
        inheritable: mask(inheritable),
        permitted: mask(permitted),
        ambient: mask(ambient),
    }
}

/// The capabilities that this kernel has.
fn known_capabilities() -> u64 {
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|n| n.trim().parse::<u32>().ok());
    last.map_or(u64::MAX, |last| u64::MAX.checked_shr(63_u32.saturating_sub(last)).unwrap_or(u64::MAX))
}

fn rlimits(attributes: &Attributes) -> Vec<Rlimit> {
    let number = |limit: &oci::Rlimit| {
        rlimit_resource(&limit.typ).map(|resource| Rlimit { resource, soft: limit.soft, hard: limit.hard })
    };
    attributes.rlimits.iter().filter_map(number).collect()
}

/// In the form of `/proc/PID/timens_offsets`.
fn time_offsets(offsets: &oci::Map<oci::TimeOffset>) -> String {
    offsets.iter().map(|(clock, offset)| format!("{clock} {} {}\n", offset.secs, offset.nanosecs)).collect()
}

/// The hierarchies that the container sees, each under its name on the host: its group, or that of this process where it has none and
/// stays there.
pub(crate) fn hierarchies(group: Option<&Group>) -> Vec<rootfs::Hierarchy> {
    let own = || Layout::detect().map(|layout| Paths::own(&layout));
    let Ok(paths) = group.map_or_else(own, |group| Ok(group.paths().clone())) else { return Vec::new() };
    let unified = paths.is_unified();
    let hierarchy = |(mount, controllers, directory): (&Path, &[String], &Path)| rootfs::Hierarchy {
        name: if unified {
            String::new()
        } else {
            mount.file_name().unwrap_or_default().to_string_lossy().into_owned()
        },
        options: controllers.to_vec(),
        directory: directory.to_owned(),
    };
    paths.hierarchies().map(hierarchy).collect()
}

fn sysctls(config: &Config) -> Result<Vec<(String, String)>> {
    config.sysctl().iter().map(|(name, value)| Ok((sysctl_path(name)?, value.clone()))).collect()
}

fn root_file_system(config: &Config, group: Option<&Group>, fds: &mut Descriptors) -> Result<rootfs::Rootfs> {
    let mut plan = mount_plan(config, group)?;
    if config.namespaces().contains(Namespace::User) {
        plan.open_sources(|tree| fds.push(tree))?;
    }
    Ok(plan)
}

/// The steps of making the root file system.
pub(crate) fn mount_plan(config: &Config, group: Option<&Group>) -> Result<rootfs::Rootfs> {
    config.mount_label().map_or(Ok(()), lsm::check_selinux)?;
    let shown =
        config.mounts().iter().any(|mount| matches!(mount.typ.as_deref(), Some("cgroup" | "cgroup2")));
    let cgroups = if shown { hierarchies(group) } else { Vec::new() };
    Ok(rootfs::plan(&rootfs::Request {
        rootfs: config.rootfs(),
        bundle: config.bundle().unwrap_or(config.rootfs()),
        readonly: config.readonlyfs(),
        propagation: config.root_propagation(),
        no_pivot: config.no_pivot_root(),
        mount_label: config.mount_label().map(|label| (config.mount_context_type(), label)),
        mounts: config.mounts(),
        devices: config.devices(),
        masked: config.mask_paths(),
        readonly_paths: config.readonly_paths(),
        // Engines run it in a user namespace of an ordinary user, and ask for no other.
        bind_devices: config.namespaces().contains(Namespace::User) || in_user_namespace(),
        id_maps: rootfs::ContainerIds {
            users: config.uid_mappings(),
            groups: config.gid_mappings(),
            path: config.namespaces().path_of(Namespace::User),
        },
        mount_namespace: config.namespaces().contains(Namespace::Mount),
        cgroup_namespace: config.namespaces().contains(Namespace::Cgroup),
        cgroups: &cgroups,
        foreign_cgroups: group.is_none(),
    })?)
}

impl From<crate::User> for corten_init::payload::User {
    fn from(user: crate::User) -> Self {
        match user {
            crate::User::Ids { uid, gid } => Self::Ids { uid, gid },
            crate::User::Name { user, group } => Self::Name { user, group },
        }
    }
}
