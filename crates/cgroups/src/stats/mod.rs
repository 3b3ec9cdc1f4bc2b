//! What a group uses, in the fields that runc reports (`types/events.go`), from v1 and v2 alike.

mod cpuset;
mod parse;
mod pressure;
mod v1;
mod v2;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dir::Dir;
use crate::error::Result;

pub use cpuset::CpusetStats;
pub use pressure::{Pressure, PressureTime};

/// What a group and its sub-groups use. A part whose controller is not available here is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    /// Where it runs (v1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset: Option<CpusetStats>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
    /// Processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<PidsStats>,
    /// Block devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blkio: Option<BlkioStats>,
    /// Huge pages, by page size: `2MB`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hugetlb: BTreeMap<String, HugetlbStats>,
    /// RDMA devices, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rdma: BTreeMap<String, RdmaStats>,
    /// Scalar resources of other kinds, such as encrypted guests, by name (v2).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misc: BTreeMap<String, MiscStats>,
    /// The groups below this one (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<GroupStats>,
}

/// The groups below a group (`cgroup.stat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupStats {
    /// How many there are.
    pub nr_descendants: u64,
    /// How many are removed and still hold memory.
    pub nr_dying_descendants: u64,
}

/// What is used of an RDMA device, and what may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RdmaStats {
    /// In use.
    pub current: RdmaEntry,
    /// The limits; the largest number means none.
    pub limit: RdmaEntry,
}

/// Handles and objects of an RDMA device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RdmaEntry {
    /// HCA handles.
    pub hca_handles: u64,
    /// HCA objects.
    pub hca_objects: u64,
}

/// What is used of a scalar resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MiscStats {
    /// In use.
    pub usage: u64,
    /// How often the limit was hit.
    pub events: u64,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CpuStats {
    /// What was used.
    pub usage: CpuUsage,
    /// How often the quota was used up.
    pub throttling: Throttling,
    /// How often saved time was used.
    pub burst: Burst,
    /// How long processes waited for a processor (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// How often time was used that earlier periods had saved (`cpu.max.burst`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Burst {
    /// Periods in which it was.
    pub periods: u64,
    /// How much, in nanoseconds.
    pub time: u64,
}

/// Processor time that was used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CpuUsage {
    /// In all.
    pub total: u64,
    /// On each CPU (v1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// On each CPU in the kernel (v1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// On each CPU in programs (v1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In programs.
    pub user: u64,
}

/// How often the quota was used up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Throttling {
    /// Periods that have passed.
    pub periods: u64,
    /// Periods in which the group had to wait.
    pub throttled_periods: u64,
    /// How long it waited, in nanoseconds.
    pub throttled_time: u64,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Cache of files.
    pub cache: u64,
    /// All memory.
    pub usage: MemoryUsage,
    /// Memory and swap together.
    pub swap: MemoryUsage,
    /// The kernel's own (v1).
    pub kernel: MemoryUsage,
    /// Buffers of TCP (v1).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryUsage,
    /// Swap alone.
    #[serde(rename = "swapOnly")]
    pub swap_only: MemoryUsage,
    /// `memory.stat`, word for word.
    pub raw: BTreeMap<String, u64>,
    /// What happened at the limits.
    #[serde(rename = "event_count")]
    pub events: MemoryEvents,
    /// `memory.numa_stat` in bytes: what of each kind is on each memory node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numa: BTreeMap<String, BTreeMap<u32, u64>>,
    /// How long processes waited for memory (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// How often what happened at the limits of memory; v1 counts kills only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryEvents {
    /// Memory was reclaimed although usage was below `memory.low`.
    pub low: u64,
    /// Processes were slowed down above `memory.high`.
    pub high: u64,
    /// Usage was about to go over the limit.
    pub max: u64,
    /// Usage was at the limit and an allocation was about to fail.
    pub oom: u64,
    /// Processes were killed.
    pub oom_kill: u64,
    /// The whole group was killed.
    pub oom_group_kill: u64,
}

/// A counter of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryUsage {
    /// The limit; the largest number means none.
    pub limit: u64,
    /// What is used now.
    pub usage: u64,
    /// The most that was ever used; 0 where the kernel does not tell.
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PidsStats {
    /// How many there are.
    pub current: u64,
    /// How many there may be; 0 means any number.
    pub limit: u64,
}

/// Block devices. Where a list is empty the kernel has nothing to tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BlkioStats {
    /// Bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    /// Operations that wait.
    #[serde(default, rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    pub io_queued_recursive: Vec<BlkioEntry>,
    /// Nanoseconds from the device's getting an operation to its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    /// Nanoseconds that operations have waited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    /// Operations that were merged with others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    /// Milliseconds of the device's time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlkioEntry>,
    /// Sectors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlkioEntry>,
    /// What the model of costs counts, in microseconds; `op` is `usage`, `wait`, `indebt` or `indelay` (v2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub io_cost: Vec<BlkioEntry>,
    /// How long processes waited for block devices (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// A number for one kind of operation of a block device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BlkioEntry {
    /// Major number of the device.
    pub major: u64,
    /// Minor number of the device.
    pub minor: u64,
    /// `Read`, `Write`, `Discard`, …; empty where there are no kinds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// The number.
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HugetlbStats {
    /// What is used now.
    pub usage: u64,
    /// The most that was ever used (v1).
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Reads the statistics; `find` gives the directory of a v1 controller.
pub(crate) fn read<'a>(v2: Option<&Dir>, find: impl Fn(&str) -> Result<Option<&'a Dir>>) -> Result<Stats> {
    let mut stats = match v2 {
        Some(dir) => v2::read(dir)?,
        None => Stats::default(),
    };
    v1::read(&mut stats, find)?;
    Ok(stats)
}

/// What a line is in each of the forms that the files have, for the fuzz targets.
pub(crate) fn forms(line: &str) -> Vec<String> {
    let (mut pressure, mut blkio) = (Pressure::default(), BlkioStats::default());
    let forms = [
        parse::value(line).map(|value| value.to_string()),
        parse::table_line(line).map(|entry| format!("{entry:?}")),
        parse::numa_line(line, 4096).map(|entry| format!("{entry:?}")),
        parse::rdma_line(line).map(|entry| format!("{entry:?}")),
        parse::device(line).map(|entry| format!("{entry:?}")),
        pressure::add(&mut pressure, line).map(|()| format!("{pressure:?}")),
        cpuset::numbers(line).map(|list| format!("{list:?}")),
        v1::cpu_line(line).map(|times| format!("{times:?}")),
        v2::add(&mut blkio, line).map(|()| format!("{blkio:?}")),
    ];
    forms.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_stays_absent_when_it_is_read_back() {
        let json = serde_json::to_string(&Stats::default()).unwrap();
        assert_eq!(json, "{}");
        assert_eq!(serde_json::from_str::<Stats>(&json).unwrap(), Stats::default());
    }
}
