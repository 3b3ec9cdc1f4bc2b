//! Building a configuration, one method for each field.

use std::path::PathBuf;

use super::Config;
use super::cgroup::Cgroup;
use super::fields::Fields;
use super::landlock::Landlock;
use super::namespace::{Namespace, Namespaces};
use super::network::{Network, Route};
use crate::{Result, oci};

/// A user namespace needs mappings, and a time namespace is only for those who set clocks.
const NOT_BY_DEFAULT: [Namespace; 2] = [Namespace::User, Namespace::Time];

/// Builds a [`Config`]; each method sets one field, and replaces what it was.
#[derive(Clone, Debug)]
#[must_use]
pub struct ConfigBuilder(Fields);

impl ConfigBuilder {
    pub(super) fn new(rootfs: PathBuf) -> Self {
        Self(Fields {
            version: oci::VERSION.to_owned(),
            rootfs,
            namespaces: Namespace::ALL.into_iter().filter(|kind| !NOT_BY_DEFAULT.contains(kind)).collect(),
            ..Fields::default()
        })
    }

    pub(super) fn from_fields(fields: Fields) -> Self {
        Self(fields)
    }

    /// Checks everything that can be known without the machine, and gives the configuration.
    ///
    /// Fails with [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) where fields are wrong or contradict
    /// each other, and with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where this version lacks something.
    pub fn build(self) -> Result<Config> {
        Config::try_from(self.0)
    }

    /// Absolute path of the root file system on the host.
    pub fn rootfs(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.rootfs = path.into();
        self
    }

