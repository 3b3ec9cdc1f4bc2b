//! The control group of a container.

use serde::{Deserialize, Serialize};

use crate::oci;

/// The control group of a container and its limits.
///
/// It is either [`path`](Self::path), or [`name`](Self::name) below [`parent`](Self::parent). With none of them it is
/// named after the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cgroup {
    /// Name of the group; absent means the container's id.
    pub name: Option<String>,
    /// The group that it is made in, from the root of the hierarchy; for systemd a slice.
    pub parent: Option<String>,
    /// Path of the group in the form that the driver expects: with cgroupfs from the root of the hierarchy where it
    /// begins with a slash, else below the caller's own group; with systemd `slice:prefix:name`, each of which may be empty.
    pub path: Option<String>,
    /// What systemd's scope is called before the name; where there is no name either, `corten`.
    pub scope_prefix: Option<String>,
    /// Limits and device rules.
    pub resources: oci::Resources,
    /// Whether systemd makes the group: the machine's where it belongs to the caller, else that of the caller's session.
    pub systemd: bool,
    /// Further properties of systemd's scope (systemd.scope(5), systemd.resource-control(5)) and their values in the text
    /// format of GVariant: `CollectMode`, `'inactive-or-failed'`. They can take limits away: they are the host's matter.
    pub systemd_properties: oci::Map<String>,
    /// Whether there is a group for the container at all; without one it stays in the caller's and can have no limits.
    pub managed: bool,
    /// User id on the host that gets the group's directory, and of its files those that the kernel lists in
    /// `/sys/kernel/cgroup/delegate`, so that the container can manage the groups below it; on cgroup v2 only.
    pub owner_uid: Option<u32>,
}

impl Default for Cgroup {
    fn default() -> Self {
        Self {
            name: None,
            parent: None,
            path: None,
            scope_prefix: None,
            resources: oci::Resources::default(),
            systemd: false,
            systemd_properties: oci::Map::new(),
            managed: true,
            owner_uid: None,
        }
    }
}
