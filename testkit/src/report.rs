//! What the probe sees from inside a container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The capabilities by number (linux/capability.h).
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// One look from inside. What cannot be read there (a `/proc` that is not mounted, say) is `None`, never an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The probe's process id.
    pub pid: i32,
    /// Its parent's; 0 where the parent is in another pid namespace.
    pub ppid: i32,
    /// Its session; 0 where the leader is in another pid namespace.
    pub sid: i32,
    /// Its process group; 0 where the leader is in another pid namespace.
    pub pgid: i32,
    /// User ids.
    pub uids: Ids,
    /// Group ids.
    pub gids: Ids,
    /// Supplementary groups, in the kernel's order.
    pub groups: Vec<u32>,
    /// The id maps of its user namespace, as lines `INSIDE OUTSIDE COUNT`, blanks squeezed.
    pub uid_map: Option<Vec<String>>,
    /// As `uid_map`, for groups.
    pub gid_map: Option<Vec<String>>,
    /// `/proc/self/setgroups`.
    pub setgroups: Option<String>,
    /// Host name.
    pub hostname: String,
    /// NIS domain name.
    pub domainname: String,
    /// Working directory; `None` where it cannot be reached from the root.
    pub cwd: Option<String>,
    /// File mode creation mask.
    pub umask: u32,
    /// The arguments, the program first.
    pub args: Vec<String>,
    /// The environment, as `KEY=value`, in order.
    pub env: Vec<String>,
    /// The program file: `/proc/self/exe`.
    pub executable: Option<String>,
    /// The namespaces: `/proc/self/ns/*`, such as `"mnt": "mnt:[4026531841]"`.
    pub namespaces: Option<BTreeMap<String, String>>,
    /// Offsets of the time namespace by clock, as `SECONDS NANOSECONDS`.
    pub time_offsets: Option<BTreeMap<String, String>>,
    /// The five capability sets.
    pub capabilities: Option<Capabilities>,
    /// Whether execve(2) may no longer grant privileges.
    pub no_new_privs: Option<bool>,
    /// Seccomp mode: 0 off, 1 strict, 2 filter.
    pub seccomp: Option<u32>,
    /// How many seccomp filters there are.
    pub seccomp_filters: Option<u32>,
    /// Every resource limit, by its name in getrlimit(2).
    pub rlimits: BTreeMap<String, Limit>,
    /// Adjustment of the out-of-memory killer's badness.
    pub oom_score_adj: Option<i32>,
    /// Description of the session keyring, as keyctl_describe(3) has it: `TYPE;UID;GID;PERMISSIONS;NAME`.
    pub session_keyring: Option<String>,
    /// Security label of the session keyring (keyctl_get_security(3)); empty without a module that labels keys.
    pub session_keyring_label: Option<String>,
    /// Every mount, in the kernel's order.
    pub mounts: Option<Vec<Mount>>,
    /// The cgroups: lines of `/proc/self/cgroup`, such as `0::/`.
    pub cgroups: Option<Vec<String>>,
    /// Open file descriptors and what they are, the probe's own left out.
    pub fds: Option<BTreeMap<i32, String>>,
    /// What `/dev` holds, two levels deep, by path.
    pub devices: Option<BTreeMap<String, Node>>,
    /// Signal sets.
    pub signals: Option<Signals>,
    /// Which of the descriptors 0, 1 and 2 are terminals.
    pub terminals: [bool; 3],
    /// Size of the terminal on the first of them that is one.
    pub window: Option<Window>,
    /// The kernel parameters that were asked for (`sysctl=NAME`); `None` for one that cannot be read.
    pub sysctls: BTreeMap<String, Option<String>>,
    /// Whether a datagram sent to 127.0.0.1 arrives.
    pub loopback_up: bool,
    /// The network interfaces.
    pub interfaces: Option<Vec<String>>,
    /// The network interfaces by name, with what `/sys/class/net` tells of them.
    pub links: BTreeMap<String, Link>,
    /// The routes as ip-route(8) has them, `0.0.0.0/0 via 10.0.0.1 dev eth0`; those of IPv6 that the kernel makes by itself for
    /// this machine, the link and multicast are left out.
    pub routes: Option<Vec<String>>,
    /// Execution domain, as personality(2) numbers it.
    pub personality: Option<u32>,
    /// Scheduling policy and its parameters.
    pub scheduling: Option<Scheduling>,
    /// I/O priority: class (0 where none was set) and level.
    pub io_priority: Option<(u32, u32)>,
    /// NUMA memory policy: mode with flags, and the first 64 nodes, a bit each.
    pub memory_policy: Option<(u32, u64)>,
    /// The CPUs that it may run on, as a list such as `0-3,7`.
    pub cpus: Option<String>,
    /// Label of the security module: `/proc/self/attr/current`.
    pub label: Option<String>,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Whether it is up.
    pub up: bool,
    /// Its addresses with their prefixes, as `10.0.0.2/24`; those of the link (`fe80::/10`) are left out.
    pub addresses: Vec<String>,
    /// Its hardware address; needs `/sys`.
    pub hardware_address: Option<String>,
    /// Largest packet in bytes; needs `/sys`.
    pub mtu: Option<u32>,
    /// Length of the transmit queue; needs `/sys`.
    pub txqueuelen: Option<u32>,
}

/// The ids of a process (credentials(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// Real.
    pub real: u32,
    /// Effective.
    pub effective: u32,
    /// Saved; needs `/proc`.
    pub saved: Option<u32>,
    /// Of the file system; needs `/proc`.
    pub filesystem: Option<u32>,
}

