//! Limits and device rules: set, read back from the kernel, and felt from inside.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use common::{Outcome, Stage, output, probe, refusal};
use corten::oci::{
    BlockIo, Cpu, DeviceRule, IdMapping, IntelRdt, Memory, Mount, Namespace, Pids, Rdma, Resources, Spec,
};
use corten::{Container, ErrorKind, ExitStatus, PressureLevel, PressureTrigger, Resource, Signal};
use corten_testkit::{Requirement, View, missing, patience};

fn resources(spec: &mut Spec) -> &mut Resources {
    spec.linux.as_mut().unwrap().resources.as_mut().unwrap()
}

fn rule(allow: bool, typ: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
    DeviceRule {
        allow,
        typ: Some(typ.to_owned()),
        major: Some(major),
        minor: Some(minor),
        access: Some(access.to_owned()),
    }
}

/// A container that waits, and what one deed inside it comes to: `ok`, or the name of the error.
struct Waiting {
    stage: Stage,
    container: Option<Container>,
}

impl Waiting {
    fn new(edit: impl FnOnce(&mut Spec)) -> Self {
        let stage = Stage::new(edit);
        let container = stage.container();
        container.run(probe(&["sleep"]).build().unwrap()).unwrap();
        Self { stage, container: Some(container) }
    }

    fn container(&self) -> &Container {
        self.container.as_ref().unwrap()
    }

    fn does(&self, deed: &[&str]) -> String {
        let mut process = self.stage.bundle.spec.process.clone().unwrap();
        process.args = std::iter::once("/bin/probe").chain(deed.iter().copied()).map(str::to_owned).collect();
        let builder = corten::Process::from_spec(&process).unwrap();
        let (_, text) = output(|process| self.container().exec(process), builder);
        let said: serde_json::Value = serde_json::from_str(text.lines().last().unwrap_or("{}")).unwrap();
        said["error"].as_str().unwrap_or("ok").to_owned()
    }

    /// The directory of a v1 controller.
    fn directory(&self, controller: &str) -> PathBuf {
        self.container().state().unwrap().cgroup_paths[controller].clone()
    }

    fn value(&self, controller: &str, file: &str) -> String {
        std::fs::read_to_string(self.directory(controller).join(file)).unwrap().trim_end().to_owned()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(container) = self.container.take() {
            self.stage.runtime.purge(container.id()).unwrap();
        }
    }
}

/// The kernel's log can be opened for writing by anybody, but for the rules.
fn device_rules_hold() -> Outcome {
    let waiting = Waiting::new(|spec| {
        spec.root.as_mut().unwrap().readonly = false;
        let capabilities = spec.process.as_mut().unwrap().capabilities.as_mut().unwrap();
        for set in [&mut capabilities.bounding, &mut capabilities.effective, &mut capabilities.permitted] {
            set.push("CAP_MKNOD".to_owned());
        }
    });
    assert_eq!(waiting.does(&["open", "/dev/null", "rw"]), "ok");
    assert_eq!(waiting.does(&["mknod", "/log", "c", "1", "11"]), "ok", "any node can be made");
    assert_eq!(waiting.does(&["open", "/log", "w"]), "EPERM");
    assert_eq!(waiting.does(&["mknod", "/disk", "b", "7", "0"]), "ok");
    assert_eq!(waiting.does(&["open", "/disk", "r"]), "EPERM");
    let with = |rules: Vec<DeviceRule>| {
        let none = DeviceRule { allow: false, ..DeviceRule::default() };
        let rules = std::iter::once(none).chain(rules).chain(corten::config::default_device_rules());
        waiting.container().update(&Resources { devices: rules.collect(), ..Resources::default() })
    };
    with(vec![rule(true, "c", 1, 11, "w")])?;
    assert_eq!(waiting.does(&["open", "/log", "w"]), "ok");
    assert_eq!(waiting.does(&["open", "/log", "rw"]), "EPERM", "only what is allowed");
    with(vec![rule(true, "c", 1, 11, "w"), rule(false, "c", 1, -1, "w")])?;
    assert_eq!(waiting.does(&["open", "/log", "w"]), "EPERM", "the last rule decides");
    assert_eq!(waiting.does(&["open", "/dev/zero", "rw"]), "ok", "the default devices stay");
    // Everything but one device.
    let all = DeviceRule { allow: true, ..DeviceRule::default() };
    let devices = vec![all, rule(false, "c", 1, 5, "r")];
    waiting.container().update(&Resources { devices, ..Resources::default() })?;
    assert_eq!(waiting.does(&["open", "/log", "w"]), "ok");
    assert_eq!(waiting.does(&["open", "/dev/zero", "r"]), "EPERM");
    assert_eq!(waiting.does(&["open", "/dev/zero", "w"]), "ok");
    Ok(())
}

