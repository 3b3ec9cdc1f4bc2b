//! The rules of a valid configuration that do not depend on the machine.

use std::path::Path;

use serde_json::Value;

use super::attributes::Attributes;
use super::fields::Fields;
use super::namespace::Namespace;
use super::spec::is_bind;
use super::{interfaces, resources, scheduling, sysctl};
use crate::{Error, Result, oci};

/// Refuses what cannot be, and what this version lacks.
pub(super) fn validate(fields: &Fields) -> Result<()> {
    strings(fields)?;
    version(&fields.version)?;
    namespaces(fields)?;
    mappings(fields)?;
    time_offsets(fields)?;
    rootless(fields)?;
    paths(fields)?;
    fields.mounts.iter().try_for_each(mount)?;
    fields.devices.iter().try_for_each(device)?;
    interfaces::validate(fields)?;
    hooks(&fields.hooks)?;
    sysctl::validate(fields)?;
    resources::validate(&fields.cgroup)?;
    if fields.parent_death_signal.is_some_and(|signal| !(1..=64).contains(&signal)) {
        return Err(Error::invalid("the parent death signal is not between 1 and 64"));
    }
    fields.memory_policy.as_ref().map(scheduling::memory_policy).transpose()?;
    fields.personality.as_ref().map(scheduling::personality).transpose()?;
    attributes(&fields.attributes)
}

/// Refuses what a program cannot have, and what this version lacks.
pub(crate) fn attributes(attributes: &Attributes) -> Result<()> {
    attributes.validate()
}

/// What is ignored, one sentence each.
pub(super) fn warnings(fields: &Fields) -> Vec<String> {
    let mut warnings = fields.attributes.warnings();
    for mount in fields.mounts.iter().filter(|mount| !mount.destination.starts_with('/')) {
        warnings.push(format!(
            "mount {:?}: a relative destination is deprecated, it is taken from the container's root",
            mount.destination
        ));
    }
    let memory = fields.cgroup.resources.memory.as_ref();
    if memory.is_some_and(|memory| memory.kernel.is_some()) {
        warnings.push("ignoring linux.resources.memory.kernel: kernels have it no more".to_owned());
    }
    let flags = fields.personality.as_ref().map(|personality| &personality.flags);
    if let Some(flags) = flags.filter(|flags| !flags.is_empty()) {
        warnings.push(format!("ignoring linux.personality.flags {flags:?}: the specification defines none"));
    }
    warnings
}

/// Every string ends up in the kernel, which would take a NUL byte for its end; and paths must be UTF-8 to be saved.
fn strings(fields: &Fields) -> Result<()> {
    let wrong = |error: serde_json::Error| Error::invalid(error.to_string());
    let text = serde_json::to_vec(fields).map_err(wrong)?;
    // How JSON writes a NUL byte; it may also be a backslash of the text's own.
    if !text.windows(6).any(|bytes| bytes == b"\\u0000") {
        return Ok(());
    }
    match find_nul(&serde_json::from_slice(&text).map_err(wrong)?) {
        Some(place) => Err(Error::invalid(format!("{} contains a NUL byte", place.trim_start_matches('.')))),
        None => Ok(()),
    }
}

