//! Plans of root file systems: mounts with their options, devices, masked paths.

use std::path::Path;

use corten_init::rootfs::{ContainerIds, Hierarchy, Request, plan};
use corten_oci::{Device, IdMapping, Mount};
use serde::Deserialize;
use serde_json::Value;

use crate::{comes_back, is_plain};

/// What a configuration says of a root file system.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Input {
    mounts: Vec<Mount>,
    devices: Vec<Device>,
    masked_paths: Vec<String>,
    readonly_paths: Vec<String>,
    propagation: Option<String>,
    label: Option<String>,
    uid_mappings: Vec<IdMapping>,
    gid_mappings: Vec<IdMapping>,
    bind_devices: bool,
    no_mount_namespace: bool,
    readonly: bool,
    cgroups: bool,
}

/// A plan is refused, or is the same after it was written and read again, and nothing in it leads out of the root.
pub fn mounts(data: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Input>(data) else { return };
    let hierarchy =
        Hierarchy { name: String::new(), options: Vec::new(), directory: "/sys/fs/cgroup/x".into() };
    let hierarchies: &[Hierarchy] = if input.cgroups { &[hierarchy] } else { &[] };
    let planned = plan(&Request {
        rootfs: Path::new("/bundle/rootfs"),
        bundle: Path::new("/bundle"),
        readonly: input.readonly,
        propagation: input.propagation.as_deref(),
        no_pivot: false,
        mount_label: input.label.as_deref().map(|label| ("context", label)),
        mounts: &input.mounts,
        devices: &input.devices,
        masked: &input.masked_paths,
        readonly_paths: &input.readonly_paths,
        bind_devices: input.bind_devices,
        id_maps: ContainerIds { users: &input.uid_mappings, groups: &input.gid_mappings, path: None },
        mount_namespace: !input.no_mount_namespace,
        cgroup_namespace: input.cgroups,
        cgroups: hierarchies,
        foreign_cgroups: input.readonly,
    });
    let rootfs = match planned {
        Ok(rootfs) => rootfs,
        Err(failure) => return assert!(!failure.to_string().is_empty()),
    };
    let written = serde_json::to_value(comes_back(&rootfs)).unwrap_or_default();
    let list = |name: &str| written[name].as_array().cloned().unwrap_or_default();
    assert_eq!(list("mounts").len(), input.mounts.len());
    for mount in list("mounts") {
        let destination = text(&mount["destination"]);
        assert!(is_plain(Path::new(&destination)) && destination != "/", "{mount}");
        let attributes = |set: &str, clear: &str| mount[set].as_u64().zip(mount[clear].as_u64());
        assert!(attributes("set", "clear").is_some(), "{mount}");
    }
    for node in list("devices") {
        assert!(is_plain(Path::new(&text(&node["path"]))), "{node}");
        assert!(node["mode"].as_u64().is_some_and(|mode| mode <= 0o7777), "{node}");
    }
    for path in list("masked").iter().chain(&list("readonly_paths")) {
        assert!(is_plain(Path::new(&text(path))), "{path}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