fn malformed_device_rules_are_refused() -> Outcome {
    for wrong in [rule(true, "p", 1, 3, "rwm"), rule(true, "c", 1, 3, "x"), rule(true, "a", 1, 3, "rwm")] {
        let error = refusal(|spec| resources(spec).devices.push(wrong));
        assert!(error.to_string().contains("device"), "{error}");
    }
    Ok(())
}

fn limits_arrive_and_change() -> Outcome {
    let waiting = Waiting::new(|spec| {
        let resources = resources(spec);
        resources.memory = Some(Memory { limit: Some(64 << 20), ..Memory::default() });
        resources.cpu =
            Some(Cpu { shares: Some(512), quota: Some(50_000), period: Some(100_000), ..Cpu::default() });
        resources.pids = Some(Pids { limit: Some(33) });
    });
    assert_eq!(waiting.value("memory", "memory.limit_in_bytes"), (64 << 20).to_string());
    assert_eq!(waiting.value("cpu", "cpu.shares"), "512");
    assert_eq!(waiting.value("cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(waiting.value("pids", "pids.max"), "33");
    waiting.container().update(&Resources {
        memory: Some(Memory { limit: Some(32 << 20), ..Memory::default() }),
        cpu: Some(Cpu { shares: Some(2048), ..Cpu::default() }),
        ..Resources::default()
    })?;
    assert_eq!(waiting.value("memory", "memory.limit_in_bytes"), (32 << 20).to_string());
    assert_eq!(waiting.value("cpu", "cpu.shares"), "2048");
    assert_eq!(waiting.value("cpu", "cpu.cfs_quota_us"), "50000", "what is absent stays");
    // One that cannot be set takes the others back.
    let failed = waiting.container().update(&Resources {
        cpu: Some(Cpu { shares: Some(100), cpus: Some("4095".to_owned()), ..Cpu::default() }),
        ..Resources::default()
    });
    assert!(failed.unwrap_err().to_string().contains("cpuset.cpus"));
    assert_eq!(waiting.value("cpu", "cpu.shares"), "2048");
    assert_eq!(waiting.container().config().cgroup().resources.cpu.as_ref().unwrap().shares, Some(2048));
    Ok(())
}

fn limits_bite() -> Outcome {
    let waiting = Waiting::new(|spec| {
        let resources = resources(spec);
        resources.memory = Some(Memory { limit: Some(32 << 20), swap: Some(32 << 20), ..Memory::default() });
        resources.pids = Some(Pids { limit: Some(6) });
    });
    assert_eq!(waiting.does(&["fork", "20"]), "EAGAIN");
    let child = waiting.container().exec(probe(&["alloc", "200000000"]).build()?)?;
    assert_eq!(child.wait()?, ExitStatus::Signaled(Signal::KILL));
    let memory = waiting.container().stats()?.cgroup.memory.unwrap();
    assert!(memory.usage.max > 30 << 20, "{memory:?}");
    Ok(())
}

fn lack_of_memory_is_told() -> Outcome {
    let waiting = Waiting::new(|spec| {
        let limit = Some(32 << 20);
        resources(spec).memory = Some(Memory { limit, swap: limit, ..Memory::default() });
    });
    let mut events = waiting.container().oom_events()?;
    assert_eq!(events.take()?, None, "nothing has happened yet");
    let child = waiting.container().exec(probe(&["alloc", "200000000"]).build()?)?;
    let told = events.wait(Some(patience(20)))?.ok_or("it is not told")?;
    assert_eq!(child.wait()?, ExitStatus::Signaled(Signal::KILL));
    // v1 tells that memory lacks before it kills.
    let later = events.take()?.map_or(0, |oom| oom.kills);
    assert_eq!(told.kills + later, 1);
    assert_eq!(waiting.container().stats()?.cgroup.memory.unwrap().events.oom_kill, 1);
    // Whoever waits without a limit is not left waiting when the container has gone.
    drop(waiting);
    assert_eq!(events.wait(None)?, None);
    Ok(())
}

fn a_quota_slows_down() -> Outcome {
    let waiting = Waiting::new(|spec| {
        resources(spec).cpu = Some(Cpu { quota: Some(5_000), period: Some(50_000), ..Cpu::default() });
    });
    assert_eq!(waiting.does(&["burn", "1", "300"]), "ok");
    let cpu = waiting.container().stats()?.cgroup.cpu.unwrap();
    assert!(cpu.throttling.throttled_periods > 0 && cpu.throttling.throttled_time > 0, "{cpu:?}");
    Ok(())
}

/// More threads than processors: somebody waits for one.
fn stalls_are_told() -> Outcome {
    let waiting = Waiting::new(|_| {});
    let window = Duration::from_secs(2);
    let trigger = |stall| PressureTrigger::Stall { resource: Resource::Cpu, full: false, stall, window };
    let mut events = waiting.container().pressure_events(trigger(Duration::from_millis(10)))?;
    let threads = (2 * std::thread::available_parallelism()?.get() + 2).to_string();
    let child = waiting.container().exec(probe(&["burn", &threads, "60000"]).build()?)?;
    assert!(events.wait(Some(patience(30)))?, "there was no pressure");
    child.signal(Signal::KILL)?;
    child.wait()?;
    assert!(waiting.container().stats()?.cgroup.cpu.unwrap().psi.unwrap().some.total > 0);
    let error = waiting.container().pressure_events(trigger(Duration::from_secs(60))).unwrap_err();
    assert!(error.to_string().contains("cpu.pressure"), "{error}");
    Ok(())
}

/// More cache than memory: some of it is reclaimed.
fn levels_of_memory_are_told() -> Outcome {
    let waiting = Waiting::new(|spec| {
        spec.root.as_mut().unwrap().readonly = false;
        resources(spec).memory = Some(Memory { limit: Some(32 << 20), ..Memory::default() });
    });
    let mut events = waiting.container().pressure_events(PressureTrigger::Level(PressureLevel::Low))?;
    let child = waiting.container().exec(probe(&["fill", "/large", "200000000"]).build()?)?;
    assert!(events.wait(Some(patience(30)))?, "there was no pressure");
    child.signal(Signal::KILL)?;
    child.wait()?;
    Ok(())
}

fn an_init_without_memory_says_so() -> Outcome {
    let error = refusal(|spec| {
        resources(spec).memory = Some(Memory { limit: Some(1 << 16), ..Memory::default() });
    });
    assert!(error.to_string().contains("OOM-killed"), "{error}");
    Ok(())
}

fn statistics_tell_what_is_used() -> Outcome {
    let waiting = Waiting::new(|spec| resources(spec).pids = Some(Pids { limit: Some(9) }));
    let stats = waiting.container().stats()?.cgroup;
    let pids = stats.pids.unwrap();
    assert_eq!((pids.current, pids.limit), (1, 9));
    assert!(stats.memory.unwrap().usage.usage > 0);
    assert!(stats.cpu.unwrap().usage.total > 0);
    assert!(stats.blkio.is_some());
    let json = serde_json::to_value(waiting.container().stats()?)?;
    assert!(json["cpu"]["throttling"]["throttledPeriods"].is_number(), "{json}");
    Ok(())
}

/// The container's user gets the group where the container sees it as the root of a hierarchy that it may write to.
fn a_group_belongs_to_the_user_who_may_write_there() -> Outcome {
    let mapped = |writable: bool| {
        Waiting::new(move |spec| {
            let linux = spec.linux.as_mut().unwrap();
            let namespace = |typ: &str| Namespace { typ: typ.to_owned(), path: None };
            linux.namespaces.retain(|namespace| namespace.typ != "cgroup");
            linux.namespaces.extend([namespace("user"), namespace("cgroup")]);
            let ids = IdMapping { container_id: 0, host_id: 100_000, size: 65_536 };
            (linux.uid_mappings, linux.gid_mappings) = (vec![ids], vec![ids]);
            let group = Mount {
                destination: "/sys/fs/cgroup".to_owned(),
                typ: Some("cgroup".to_owned()),
                source: Some("cgroup".to_owned()),
                options: if writable { Vec::new() } else { vec!["ro".to_owned()] },
                ..Mount::default()
            };
            spec.mounts.retain(|mount| mount.destination != "/sys/fs/cgroup");
            spec.mounts.push(group);
        })
    };
    let owner = |waiting: &Waiting, file: &str| waiting.directory("").join(file).metadata().unwrap().uid();
    let owned = mapped(true);
    for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        assert_eq!(owner(&owned, file), 100_000, "{file:?}");
    }
    assert_eq!(owner(&owned, "cgroup.freeze"), 0, "what limits the container stays the host's");
    assert_eq!(owned.does(&["mkdir", "/sys/fs/cgroup/below"]), "ok");
    assert_eq!(owner(&owned, "below"), 100_000);
    let closed = mapped(false);
    assert_eq!(owner(&closed, ""), 0);
    assert_ne!(closed.does(&["mkdir", "/sys/fs/cgroup/below"]), "ok");
    Ok(())
}

/// `checkBeforeUpdate`: the kernel of v2 would take a limit below what is used, and kill.
fn a_limit_below_what_is_used_can_be_refused() -> Outcome {
    let waiting = Waiting::new(|spec| {
        resources(spec).memory = Some(Memory { limit: Some(64 << 20), ..Memory::default() });
    });
    let limit = |limit, check| Resources {
        memory: Some(Memory { limit: Some(limit), check_before_update: Some(check), ..Memory::default() }),
        ..Resources::default()
    };
    let error = waiting.container().update(&limit(4096, true)).unwrap_err();
    assert!(error.to_string().contains("unable to set memory limit to 4096 (current usage: "), "{error}");
    assert_eq!(waiting.value("", "memory.max"), (64 << 20).to_string());
    waiting.container().update(&limit(32 << 20, true))?;
    assert_eq!(waiting.value("", "memory.max"), (32 << 20).to_string());
    Ok(())
}

/// Limits that kernels had once are ignored with a warning.
fn limits_of_kernel_memory_are_ignored() -> Outcome {
    let waiting = Waiting::new(|spec| {
        let memory = Memory { kernel: Some(1 << 20), kernel_tcp: Some(1 << 20), ..Memory::default() };
        resources(spec).memory = Some(memory);
    });
    let kernel = waiting.directory("memory").join("memory.kmem.limit_in_bytes");
    if let Ok(limit) = std::fs::read_to_string(kernel) {
        assert_ne!(limit.trim(), "1048576");
    }
    Ok(())
}

/// Weights are BFQ's where there is BFQ, and leaves have none any more. What was changed before is put back.
fn weights_that_the_kernel_lacks_are_refused_by_the_file() -> Outcome {
    let weights = |weight, leaf_weight| BlockIo { weight, leaf_weight, ..BlockIo::default() };
    let error = refusal(|spec| resources(spec).block_io = Some(weights(None, Some(500))));
    assert!(error.to_string().contains("blkio.leaf_weight"), "{error}");
    if let Some(reason) = missing(&[Requirement::IoScheduler("bfq")]) {
        let error = refusal(|spec| resources(spec).block_io = Some(weights(Some(500), None)));
        let message = error.to_string();
        assert!(message.contains("/blkio.bfq.weight: "), "{reason}: {message}");
        assert!(message.contains("need the I/O scheduler bfq"), "{reason}: {message}");
        return Ok(());
    }
    let waiting = Waiting::new(|spec| resources(spec).block_io = Some(weights(Some(500), None)));
    let both = Resources { block_io: Some(weights(Some(10), Some(500))), ..Resources::default() };
    let error = waiting.container().update(&both).unwrap_err();
    assert!(error.to_string().contains("blkio.leaf_weight"), "{error}");
    assert_eq!(waiting.value("blkio", "blkio.bfq.weight"), "500");
    Ok(())
}

fn without_resctrl_a_class_is_refused() -> Outcome {
    let error = refusal(|spec| {
        let rdt = IntelRdt { l3_cache_schema: Some("L3:0=f".to_owned()), ..IntelRdt::default() };
        spec.linux.as_mut().unwrap().intel_rdt = Some(rdt);
    });
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("no resctrl file system is mounted"), "{error}");
    Ok(())
}

