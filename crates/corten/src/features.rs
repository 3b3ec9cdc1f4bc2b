//! What this version can do, in the form of the OCI specification.

use corten_init::rootfs::known_mount_options;

use crate::config::{capability_names, landlock, memory_policy_flags, memory_policy_modes};
use crate::oci::{
    CgroupFeatures, Enabled, Features, IntelRdtFeatures, LinuxFeatures, MemoryPolicyFeatures,
    MountExtensions, SeccompFeatures,
};
use crate::{Namespace, oci, seccomp};

/// What this version can do (specification: `features.md`). It is about the program, not about the machine, but for the flags of
/// seccomp(2) that the kernel takes.
pub fn features() -> Features {
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let hooks = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let kinds: Vec<_> = Namespace::ALL.iter().map(|kind| kind.as_str()).collect();
    Features {
        oci_version_min: "1.0.0".to_owned(),
        oci_version_max: oci::VERSION.to_owned(),
        hooks: strings(&hooks),
        mount_options: strings(&known_mount_options()),
        linux: Some(LinuxFeatures {
            namespaces: Some(strings(&kinds)),
            capabilities: Some(strings(capability_names())),
            cgroup: Some(CgroupFeatures {
                v1: true,
                v2: true,
                systemd: true,
                systemd_user: true,
                rdma: true,
            }),
            seccomp: Some(SeccompFeatures {
                enabled: true,
                actions: strings(corten_seccomp::known_actions()),
                operators: strings(corten_seccomp::known_operators()),
                archs: strings(corten_seccomp::known_archs()),
                known_flags: strings(corten_seccomp::known_flags()),
                supported_flags: strings(&seccomp::supported_flags()),
            }),
            apparmor: Some(Enabled { enabled: true }),
            selinux: Some(Enabled { enabled: true }),
            intel_rdt: Some(IntelRdtFeatures { enabled: true, schemata: true, monitoring: true }),
            memory_policy: Some(MemoryPolicyFeatures {
                modes: strings(memory_policy_modes()),
                flags: strings(memory_policy_flags()),
            }),
            mount_extensions: Some(MountExtensions { idmap: Enabled { enabled: true } }),
            net_devices: Some(Enabled { enabled: true }),
        }),
        annotations: oci::Map::from([
            ("org.corten.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("org.corten.checkpoint.enabled".to_owned(), "true".to_owned()),
        ]),
        potentially_unsafe_config_annotations: strings(&[
            "bundle",
            landlock::ANNOTATION,
            "org.criu.config",
            "org.systemd.property.",
            "run.oci.",
        ]),
    }
}
