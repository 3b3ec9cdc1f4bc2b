//! Names of capabilities and resource limits, and their numbers in the kernel.

/// Capabilities by number, from 0: capabilities(7), linux/capability.h.
const CAPABILITIES: [&str; 41] = [
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

/// Resource limits by number, from 0: getrlimit(2), asm-generic/resource.h.
const RLIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// The names of all capabilities that this version knows, by number; which of them the kernel has is in
/// `/proc/sys/kernel/cap_last_cap`.
pub fn capability_names() -> &'static [&'static str] {
    &CAPABILITIES
}

/// The names of all resource limits, by number.
pub fn rlimit_names() -> &'static [&'static str] {
    &RLIMITS
}

/// The bits of these capabilities, and the names that are unknown.
pub(crate) fn capability_mask(names: &[String]) -> (u64, Vec<String>) {
    let mut unknown = Vec::new();
    let mut mask = 0;
    for name in names {
        match CAPABILITIES.iter().position(|known| known == name) {
            Some(bit) => mask |= 1 << bit,
            None => unknown.push(name.clone()),
        }
    }
    (mask, unknown)
}

/// The number of a resource limit.
pub(crate) fn rlimit_resource(name: &str) -> Option<u32> {
    let index = RLIMITS.iter().position(|known| *known == name)?;
    u32::try_from(index).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_the_kernels_numbers() {
        let names = ["CAP_CHOWN", "CAP_NOPE", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE", "cap_kill"];
        let (mask, unknown) = capability_mask(&names.map(String::from));
        assert_eq!(mask, 1 | 1 << 21 | 1 << 40);
        assert_eq!(unknown, ["CAP_NOPE", "cap_kill"]);
    }

    #[test]
    fn rlimits_have_the_kernels_numbers() {
        assert_eq!(rlimit_resource("RLIMIT_CPU"), Some(0));
        assert_eq!(rlimit_resource("RLIMIT_NOFILE"), Some(7));
        assert_eq!(rlimit_resource("RLIMIT_RTTIME"), Some(15));
        assert_eq!(rlimit_resource("NOFILE"), None);
    }
}
