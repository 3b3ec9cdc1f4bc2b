//! Everything that the new process needs to know, decided by the runtime beforehand.

use std::path::PathBuf;

use corten_oci::{Hook, IdMapping, State};
use serde::{Deserialize, Serialize};

use crate::inherited::Slot;
use crate::rootfs::{IdMapped, Rootfs};

/// What the re-executed copy is for.
#[derive(Debug, Serialize, Deserialize)]
pub enum Task {
    /// A process of a container.
    Container(Box<Payload>),
    /// A program of the host's.
    Program(HostProgram),
    /// Mounts of a restored container become read-only.
    Seal(Seal),
    /// The runtime gets a netlink socket in a network namespace.
    Network(Slot),
}

/// Which mounts become read-only.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seal {
    /// The mount namespace that they are in.
    pub namespace: Slot,
    /// Whether its root is one.
    pub root: bool,
    /// Where the others are, for a container's root.
    pub paths: Vec<PathBuf>,
}

/// A program of the host's. Its standard files are the first descriptors.
#[derive(Debug, Serialize, Deserialize)]
pub struct HostProgram {
    /// Its file.
    pub path: String,
    /// Its arguments, the name first.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<String>,
    /// How many descriptors from 3 on it inherits.
    pub inherit: u32,
    /// Whether it gets a session of its own.
    pub session: bool,
    /// A session keyring of its own; `None` keeps the caller's.
    pub keyring: Option<Keyring>,
    /// A directory that it finds as a mount of itself, in a mount namespace of its own; `None` keeps the caller's.
    pub root: Option<PathBuf>,
    /// Directories that the runtime gets, in their order, as this mount namespace has them: nothing can be mounted in those of
    /// another.
    pub directories: Vec<PathBuf>,
}

/// The whole order for a new process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Payload {
    /// What stage 1 does.
    pub bootstrap: Bootstrap,
    /// Whether a container is made or joined.
    pub job: Job,
    /// The user's program.
    pub process: Process,
}

/// A session keyring.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Keyring {
    /// Its name.
    pub name: String,
    /// The user that owns it, by the caller's numbers.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What stage 1 does: what needs the caller's privileges, and the clone.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Adjustment of the out-of-memory killer's badness.
    pub oom_score_adj: Option<i32>,
    /// Resource limits; stage 1 raises hard limits, init sets both at the end.
    pub rlimits: Vec<Rlimit>,
    /// Mounts whose owners are mapped.
    pub idmapped: Vec<IdMapped>,
    /// Namespaces to join, each behind a descriptor.
    pub join: Vec<Join>,
    /// Namespaces of a running container to join.
    pub join_container: Option<JoinContainer>,
    /// New namespaces, as `CLONE_NEW…` bits.
    pub create: u32,
    /// The cgroup v2 directory that stage 2 is cloned into.
    pub cgroup: Option<Slot>,
    /// The CPUs to run on until the process is in its control group, a bit each.
    pub cpus: Option<Vec<u64>>,
    /// Whether the runtime is handed a netlink socket in the container's network namespace.
    pub network: bool,
    /// Whether stage 2 must stay dumpable until its id maps are written: an unprivileged parent can write them only then.
    pub dumpable_until_mapped: bool,
}

/// A namespace to join.
#[derive(Debug, Serialize, Deserialize)]
pub struct Join {
    /// Its kind, as a `CLONE_NEW…` bit.
    pub kind: u32,
    /// The descriptor.
    pub fd: Slot,
    /// Its path, for messages.
    pub path: String,
}

/// Namespaces of a running container to join.
#[derive(Debug, Serialize, Deserialize)]
pub struct JoinContainer {
    /// The pidfd of its init.
    pub pidfd: Slot,
    /// Which, as `CLONE_NEW…` bits.
    pub kinds: u32,
}

/// Whether a container is made or joined.
#[derive(Debug, Serialize, Deserialize)]
pub enum Job {
    /// A container is made.
    Create(Box<Create>),
    /// A running container is joined.
    Exec {
        /// Whether it has a user namespace of its own.
        user_namespace: bool,
        /// The CPUs to run on from the control group on, a bit each.
        cpus: Option<Vec<u64>>,
    },
}

/// The id maps of a user namespace.
#[derive(Debug, Serialize, Deserialize)]
pub struct IdMaps {
    /// Of users.
    pub users: Vec<IdMapping>,
    /// Of groups.
    pub groups: Vec<IdMapping>,
}

/// How a container is made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Create {
    /// Whether init becomes root of a user namespace, new or joined.
    pub user_namespace: bool,
    /// The id maps that a joined user namespace must have; `None` for a new one, or where the configuration says nothing.
    pub joined_maps: Option<IdMaps>,
    /// Whether setgroups(2) is denied there, as an unprivileged user's own id map demands.
    pub setgroups_denied: bool,
    /// Whether the cgroup namespace is made after the runtime has moved init into its v1 cgroups.
    pub unshare_cgroup: bool,
    /// Clock offsets of a new time namespace, in the form of `/proc/PID/timens_offsets`; `None` for no new one.
    pub time_offsets: Option<String>,
    /// Whether the loopback interface is brought up.
    pub loopback: bool,
    /// The root file system.
    pub rootfs: Rootfs,
    /// Host name.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Kernel parameters: path below `/proc/sys`, and value.
    pub sysctls: Vec<(String, String)>,
    /// Whether the runtime has hooks to run once the root file system is prepared.
    pub runtime_hooks: bool,
    /// Hooks of the container's namespaces, before its root is changed.
    pub create_container: Vec<Hook>,
    /// Hooks of the container's namespaces, before the user's program.
    pub start_container: Vec<Hook>,
    /// Files for the standard output and the standard error of those hooks.
    pub hook_output: (Option<Slot>, Option<Slot>),
    /// The state that those hooks read, but for their status and process id.
    pub state: State,
    /// The start gate; `None` starts at once.
    pub gate: Option<Gate>,
}

