//! What the containers have used, and what that comes to between two looks.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use corten::stats::Pressure;
use corten::{Container, ErrorKind, Runtime, Stats, Status};
use serde::Serialize;

use crate::error::Result;

/// One look at all containers.
#[derive(Debug)]
pub struct Pass {
    at: Instant,
    time: SystemTime,
    containers: BTreeMap<String, Sample>,
}

/// What one container has used so far.
#[derive(Clone, Debug, Default)]
struct Sample {
    status: String,
    cpu: u64,
    memory: Option<Limited>,
    pids: Option<Limited>,
    read: u64,
    written: u64,
    pressure: Stalls,
}

/// A number with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limited {
    /// What there is now.
    pub usage: u64,
    /// What there may be; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// How much of the last 10 seconds some process waited, in per cent; absent where the kernel does not tell (v1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stalls {
    /// For a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// For memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
    /// For a block device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<f64>,
}

/// What a container uses, in the form of a line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// When, RFC 3339.
    pub time: String,
    /// The container.
    pub id: String,
    /// What it is doing.
    pub status: String,
    /// Per cent of one processor.
    pub cpu: f64,
    /// Bytes; absent where its control group does not count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Limited>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Limited>,
    /// Bytes read from block devices in a second.
    pub read: u64,
    /// Bytes written to block devices in a second.
    pub written: u64,
    /// Waiting.
    pub pressure: Stalls,
}

#[cfg(test)]
impl Usage {
    /// Of a container that does nothing.
    pub fn idle(id: &str, pressure: Stalls) -> Self {
        let (time, status) = (String::new(), "running".to_owned());
        Self {
            time,
            id: id.to_owned(),
            status,
            cpu: 0.0,
            memory: None,
            pids: None,
            read: 0,
            written: 0,
            pressure,
        }
    }
}

impl Pass {
    /// Looks at every container that runs; one that is broken does not hide the others.
    pub fn take(runtime: &Runtime) -> Result<Self> {
        let (at, time) = (Instant::now(), SystemTime::now());
        let mut containers = BTreeMap::new();
        for entry in runtime.list()? {
            match entry.container.and_then(|container| sample(&container)) {
                Ok(Some(sample)) => drop(containers.insert(entry.id.to_string(), sample)),
                Ok(None) => {}
                Err(error) => tracing::debug!("container {}: {error}", entry.id),
            }
        }
        Ok(Self { at, time, containers })
    }

    /// What each container uses, at the rates since `before`.
    pub fn usages(&self, before: &Self) -> Vec<Usage> {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
        let usage = |(id, now): (&String, &Sample)| {
            let then = before.containers.get(id).unwrap_or(now);
            let rate = |now: u64, then: u64| {
                if seconds > 0.0 { now.saturating_sub(then) as f64 / seconds } else { 0.0 }
            };
            Usage {
                time: corten::rfc3339(self.time),
                id: id.clone(),
                status: now.status.clone(),
                // Nanoseconds of processor time in a second are ten-millionths of a per cent.
                cpu: (rate(now.cpu, then.cpu) / 1e5).round() / 100.0,
                memory: now.memory,
                pids: now.pids,
                read: rate(now.read, then.read) as u64,
                written: rate(now.written, then.written) as u64,
                pressure: now.pressure,
            }
        };
        self.containers.iter().map(usage).collect()
    }
}

/// `None` where it does not run.
fn sample(container: &Container) -> corten::Result<Option<Sample>> {
    let status = container.status()?;
    if status == Status::Stopped {
        return Ok(None);
    }
    match container.stats() {
        Ok(stats) => Ok(Some(Sample { status: status.to_string(), ..Sample::of(&stats) })),
        Err(error) if error.kind() == ErrorKind::NotRunning => Ok(None),
        // Without a control group there is nothing to count, but the container is there.
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            Ok(Some(Sample { status: status.to_string(), ..Sample::default() }))
        }
        Err(error) => Err(error),
    }
}

impl Sample {
    fn of(stats: &Stats) -> Self {
        let stats = &stats.cgroup;
        let limited =
            |usage: u64, limit: u64| Limited { usage, limit: Some(limit).filter(|limit| is_limit(*limit)) };
        let bytes = |op: &str| {
            let entries = stats.blkio.iter().flat_map(|io| &io.io_service_bytes_recursive);
            entries.filter(|entry| entry.op.eq_ignore_ascii_case(op)).map(|entry| entry.value).sum()
        };
        let stalled = |pressure: Option<Pressure>| pressure.map(|pressure| pressure.some.avg10);
        Self {
            status: String::new(),
            cpu: stats.cpu.as_ref().map_or(0, |cpu| cpu.usage.total),
            memory: stats.memory.as_ref().map(|memory| limited(memory.usage.usage, memory.usage.limit)),
            pids: stats.pids.map(|pids| limited(pids.current, pids.limit)),
            read: bytes("Read"),
            written: bytes("Write"),
            pressure: Stalls {
                cpu: stalled(stats.cpu.as_ref().and_then(|cpu| cpu.psi)),
                memory: stalled(stats.memory.as_ref().and_then(|memory| memory.psi)),
                io: stalled(stats.blkio.as_ref().and_then(|io| io.psi)),
            },
        }
    }
}

/// v1 says "none" by a number of pages that no machine has, v2 by the largest number, and that of processes by 0.
fn is_limit(limit: u64) -> bool {
    limit != 0 && limit < i64::MAX as u64 / 2
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_between_two_looks() {
        let at = Instant::now();
        let pass = |seconds, sample: Sample| Pass {
            at: at + Duration::from_secs(seconds),
            time: SystemTime::UNIX_EPOCH,
            containers: BTreeMap::from([("one".to_owned(), sample)]),
        };
        let before = pass(0, Sample { cpu: 1_000_000_000, read: 100, ..Sample::default() });
        let now = pass(2, Sample { cpu: 2_500_000_000, read: 4_196, written: 10, ..Sample::default() });
        let usage = &now.usages(&before)[0];
        assert_eq!((usage.cpu, usage.read, usage.written), (75.0, 2_048, 5));
        // One that was not there has no rate yet.
        let empty = Pass { at, time: SystemTime::UNIX_EPOCH, containers: BTreeMap::new() };
        assert_eq!(now.usages(&empty)[0].cpu, 0.0);
    }

    #[test]
    fn no_limit_is_none() {
        assert!(is_limit(1 << 30));
        assert!(!is_limit(0) && !is_limit(u64::MAX) && !is_limit(9_223_372_036_854_771_712));
    }
}