/// No device of that name is there, which only the kernel can know.
fn limits_of_rdma_reach_the_kernel() -> Outcome {
    let limits = Rdma { hca_handles: Some(3), hca_objects: None };
    let error = refusal(|spec| {
        resources(spec).rdma.insert("corten_no_such_device".to_owned(), limits);
    });
    let message = error.to_string();
    assert!(
        message.contains("corten_no_such_device hca_handle=3") && message.contains("rdma.max"),
        "{message}"
    );
    Ok(())
}

/// The v2 hierarchy of this machine has no controllers: what needs one is refused by its name, and the rest works.
fn without_controllers_limits_are_refused_by_name() -> Outcome {
    let error =
        refusal(|spec| resources(spec).memory = Some(Memory { limit: Some(64 << 20), ..Memory::default() }));
    let message = error.to_string();
    assert!(message.contains("memory"), "{message}");
    assert_eq!(error.kind(), ErrorKind::Cgroup);
    let waiting = Waiting::new(|_| {});
    assert!(waiting.container().stats()?.cgroup.memory.is_none());
    assert!(waiting.container().stats()?.cgroup.cpu.unwrap().usage.total > 0, "cpu.stat needs no controller");
    waiting.container().pause()?;
    waiting.container().resume()?;
    Ok(())
}

