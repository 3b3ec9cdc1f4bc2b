//! What a runtime can do (specification: `features.md`, `features-linux.md`).

use serde::{Deserialize, Serialize};

use crate::Map;

/// What a runtime can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// Oldest version of the specification that is understood.
    pub oci_version_min: String,
    /// Newest version of the specification that is understood.
    pub oci_version_max: String,
    /// Kinds of hooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<String>,
    /// Mount options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
    /// What only Linux has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux: Option<LinuxFeatures>,
    /// Facts about the runtime itself.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String>,
    /// Annotations of a configuration that may weaken the host's safety.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub potentially_unsafe_config_annotations: Vec<String>,
}

/// What a runtime can do on Linux. An absent part is unknown; an empty one is known to be nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinuxFeatures {
    /// Namespace types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// Capability names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// Control groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupFeatures>,
    /// Seccomp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<SeccompFeatures>,
    /// AppArmor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<Enabled>,
    /// SELinux.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selinux: Option<Enabled>,
    /// Intel resource director technology.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdtFeatures>,
    /// NUMA memory policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicyFeatures>,
    /// Extensions of mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_extensions: Option<MountExtensions>,
    /// Moving network devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_devices: Option<Enabled>,
}

/// Whether something is compiled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enabled {
    /// Whether it is.
    pub enabled: bool,
}

/// Which kinds of control groups are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupFeatures {
    /// Version 1.
    pub v1: bool,
    /// Version 2.
    pub v2: bool,
    /// Through systemd.
    pub systemd: bool,
    /// Through a user's systemd.
    pub systemd_user: bool,
    /// The rdma controller.
    pub rdma: bool,
}

/// What the seccomp compiler knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompFeatures {
    /// Whether filters can be used at all.
    pub enabled: bool,
    /// Actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// Argument operators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<String>,
    /// Architectures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archs: Vec<String>,
    /// Flags that are known by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_flags: Vec<String>,
    /// Flags that this machine's kernel takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_flags: Vec<String>,
}

/// What is known of Intel's resource director technology.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntelRdtFeatures {
    /// Whether `linux.intelRdt` is honoured.
    pub enabled: bool,
    /// Whether its `schemata` is.
    pub schemata: bool,
    /// Whether its `enableMonitoring` is.
    pub monitoring: bool,
}

/// What is known of NUMA memory policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicyFeatures {
    /// Modes.
    pub modes: Vec<String>,
    /// Flags.
    pub flags: Vec<String>,
}

/// Extensions of mounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountExtensions {
    /// Id-mapped mounts.
    pub idmap: Enabled,
}