/// Where in the document the first string with a NUL byte is.
fn find_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| find_nul(item).map(|place| format!("[{index}]{place}"))),
        Value::Object(fields) => fields.iter().find_map(|(key, item)| match key.contains('\0') {
            true => Some(format!(".{key:?}")),
            false => find_nul(item).map(|place| format!(".{key}{place}")),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A version of the specification that this version of Corten follows: 1.0.0 or newer, and no 2.
fn version(version: &str) -> Result<()> {
    let malformed = || Error::invalid(format!("ociVersion {version:?} is not a semantic version"));
    let without_build = version.split('+').next().unwrap_or_default();
    let (core, pre) = match without_build.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (without_build, None),
    };
    let numbers: Vec<u32> =
        core.split('.').map(|part| part.parse().map_err(|_| malformed())).collect::<Result<_>>()?;
    let [major, minor, patch] = numbers[..] else { return Err(malformed()) };
    if major != 1 || (minor, patch) == (0, 0) && pre.is_some() {
        return Err(Error::unsupported(format!(
            "ociVersion {version:?} is not supported: it must be 1.0.0 or newer, and below 2"
        )));
    }
    Ok(())
}

/// What needs a namespace of the container's own.
fn namespaces(fields: &Fields) -> Result<()> {
    let Fields { namespaces, .. } = fields;
    if !namespaces.contains(Namespace::Mount) {
        return Err(Error::unsupported(
            "a container without a mount namespace is not supported: its mounts would be the host's",
        ));
    }
    for (kind, path) in namespaces.iter() {
        if path.is_some_and(|path| !path.is_absolute()) {
            return Err(Error::invalid(format!("the path of the {kind} namespace is not absolute")));
        }
    }
    let needs = [
        ("hostname", fields.hostname.is_some(), Namespace::Uts),
        ("domainname", fields.domainname.is_some(), Namespace::Uts),
        (
            "network interfaces and routes",
            !fields.networks.is_empty() || !fields.routes.is_empty(),
            Namespace::Net,
        ),
        ("uidMappings", !fields.uid_mappings.is_empty(), Namespace::User),
        ("gidMappings", !fields.gid_mappings.is_empty(), Namespace::User),
        ("timeOffsets", !fields.time_offsets.is_empty(), Namespace::Time),
    ];
    match needs.iter().find(|(_, asked, kind)| *asked && !namespaces.contains(*kind)) {
        Some((what, _, kind)) => {
            Err(Error::invalid(format!("unable to set {what} without a private {kind} namespace")))
        }
        None => Ok(()),
    }
}

/// A new user namespace needs both mappings; of one by path the start compares them with what it has.
fn mappings(fields: &Fields) -> Result<()> {
    for (name, ranges) in [("uidMappings", &fields.uid_mappings), ("gidMappings", &fields.gid_mappings)] {
        if fields.namespaces.is_new(Namespace::User) && ranges.is_empty() {
            return Err(Error::invalid(format!("a new user namespace needs linux.{name}")));
        }
        for oci::IdMapping { container_id, host_id, size } in ranges {
            let ends = [container_id, host_id].map(|start| start.checked_add(*size));
            if *size == 0 || ends.contains(&None) {
                return Err(Error::invalid(format!(
                    "invalid range in linux.{name}: {size} ids from {container_id} in the container, {host_id} on the host"
                )));
            }
        }
    }
    Ok(())
}

fn time_offsets(fields: &Fields) -> Result<()> {
    if !fields.time_offsets.is_empty() && !fields.namespaces.is_new(Namespace::Time) {
        return Err(Error::invalid("timeOffsets are for a new time namespace, not for one by path"));
    }
    for (clock, oci::TimeOffset { secs: _, nanosecs }) in &fields.time_offsets {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Error::invalid(format!("timeOffsets: no such clock: {clock:?}")));
        }
        if *nanosecs >= 1_000_000_000 {
            return Err(Error::invalid(format!("timeOffsets: nanosecs of {clock} are a second or more")));
        }
    }
    Ok(())
}

/// What a caller who is not root cannot have.
fn rootless(fields: &Fields) -> Result<()> {
    if !fields.rootless_euid {
        return Ok(());
    }
    if !fields.namespaces.contains(Namespace::User) {
        return Err(Error::invalid("a container of a user who is not root needs a user namespace"));
    }
    if let Some(mount) = fields.mounts.iter().find(|mount| is_idmapped(mount)) {
        return Err(Error::invalid(format!(
            "mount {:?}: id-mapped mounts are not supported for rootless containers: they need who rules the file system",
            mount.destination
        )));
    }
    let owners = [("uid", &fields.uid_mappings), ("gid", &fields.gid_mappings)];
    for (option, mappings) in owners.into_iter().filter(|(_, mappings)| !mappings.is_empty()) {
        let given = fields.mounts.iter().flat_map(|mount| &mount.options).filter_map(|o| o.split_once('='));
        for (_, id) in given.filter(|(name, _)| *name == option) {
            let mapped = id.parse().ok().and_then(|id| fields.host_id(mappings, id));
            if mapped.is_none() {
                return Err(Error::invalid(format!("the mount option {option}={id} is not a mapped id")));
            }
        }
    }
    Ok(())
}