/// The start gate.
#[derive(Debug, Serialize, Deserialize)]
pub struct Gate {
    /// The FIFO's read end.
    pub fifo: Slot,
    /// The file that takes a failure after the gate.
    pub failure: Slot,
}

/// The user's program and what it may do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Process {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// Who runs it.
    pub user: User,
    /// Further group ids.
    pub additional_gids: Vec<u32>,
    /// Further groups by name, resolved inside the container.
    pub additional_groups: Vec<String>,
    /// Whether the caller's additional groups are kept, and none are set.
    pub keep_groups: bool,
    /// File mode creation mask.
    pub umask: u32,
    /// The five capability sets; `None` leaves what the kernel gives.
    pub capabilities: Option<Capabilities>,
    /// Whether execve(2) may no longer grant privileges.
    pub no_new_privileges: bool,
    /// What security modules are asked for at the execve(2).
    pub labels: Labels,
    /// What the program may no longer do from the execve(2) on.
    pub landlock: Option<Landlock>,
    /// Signal to get when the thread that made init ends; 0 for none.
    pub parent_death_signal: i32,
    /// A terminal of this size (rows, columns) as standard input, output and error; zeros keep the kernel's default.
    pub terminal: Option<(u16, u16)>,
    /// How many descriptors from 3 on the program inherits.
    pub inherit: u32,
    /// Name of the session keyring; `None` keeps the caller's.
    pub keyring: Option<String>,
    /// Whether a small PID 1 stands before the program, reaps and forwards signals.
    pub reaper: bool,
    /// Scheduling policy.
    pub scheduler: Option<Scheduler>,
    /// I/O priority.
    pub io_priority: Option<IoPriority>,
    /// NUMA memory policy.
    pub memory_policy: Option<MemoryPolicy>,
    /// Execution domain, as personality(2) numbers it.
    pub personality: Option<u32>,
    /// Filter over system calls.
    pub seccomp: Option<Seccomp>,
}

/// Filter over system calls, in the form of seccomp(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seccomp {
    /// The instructions, as [`Program::new`](corten_sys::seccomp::Program::new) takes them.
    pub program: Vec<u64>,
    /// `SECCOMP_FILTER_FLAG_…`, as bits.
    pub flags: u32,
    /// Whether the runtime gets a listener.
    pub listener: bool,
}

/// Scheduling policy, in the kernel's numbers (sched_setattr(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// `SCHED_…`.
    pub policy: u32,
    /// `SCHED_FLAG_…`, as bits.
    pub flags: u64,
    /// Nice value.
    pub nice: i32,
    /// Static priority.
    pub priority: u32,
    /// In nanoseconds.
    pub runtime: u64,
    /// In nanoseconds.
    pub deadline: u64,
    /// In nanoseconds.
    pub period: u64,
}

/// I/O priority, in the kernel's numbers (ioprio_set(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoPriority {
    /// 1 real-time, 2 best effort, 3 idle.
    pub class: u8,
    /// 0 (highest) to 7.
    pub level: u8,
}

/// NUMA memory policy, in the kernel's numbers (set_mempolicy(2)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// `MPOL_…`.
    pub mode: u32,
    /// `MPOL_F_…`, as bits.
    pub flags: u32,
    /// A bit each.
    pub nodes: Vec<u64>,
}

/// What security modules are asked for at the execve(2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// AppArmor profile.
    pub apparmor: Option<String>,
    /// SELinux context, of the program and of its session keyring.
    pub selinux: Option<String>,
}

/// A Landlock ruleset, as bits that this kernel knows (landlock(7)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landlock {
    /// Rights on files that are denied where no rule allows them.
    pub fs: u64,
    /// Rights on the network, likewise.
    pub net: u64,
    /// What is confined to the program and its children.
    pub scoped: u64,
    /// Rights that are allowed beneath a path inside the container.
    pub paths: Vec<(String, u64)>,
    /// Rights that are allowed for a port.
    pub ports: Vec<(u16, u64)>,
}

/// Who runs the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum User {
    /// By number.
    Ids {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
    /// By name, resolved inside the container.
    Name {
        /// A name of `/etc/passwd`, or a number.
        user: String,
        /// A name of `/etc/group`, or a number; absent means the user's own.
        group: Option<String>,
    },
}

/// The five capability sets, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Bounding set.
    pub bounding: u64,
    /// Effective set.
    pub effective: u64,
    /// Inheritable set.
    pub inheritable: u64,
    /// Permitted set.
    pub permitted: u64,
    /// Ambient set.
    pub ambient: u64,
}

/// One resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Number of the resource, as in getrlimit(2).
    pub resource: u32,
    /// Soft limit; the largest number means none.
    pub soft: u64,
    /// Hard limit; the largest number means none.
    pub hard: u64,
}
