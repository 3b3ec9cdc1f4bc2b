//! Every resource, set by a configuration and changed by an update, read back from the kernel: on v1 and on v2.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use common::{Outcome, Stage, probe};
use corten::oci::{
    BlockIo, Cpu, HugepageLimit, InterfacePriority, Memory, Network, Pids, Resources, ThrottleDevice,
};
use corten::{Config, SpecOptions};
use corten_testkit::{Requirement, Suite, View, missing};

const MIB: i64 = 1 << 20;

/// A file of a controller, what it reads after the start, and what after the update.
type Seen = (&'static str, String, String);

/// A resource: in the configuration, in the update, and in the kernel.
struct Row {
    name: &'static str,
    /// What the controller is called in v1 and in v2.
    controllers: (&'static str, &'static str),
    first: Resources,
    second: Resources,
    v1: Vec<Seen>,
    v2: Vec<Seen>,
}

fn seen(file: &'static str, first: impl ToString, second: impl ToString) -> Seen {
    (file, first.to_string(), second.to_string())
}

fn memory(memory: Memory) -> Resources {
    Resources { memory: Some(memory), ..Resources::default() }
}

fn cpu(cpu: Cpu) -> Resources {
    Resources { cpu: Some(cpu), ..Resources::default() }
}

fn io(io: BlockIo) -> Resources {
    Resources { block_io: Some(io), ..Resources::default() }
}

fn memory_rows() -> Vec<Row> {
    let controllers = ("memory", "memory");
    let limit = |limit| memory(Memory { limit: Some(limit), ..Memory::default() });
    let low = |low| memory(Memory { reservation: Some(low), ..Memory::default() });
    let swap = |limit, swap| memory(Memory { limit: Some(limit), swap: Some(swap), ..Memory::default() });
    let swappiness = |value| memory(Memory { swappiness: Some(value), ..Memory::default() });
    let killer = |off| memory(Memory { disable_oom_killer: Some(off), ..Memory::default() });
    vec![
        Row {
            name: "memory.limit",
            controllers,
            first: limit(64 * MIB),
            second: limit(-1),
            v1: vec![seen("memory.limit_in_bytes", 64 * MIB, 9_223_372_036_854_771_712_i64)],
            v2: vec![seen("memory.max", 64 * MIB, "max")],
        },
        Row {
            name: "memory.reservation",
            controllers,
            first: low(8 * MIB),
            second: low(4 * MIB),
            v1: vec![seen("memory.soft_limit_in_bytes", 8 * MIB, 4 * MIB)],
            v2: vec![seen("memory.low", 8 * MIB, 4 * MIB)],
        },
        Row {
            name: "memory.swap",
            controllers,
            first: swap(64 * MIB, 96 * MIB),
            // Memory alone: that of both together stays.
            second: limit(32 * MIB),
            v1: vec![
                seen("memory.limit_in_bytes", 64 * MIB, 32 * MIB),
                seen("memory.memsw.limit_in_bytes", 96 * MIB, 96 * MIB),
            ],
            v2: vec![seen("memory.max", 64 * MIB, 32 * MIB), seen("memory.swap.max", 32 * MIB, 64 * MIB)],
        },
        Row {
            name: "memory.swap_none",
            controllers,
            first: swap(64 * MIB, 64 * MIB),
            second: swap(64 * MIB, -1),
            v1: vec![seen("memory.memsw.limit_in_bytes", 64 * MIB, 9_223_372_036_854_771_712_i64)],
            v2: vec![seen("memory.swap.max", 0, "max")],
        },
        Row {
            name: "memory.swappiness",
            controllers,
            first: swappiness(7),
            second: swappiness(70),
            v1: vec![seen("memory.swappiness", 7, 70)],
            v2: vec![],
        },
        Row {
            name: "memory.disableOOMKiller",
            controllers,
            first: killer(true),
            second: killer(false),
            v1: vec![seen("memory.oom_control", "oom_kill_disable 1", "oom_kill_disable 0")],
            v2: vec![],
        },
    ]
}

fn cpu_rows() -> Vec<Row> {
    let controllers = ("cpu", "cpu");
    let shares = |shares| cpu(Cpu { shares: Some(shares), ..Cpu::default() });
    let idle = |idle| cpu(Cpu { idle: Some(idle), ..Cpu::default() });
    let burst = |quota, burst| cpu(Cpu { quota: Some(quota), burst: Some(burst), ..Cpu::default() });
    let cpus = |cpus: &str| cpu(Cpu { cpus: Some(cpus.to_owned()), ..Cpu::default() });
    let realtime = |period, runtime| {
        cpu(Cpu { realtime_period: Some(period), realtime_runtime: Some(runtime), ..Cpu::default() })
    };
    let quota = Cpu { quota: Some(50_000), period: Some(200_000), ..Cpu::default() };
    vec![
        Row {
            name: "cpu.shares",
            controllers,
            first: shares(512),
            second: shares(1024),
            v1: vec![seen("cpu.shares", 512, 1024)],
            v2: vec![seen("cpu.weight", 59, 100)],
        },
        Row {
            name: "cpu.quota",
            controllers,
            first: cpu(quota),
            // The quota alone: the period stays.
            second: cpu(Cpu { quota: Some(70_000), ..Cpu::default() }),
            v1: vec![seen("cpu.cfs_quota_us", 50_000, 70_000), seen("cpu.cfs_period_us", 200_000, 200_000)],
            v2: vec![seen("cpu.max", "50000 200000", "70000 200000")],
        },
        Row {
            name: "cpu.burst",
            controllers,
            first: burst(50_000, 20_000),
            second: burst(10_000, 5_000),
            v1: vec![seen("cpu.cfs_burst_us", 20_000, 5_000), seen("cpu.cfs_quota_us", 50_000, 10_000)],
            v2: vec![seen("cpu.max.burst", 20_000, 5_000), seen("cpu.max", "50000 100000", "10000 100000")],
        },
        Row {
            name: "cpu.realtime",
            controllers,
            first: realtime(500_000, 1000),
            second: realtime(250_000, 2000),
            v1: vec![seen("cpu.rt_period_us", 500_000, 250_000), seen("cpu.rt_runtime_us", 1000, 2000)],
            v2: vec![],
        },
        Row {
            name: "cpu.idle",
            controllers,
            first: idle(1),
            second: idle(0),
            v1: vec![seen("cpu.idle", 1, 0)],
            v2: vec![seen("cpu.idle", 1, 0)],
        },
        Row {
            name: "cpu.cpus",
            controllers: ("cpuset", "cpuset"),
            first: cpus("0"),
            second: cpus("0-1"),
            v1: vec![seen("cpuset.cpus", 0, "0-1")],
            v2: vec![seen("cpuset.cpus", 0, "0-1")],
        },
        Row {
            name: "cpu.mems",
            controllers: ("cpuset", "cpuset"),
            first: cpu(Cpu { mems: Some("0".to_owned()), ..Cpu::default() }),
            second: Resources::default(),
            v1: vec![seen("cpuset.mems", 0, 0)],
            v2: vec![seen("cpuset.mems", 0, 0)],
        },
    ]
}

/// The first disk of the machine: major and minor number.
fn disk() -> (i64, i64) {
    let number = std::fs::read_to_string("/sys/block/vda/dev").unwrap_or_else(|_| "8:0".to_owned());
    let (major, minor) = number.trim().split_once(':').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

fn io_rows() -> Vec<Row> {
    let controllers = ("blkio", "io");
    let (major, minor) = disk();
    let rate = |rate| vec![ThrottleDevice { major, minor, rate }];
    let line = |value: &str| format!("{major}:{minor} {value}");
    let weight = |weight| io(BlockIo { weight: Some(weight), ..BlockIo::default() });
    let rates = |bytes, operations| {
        io(BlockIo {
            throttle_read_bps_device: rate(bytes),
            throttle_write_bps_device: rate(bytes + 1),
            throttle_read_iops_device: rate(operations),
            throttle_write_iops_device: rate(operations + 1),
            ..BlockIo::default()
        })
    };
    let throttle = |file, first: &str, second: &str| seen(file, line(first), line(second));
    vec![
        Row {
            name: "blockIO.weight",
            controllers,
            first: weight(500),
            second: weight(10),
            v1: vec![seen("blkio.bfq.weight", 500, 10)],
            v2: vec![seen("io.weight", "default 4950", "default 1")],
        },
        Row {
            name: "blockIO.throttle",
            controllers,
            first: rates(1_048_576, 100),
            second: rates(2_097_152, 200),
            v1: vec![
                throttle("blkio.throttle.read_bps_device", "1048576", "2097152"),
                throttle("blkio.throttle.write_bps_device", "1048577", "2097153"),
                throttle("blkio.throttle.read_iops_device", "100", "200"),
                throttle("blkio.throttle.write_iops_device", "101", "201"),
            ],
            v2: vec![throttle(
                "io.max",
                "rbps=1048576 wbps=1048577 riops=100 wiops=101",
                "rbps=2097152 wbps=2097153 riops=200 wiops=201",
            )],
        },
    ]
}

fn other_rows() -> Vec<Row> {
    let pids = |limit| Resources { pids: Some(Pids { limit: Some(limit) }), ..Resources::default() };
    let pages = |limit| Resources {
        hugepage_limits: vec![HugepageLimit { page_size: "2MB".to_owned(), limit }],
        ..Resources::default()
    };
    let network = |class_id, priority| Resources {
        network: Some(Network {
            class_id: Some(class_id),
            priorities: vec![InterfacePriority { name: "lo".to_owned(), priority }],
        }),
        ..Resources::default()
    };
    let unified = |high: &str| Resources {
        unified: [("memory.high".to_owned(), high.to_owned())].into_iter().collect(),
        ..Resources::default()
    };
    vec![
        Row {
            name: "pids.limit",
            controllers: ("pids", "pids"),
            first: pids(33),
            second: pids(-1),
            v1: vec![seen("pids.max", 33, "max")],
            v2: vec![seen("pids.max", 33, "max")],
        },
        Row {
            name: "hugepageLimits",
            controllers: ("hugetlb", "hugetlb"),
            first: pages(4 << 20),
            second: pages(2 << 20),
            v1: vec![
                seen("hugetlb.2MB.limit_in_bytes", 4 << 20, 2 << 20),
                seen("hugetlb.2MB.rsvd.limit_in_bytes", 4 << 20, 2 << 20),
            ],
            v2: vec![
                seen("hugetlb.2MB.max", 4 << 20, 2 << 20),
                seen("hugetlb.2MB.rsvd.max", 4 << 20, 2 << 20),
            ],
        },
        Row {
            name: "network",
            controllers: ("net_cls", ""),
            first: network(0x10_0001, 3),
            second: network(0x10_0002, 4),
            v1: vec![seen("net_cls.classid", 0x10_0001, 0x10_0002)],
            v2: vec![],
        },
        Row {
            name: "network.priorities",
            controllers: ("net_prio", ""),
            first: network(0x10_0001, 3),
            second: network(0x10_0002, 4),
            v1: vec![seen("net_prio.ifpriomap", "lo 3", "lo 4")],
            v2: vec![],
        },
        Row {
            name: "unified",
            controllers: ("", "memory"),
            first: unified("67108864"),
            second: unified("max"),
            v1: vec![],
            v2: vec![seen("memory.high", 64 * MIB, "max")],
        },
    ]
}

/// Starts a container with the first values, changes them, and reads both times.
fn check(first: &Resources, second: &Resources, controller: &str, expected: &[Seen]) -> Outcome {
    check_made(SpecOptions::default(), first, second, controller, expected)
}

/// The same with control groups that are made in this way.
fn check_made(
    options: SpecOptions,
    first: &Resources,
    second: &Resources,
    controller: &str,
    expected: &[Seen],
) -> Outcome {
    let stage = Stage::new(|spec| {
        let devices = spec.linux.as_ref().unwrap().resources.as_ref().unwrap().devices.clone();
        spec.linux.as_mut().unwrap().resources = Some(Resources { devices, ..first.clone() });
    });
    let config = Config::from_spec(&stage.bundle.spec, stage.bundle.path(), options)?;
    let container = stage.runtime.create(&stage.id(), config)?;
    container.run(probe(&["sleep"]).build()?)?;
    let paths: BTreeMap<String, PathBuf> = container.state()?.cgroup_paths.into_iter().collect();
    let compare = |choose: fn(&Seen) -> &String| {
        for row in expected {
            let path = paths[controller].join(row.0);
            let content = std::fs::read_to_string(&path).unwrap();
            let wanted = choose(row);
            assert!(
                content.lines().any(|line| line == wanted),
                "{}: {content:?}, not {wanted:?}",
                path.display()
            );
        }
    };
    compare(|row| &row.1);
    container.update(second)?;
    compare(|row| &row.2);
    stage.runtime.purge(container.id())?;
    Ok(())
}

fn rows() -> impl Iterator<Item = Row> {
    [memory_rows(), cpu_rows(), io_rows(), other_rows()].into_iter().flatten()
}

/// What a row needs of the machine where v1 has its controller.
fn needs_on_v1(name: &str, controller: &'static str) -> Vec<Requirement> {
    let mut needs = vec![Requirement::Root, Requirement::CgroupV1(controller)];
    match name {
        // The kernel has no other weights.
        "blockIO.weight" => needs.push(Requirement::IoScheduler("bfq")),
        "cpu.realtime" => needs.push(Requirement::Path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")),
        _ => {}
    }
    needs
}

/// All that this machine has a controller for, where systemd makes the groups.
fn every_resource_by_systemd() -> Outcome {
    let options = SpecOptions { systemd_cgroup: true, ..SpecOptions::default() };
    let unified = std::fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok();
    for Row { name, controllers: (old, new), first, second, v1, v2 } in rows() {
        let (needs, controller, expected) = match unified {
            true => (vec![Requirement::CgroupV2(new)], "", v2),
            false => (needs_on_v1(name, old), old, v1),
        };
        if !expected.is_empty() && missing(&needs).is_none() {
            check_made(options, &first, &second, controller, &expected)
                .map_err(|error| format!("{name}: {error:?}"))?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let add = |suite: Suite, row: Row| {
        let Row { name, controllers, first, second, v1, v2 } = row;
        let (old, new) = controllers;
        let also = (first.clone(), second.clone());
        let suite = match v1.is_empty() {
            true => suite,
            false => suite.needs(&needs_on_v1(name, old), &format!("{name}_on_v1"), move || {
                check(&first, &second, old, &v1)
            }),
        };
        match v2.is_empty() {
            true => suite,
            false => {
                suite.seeing(View::V2, &[Requirement::CgroupV2(new)], &format!("{name}_on_v2"), move || {
                    check(&also.0, &also.1, "", &v2)
                })
            }
        }
    };
    let suite = rows().fold(common::suite(), add);
    let needs = [Requirement::Root, Requirement::Path("/run/systemd/system")];
    suite.needs(&needs, "every_resource_by_systemd", every_resource_by_systemd).run()
}
