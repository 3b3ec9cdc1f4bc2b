//! The validated description of a container.
//!
//! [`Config::builder`] makes one in a program, [`Config::from_spec`] from the `config.json` of an OCI bundle.

mod address;
mod annotations;
mod attributes;
mod builder;
mod cgroup;
mod defaults;
mod fields;
mod interfaces;
pub(crate) mod landlock;
mod lists;
mod names;
mod namespace;
mod network;
mod read;
mod resources;
mod scheduling;
mod seccomp;
mod spec;
mod sysctl;
mod unsupported;
mod validate;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use builder::ConfigBuilder;
pub use cgroup::Cgroup;
pub use defaults::{default_device_rules, default_devices};
pub use landlock::{Landlock, LandlockPath, LandlockPort, LandlockRules, LandlockRuleset};
pub use names::{capability_names, rlimit_names};
pub use namespace::{Namespace, Namespaces};
pub use network::{Network, NetworkKind, Route};
pub use read::{read_process, read_spec};
pub use scheduling::{memory_policy_flags, memory_policy_modes};
pub use spec::SpecOptions;

pub(crate) use address::{Prefix, hardware_address, is_name_template};
pub(crate) use attributes::Attributes;
pub(crate) use names::{capability_mask, rlimit_resource};
pub(crate) use scheduling::{cpus, io_priority, memory_policy, personality, scheduler};
pub(crate) use spec::is_bind;
pub(crate) use sysctl::sysctl_path;
pub(crate) use unsupported::{USER, refuse};
pub(crate) use validate::{attributes as validate_attributes, is_idmapped};

use crate::{Error, Result, oci};
use fields::Fields;

/// The description of a container, which is valid in itself: whether it is possible on this machine, its start tells.
///
/// It is serialised with all of its fields, and checked again when it is read; only its seccomp profile is not compiled before
/// a program is started then.
#[derive(Clone)]
pub struct Config(Fields, seccomp::Compiled);

impl Config {
    /// A container with this root file system, an absolute path on the host, and new namespaces of every kind but user
    /// and time.
    pub fn builder(rootfs: impl Into<PathBuf>) -> ConfigBuilder {
        ConfigBuilder::new(rootfs.into())
    }

    /// The container that an OCI document describes; relative paths in it start from `bundle`.
    ///
    /// Every field of the document has an effect or is refused by its name with
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported). Of `process`, the configuration holds what the
    /// programs of the container may do; [`Process::from_spec`](crate::Process::from_spec) holds the program itself.
    pub fn from_spec(spec: &oci::Spec, bundle: impl AsRef<Path>, options: SpecOptions) -> Result<Self> {
        Self::try_from(spec::fields(spec, bundle.as_ref(), options)?)
    }

    /// What is ignored, as its specification demands: one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        validate::warnings(&self.0)
    }

    /// Refuses what is valid in itself and would change this host: sysctls and interfaces of a namespace that is the
    /// caller's own.
    pub(crate) fn check_host(&self) -> Result<()> {
        sysctl::check_host(&self.0)?;
        interfaces::check_host(&self.0)
    }

    /// The filter that its seccomp profile means, where it has one. It is compiled once.
    pub(crate) fn seccomp_filter(&self) -> Result<Option<&corten_seccomp::Filter>> {
        self.1.filter(&self.0)
    }

    /// The seccomp profile and the path of the agent that gets its listener, where it has one.
    pub(crate) fn seccomp_agent(&self) -> Option<(&oci::Seccomp, &str)> {
        seccomp::agent(&self.0)
    }

    /// Limits and privileges of the container's programs.
    pub(crate) fn attributes(&self) -> &Attributes {
        &self.0.attributes
    }

    /// The user id on the host of a user id of the container; `None` where it is not mapped.
    ///
    /// Of a user namespace that is joined only the mappings in the configuration count.
    pub fn host_uid(&self, id: u32) -> Option<u32> {
        self.0.host_id(&self.0.uid_mappings, id)
    }

    /// The group id on the host of a group id of the container; see [`Config::host_uid`].
    pub fn host_gid(&self, id: u32) -> Option<u32> {
        self.0.host_id(&self.0.gid_mappings, id)
    }
}

