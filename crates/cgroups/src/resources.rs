//! `linux.resources` as a plan, each controller by the interface that this host has it by.

use corten_oci::{Pids, Rdma, Resources};

use crate::devices::Policy;
use crate::error::{Error, Result};
use crate::step::{Controller, Plan, Step, Version};
use crate::{v1, v2};

/// Turns resources into steps. `find` tells by which version a controller is reached here, if at all.
///
/// Files of `unified` come after all others, so that they win, and devices last, since nothing can fail after them.
pub(crate) fn plan(resources: &Resources, find: impl Fn(&str) -> Option<Version>) -> Result<Plan> {
    let Resources { devices, memory, cpu, pids, block_io, hugepage_limits, network, rdma, unified } =
        resources;
    // A controller that is missing is planned for like the others, to learn whether it is needed at all.
    let v1 = |name: &str| find(name).unwrap_or(Version::V1) == Version::V1;
    let mut plan = Plan::default();
    if let Some(cpu) = cpu {
        if v1("cpu") { v1::cpu::plan(cpu, &mut plan) } else { v2::cpu::plan(cpu, &mut plan) }?;
        let cpuset = Controller { name: "cpuset", version: find("cpuset").unwrap_or(Version::V1) };
        let lists = [("cpu.cpus", "cpuset.cpus", &cpu.cpus), ("cpu.mems", "cpuset.mems", &cpu.mems)];
        for (field, file, list) in lists {
            if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
                plan.write(cpuset.write(field, file, list));
            }
        }
    }
    if let Some(memory) = memory {
        if v1("memory") { v1::memory::plan(memory, &mut plan) } else { v2::memory::plan(memory, &mut plan) }?;
    }
    if let Some(Pids { limit: Some(limit) }) = pids {
        let pids = Controller { name: "pids", version: find("pids").unwrap_or(Version::V1) };
        plan.write(pids.write("pids.limit", "pids.max", pids_max(*limit)));
    }
    if let Some(io) = block_io {
        // The one controller that has another name in v2.
        if v1("blkio") { v1::blkio::plan(io, &mut plan) } else { v2::io::plan(io, &mut plan) }?;
    }
    let hugetlb = if v1("hugetlb") { v1::hugetlb::plan } else { v2::hugetlb::plan };
    hugetlb(hugepage_limits, &mut plan)?;
    if let Some(network) = network {
        // v2 has neither controller, so where there is v1 it is v1 that is asked.
        if find("net_cls") == Some(Version::V2) && find("net_prio") == Some(Version::V2) {
            if network.class_id.is_some_and(|class| class != 0) || !network.priorities.is_empty() {
                plan.ignored("network", "cgroup v2 has neither classes nor priorities of the network");
            }
        } else {
            v1::network::plan(network, &mut plan);
        }
    }
    let rdma_controller = Controller { name: "rdma", version: find("rdma").unwrap_or(Version::V1) };
    for (device, limits) in rdma {
        if let Some(value) = rdma_max(device, limits) {
            plan.write(rdma_controller.write("rdma", "rdma.max", value));
        }
    }
    if !unified.is_empty() && find("") != Some(Version::V2) {
        let files: Vec<_> = unified.keys().map(String::as_str).collect();
        return Err(Error::value("unified", files.join(", "), "cgroup v2 is not mounted"));
    }
    v2::unified::plan(unified, &mut plan)?;
    if !devices.is_empty() {
        if find("devices").is_none() {
            return Err(Error::Controller { controller: "devices".into(), field: "devices".into() });
        }
        plan.steps.push(Step::Devices(Policy::of(devices)?));
    }
    needs(&plan, find)?;
    Ok(plan)
}

