//! The seccomp profiles that engines hand to a runtime by default.

use corten_oci::{Seccomp, SyscallRule};
use serde::Deserialize;

/// An engine with a default profile of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Docker, and containerd and BuildKit with it.
    Docker,
    /// Podman, Buildah and CRI-O.
    Podman,
}

/// What Docker and Podman give a container without options.
pub const DEFAULT_CAPABILITIES: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

impl Engine {
    /// What the engine makes of its profile on an architecture (`SCMP_ARCH_…`), for a container with these capabilities.
    pub fn profile(self, arch: &str, capabilities: &[&str]) -> Seccomp {
        let text = match self {
            Engine::Docker => include_str!("../profiles/docker.json"),
            Engine::Podman => include_str!("../profiles/containers.json"),
        };
        let profile: Profile = serde_json::from_str(text).unwrap_or_else(|error| panic!("{self:?}: {error}"));
        profile.resolve(arch, capabilities)
    }
}

/// A profile of an engine: rules with the circumstances in which they count.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(flatten)]
    rule: SyscallRule,
    #[serde(default)]
    includes: Circumstances,
    #[serde(default)]
    excludes: Circumstances,
}

/// `minKernel` is left out: every kernel that Corten runs on is new enough.
#[derive(Default, Deserialize)]
struct Circumstances {
    #[serde(default)]
    arches: Vec<String>,
    #[serde(default)]
    caps: Vec<String>,
}

impl Profile {
    fn resolve(self, arch: &str, capabilities: &[&str]) -> Seccomp {
        let of = |map: &ArchMap| map.architecture == arch;
        let mapped = self.arch_map.into_iter().find(of).map(|map| {
            let mut all = vec![map.architecture];
            all.extend(map.sub_architectures.unwrap_or_default());
            all
        });
        let go = go_name(arch);
        let capable = |cap: &String| capabilities.contains(&cap.as_str());
        let counts = |rule: &Rule| {
            let excluded =
                rule.excludes.arches.iter().any(|name| name == go) || rule.excludes.caps.iter().any(capable);
            let arches = &rule.includes.arches;
            !excluded
                && (arches.is_empty() || arches.iter().any(|name| name == go))
                && rule.includes.caps.iter().all(capable)
        };
        Seccomp {
            default_action: self.default_action,
            default_errno_ret: self.default_errno_ret,
            architectures: mapped.unwrap_or_default(),
            syscalls: self.syscalls.into_iter().filter(counts).map(|rule| rule.rule).collect(),
            ..Seccomp::default()
        }
    }
}

/// What Go calls an architecture.
fn go_name(arch: &str) -> &str {
    match arch {
        "SCMP_ARCH_X86_64" => "amd64",
        "SCMP_ARCH_X86" => "x86",
        "SCMP_ARCH_AARCH64" => "arm64",
        "SCMP_ARCH_ARM" => "arm",
        "SCMP_ARCH_PPC64LE" => "ppc64le",
        "SCMP_ARCH_RISCV64" => "riscv64",
        "SCMP_ARCH_S390X" => "s390x",
        "SCMP_ARCH_S390" => "s390",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(profile: &Seccomp, name: &str) -> bool {
        let named = |rule: &&SyscallRule| rule.names.iter().any(|known| known == name);
        profile.syscalls.iter().filter(named).any(|rule| rule.action == "SCMP_ACT_ALLOW")
    }

    #[test]
    fn circumstances_decide_which_rules_count() {
        for engine in [Engine::Docker, Engine::Podman] {
            let profile = engine.profile("SCMP_ARCH_X86_64", &DEFAULT_CAPABILITIES);
            assert_eq!(profile.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
            assert!(allows(&profile, "read") && allows(&profile, "arch_prctl"), "{engine:?}");
            assert!(!allows(&profile, "acct") && !allows(&profile, "riscv_flush_icache"), "{engine:?}");
            let profile = engine.profile("SCMP_ARCH_S390X", &["CAP_SYS_PACCT"]);
            assert!(allows(&profile, "acct") && allows(&profile, "s390_pci_mmio_read"), "{engine:?}");
            assert!(!allows(&profile, "arch_prctl"), "{engine:?}");
        }
    }
}
