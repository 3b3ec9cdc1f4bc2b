//! The control group that a configuration asks for, and changes of its limits.

use crate::{Cgroup, Config, ConfigBuilder, Result, oci};

/// Where the group is, in the form of `linux.cgroupsPath`; `None` for a place and name by default.
pub(crate) fn location(cgroup: &Cgroup) -> Option<String> {
    match (&cgroup.path, &cgroup.parent, &cgroup.name) {
        (Some(path), _, _) => Some(path.clone()),
        (None, Some(parent), Some(name)) => Some(format!("/{}/{name}", parent.trim_matches('/'))),
        (None, None, Some(name)) => Some(name.clone()),
        (None, _, None) => None,
    }
}

/// Whether a container without the group would lack a limit that was asked for. Rules about devices are none to an
/// ordinary user, who can make no device nodes.
pub(crate) fn limits_anything(cgroup: &Cgroup) -> bool {
    let limits = oci::Resources { devices: Vec::new(), ..cgroup.resources.clone() };
    limits != oci::Resources::default() || cgroup.path.is_some() || cgroup.name.is_some()
}

/// The configuration with some limits changed; what is absent stays.
pub(crate) fn merge(config: Config, changes: &oci::Resources) -> Result<Config> {
    let mut cgroup = config.cgroup().clone();
    merge_resources(&mut cgroup.resources, changes);
    ConfigBuilder::from(config).cgroup(cgroup).build()
}

/// The changes, with what one of two values that make one in the kernel needs of the other: swap of v2 is computed from
/// memory and swap together, and `cpu.max` from quota and period.
pub(crate) fn complete(old: &oci::Resources, changes: &oci::Resources) -> oci::Resources {
    let mut complete = changes.clone();
    if let (Some(old), Some(new)) = (&old.memory, &mut complete.memory)
        && (new.limit.is_some() || new.swap.is_some())
    {
        new.limit = new.limit.or(old.limit);
        new.swap = new.swap.or(old.swap);
    }
    if let (Some(old), Some(new)) = (&old.cpu, &mut complete.cpu)
        && (new.quota.is_some() || new.period.is_some())
    {
        new.quota = new.quota.or(old.quota);
        new.period = new.period.or(old.period);
    }
    complete
}

fn merge_resources(old: &mut oci::Resources, changes: &oci::Resources) {
    let oci::Resources { devices, memory, cpu, pids, block_io, hugepage_limits, network, rdma, unified } =
        changes.clone();
    if !devices.is_empty() {
        old.devices = devices;
    }
    if let Some(changes) = memory {
        merge_memory(old.memory.get_or_insert_default(), changes);
    }
    if let Some(changes) = cpu {
        merge_cpu(old.cpu.get_or_insert_default(), changes);
    }
    old.pids = pids.or(old.pids.take());
    old.block_io = block_io.or(old.block_io.take());
    old.network = network.or(old.network.take());
    for limit in hugepage_limits {
        old.hugepage_limits.retain(|other| other.page_size != limit.page_size);
        old.hugepage_limits.push(limit);
    }
    old.rdma.extend(rdma);
    old.unified.extend(unified);
}

fn merge_memory(old: &mut oci::Memory, new: oci::Memory) {
    *old = oci::Memory {
        limit: new.limit.or(old.limit),
        reservation: new.reservation.or(old.reservation),
        swap: new.swap.or(old.swap),
        kernel: new.kernel.or(old.kernel),
        kernel_tcp: new.kernel_tcp.or(old.kernel_tcp),
        swappiness: new.swappiness.or(old.swappiness),
        disable_oom_killer: new.disable_oom_killer.or(old.disable_oom_killer),
        use_hierarchy: new.use_hierarchy.or(old.use_hierarchy),
        check_before_update: new.check_before_update.or(old.check_before_update),
    };
}

fn merge_cpu(old: &mut oci::Cpu, new: oci::Cpu) {
    *old = oci::Cpu {
        shares: new.shares.or(old.shares),
        quota: new.quota.or(old.quota),
        burst: new.burst.or(old.burst),
        period: new.period.or(old.period),
        realtime_runtime: new.realtime_runtime.or(old.realtime_runtime),
        realtime_period: new.realtime_period.or(old.realtime_period),
        cpus: new.cpus.or(old.cpus.take()),
        mems: new.mems.or(old.mems.take()),
        idle: new.idle.or(old.idle),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let memory = oci::Memory { limit: Some(1), swap: Some(2), ..oci::Memory::default() };
        let mut old = oci::Resources { memory: Some(memory), ..oci::Resources::default() };
        let changes = oci::Resources {
            memory: Some(oci::Memory { limit: Some(3), ..oci::Memory::default() }),
            pids: Some(oci::Pids { limit: Some(9) }),
            ..oci::Resources::default()
        };
        merge_resources(&mut old, &changes);
        assert_eq!(old.memory.map(|memory| (memory.limit, memory.swap)), Some((Some(3), Some(2))));
        assert_eq!(old.pids, Some(oci::Pids { limit: Some(9) }));
    }

    #[test]
    fn what_makes_one_value_stays_together() {
        let memory = oci::Memory { limit: Some(5), swap: Some(9), ..oci::Memory::default() };
        let cpu = oci::Cpu { quota: Some(7), period: Some(8), shares: Some(2), ..oci::Cpu::default() };
        let old = oci::Resources { memory: Some(memory), cpu: Some(cpu), ..oci::Resources::default() };
        let new = oci::Resources {
            memory: Some(oci::Memory { swap: Some(6), ..oci::Memory::default() }),
            cpu: Some(oci::Cpu { quota: Some(1), ..oci::Cpu::default() }),
            ..oci::Resources::default()
        };
        let complete = complete(&old, &new);
        assert_eq!(complete.memory.map(|memory| (memory.limit, memory.swap)), Some((Some(5), Some(6))));
        let cpu = complete.cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period, cpu.shares), (Some(1), Some(8), None));
    }

    #[test]
    fn a_name_is_below_its_parent() {
        let name = Some("test-container".to_owned());
        let cgroup = Cgroup { name: name.clone(), parent: Some("system".into()), ..Cgroup::default() };
        assert_eq!(location(&cgroup).as_deref(), Some("/system/test-container"));
        assert_eq!(location(&Cgroup { name: name.clone(), ..Cgroup::default() }), name);
        assert_eq!(location(&Cgroup::default()), None);
    }
}