/// The capability sets of capabilities(7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Inheritable.
    pub inheritable: CapabilitySet,
    /// Permitted.
    pub permitted: CapabilitySet,
    /// Effective.
    pub effective: CapabilitySet,
    /// Bounding.
    pub bounding: CapabilitySet,
    /// Ambient.
    pub ambient: CapabilitySet,
}

/// One capability set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitySet {
    /// As the kernel prints it: hexadecimal.
    pub hex: String,
    /// The names, in the kernel's order; `CAP_41` and the like for those that the probe does not know.
    pub names: Vec<String>,
}

/// A resource limit; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Soft limit.
    pub soft: Option<u64>,
    /// Hard limit.
    pub hard: Option<u64>,
}

/// One mount, a line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Number of the mount.
    pub id: u64,
    /// Number of the mount that it is mounted on.
    pub parent: u64,
    /// The directory of the file system that is its root here.
    pub root: String,
    /// Where it is mounted.
    pub mountpoint: String,
    /// Options of the mount: `rw`, `nosuid`, …
    pub options: Vec<String>,
    /// Propagation: `shared:1`, `master:2`, `unbindable`, …; none is private.
    pub propagation: Vec<String>,
    /// Type of the file system.
    pub fstype: String,
    /// Source, a device name or whatever was given.
    pub source: String,
    /// Options of the file system.
    pub super_options: Vec<String>,
}

/// A file in `/dev`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `character`, `block`, `fifo`, `directory`, `symlink`, `socket` or `file`.
    pub kind: String,
    /// Major number of a device.
    pub major: u32,
    /// Minor number of a device.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Where a symbolic link points to.
    pub target: Option<String>,
}

/// Signal sets (signal(7)), as numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// Blocked.
    pub blocked: Vec<u32>,
    /// Ignored.
    pub ignored: Vec<u32>,
    /// Caught.
    pub caught: Vec<u32>,
}

/// Scheduling policy and its parameters (sched_getattr(2)), in the kernel's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// Policy.
    pub policy: u32,
    /// Flags.
    pub flags: u64,
    /// Nice value.
    pub nice: i32,
    /// Real-time priority.
    pub priority: u32,
    /// Runtime, in nanoseconds.
    pub runtime: u64,
    /// Deadline, in nanoseconds.
    pub deadline: u64,
    /// Period, in nanoseconds.
    pub period: u64,
}

/// Size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

impl Report {
    /// The topmost mount at `mountpoint`: of several, the one made last.
    pub fn mount(&self, mountpoint: &str) -> Option<&Mount> {
        self.mounts.as_ref()?.iter().rfind(|mount| mount.mountpoint == mountpoint)
    }

    /// The value of an environment variable; of several, the first.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }

    /// The namespace of a kind, as `/proc/self/ns` names it: `mnt`, `pid`, `net`, …
    pub fn namespace(&self, kind: &str) -> Option<&str> {
        self.namespaces.as_ref()?.get(kind).map(String::as_str)
    }

    /// What is at a path in `/dev`.
    pub fn device(&self, path: &str) -> Option<&Node> {
        self.devices.as_ref()?.get(path)
    }
}

impl Mount {
    /// Whether the mount, or its file system, has this option.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().chain(&self.super_options).any(|have| have == option)
    }

    /// Reads lines of `/proc/self/mountinfo`; a line that has not its form is left out.
    pub fn parse(text: &str) -> Vec<Mount> {
        text.lines().filter_map(Mount::parse_line).collect()
    }

    fn parse_line(line: &str) -> Option<Mount> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let (id, parent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (_device, root, mountpoint, options) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let mut tail = after.splitn(3, ' ');
        Some(Mount {
            id,
            parent,
            root: unescape(root),
            mountpoint: unescape(mountpoint),
            options: list(options),
            propagation: fields.map(str::to_owned).collect(),
            fstype: tail.next()?.to_owned(),
            source: unescape(tail.next()?),
            super_options: list(tail.next().unwrap_or_default()),
        })
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|option| !option.is_empty()).map(unescape).collect()
}

/// Undoes the kernel's octal escapes of blank, tab, newline and backslash.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_taken_apart() {
        let text = "36 35 98:0 /mnt1 /a\\040b ro,noatime master:1 shared:7 - ext3 /dev/r\\134t rw,errors=continue\n\
                    not a mount\n\
                    29 26 0:26 / /dev/pts rw - devpts devpts rw,mode=600";
        let mounts = Mount::parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].id, mounts[0].parent), (36, 35));
        assert_eq!((mounts[0].root.as_str(), mounts[0].mountpoint.as_str()), ("/mnt1", "/a b"));
        assert_eq!(mounts[0].propagation, ["master:1", "shared:7"]);
        assert_eq!(mounts[0].source, "/dev/r\\t");
        assert!(mounts[0].has("noatime") && mounts[0].has("errors=continue") && !mounts[0].has("nosuid"));
        assert!(mounts[1].propagation.is_empty());
    }

    #[test]
    fn of_stacked_mounts_the_last_counts() {
        let text = "1 0 0:1 / /a rw - tmpfs first rw\n2 1 0:2 / /a ro - tmpfs second rw";
        let report = Report { mounts: Some(Mount::parse(text)), ..Report::default() };
        assert_eq!(report.mount("/a").unwrap().source, "second");
    }

    #[test]
    fn a_prefix_of_a_name_is_not_the_variable() {
        let report = Report { env: vec!["PATHS=1".into(), "PATH=/bin".into()], ..Report::default() };
        assert_eq!(report.env("PATH"), Some("/bin"));
    }
}
