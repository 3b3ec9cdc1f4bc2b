//! What the v1 cpuset tells (kernel: admin-guide/cgroup-v1/cpusets.rst).

use serde::{Deserialize, Serialize};

use super::parse::{number, unexpected};
use crate::dir::Dir;
use crate::error::Result;

/// Where the group runs, and how (v1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CpusetStats {
    /// CPUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    /// 1 if they are this group's alone.
    pub cpu_exclusive: u64,
    /// Memory nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    /// 1 if the kernel's memory keeps to them too.
    pub mem_hardwall: u64,
    /// 1 if they are this group's alone.
    pub mem_exclusive: u64,
    /// 1 if pages move when the nodes change.
    pub memory_migrate: u64,
    /// 1 if the page cache is spread over the nodes.
    pub memory_spread_page: u64,
    /// 1 if caches of the kernel are.
    pub memory_spread_slab: u64,
    /// How hard memory is reclaimed.
    pub memory_pressure: u64,
    /// 1 if the scheduler balances the load over the CPUs.
    pub sched_load_balance: u64,
    /// How far it looks for it; -1 is the system's own value.
    pub sched_relax_domain_level: i64,
}

pub(super) fn read(dir: &Dir) -> Result<CpusetStats> {
    let value = |name: &str| Ok(number(dir, &format!("cpuset.{name}"))?.unwrap_or(0));
    let list = |name: &str| -> Result<Vec<u16>> {
        let file = format!("cpuset.{name}");
        let content = dir.read_if_there(&file)?.unwrap_or_default();
        numbers(content.trim_end()).ok_or_else(|| unexpected(dir, &file, &content))
    };
    let level = dir.read_if_there("cpuset.sched_relax_domain_level")?.unwrap_or_default();
    Ok(CpusetStats {
        cpus: list("cpus")?,
        cpu_exclusive: value("cpu_exclusive")?,
        mems: list("mems")?,
        mem_hardwall: value("mem_hardwall")?,
        mem_exclusive: value("mem_exclusive")?,
        memory_migrate: value("memory_migrate")?,
        memory_spread_page: value("memory_spread_page")?,
        memory_spread_slab: value("memory_spread_slab")?,
        memory_pressure: value("memory_pressure")?,
        sched_load_balance: value("sched_load_balance")?,
        sched_relax_domain_level: level.trim_end().parse().unwrap_or(0),
    })
}

/// A list such as `0-3,7`, in the order in which the kernel writes it: so no number is there twice.
pub(super) fn numbers(list: &str) -> Option<Vec<u16>> {
    let mut numbers = Vec::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || numbers.last().is_some_and(|before| *before >= first) {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers() {
        assert_eq!(numbers("0-2,7"), Some(vec![0, 1, 2, 7]));
        assert_eq!(numbers(""), Some(vec![]));
        for wrong in ["0-x", "2-1", "0-65535,0-65535", "1,1", "7,0"] {
            assert_eq!(numbers(wrong), None, "{wrong}");
        }
    }
}