fn a_group_in_use_is_refused() -> Outcome {
    let waiting = Waiting::new(|_| {});
    let group = format!("/{}", waiting.container().id());
    let path = waiting.directory("pids");
    let relative = path.to_string_lossy().split_once("/pids").unwrap().1.to_owned();
    assert!(relative.ends_with(&group), "{relative}");
    let stage = Stage::new(|spec| spec.linux.as_mut().unwrap().cgroups_path = Some(relative));
    let error = stage.container().run(probe(&["exit", "0"]).build()?).unwrap_err();
    assert!(error.to_string().contains("cgroup is not empty"), "{error}");
    stage.runtime.purge(&stage.id())?;
    assert_eq!(waiting.container().status()?, corten::Status::Running, "it is left alone");
    Ok(())
}

/// What is to run there would never begin.
fn a_frozen_group_is_refused() -> Outcome {
    let stage = Stage::new(|_| {});
    let config = stage.config();
    let made = stage.runtime.create(&stage.id(), config)?;
    made.run(probe(&["sleep"]).build()?)?;
    let paths = made.state()?.cgroup_paths;
    let (_, directory) = paths.iter().find(|(name, _)| ["", "freezer"].contains(&name.as_str())).unwrap();
    let directory = directory.with_file_name(format!("{}-frozen", stage.id()));
    stage.runtime.purge(&stage.id())?;
    std::fs::create_dir(&directory)?;
    let freeze = ["cgroup.freeze", "freezer.state"].map(|name| directory.join(name));
    let file = freeze.iter().find(|file| file.exists()).unwrap();
    std::fs::write(file, if file.ends_with("freezer.state") { "FROZEN" } else { "1" })?;
    let point = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup"];
    let relative = point.iter().find_map(|point| directory.strip_prefix(point).ok()).unwrap();
    let path = format!("/{}", relative.display());
    let refused = Stage::new(|spec| spec.linux.as_mut().unwrap().cgroups_path = Some(path));
    let error = refused.container().run(probe(&["exit", "0"]).build()?).unwrap_err();
    refused.runtime.purge(&refused.id())?;
    std::fs::remove_dir(&directory)?;
    assert!(error.to_string().contains("frozen"), "{error}");
    Ok(())
}

