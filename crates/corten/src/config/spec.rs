//! From an OCI document to a configuration: every field has its place here, or is refused by name.

use std::path::{Path, PathBuf};

use super::annotations::{self, Asked};
use super::attributes::{Attributes, non_empty};
use super::cgroup::Cgroup;
use super::defaults::{default_device_rules, default_devices};
use super::fields::Fields;
use super::namespace::{Namespace, Namespaces};
use super::network::Network;
use super::unsupported;
use crate::{Error, Result, oci};

/// What a configuration from an OCI document has beside the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecOptions {
    /// See [`ConfigBuilder::no_pivot_root`](super::ConfigBuilder::no_pivot_root).
    pub no_pivot_root: bool,
    /// See [`ConfigBuilder::no_new_keyring`](super::ConfigBuilder::no_new_keyring).
    pub no_new_keyring: bool,
    /// Whether systemd makes the control group, and `linux.cgroupsPath` is `slice:prefix:name`.
    pub systemd_cgroup: bool,
    /// Whether the container stays in the caller's control group: then the document may have neither `linux.resources` nor
    /// `linux.cgroupsPath`.
    pub no_cgroup: bool,
    /// See [`ConfigBuilder::rootless_euid`](super::ConfigBuilder::rootless_euid).
    pub rootless_euid: bool,
    /// See [`ConfigBuilder::rootless_cgroups`](super::ConfigBuilder::rootless_cgroups).
    pub rootless_cgroups: bool,
}

/// The fields of the configuration that a document describes.
pub(super) fn fields(spec: &oci::Spec, bundle: &Path, options: SpecOptions) -> Result<Fields> {
    unsupported::refuse(&unsupported::PLATFORMS, spec)?;
    let oci::Spec {
        version,
        process,
        root,
        hostname,
        domainname,
        mounts,
        hooks,
        annotations,
        linux,
        solaris: _,
        windows: _,
        vm: _,
        zos: _,
        freebsd: _,
    } = spec;
    let SpecOptions {
        no_pivot_root,
        no_new_keyring,
        systemd_cgroup,
        no_cgroup,
        rootless_euid,
        rootless_cgroups,
    } = options;
    let bundle = std::path::absolute(bundle)
        .map_err(|error| Error::io(format!("find the bundle {}", bundle.display()), error))?;
    let root = root.as_ref().ok_or_else(|| Error::invalid("root must be specified"))?;
    let oci::Root { path, readonly } = root;
    if path.is_empty() {
        return Err(Error::invalid("root.path must not be empty"));
    }
    let Asked { keep_original_groups, hook_stdout, hook_stderr, mount_context_type, seccomp, landlock } =
        annotations::read(annotations)?;
    let own = Fields {
        version: version.clone(),
        annotations: annotations.clone(),
        rootfs: bundle.join(path),
        readonlyfs: *readonly,
        mounts: mounts.iter().map(|mount| from_bundle(mount, &bundle)).collect(),
        hostname: non_empty(hostname),
        domainname: non_empty(domainname),
        attributes: Attributes {
            landlock,
            ..process.as_ref().map(Attributes::from_spec).unwrap_or_default()
        },
        mount_context_type,
        hooks: hooks.clone().unwrap_or_default(),
        hook_stdout,
        hook_stderr,
        keep_original_groups,
        no_pivot_root,
        no_new_keyring,
        rootless_euid,
        rootless_cgroups,
        cgroup: Cgroup {
            systemd: systemd_cgroup,
            managed: !no_cgroup,
            systemd_properties: systemd_properties(annotations, systemd_cgroup),
            ..Cgroup::default()
        },
        bundle: Some(bundle),
        ..Fields::default()
    };
    let mut fields = with_linux(own, &linux.clone().unwrap_or_default())?;
    fields.seccomp = fields.seccomp.map(|profile| seccomp.apply(profile)).transpose()?;
    let user = process.as_ref().map_or(0, |process| process.user.uid);
    fields.cgroup.owner_uid = cgroup_owner(&fields, user).filter(|_| !no_cgroup);
    Ok(fields)
}