/// Paths that must be absolute, and words that only have certain values.
fn paths(fields: &Fields) -> Result<()> {
    let absolute = |what: &str, path: &Path| match path.is_absolute() {
        true => Ok(()),
        false => {
            Err(Error::invalid(format!("{what} {:?} is not an absolute path", path.display().to_string())))
        }
    };
    absolute("rootfs", &fields.rootfs)?;
    fields.bundle.iter().try_for_each(|path| absolute("bundle", path))?;
    fields.hook_stdout.iter().try_for_each(|path| absolute("the file of hooks' output", path))?;
    fields.hook_stderr.iter().try_for_each(|path| absolute("the file of hooks' errors", path))?;
    fields.mask_paths.iter().try_for_each(|path| absolute("maskedPaths:", Path::new(path)))?;
    fields.readonly_paths.iter().try_for_each(|path| absolute("readonlyPaths:", Path::new(path)))?;
    if fields.mount_label.as_ref().is_some_and(String::is_empty) {
        return Err(Error::invalid("mountLabel is empty"));
    }
    if let Some(word) = &fields.mount_context_type
        && !["context", "fscontext", "defcontext", "rootcontext"].contains(&word.as_str())
    {
        return Err(Error::invalid(format!("{word:?} is no mount option that takes an SELinux label")));
    }
    let known = ["shared", "slave", "private", "unbindable"];
    match &fields.root_propagation {
        Some(word) if !known.contains(&word.strip_prefix('r').unwrap_or(word)) => {
            Err(Error::invalid(format!("invalid rootfsPropagation {word:?}")))
        }
        _ => Ok(()),
    }
}

/// Whether the owners of a mount are mapped.
pub(crate) fn is_idmapped(mount: &oci::Mount) -> bool {
    let mut names = mount.options.iter().map(|option| option.split('=').next().unwrap_or_default());
    !mount.uid_mappings.is_empty()
        || !mount.gid_mappings.is_empty()
        || names.any(|name| matches!(name, "idmap" | "ridmap"))
}

fn mount(mount: &oci::Mount) -> Result<()> {
    let oci::Mount { destination, typ: _, source, options: _, uid_mappings: _, gid_mappings: _ } = mount;
    if destination.is_empty() {
        return Err(Error::invalid(format!("a mount has no destination: {mount:?}")));
    }
    if is_bind(mount) && !source.as_ref().is_some_and(|source| source.starts_with('/')) {
        return Err(Error::invalid(format!(
            "the source of the bind mount at {destination} is not an absolute path: {source:?}"
        )));
    }
    Ok(())
}

fn device(device: &oci::Device) -> Result<()> {
    let oci::Device { typ, path, major, minor, file_mode, uid: _, gid: _ } = device;
    let fits = |number: &Option<i64>| number.is_some_and(|n| u32::try_from(n).is_ok());
    let problem = match typ.as_str() {
        _ if !path.starts_with('/') => "its path is not absolute",
        _ if file_mode.is_some_and(|mode| mode & !0o17_7777 != 0) => {
            "its file mode has bits that no file has"
        }
        "c" | "u" | "b" if !fits(major) || !fits(minor) => "it needs a major and a minor number",
        "c" | "u" | "b" | "p" => return Ok(()),
        _ => "its type is not one of c, u, b, p",
    };
    Err(Error::invalid(format!("invalid device {path:?}: {problem}")))
}

fn hooks(hooks: &oci::Hooks) -> Result<()> {
    let oci::Hooks { prestart, create_runtime, create_container, start_container, poststart, poststop } =
        hooks;
    let kinds = [
        ("prestart", prestart),
        ("createRuntime", create_runtime),
        ("createContainer", create_container),
        ("startContainer", start_container),
        ("poststart", poststart),
        ("poststop", poststop),
    ];
    for (kind, list) in kinds {
        for (index, oci::Hook { path, args: _, env, timeout }) in list.iter().enumerate() {
            let problem = match () {
                () if !path.starts_with('/') => "its path is not absolute",
                () if timeout.is_some_and(|seconds| seconds <= 0) => "its timeout is not greater than zero",
                () if env.iter().any(|entry| entry.find('=').is_none_or(|at| at == 0)) => {
                    "an entry of its environment is not of the form KEY=value"
                }
                () => continue,
            };
            return Err(Error::invalid(format!("invalid {kind} hook #{index} {path:?}: {problem}")));
        }
    }
    Ok(())
}