    /// Version of the OCI specification that the configuration follows, `MAJOR.MINOR.PATCH`; by default the newest known.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.0.version = version.into();
        self
    }

    /// Absolute path of the OCI bundle, which hooks and `state` report; by default the directory above the root file system.
    pub fn bundle(mut self, bundle: impl Into<PathBuf>) -> Self {
        self.0.bundle = Some(bundle.into());
        self
    }

    /// Arbitrary metadata, which hooks and `state` report in this order.
    pub fn annotations(mut self, annotations: oci::Map<String>) -> Self {
        self.0.annotations = annotations;
        self
    }

    /// Whether the root file system is read-only inside the container.
    pub fn readonlyfs(mut self, yes: bool) -> Self {
        self.0.readonlyfs = yes;
        self
    }

    /// Propagation of the root mount: `shared`, `slave`, `private`, `unbindable`, or one of them with `r` before it
    /// (mount_namespaces(7)); by default `rprivate`.
    pub fn root_propagation(mut self, propagation: impl Into<String>) -> Self {
        self.0.root_propagation = Some(propagation.into());
        self
    }

    /// Whether the root is changed by moving the mount and chroot(2), for a root file system that pivot_root(2) refuses,
    /// such as a ramdisk. Weaker: use it only where nothing else works.
    pub fn no_pivot_root(mut self, yes: bool) -> Self {
        self.0.no_pivot_root = yes;
        self
    }

    /// Mounts, made in this order. A relative destination starts from the container's root.
    ///
    /// The owners of a mount's files are mapped (mount_setattr(2), MOUNT_ATTR_IDMAP) where it has `uidMappings` and
    /// `gidMappings`: from ids of the file system (`containerID`) to ids of the host (`hostID`). The option `idmap` takes the
    /// mappings of the container's user namespace, `ridmap` for the mounts below as well, and `idmap=uids=0-1000-1;gids=0-1000-1`
    /// its own; with `@` before a range the second number is an id of the container. Only who rules the file system may do that.
    pub fn mounts(mut self, mounts: Vec<oci::Mount>) -> Self {
        self.0.mounts = mounts;
        self
    }

    /// SELinux label of the mounts that take one: new file systems but procfs and sysfs, and no bind mount. The start fails
    /// where SELinux is not active.
    pub fn mount_label(mut self, label: impl Into<String>) -> Self {
        self.0.mount_label = Some(label.into());
        self
    }

    /// Which mount option takes the label: `context` (the default), `fscontext`, `defcontext` or `rootcontext` (mount(8)).
    pub fn mount_context_type(mut self, option: impl Into<String>) -> Self {
        self.0.mount_context_type = Some(option.into());
        self
    }

    /// Device nodes; [`default_devices`](super::default_devices) are those that the OCI specification gives to every container.
    pub fn devices(mut self, devices: Vec<oci::Device>) -> Self {
        self.0.devices = devices;
        self
    }

    /// Absolute paths inside the container that cannot be read; those that do not exist are skipped.
    pub fn mask_paths(mut self, paths: Vec<String>) -> Self {
        self.0.mask_paths = paths;
        self
    }

    /// Absolute paths inside the container that cannot be written; those that do not exist are skipped.
    pub fn readonly_paths(mut self, paths: Vec<String>) -> Self {
        self.0.readonly_paths = paths;
        self
    }

    /// Namespaces, new or to join; by default new ones of every kind but user and time. A mount namespace is needed.
    pub fn namespaces(mut self, namespaces: impl Into<Namespaces>) -> Self {
        self.0.namespaces = namespaces.into();
        self
    }

    /// User id mappings of the user namespace (user_namespaces(7)).
    pub fn uid_mappings(mut self, mappings: Vec<oci::IdMapping>) -> Self {
        self.0.uid_mappings = mappings;
        self
    }

    /// Group id mappings of the user namespace (user_namespaces(7)).
    pub fn gid_mappings(mut self, mappings: Vec<oci::IdMapping>) -> Self {
        self.0.gid_mappings = mappings;
        self
    }

    /// Clock offsets of a new time namespace, by clock: `monotonic`, `boottime` (time_namespaces(7)).
    pub fn time_offsets(mut self, offsets: oci::Map<oci::TimeOffset>) -> Self {
        self.0.time_offsets = offsets;
        self
    }

    /// Host name inside the container; needs a UTS namespace.
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.0.hostname = Some(hostname.into());
        self
    }

    /// NIS domain name inside the container; needs a UTS namespace.
    pub fn domainname(mut self, domainname: impl Into<String>) -> Self {
        self.0.domainname = Some(domainname.into());
        self
    }

    /// Kernel parameters of the container's namespaces by name, such as `net.ipv4.ip_forward`. A name whose first
    /// separator is a slash, such as `net/ipv4/conf/eth0.1/forwarding`, has dots for themselves (sysctl.d(5)).
    pub fn sysctl(mut self, sysctl: oci::Map<String>) -> Self {
        self.0.sysctl = sysctl;
        self
    }

    /// Network interfaces, made when init starts and removed with the container; need a network namespace.
    ///
    /// The loopback interface of a new namespace is up in any case. A [veth pair](crate::NetworkKind::Veth) needs a caller who
    /// may make interfaces on the host; what is wrong with one on this host, such as a bridge that is not there, its start tells.
    pub fn networks(mut self, networks: Vec<Network>) -> Self {
        self.0.networks = networks;
        self
    }

    /// Routes, made after the interfaces; need a network namespace. Those without a gateway come first, so that they can lead to the
    /// gateways of others.
    pub fn routes(mut self, routes: Vec<Route>) -> Self {
        self.0.routes = routes;
        self
    }

    /// Network devices of the host to move into the container, by their name there (specification:
    /// `config-linux.md#network-devices`); need a network namespace and a caller who is root.
    ///
    /// A device keeps its lasting addresses for use beyond the link, of IPv6 too, and all else but its routes, and is brought up. A
    /// new name that ends in `%d` gets the first number that is free. Where the start fails, what was moved is moved back and made
    /// what it was, but for the routes. With the namespace the kernel moves physical devices back to the initial namespace, under
    /// their new names, and destroys virtual ones (network_namespaces(7)).
    pub fn net_devices(mut self, devices: oci::Map<oci::NetDevice>) -> Self {
        self.0.net_devices = devices;
        self
    }

    /// The control group and its limits; by default one named after the container, without limits.
    pub fn cgroup(mut self, cgroup: Cgroup) -> Self {
        self.0.cgroup = cgroup;
        self
    }

    /// File mode creation mask of the programs; by default 022 (umask(2)).
    pub fn umask(mut self, umask: u32) -> Self {
        self.0.attributes.umask = Some(umask);
        self
    }

    /// Capability sets of the programs (capabilities(7)); by default what the kernel leaves. Unknown names are ignored
    /// with a [warning](Config::warnings).
    pub fn capabilities(mut self, capabilities: oci::Capabilities) -> Self {
        self.0.attributes.capabilities = Some(capabilities);
        self
    }

    /// Resource limits of the programs, each type once (getrlimit(2)).
    pub fn rlimits(mut self, rlimits: Vec<oci::Rlimit>) -> Self {
        self.0.attributes.rlimits = rlimits;
        self
    }

    /// Whether execve(2) may no longer grant privileges to the programs.
    pub fn no_new_privileges(mut self, yes: bool) -> Self {
        self.0.attributes.no_new_privileges = Some(yes);
        self
    }

    /// Adjustment of the out-of-memory killer's badness, -1000 to 1000 (proc(5)); by default the caller's.
    pub fn oom_score_adj(mut self, adj: i32) -> Self {
        self.0.attributes.oom_score_adj = Some(adj);
        self
    }

    /// AppArmor profile of the programs, in force from their execve(2) on. The start fails where AppArmor is not active or
    /// the profile is not loaded.
    pub fn apparmor_profile(mut self, profile: impl Into<String>) -> Self {
        self.0.attributes.apparmor_profile = Some(profile.into());
        self
    }

    /// SELinux label of the programs, in force from their execve(2) on, and of their session keyring. The start fails where
    /// SELinux is not active or its policy does not know the label.
    pub fn process_label(mut self, label: impl Into<String>) -> Self {
        self.0.attributes.label = Some(label.into());
        self
    }

    /// What the programs may no longer do, whoever they run as; by default nothing of the kind. They need
    /// [`no_new_privileges`](Self::no_new_privileges), or CAP_SYS_ADMIN in their effective set.
    pub fn landlock(mut self, landlock: Landlock) -> Self {
        self.0.attributes.landlock = Some(landlock);
        self
    }

    /// Scheduling policy of the programs (sched_setattr(2)); by default the caller's. It is set inside the container: in a user
    /// namespace only what an ordinary user may set is possible.
    pub fn scheduler(mut self, scheduler: oci::Scheduler) -> Self {
        self.0.attributes.scheduler = Some(scheduler);
        self
    }

    /// I/O priority of the programs, level 0 to 7 within a class (ioprio_set(2)); by default the caller's.
    pub fn io_priority(mut self, priority: oci::IoPriority) -> Self {
        self.0.attributes.io_priority = Some(priority);
        self
    }

    /// The CPUs of programs that join the running container, before and after they are in its control group, as lists such as
    /// `0-3,7` of up to 65536 CPUs (sched_setaffinity(2)); by default the kernel decides. Not for init.
    pub fn exec_cpu_affinity(mut self, affinity: oci::CpuAffinity) -> Self {
        self.0.attributes.cpu_affinity = Some(affinity);
        self
    }

    /// Signal, 1 to 64, that init gets when the **thread** that started it ends (PR_SET_PDEATHSIG, prctl(2)).
    pub fn parent_death_signal(mut self, signal: i32) -> Self {
        self.0.parent_death_signal = Some(signal);
        self
    }

    /// Whether init keeps the caller's session keyring instead of a new one (keyrings(7)).
    pub fn no_new_keyring(mut self, yes: bool) -> Self {
        self.0.no_new_keyring = yes;
        self
    }

    /// Programs to run at points of the container's life.
    pub fn hooks(mut self, hooks: oci::Hooks) -> Self {
        self.0.hooks = hooks;
        self
    }

    /// Absolute path of a file on the host that the standard output of hooks is added to; by default nobody reads it.
    pub fn hook_stdout(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.hook_stdout = Some(path.into());
        self
    }

    /// Absolute path of a file on the host that the standard error of hooks is added to; by default the end of it is in the
    /// error of a hook that fails, and lost otherwise.
    pub fn hook_stderr(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.hook_stderr = Some(path.into());
        self
    }

    /// Whether the programs keep the caller's additional groups, and get none of their own: access that a group of an
    /// ordinary user's gives is kept although its number cannot be mapped into the user namespace.
    pub fn keep_original_groups(mut self, yes: bool) -> Self {
        self.0.keep_original_groups = yes;
        self
    }

    /// Filter over system calls of the programs (specification: `config-linux.md#seccomp`), for init and for what joins it.
    ///
    /// It is loaded as late as possible: with [`no_new_privileges`](Self::no_new_privileges) right before the program is executed
    /// (before the startContainer hooks, where there are any), so that it has to allow execve(2) and nothing else. Without, loading
    /// is a privilege, and the filter must allow what comes after it: the change of user, groups and capabilities, chdir(2), the
    /// search for the program, the wait at the start gate.
    ///
    /// `SCMP_ACT_NOTIFY` needs a `listenerPath`: the socket of an agent, which gets the listener before the program runs.
    pub fn seccomp(mut self, seccomp: oci::Seccomp) -> Self {
        self.0.seccomp = Some(seccomp);
        self
    }

    /// Whether this program itself is the agent of [`seccomp`](Self::seccomp), which has no `listenerPath` then: the listener is
    /// taken from [`Created`](crate::Created::take_seccomp_listener) or [`Child`](crate::Child::take_seccomp_listener).
    ///
    /// As there is nobody to answer before, a profile that asks about execve(2), or another call of the last steps, starts nothing:
    /// the start waits without end.
    pub fn seccomp_listener(mut self, yes: bool) -> Self {
        self.0.seccomp_listener = yes;
        self
    }

    /// Intel resource director technology: class of service, schemata, monitoring.
    pub fn intel_rdt(mut self, rdt: oci::IntelRdt) -> Self {
        self.0.intel_rdt = Some(rdt);
        self
    }

    /// NUMA memory policy of the programs (set_mempolicy(2)), its nodes as a list such as `0-3,7`.
    pub fn memory_policy(mut self, policy: oci::MemoryPolicy) -> Self {
        self.0.memory_policy = Some(policy);
        self
    }

    /// Execution domain of the programs (personality(2)): `LINUX`, or `LINUX32` for a machine that looks like a 32-bit one. Flags are
    /// ignored with a [warning](Config::warnings), for the specification defines none.
    pub fn personality(mut self, personality: oci::Personality) -> Self {
        self.0.personality = Some(personality);
        self
    }

    /// Whether the caller is not root: then a user namespace is needed, and what only root can do is refused early.
    pub fn rootless_euid(mut self, yes: bool) -> Self {
        self.0.rootless_euid = yes;
        self
    }

    /// Whether a control group that the caller may not make is done without, as long as it has no limits.
    pub fn rootless_cgroups(mut self, yes: bool) -> Self {
        self.0.rootless_cgroups = yes;
        self
    }
}