fn no_group_is_left() -> Outcome {
    let waiting = Waiting::new(|_| {});
    let paths: Vec<PathBuf> =
        waiting.container().state()?.cgroup_paths.into_iter().map(|(_, path)| path).collect();
    assert!(!paths.is_empty() && paths.iter().all(|path| path.is_dir()));
    waiting.container().signal(Signal::KILL)?;
    drop(waiting);
    assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
    Ok(())
}

fn main() -> ExitCode {
    // On v1 the control groups are root's.
    let v1 = |controller| [Requirement::Root, Requirement::CgroupV1(controller)];
    let memory = [Requirement::CgroupV2("memory"), Requirement::CgroupV2("pids")];
    let suite = match std::path::Path::new("/sys/fs/resctrl/schemata").exists() {
        true => common::suite().ignored("without_resctrl_a_class_is_refused", "resctrl is mounted here"),
        false => common::suite().needs(
            &[Requirement::Root],
            "without_resctrl_a_class_is_refused",
            without_resctrl_a_class_is_refused,
        ),
    };
    suite
        .needs(&v1("devices"), "device_rules_hold", device_rules_hold)
        .seeing(
            View::V2,
            &[Requirement::Root],
            "a_group_belongs_to_the_user_who_may_write_there",
            a_group_belongs_to_the_user_who_may_write_there,
        )
        .seeing(
            View::V2,
            &memory,
            "a_limit_below_what_is_used_can_be_refused",
            a_limit_below_what_is_used_can_be_refused,
        )
        .needs(&v1("memory"), "limits_of_kernel_memory_are_ignored", limits_of_kernel_memory_are_ignored)
        .needs(
            &v1("blkio"),
            "weights_that_the_kernel_lacks_are_refused_by_the_file",
            weights_that_the_kernel_lacks_are_refused_by_the_file,
        )
        .seeing(
            View::V2,
            &[Requirement::CgroupV2("rdma")],
            "limits_of_rdma_reach_the_kernel",
            limits_of_rdma_reach_the_kernel,
        )
        .seeing(View::V2, &[Requirement::Capability("CAP_BPF")], "device_rules_hold_on_v2", device_rules_hold)
        .needs(&[Requirement::Root], "malformed_device_rules_are_refused", malformed_device_rules_are_refused)
        .needs(&v1("memory"), "limits_arrive_and_change", limits_arrive_and_change)
        .needs(&v1("memory"), "limits_bite", limits_bite)
        .needs(&v1("memory"), "an_init_without_memory_says_so", an_init_without_memory_says_so)
        .needs(&v1("memory"), "statistics_tell_what_is_used", statistics_tell_what_is_used)
        .needs(&v1("memory"), "lack_of_memory_is_told", lack_of_memory_is_told)
        .needs(&v1("memory"), "levels_of_memory_are_told", levels_of_memory_are_told)
        .needs(&v1("cpu"), "a_quota_slows_down", a_quota_slows_down)
        .seeing(View::V2, &[Requirement::Path("/proc/pressure/cpu")], "stalls_are_told", stalls_are_told)
        .seeing(View::V2, &memory, "limits_bite_on_v2", limits_bite)
        .seeing(View::V2, &memory, "lack_of_memory_is_told_on_v2", lack_of_memory_is_told)
        .seeing(View::V2, &memory, "an_init_without_memory_says_so_on_v2", an_init_without_memory_says_so)
        .seeing(View::V2, &memory, "statistics_tell_what_is_used_on_v2", statistics_tell_what_is_used)
        .seeing(View::V2, &[Requirement::CgroupV2("cpu")], "a_quota_slows_down_on_v2", a_quota_slows_down)
        .seeing(
            View::V2,
            &v1("memory"),
            "without_controllers_limits_are_refused_by_name",
            without_controllers_limits_are_refused_by_name,
        )
        .needs(&v1("pids"), "a_group_in_use_is_refused", a_group_in_use_is_refused)
        .needs(&[Requirement::Root], "a_frozen_group_is_refused", a_frozen_group_is_refused)
        .seeing(View::V1, &[Requirement::Root], "a_frozen_group_is_refused_on_v1", a_frozen_group_is_refused)
        .needs(&[Requirement::Root], "no_group_is_left", no_group_is_left)
        .run()
}