/// Refuses a plan with a write for a controller that is nowhere.
fn needs(plan: &Plan, find: impl Fn(&str) -> Option<Version>) -> Result<()> {
    for step in &plan.steps {
        let Step::Writes(writes) = step else { continue };
        for write in writes {
            if write.version == Version::V1 && find(&write.controller) != Some(Version::V1) {
                return Err(Error::Controller {
                    controller: write.controller.to_string(),
                    field: write.field.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// 0 is taken for 1, since a group of no process cannot start; a negative number is no limit.
fn pids_max(limit: i64) -> String {
    match limit {
        ..0 => "max".to_owned(),
        0 => "1".to_owned(),
        _ => limit.to_string(),
    }
}

/// A line of `rdma.max` (kernel: admin-guide/cgroup-v2.rst, "RDMA"; the same in v1).
fn rdma_max(device: &str, limits: &Rdma) -> Option<String> {
    let part = |key, value: Option<u32>| value.map(|value| format!(" {key}={value}")).unwrap_or_default();
    let parts = part("hca_handle", limits.hca_handles) + &part("hca_object", limits.hca_objects);
    (!parts.is_empty()).then(|| format!("{device}{parts}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::testing::lines;
    use corten_oci::{Cpu, DeviceRule, HugepageLimit, InterfacePriority, Map, Memory, Network};

    fn all_v2(_: &str) -> Option<Version> {
        Some(Version::V2)
    }

    fn all_v1(name: &str) -> Option<Version> {
        (!name.is_empty()).then_some(Version::V1)
    }

    fn some_of_all() -> Resources {
        Resources {
            cpu: Some(Cpu { cpus: Some("0-1".into()), mems: Some("0".into()), ..Cpu::default() }),
            memory: Some(Memory { limit: Some(5), ..Memory::default() }),
            pids: Some(Pids { limit: Some(0) }),
            hugepage_limits: vec![HugepageLimit { page_size: "2MB".into(), limit: 0 }],
            rdma: Map::from_iter([
                ("mlx5_1".to_owned(), Rdma { hca_handles: Some(3), hca_objects: Some(4) }),
                ("none".to_owned(), Rdma::default()),
            ]),
            devices: vec![DeviceRule::default()],
            ..Resources::default()
        }
    }

    #[test]
    fn each_version_has_its_files() {
        let v1 = lines(&plan(&some_of_all(), all_v1).unwrap());
        assert_eq!(
            v1[..7],
            [
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
                "memory.limit_in_bytes=5",
                "pids.max=1",
                "hugetlb.2MB.limit_in_bytes=0",
                "hugetlb.2MB.rsvd.limit_in_bytes=0?",
                "rdma.max=mlx5_1 hca_handle=3 hca_object=4",
            ]
        );
        assert!(v1[7].starts_with("Devices"));
        let v2 = lines(&plan(&some_of_all(), all_v2).unwrap());
        assert_eq!(v2[2..6], ["memory.max=5", "pids.max=1", "hugetlb.2MB.max=0", "hugetlb.2MB.rsvd.max=0?"]);
    }

    #[test]
    fn a_missing_controller_matters_only_when_it_is_needed() {
        let only_pids = |name: &str| (name == "pids").then_some(Version::V1);
        let resources = Resources {
            pids: Some(Pids { limit: Some(-1) }),
            memory: Some(Memory { limit: Some(0), ..Memory::default() }),
            cpu: Some(Cpu::default()),
            ..Resources::default()
        };
        assert_eq!(lines(&plan(&resources, only_pids).unwrap()), ["pids.max=max"]);
        match plan(&some_of_all(), only_pids) {
            Err(Error::Controller { controller, field }) => {
                assert_eq!((controller.as_str(), field.as_str()), ("devices", "devices"));
            }
            other => panic!("{other:?}"),
        }
        let cpus = Resources { devices: vec![], ..some_of_all() };
        assert!(
            matches!(plan(&cpus, only_pids), Err(Error::Controller { field, .. }) if field == "cpu.cpus")
        );
    }

    #[test]
    fn unified_needs_v2() {
        let resources = Resources {
            unified: Map::from_iter([("memory.high".to_owned(), "1".to_owned())]),
            ..Resources::default()
        };
        assert!(matches!(plan(&resources, all_v1), Err(Error::Value { field: "unified", .. })));
        assert_eq!(lines(&plan(&resources, all_v2).unwrap()), ["memory.high=1"]);
    }

    #[test]
    fn network_is_of_v1() {
        let network = Network {
            class_id: Some(7),
            priorities: vec![InterfacePriority { name: "eth0".into(), priority: 5 }],
        };
        let resources = Resources { network: Some(network), ..Resources::default() };
        assert_eq!(
            lines(&plan(&resources, all_v1).unwrap()),
            ["net_cls.classid=7", "net_prio.ifpriomap=eth0 5"]
        );
        assert_eq!(plan(&resources, all_v2).unwrap().warnings[0].field(), "network");
        // A v1 host that has not mounted it, beside v2, must not ignore it.
        let hybrid = |name: &str| Some(if name == "net_cls" { Version::V1 } else { Version::V2 });
        assert!(matches!(plan(&resources, hybrid), Err(Error::Controller { .. })));
    }
}
