//! Statistics of cgroup v2 (kernel: admin-guide/cgroup-v2.rst, "Controllers").

use std::collections::BTreeMap;

use super::parse::{device_number, entry, numa, number, page_sizes, rdma_devices, table, unexpected};
use super::{
    BlkioEntry, BlkioStats, Burst, CpuStats, CpuUsage, GroupStats, HugetlbStats, MemoryEvents, MemoryStats,
    MemoryUsage, MiscStats, PidsStats, Stats, Throttling, pressure,
};
use crate::dir::{Dir, optional};
use crate::error::Result;
use crate::processes;

/// What the controllers that are enabled for the group tell. `cpu.stat` is there without one.
pub(super) fn read(dir: &Dir) -> Result<Stats> {
    Ok(Stats {
        cpu: Some(cpu(dir)?),
        memory: memory(dir)?,
        pids: pids(dir)?,
        blkio: blkio(dir)?,
        hugetlb: hugetlb(dir)?,
        rdma: rdma_devices(dir)?,
        misc: misc(dir)?,
        cgroup: Some(groups(dir)?),
        cpuset: None,
    })
}

fn cpu(dir: &Dir) -> Result<CpuStats> {
    let stat = table(dir, "cpu.stat")?;
    let nanoseconds = |name| entry(&stat, name).saturating_mul(1000);
    Ok(CpuStats {
        usage: CpuUsage {
            total: nanoseconds("usage_usec"),
            kernel: nanoseconds("system_usec"),
            user: nanoseconds("user_usec"),
            ..CpuUsage::default()
        },
        throttling: Throttling {
            periods: entry(&stat, "nr_periods"),
            throttled_periods: entry(&stat, "nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
        burst: Burst { periods: entry(&stat, "nr_bursts"), time: nanoseconds("burst_usec") },
        psi: pressure::read(dir, "cpu.pressure")?,
    })
}

fn memory(dir: &Dir) -> Result<Option<MemoryStats>> {
    let Some(usage) = counter(dir, "memory", "memory.peak")? else { return Ok(None) };
    // v1 counts memory and swap together, and so do those who read these fields.
    let swap_only = counter(dir, "memory.swap", "memory.swap.peak")?.unwrap_or_default();
    let swap = MemoryUsage {
        usage: usage.usage.saturating_add(swap_only.usage),
        limit: usage.limit.saturating_add(swap_only.limit),
        max: if swap_only.max == 0 { 0 } else { usage.max.saturating_add(swap_only.max) },
        failcnt: swap_only.failcnt,
    };
    let raw = table(dir, "memory.stat")?;
    let happened = table(dir, "memory.events")?;
    let times = |name| entry(&happened, name);
    Ok(Some(MemoryStats {
        cache: entry(&raw, "file"),
        usage,
        swap,
        swap_only,
        raw,
        events: MemoryEvents {
            low: times("low"),
            high: times("high"),
            max: times("max"),
            oom: times("oom"),
            oom_kill: times("oom_kill"),
            oom_group_kill: times("oom_group_kill"),
        },
        numa: numa(dir, 1)?,
        psi: pressure::read(dir, "memory.pressure")?,
        ..MemoryStats::default()
    }))
}

fn counter(dir: &Dir, name: &str, peak: &str) -> Result<Option<MemoryUsage>> {
    let Some(usage) = number(dir, &format!("{name}.current"))? else { return Ok(None) };
    Ok(Some(MemoryUsage {
        usage,
        limit: number(dir, &format!("{name}.max"))?.unwrap_or(u64::MAX),
        max: number(dir, peak)?.unwrap_or(0),
        failcnt: entry(&table(dir, &format!("{name}.events"))?, "max"),
    }))
}

fn pids(dir: &Dir) -> Result<Option<PidsStats>> {
    let Some(current) = number(dir, "pids.current")? else {
        // Without the controller they can be counted all the same, and have no limit.
        let count = optional(processes::in_tree(dir))?.map(|pids| pids.len() as u64);
        return Ok(count.map(|current| PidsStats { current, limit: 0 }));
    };
    let limit = number(dir, "pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
    Ok(Some(PidsStats { current, limit }))
}

fn blkio(dir: &Dir) -> Result<Option<BlkioStats>> {
    let Some(content) = dir.read_if_there("io.stat")? else { return Ok(None) };
    let mut stats = BlkioStats::default();
    for line in content.lines() {
        add(&mut stats, line).ok_or_else(|| unexpected(dir, "io.stat", line))?;
    }
    stats.psi = pressure::read(dir, "io.pressure")?;
    Ok(Some(stats))
}

fn misc(dir: &Dir) -> Result<BTreeMap<String, MiscStats>> {
    let events = table(dir, "misc.events")?;
    let used = table(dir, "misc.current")?;
    let entry = |(name, usage): (String, u64)| {
        let events = entry(&events, &format!("{name}.max"));
        (name, MiscStats { usage, events })
    };
    Ok(used.into_iter().map(entry).collect())
}

fn groups(dir: &Dir) -> Result<GroupStats> {
    let stat = table(dir, "cgroup.stat")?;
    Ok(GroupStats {
        nr_descendants: entry(&stat, "nr_descendants"),
        nr_dying_descendants: entry(&stat, "nr_dying_descendants"),
    })
}

/// A line like `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`; other names are passed over.
pub(super) fn add(stats: &mut BlkioStats, line: &str) -> Option<()> {
    // A device that has done nothing has no more than its number.
    let (major, minor, rest) =
        device_number(line).or_else(|| device_number(&format!("{line} ")).map(|(a, b, _)| (a, b, "")))?;
    for word in rest.split_whitespace() {
        let (name, value) = word.split_once('=')?;
        let (list, op) = match name {
            "rbytes" => (&mut stats.io_service_bytes_recursive, "Read"),
            "wbytes" => (&mut stats.io_service_bytes_recursive, "Write"),
            "dbytes" => (&mut stats.io_service_bytes_recursive, "Discard"),
            "rios" => (&mut stats.io_serviced_recursive, "Read"),
            "wios" => (&mut stats.io_serviced_recursive, "Write"),
            "dios" => (&mut stats.io_serviced_recursive, "Discard"),
            "cost.usage" => (&mut stats.io_cost, "usage"),
            "cost.wait" => (&mut stats.io_cost, "wait"),
            "cost.indebt" => (&mut stats.io_cost, "indebt"),
            "cost.indelay" => (&mut stats.io_cost, "indelay"),
            _ => continue,
        };
        list.push(BlkioEntry { major, minor, op: op.to_owned(), value: value.parse().ok()? });
    }
    Some(())
}

fn hugetlb(dir: &Dir) -> Result<BTreeMap<String, HugetlbStats>> {
    let mut sizes = BTreeMap::new();
    for size in page_sizes() {
        // Reserved pages where the kernel counts them (5.7), for those are what a limit is about.
        let reserved = number(dir, &format!("hugetlb.{size}.rsvd.current"))?;
        let usage = match reserved {
            Some(usage) => Some(usage),
            None => number(dir, &format!("hugetlb.{size}.current"))?,
        };
        if let Some(usage) = usage {
            let failcnt = entry(&table(dir, &format!("hugetlb.{size}.events"))?, "max");
            sizes.insert(size, HugetlbStats { usage, max: 0, failcnt });
        }
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_io() {
        let mut stats = BlkioStats::default();
        add(&mut stats, "8:0 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0 cost.usage=9").unwrap();
        add(&mut stats, "8:16").unwrap();
        let values: Vec<_> =
            stats.io_service_bytes_recursive.iter().map(|e| (e.op.as_str(), e.value)).collect();
        assert_eq!(values, [("Read", 4096), ("Write", 1), ("Discard", 0)]);
        assert_eq!(stats.io_serviced_recursive.len(), 3);
        assert_eq!((stats.io_cost[0].op.as_str(), stats.io_cost[0].value), ("usage", 9));
        assert!(add(&mut stats, "no device").is_none());
    }
}
