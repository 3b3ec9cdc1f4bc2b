//! The fields of a configuration, before it is known whether they make a valid one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use super::cgroup::Cgroup;
use super::namespace::{Namespace, Namespaces};
use super::network::{Network, Route};
use crate::oci;

/// What `ConfigBuilder` sets and `Config` shows; each is described at the builder's method of its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    pub(crate) version: String,
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) annotations: oci::Map<String>,
    pub(crate) rootfs: PathBuf,
    pub(crate) readonlyfs: bool,
    pub(crate) root_propagation: Option<String>,
    pub(crate) no_pivot_root: bool,
    pub(crate) mounts: Vec<oci::Mount>,
    pub(crate) mount_label: Option<String>,
    pub(crate) mount_context_type: Option<String>,
    pub(crate) devices: Vec<oci::Device>,
    pub(crate) mask_paths: Vec<String>,
    pub(crate) readonly_paths: Vec<String>,
    pub(crate) namespaces: Namespaces,
    pub(crate) uid_mappings: Vec<oci::IdMapping>,
    pub(crate) gid_mappings: Vec<oci::IdMapping>,
    pub(crate) time_offsets: oci::Map<oci::TimeOffset>,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    pub(crate) sysctl: oci::Map<String>,
    pub(crate) networks: Vec<Network>,
    pub(crate) routes: Vec<Route>,
    pub(crate) net_devices: oci::Map<oci::NetDevice>,
    pub(crate) cgroup: Cgroup,
    pub(crate) attributes: Attributes,
    pub(crate) parent_death_signal: Option<i32>,
    pub(crate) no_new_keyring: bool,
    pub(crate) hooks: oci::Hooks,
    pub(crate) hook_stdout: Option<PathBuf>,
    pub(crate) hook_stderr: Option<PathBuf>,
    pub(crate) keep_original_groups: bool,
    pub(crate) seccomp: Option<oci::Seccomp>,
    pub(crate) seccomp_listener: bool,
    pub(crate) intel_rdt: Option<oci::IntelRdt>,
    pub(crate) memory_policy: Option<oci::MemoryPolicy>,
    pub(crate) personality: Option<oci::Personality>,
    pub(crate) rootless_euid: bool,
    pub(crate) rootless_cgroups: bool,
}

impl Fields {
    /// The id on the host of an id of the container; `None` where it is not mapped.
    pub(crate) fn host_id(&self, mappings: &[oci::IdMapping], id: u32) -> Option<u32> {
        if !self.namespaces.contains(Namespace::User) {
            return Some(id);
        }
        mappings.iter().find_map(|range| {
            let offset = id.checked_sub(range.container_id).filter(|offset| *offset < range.size)?;
            range.host_id.checked_add(offset)
        })
    }
}
