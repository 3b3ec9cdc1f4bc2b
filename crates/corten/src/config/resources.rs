//! Limits that contradict themselves, whatever the machine.

use super::cgroup::Cgroup;
use crate::{Error, Result, oci};

/// Whether nothing is asked for but the rule that every document begins with, whoever makes it: that no device may be used.
fn no_limits(resources: &oci::Resources) -> bool {
    let all = |rule: &oci::DeviceRule| {
        *rule == oci::DeviceRule { access: Some("rwm".to_owned()), ..oci::DeviceRule::default() }
    };
    let oci::Resources { devices, .. } = resources;
    devices.iter().all(all)
        && *resources == oci::Resources { devices: devices.clone(), ..oci::Resources::default() }
}

/// Refuses what no control group can hold.
pub(super) fn validate(cgroup: &Cgroup) -> Result<()> {
    let Cgroup {
        name,
        parent,
        path,
        scope_prefix,
        resources,
        systemd,
        systemd_properties,
        managed,
        owner_uid,
    } = cgroup;
    if path.is_some() && (name.is_some() || parent.is_some()) {
        return Err(Error::invalid("a cgroup has either a path, or a name and a parent"));
    }
    let named = name.is_some() || parent.is_some() || path.is_some() || scope_prefix.is_some();
    if !managed && (named || owner_uid.is_some() || !no_limits(resources)) {
        return Err(Error::invalid(
            "a container without a cgroup of its own cannot have limits (linux.resources), or a name for it (linux.cgroupsPath)",
        ));
    }
    if *systemd {
        cgroup.unit_parts("id")?;
        cgroup.properties()?;
        if !managed {
            return Err(Error::invalid("a container without a cgroup of its own needs none of systemd's"));
        }
    } else if scope_prefix.is_some() || !systemd_properties.is_empty() {
        return Err(Error::invalid(
            "a scope and its properties are systemd's, which does not make the cgroup",
        ));
    }
    if name.as_ref().is_some_and(|name| name.is_empty() || name.contains('/')) {
        return Err(Error::invalid("the name of a cgroup is empty or contains a slash"));
    }
    for place in [name, parent, path].into_iter().flatten() {
        if place.split('/').any(|part| part == "..") {
            return Err(Error::invalid(format!("the cgroup path {place:?} leads upwards")));
        }
    }
    let oci::Resources {
        devices,
        memory,
        cpu,
        pids: _,
        block_io,
        hugepage_limits,
        network: _,
        rdma: _,
        unified,
    } = resources;
    devices.iter().try_for_each(device_rule)?;
    memory.iter().try_for_each(memory_limits)?;
    if cpu.as_ref().and_then(|cpu| cpu.idle).is_some_and(|idle| !(0..=1).contains(&idle)) {
        return Err(Error::invalid("linux.resources.cpu.idle is neither 0 nor 1"));
    }
    block_io.iter().try_for_each(weights)?;
    if let Some(limit) = hugepage_limits.iter().find(|limit| limit.page_size.contains('/')) {
        return Err(Error::invalid(format!("{:?} is not the size of a huge page", limit.page_size)));
    }
    match unified.keys().find(|key| key.contains('/') || !key.contains('.')) {
        Some(key) => {
            Err(Error::invalid(format!("linux.resources.unified: {key:?} is not the name of a cgroup file")))
        }
        None => Ok(()),
    }
}

fn device_rule(rule: &oci::DeviceRule) -> Result<()> {
    let oci::DeviceRule { allow: _, typ, major, minor, access } = rule;
    let fits = |number: &Option<i64>| number.is_none_or(|n| n == -1 || u32::try_from(n).is_ok());
    if !matches!(typ.as_deref(), None | Some("" | "a" | "c" | "b")) {
        return Err(Error::invalid(format!("invalid type of a device rule: {rule:?}")));
    }
    if !fits(major) || !fits(minor) {
        return Err(Error::invalid(format!("invalid device number in a device rule: {rule:?}")));
    }
    if access.as_ref().is_some_and(|access| !access.chars().all(|c| "rwm".contains(c))) {
        return Err(Error::invalid(format!("invalid access of a device rule: {rule:?}")));
    }
    Ok(())
}

fn memory_limits(memory: &oci::Memory) -> Result<()> {
    let (limit, swap) = (memory.limit.unwrap_or(0), memory.swap.unwrap_or(0));
    if swap > 0 && limit == 0 {
        return Err(Error::invalid("linux.resources.memory.swap needs a memory limit"));
    }
    if swap > 0 && limit > swap {
        return Err(Error::invalid(
            "linux.resources.memory.swap, memory and swap together, is below the memory limit",
        ));
    }
    if memory.swappiness.is_some_and(|swappiness| swappiness > 100) {
        return Err(Error::invalid("linux.resources.memory.swappiness is not between 0 and 100"));
    }
    Ok(())
}

fn weights(block_io: &oci::BlockIo) -> Result<()> {
    let own = [block_io.weight, block_io.leaf_weight];
    let devices = block_io.weight_device.iter().flat_map(|device| [device.weight, device.leaf_weight]);
    match own
        .into_iter()
        .chain(devices)
        .flatten()
        .find(|weight| *weight != 0 && !(10..=1000).contains(weight))
    {
        Some(weight) => Err(Error::invalid(format!("blockIO weight {weight} is not between 10 and 1000"))),
        None => Ok(()),
    }
}