/// Adds what only Linux has.
fn with_linux(fields: Fields, linux: &oci::Linux) -> Result<Fields> {
    let oci::Linux {
        namespaces,
        uid_mappings,
        gid_mappings,
        time_offsets,
        devices,
        net_devices,
        cgroups_path,
        resources,
        intel_rdt,
        memory_policy,
        sysctl,
        seccomp,
        rootfs_propagation,
        masked_paths,
        readonly_paths,
        mount_label,
        personality,
    } = linux;
    let namespaces = namespaces_of(namespaces)?;
    let networks = if namespaces.is_new(Namespace::Net) { vec![Network::loopback()] } else { Vec::new() };
    let cgroup = cgroup_of(cgroups_path, resources, fields.cgroup);
    Ok(Fields {
        namespaces,
        networks,
        uid_mappings: uid_mappings.clone(),
        gid_mappings: gid_mappings.clone(),
        time_offsets: time_offsets.clone(),
        devices: devices_of(devices),
        net_devices: net_devices.clone(),
        cgroup,
        intel_rdt: intel_rdt.clone(),
        memory_policy: memory_policy.clone(),
        sysctl: sysctl.clone(),
        seccomp: seccomp.clone(),
        root_propagation: non_empty(rootfs_propagation),
        mask_paths: masked_paths.clone(),
        readonly_paths: readonly_paths.clone(),
        mount_label: non_empty(mount_label),
        personality: personality.clone(),
        ..fields
    })
}

fn namespaces_of(listed: &[oci::Namespace]) -> Result<Namespaces> {
    let mut namespaces = Namespaces::default();
    for oci::Namespace { typ, path } in listed {
        let kind = Namespace::try_from(typ.as_str())?;
        if namespaces.contains(kind) {
            return Err(Error::invalid(format!("duplicate namespace type {typ:?}")));
        }
        match non_empty(path) {
            Some(path) => namespaces.join(kind, path),
            None => namespaces.add(kind),
        }
    }
    Ok(namespaces)
}

/// The default devices, but for those that the document has at the same path, and the document's.
fn devices_of(listed: &[oci::Device]) -> Vec<oci::Device> {
    let is_listed = |device: &oci::Device| listed.iter().any(|other| other.path == device.path);
    default_devices().into_iter().filter(|device| !is_listed(device)).chain(listed.iter().cloned()).collect()
}

fn cgroup_of(path: &Option<String>, resources: &Option<oci::Resources>, cgroup: Cgroup) -> Cgroup {
    let mut resources = resources.clone().unwrap_or_default();
    if cgroup.managed {
        resources.devices.extend(default_device_rules());
    }
    Cgroup { path: non_empty(path), resources, ..cgroup }
}

/// The properties of systemd's scope among the annotations; where it is not systemd that makes the group they are mere words.
fn systemd_properties(annotations: &oci::Map<String>, systemd: bool) -> oci::Map<String> {
    const PREFIX: &str = "org.systemd.property.";
    let property =
        |(name, value): (&String, &String)| Some((name.strip_prefix(PREFIX)?.to_owned(), value.clone()));
    annotations.iter().filter(|_| systemd).filter_map(property).collect()
}

/// The host's id of the user who runs the program, where the container sees its groups as the root of the hierarchy
/// and may write there (specification: `config-linux.md#cgroup-ownership`).
fn cgroup_owner(fields: &Fields, user: u32) -> Option<u32> {
    let writable = |mount: &oci::Mount| {
        let is_cgroup = mount.typ.as_deref() == Some("cgroup") && mount.destination == "/sys/fs/cgroup";
        is_cgroup && !mount.options.iter().any(|option| option == "ro")
    };
    let owns = fields.namespaces.is_new(Namespace::Cgroup) && fields.mounts.iter().any(writable);
    fields.host_id(&fields.uid_mappings, user).filter(|_| owns)
}

/// The mount with the source of a bind mount from the bundle on.
fn from_bundle(mount: &oci::Mount, bundle: &Path) -> oci::Mount {
    let mut mount = mount.clone();
    if is_bind(&mount) {
        let absolute = |source: String| {
            let path: PathBuf = bundle.join(&source);
            path.into_os_string().into_string().unwrap_or(source)
        };
        mount.source = mount.source.map(absolute);
    }
    mount
}

/// Whether this is a bind mount: by its type or by an option.
pub(crate) fn is_bind(mount: &oci::Mount) -> bool {
    mount.typ.as_deref() == Some("bind") || mount.options.iter().any(|o| o == "bind" || o == "rbind")
}
