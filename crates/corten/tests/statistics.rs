//! What statistics and events tell of a container that does something of each kind.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::{Outcome, Stage, probe};
use corten::oci::{Memory, Resources, Spec};
use corten::{Container, PressureLevel, PressureTrigger, Resource, Signal};
use corten_testkit::{Requirement, View, patience};

const MIB: i64 = 1 << 20;

/// A container that waits, with so much memory and room to write.
struct Waiting {
    stage: Stage,
    container: Option<Container>,
}

impl Waiting {
    fn with_memory(limit: i64) -> Self {
        let stage = Stage::new(|spec: &mut Spec| {
            spec.root.as_mut().unwrap().readonly = false;
            let old = spec.linux.as_mut().unwrap().resources.as_mut().unwrap();
            let memory = Memory { limit: Some(limit), swap: Some(limit), ..Memory::default() };
            *old = Resources { memory: Some(memory), devices: old.devices.clone(), ..Resources::default() };
        });
        let container = stage.container();
        container.run(probe(&["sleep"]).build().unwrap()).unwrap();
        Self { stage, container: Some(container) }
    }

    fn container(&self) -> &Container {
        self.container.as_ref().unwrap()
    }

    /// Does something inside, however it ends.
    fn does(&self, deed: &[&str]) {
        self.container().exec(probe(deed).build().unwrap()).unwrap().wait().unwrap();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(container) = self.container.take() {
            self.stage.runtime.purge(container.id()).unwrap();
        }
    }
}

/// More files than memory, so that some are written, and then more memory than there may be.
fn busy() -> Waiting {
    let waiting = Waiting::with_memory(48 * MIB);
    waiting.does(&["fill", "/large", "120000000"]);
    waiting.does(&["alloc", "200000000"]);
    waiting.does(&["burn", "1", "300"]);
    waiting
}

fn all_is_told_on_v2() -> Outcome {
    let waiting = busy();
    let stats = waiting.container().stats()?.cgroup;
    let cpu = stats.cpu.unwrap();
    assert!(cpu.usage.user > 0 && cpu.usage.kernel > 0 && cpu.usage.total >= cpu.usage.user, "{cpu:?}");
    assert!(cpu.psi.unwrap().some.total > 0);
    let memory = stats.memory.unwrap();
    assert!(memory.usage.usage > 0 && memory.usage.max >= memory.usage.usage, "{:?}", memory.usage);
    assert_eq!((memory.usage.limit, memory.swap_only.limit), (48 << 20, 0));
    assert!(memory.usage.failcnt > 0 && memory.events.max > 0, "{:?}", memory.events);
    assert_eq!((memory.events.oom_kill, memory.events.oom_group_kill), (1, 0), "{:?}", memory.events);
    assert_eq!(memory.raw["file"], memory.cache);
    let of_nodes: u64 = memory.numa["anon"].values().sum();
    assert!(of_nodes > 0 && of_nodes <= memory.usage.max, "{:?}", memory.numa["anon"]);
    let pressure = memory.psi.unwrap();
    assert!(pressure.some.total >= pressure.full.total && pressure.full.total > 0, "{pressure:?}");
    let io = stats.blkio.unwrap();
    let written = |entry: &&corten::stats::BlkioEntry| entry.op == "Write" && entry.value > 0;
    let bytes = io.io_service_bytes_recursive.iter().find(written).unwrap();
    let operations = io.io_serviced_recursive.iter().find(written).unwrap();
    assert!(bytes.value > operations.value && bytes.major == operations.major, "{bytes:?} {operations:?}");
    assert!(io.psi.unwrap().some.total > 0);
    assert_eq!(stats.pids.unwrap().current, 1);
    assert_eq!(stats.hugetlb["2MB"].usage, 0);
    // A group below it.
    let directory = waiting.container().state()?.cgroup_paths[""].clone();
    std::fs::create_dir(directory.join("below"))?;
    assert_eq!(waiting.container().stats()?.cgroup.cgroup.unwrap().nr_descendants, 1);
    Ok(())
}

fn all_is_told_on_v1() -> Outcome {
    let waiting = busy();
    let stats = waiting.container().stats()?.cgroup;
    let cpu = stats.cpu.unwrap();
    assert!(cpu.usage.user > 0 && cpu.usage.kernel > 0, "{cpu:?}");
    let cpus = std::thread::available_parallelism()?.get();
    assert!(cpu.usage.percpu.len() >= cpus && cpu.usage.percpu.iter().sum::<u64>() > 0);
    let memory = stats.memory.unwrap();
    assert_eq!(memory.usage.limit, 48 << 20);
    assert!(memory.usage.max == 48 << 20 && memory.swap.max >= memory.usage.usage, "{:?}", memory.usage);
    // Some kernels count none.
    let directory = waiting.container().state()?.cgroup_paths["memory"].clone();
    let failures: u64 = std::fs::read_to_string(directory.join("memory.failcnt"))?.trim().parse()?;
    assert_eq!(memory.usage.failcnt, failures);
    assert_eq!(memory.events.oom_kill, 1);
    assert_eq!(memory.raw["cache"], memory.cache);
    assert!(memory.numa["total"].values().sum::<u64>() > 0, "{:?}", memory.numa);
    assert!(stats.blkio.is_some());
    assert_eq!(stats.pids.unwrap().current, 1);
    assert!(!stats.cpuset.unwrap().cpus.is_empty());
    Ok(())
}

/// Whether a container that does something is under this pressure.
fn felt(trigger: PressureTrigger, deed: &[&str]) -> corten::Result<bool> {
    let waiting = Waiting::with_memory(32 * MIB);
    let mut events = waiting.container().pressure_events(trigger)?;
    let child = waiting.container().exec(probe(deed).build()?)?;
    let felt = events.wait(Some(patience(30)))?;
    child.signal(Signal::KILL)?;
    child.wait()?;
    Ok(felt)
}

fn stalls_of_memory_and_devices_are_told() -> Outcome {
    let (stall, window) = (Duration::from_millis(5), Duration::from_secs(2));
    for resource in [Resource::Memory, Resource::Io] {
        for full in [false, true] {
            let trigger = PressureTrigger::Stall { resource, full, stall, window };
            assert!(felt(trigger, &["fill", "/large", "400000000"])?, "{resource:?}, full: {full}");
        }
    }
    assert!(felt(PressureTrigger::memory(), &["fill", "/large", "4000000000"])?);
    Ok(())
}

/// Nothing can be reclaimed: it has no file, and no swap.
fn worse_levels_of_memory_are_told() -> Outcome {
    for level in [PressureLevel::Medium, PressureLevel::Critical] {
        assert!(felt(PressureTrigger::Level(level), &["alloc", "200000000"])?, "{level:?}");
    }
    Ok(())
}

fn main() -> ExitCode {
    let v2 = [
        Requirement::CgroupV2("memory"),
        Requirement::CgroupV2("io"),
        Requirement::CgroupV2("hugetlb"),
        Requirement::Path("/proc/pressure/io"),
    ];
    let v1 =
        |controller| [Requirement::Root, Requirement::CgroupV1("memory"), Requirement::CgroupV1(controller)];
    common::suite()
        .seeing(View::V2, &v2, "all_is_told_on_v2", all_is_told_on_v2)
        .needs(&v1("cpuacct"), "all_is_told_on_v1", all_is_told_on_v1)
        .seeing(View::V2, &v2, "stalls_of_memory_and_devices_are_told", stalls_of_memory_and_devices_are_told)
        .needs(&v1("memory"), "worse_levels_of_memory_are_told", worse_levels_of_memory_are_told)
        .run()
}