impl TryFrom<Fields> for Config {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        validate::validate(&fields)?;
        let config = Self(fields, seccomp::Compiled::default());
        config.seccomp_filter()?;
        Ok(config)
    }
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Config").field(&self.0).finish()
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Most that is read is the state of a container, whose profile was compiled when it was made; few readers start anything.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        validate::validate(&fields).map_err(serde::de::Error::custom)?;
        Ok(Self(fields, seccomp::Compiled::default()))
    }
}

/// Takes a configuration apart, to change it and build it again.
impl From<Config> for ConfigBuilder {
    fn from(config: Config) -> Self {
        Self::from_fields(config.0)
    }
}

/// A getter for each field, named as the method of the builder that sets it and says what it means.
macro_rules! getters {
    ($config:ident; $($name:ident -> $type:ty = $value:expr;)*) => {
        impl Config {
            $(
                #[doc = concat!("See [`ConfigBuilder::", stringify!($name), "`].")]
                pub fn $name(&self) -> $type {
                    let $config = &self.0;
                    $value
                }
            )*
        }
    };
}

getters! { c;
    version -> &str = &c.version;
    bundle -> Option<&Path> = c.bundle.as_deref();
    annotations -> &oci::Map<String> = &c.annotations;
    rootfs -> &Path = &c.rootfs;
    readonlyfs -> bool = c.readonlyfs;
    root_propagation -> Option<&str> = c.root_propagation.as_deref();
    no_pivot_root -> bool = c.no_pivot_root;
    mounts -> &[oci::Mount] = &c.mounts;
    mount_label -> Option<&str> = c.mount_label.as_deref();
    mount_context_type -> &str = c.mount_context_type.as_deref().unwrap_or("context");
    devices -> &[oci::Device] = &c.devices;
    mask_paths -> &[String] = &c.mask_paths;
    readonly_paths -> &[String] = &c.readonly_paths;
    namespaces -> &Namespaces = &c.namespaces;
    uid_mappings -> &[oci::IdMapping] = &c.uid_mappings;
    gid_mappings -> &[oci::IdMapping] = &c.gid_mappings;
    time_offsets -> &oci::Map<oci::TimeOffset> = &c.time_offsets;
    hostname -> Option<&str> = c.hostname.as_deref();
    domainname -> Option<&str> = c.domainname.as_deref();
    sysctl -> &oci::Map<String> = &c.sysctl;
    networks -> &[Network] = &c.networks;
    routes -> &[Route] = &c.routes;
    net_devices -> &oci::Map<oci::NetDevice> = &c.net_devices;
    cgroup -> &Cgroup = &c.cgroup;
    umask -> Option<u32> = c.attributes.umask;
    capabilities -> Option<&oci::Capabilities> = c.attributes.capabilities.as_ref();
    rlimits -> &[oci::Rlimit] = &c.attributes.rlimits;
    no_new_privileges -> bool = c.attributes.no_new_privileges.unwrap_or(false);
    oom_score_adj -> Option<i32> = c.attributes.oom_score_adj;
    apparmor_profile -> Option<&str> = c.attributes.apparmor_profile.as_deref();
    process_label -> Option<&str> = c.attributes.label.as_deref();
    landlock -> Option<&Landlock> = c.attributes.landlock.as_ref();
    scheduler -> Option<&oci::Scheduler> = c.attributes.scheduler.as_ref();
    io_priority -> Option<&oci::IoPriority> = c.attributes.io_priority.as_ref();
    exec_cpu_affinity -> Option<&oci::CpuAffinity> = c.attributes.cpu_affinity.as_ref();
    parent_death_signal -> Option<i32> = c.parent_death_signal;
    no_new_keyring -> bool = c.no_new_keyring;
    hooks -> &oci::Hooks = &c.hooks;
    hook_stdout -> Option<&Path> = c.hook_stdout.as_deref();
    hook_stderr -> Option<&Path> = c.hook_stderr.as_deref();
    keep_original_groups -> bool = c.keep_original_groups;
    seccomp -> Option<&oci::Seccomp> = c.seccomp.as_ref();
    seccomp_listener -> bool = c.seccomp_listener;
    intel_rdt -> Option<&oci::IntelRdt> = c.intel_rdt.as_ref();
    memory_policy -> Option<&oci::MemoryPolicy> = c.memory_policy.as_ref();
    personality -> Option<&oci::Personality> = c.personality.as_ref();
    rootless_euid -> bool = c.rootless_euid;
    rootless_cgroups -> bool = c.rootless_cgroups;
}

#[cfg(test)]
mod tests;
