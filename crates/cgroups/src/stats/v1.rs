//! Statistics of cgroup v1 (kernel: admin-guide/cgroup-v1/).

use super::parse::{devices, entry, numa, number, page_sizes, rdma_devices, table, unexpected};
use super::{
    BlkioEntry, BlkioStats, Burst, CpuUsage, HugetlbStats, MemoryEvents, MemoryStats, MemoryUsage, PidsStats,
    Stats, Throttling, cpuset,
};
use crate::dir::Dir;
use crate::error::Result;

/// Adds what the controllers of v1 tell, which a v2 beside them does not.
pub(super) fn read<'a>(stats: &mut Stats, find: impl Fn(&str) -> Result<Option<&'a Dir>>) -> Result<()> {
    if let Some(dir) = find("cpuacct")? {
        stats.cpu.get_or_insert_default().usage = usage(dir)?;
    }
    if let Some(dir) = find("cpu")? {
        let stat = table(dir, "cpu.stat")?;
        let cpu = stats.cpu.get_or_insert_default();
        cpu.throttling = Throttling {
            periods: entry(&stat, "nr_periods"),
            throttled_periods: entry(&stat, "nr_throttled"),
            throttled_time: entry(&stat, "throttled_time"),
        };
        cpu.burst = Burst { periods: entry(&stat, "nr_bursts"), time: entry(&stat, "burst_time") };
    }
    if let Some(dir) = find("cpuset")? {
        stats.cpuset = Some(cpuset::read(dir)?);
    }
    if let Some(dir) = find("rdma")? {
        stats.rdma = rdma_devices(dir)?;
    }
    if let Some(dir) = find("memory")? {
        stats.memory = Some(memory(dir)?);
    }
    if let Some(dir) = find("pids")? {
        let limit = number(dir, "pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
        stats.pids = Some(PidsStats { current: number(dir, "pids.current")?.unwrap_or(0), limit });
    }
    if let Some(dir) = find("blkio")? {
        stats.blkio = Some(blkio(dir)?);
    }
    if let Some(dir) = find("hugetlb")? {
        for size in page_sizes() {
            let file = |name: &str| format!("hugetlb.{size}.{name}");
            if let Some(usage) = number(dir, &file("usage_in_bytes"))? {
                let max = number(dir, &file("max_usage_in_bytes"))?.unwrap_or(0);
                let failcnt = number(dir, &file("failcnt"))?.unwrap_or(0);
                stats.hugetlb.insert(size, HugetlbStats { usage, max, failcnt });
            }
        }
    }
    Ok(())
}

fn usage(dir: &Dir) -> Result<CpuUsage> {
    // In hundredths of a second, which is what the kernel has told programs since ever (`USER_HZ`).
    const TICK: u64 = 10_000_000;
    let stat = table(dir, "cpuacct.stat")?;
    let mut usage = CpuUsage {
        total: number(dir, "cpuacct.usage")?.unwrap_or(0),
        kernel: entry(&stat, "system").saturating_mul(TICK),
        user: entry(&stat, "user").saturating_mul(TICK),
        ..CpuUsage::default()
    };
    // A head line, and then a line for each CPU: its number, user time, system time.
    for line in dir.read_if_there("cpuacct.usage_all")?.unwrap_or_default().lines().skip(1) {
        let (user, kernel) = cpu_line(line).ok_or_else(|| unexpected(dir, "cpuacct.usage_all", line))?;
        usage.percpu.push(user.saturating_add(kernel));
        usage.percpu_user.push(user);
        usage.percpu_kernel.push(kernel);
    }
    Ok(usage)
}

/// User and system time of a line of `cpuacct.usage_all`: `0 123 45`.
pub(super) fn cpu_line(line: &str) -> Option<(u64, u64)> {
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [_, user, kernel] = numbers[..] else { return None };
    Some((user, kernel))
}

/// v1 says "no limit" by the largest number of bytes that is a number of pages.
const NO_LIMIT: u64 = (i64::MAX as u64) >> 1;

fn memory(dir: &Dir) -> Result<MemoryStats> {
    let counter = |prefix: &str| -> Result<MemoryUsage> {
        let value = |name| Ok(number(dir, &format!("{prefix}.{name}"))?.unwrap_or(0));
        Ok(MemoryUsage {
            limit: value("limit_in_bytes")?,
            usage: value("usage_in_bytes")?,
            max: value("max_usage_in_bytes")?,
            failcnt: value("failcnt")?,
        })
    };
    let raw = table(dir, "memory.stat")?;
    let (usage, swap) = (counter("memory")?, counter("memory.memsw")?);
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    Ok(MemoryStats {
        cache: entry(&raw, "cache"),
        usage,
        swap,
        swap_only: MemoryUsage {
            // Any number of pages means no limit, of both together as well.
            limit: if swap.limit >= NO_LIMIT { swap.limit } else { swap.limit.saturating_sub(usage.limit) },
            usage: entry(&raw, "swap"),
            ..MemoryUsage::default()
        },
        kernel: counter("memory.kmem")?,
        kernel_tcp: counter("memory.kmem.tcp")?,
        raw,
        events: MemoryEvents {
            oom_kill: entry(&table(dir, "memory.oom_control")?, "oom_kill"),
            ..MemoryEvents::default()
        },
        numa: numa(dir, page)?,
        psi: None,
    })
}

/// The BFQ scheduler counts all; where another one is in use, the throttle counts what it passes.
fn blkio(dir: &Dir) -> Result<BlkioStats> {
    let first = |files: &[&str]| -> Result<Vec<BlkioEntry>> {
        for file in files {
            let entries = devices(dir, file)?;
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        Ok(Vec::new())
    };
    Ok(BlkioStats {
        io_service_bytes_recursive: first(&[
            "blkio.bfq.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes_recursive",
        ])?,
        io_serviced_recursive: first(&[
            "blkio.bfq.io_serviced_recursive",
            "blkio.throttle.io_serviced_recursive",
        ])?,
        io_queued_recursive: first(&["blkio.bfq.io_queued_recursive"])?,
        io_service_time_recursive: first(&["blkio.bfq.io_service_time_recursive"])?,
        io_wait_time_recursive: first(&["blkio.bfq.io_wait_time_recursive"])?,
        io_merged_recursive: first(&["blkio.bfq.io_merged_recursive"])?,
        io_time_recursive: first(&["blkio.bfq.time_recursive"])?,
        sectors_recursive: first(&["blkio.bfq.sectors_recursive"])?,
        ..BlkioStats::default()
    })
}
