//! How the kernel runs a program: scheduling policy, I/O priority, CPU affinity, memory policy, execution domain; of init and of
//! programs that join it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::process::ExitCode;

use common::{Case, Outcome, Stage, output, probe, refusal, report};
use corten::oci::{
    Cpu, CpuAffinity, IdMapping, IoPriority, MemoryPolicy, Namespace, Personality, Process as Document,
    Resources, Scheduler, Spec,
};
use corten::{Config, Container, Error, ErrorKind, ErrorStage, ExitStatus, ProcessBuilder, SpecOptions};
use corten_testkit::{Report, Requirement, Scheduling, Suite, View};

fn process(spec: &mut Spec) -> &mut Document {
    spec.process.as_mut().unwrap()
}

/// A policy without parameters.
fn policy(name: &str) -> Scheduler {
    Scheduler { policy: name.to_owned(), ..Scheduler::default() }
}

fn io(class: &str, priority: i32) -> IoPriority {
    IoPriority { class: class.to_owned(), priority }
}

fn memory(mode: &str, nodes: &str, flags: &[&str]) -> MemoryPolicy {
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    MemoryPolicy { mode: mode.to_owned(), nodes: Some(nodes.to_owned()), flags }
}

/// A container that waits.
fn waiting(stage: &Stage) -> Container {
    let container = stage.container();
    container.run(probe(&["sleep"]).build().unwrap()).unwrap();
    container
}

/// The report of the probe as a program that joins the container.
fn joined(container: &Container, change: impl FnOnce(ProcessBuilder) -> ProcessBuilder) -> Report {
    let (status, text) = output(|process| container.exec(process), change(probe(&["report"])));
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Why a program does not join; the container goes on.
fn not_joined(container: &Container, change: impl FnOnce(ProcessBuilder) -> ProcessBuilder) -> Error {
    let process = change(probe(&["exit", "0"])).build();
    let error = process.and_then(|process| container.exec(process)).unwrap_err();
    assert_eq!(container.processes().unwrap().len(), 1);
    error
}

/// What init and a program that joins it see, of the same configuration.
fn both(edit: impl Fn(&mut Spec)) -> [Report; 2] {
    let stage = Stage::new(&edit);
    let first = report(&edit);
    let second = joined(&waiting(&stage), |process| process);
    [first, second]
}

fn ordinary_policies_arrive() -> Outcome {
    for (name, number, nice) in [("SCHED_OTHER", 0, 5), ("SCHED_BATCH", 3, 19), ("SCHED_IDLE", 5, 0)] {
        let scheduler = Scheduler { nice: Some(nice), ..policy(name) };
        for report in both(|spec| process(spec).scheduler = Some(scheduler.clone())) {
            let expected = Scheduling { policy: number, nice, ..Scheduling::default() };
            // Newer kernels tell here of the slice, which nobody asked for.
            assert_eq!(Scheduling { runtime: 0, ..report.scheduling.unwrap() }, expected);
        }
    }
    Ok(())
}

fn a_program_that_joins_has_its_own() -> Outcome {
    let stage = Stage::new(|spec| {
        process(spec).scheduler = Some(Scheduler { nice: Some(3), ..policy("SCHED_OTHER") });
        process(spec).io_priority = Some(io("IOPRIO_CLASS_BE", 7));
    });
    let container = waiting(&stage);
    let seen = joined(&container, |process| {
        let batch = Scheduler { nice: Some(4), ..policy("SCHED_BATCH") };
        process.scheduler(batch).io_priority(io("IOPRIO_CLASS_IDLE", 0))
    });
    let scheduling = seen.scheduling.unwrap();
    assert_eq!((scheduling.policy, scheduling.nice, seen.io_priority), (3, 4, Some((3, 0))));
    // Init has kept what it had, as others see it.
    let stat = fs::read_to_string(format!("/proc/{}/stat", container.state()?.pid.unwrap()))?;
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!((fields[19 - 3], fields[41 - 3]), ("3", "0"));
    Ok(())
}

/// A real-time policy, and what a group of the v1 cpu controller needs for it.
fn real_time(spec: &mut Spec, name: &str, runtime: Option<i64>) {
    let flags = vec!["SCHED_FLAG_RESET_ON_FORK".to_owned()];
    process(spec).scheduler = Some(Scheduler { priority: Some(7), flags, ..policy(name) });
    let resources = spec.linux.as_mut().unwrap().resources.get_or_insert_default();
    resources.cpu = runtime.map(|runtime| Cpu { realtime_runtime: Some(runtime), ..Cpu::default() });
}

fn real_time_policies_arrive() -> Outcome {
    for (name, number) in [("SCHED_FIFO", 1), ("SCHED_RR", 2)] {
        for report in both(|spec| real_time(spec, name, None)) {
            let expected = Scheduling { policy: number, flags: 1, priority: 7, ..Scheduling::default() };
            assert_eq!(Scheduling { runtime: 0, ..report.scheduling.unwrap() }, expected);
        }
    }
    Ok(())
}

fn a_v1_group_needs_real_time_bandwidth() -> Outcome {
    let report = report(|spec| real_time(spec, "SCHED_FIFO", Some(10_000)));
    let scheduling = report.scheduling.unwrap();
    assert_eq!((scheduling.policy, scheduling.priority), (1, 7));
    let error = refusal(|spec| real_time(spec, "SCHED_FIFO", None));
    assert_eq!((error.kind(), error.stage()), (ErrorKind::PermissionDenied, ErrorStage::Init), "{error}");
    let text = error.to_string();
    assert!(text.contains("error setting scheduler SCHED_FIFO: operation not permitted"), "{text}");
    assert!(text.contains("linux.resources.cpu.realtimeRuntime"), "{text}");
    Ok(())
}

fn deadline() -> Scheduler {
    Scheduler {
        nice: Some(19),
        runtime: Some(42_000),
        deadline: Some(1_000_000),
        period: Some(2_000_000),
        ..policy("SCHED_DEADLINE")
    }
}

fn deadlines_arrive() -> Outcome {
    for report in both(|spec| process(spec).scheduler = Some(deadline())) {
        let seen = report.scheduling.unwrap();
        assert_eq!(
            (seen.policy, seen.runtime, seen.deadline, seen.period),
            (6, 42_000, 1_000_000, 2_000_000)
        );
    }
    let error = refusal(|spec| {
        process(spec).scheduler = Some(Scheduler { runtime: Some(1_500_000), ..deadline() });
    });
    assert!(error.to_string().contains("runtime <= deadline <= period"), "{error}");
    Ok(())
}

fn a_deadline_needs_every_cpu() -> Outcome {
    let error = refusal(|spec| {
        process(spec).scheduler = Some(deadline());
        let cpus = Cpu { cpus: Some("0".to_owned()), ..Cpu::default() };
        spec.linux.as_mut().unwrap().resources = Some(Resources { cpu: Some(cpus), ..Resources::default() });
    });
    let text = error.to_string();
    assert!(text.contains("process scheduler can't be used together with AllowedCPUs"), "{text}");
    Ok(())
}

fn what_the_kernel_lacks_is_its_refusal() -> Outcome {
    let error = refusal(|spec| process(spec).scheduler = Some(policy("SCHED_ISO")));
    assert!(error.to_string().contains("error setting scheduler SCHED_ISO: invalid argument"), "{error}");
    let stage = Stage::new(|_| {});
    let error = not_joined(&waiting(&stage), |process| process.scheduler(policy("SCHED_ISO")));
    assert_eq!((error.stage(), error.raw_os_error()), (ErrorStage::Exec, Some(22)), "{error}");
    Ok(())
}

fn wrong_words_are_refused_before_anything_is_made() -> Outcome {
    let refused = |edit: fn(&mut Spec), words: &str| {
        let error = refusal(edit);
        assert!(error.to_string().contains(words), "{error} has no {words:?}");
        assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidConfig, ErrorStage::Host));
    };
    refused(
        |spec| process(spec).scheduler = Some(policy("SCHED_X")),
        "invalid scheduler policy: \"SCHED_X\"",
    );
    refused(|spec| process(spec).io_priority = Some(io("BE", 0)), "invalid io priority class: \"BE\"");
    refused(
        |spec| spec.linux.as_mut().unwrap().memory_policy = Some(memory("MPOL_BIND", "", &[])),
        "memory policy mode MPOL_BIND needs at least one node",
    );
    refused(
        |spec| {
            let domain = "LINUX64".to_owned();
            spec.linux.as_mut().unwrap().personality = Some(Personality { domain, flags: Vec::new() });
        },
        "invalid personality domain \"LINUX64\"",
    );
    refused(
        |spec| process(spec).exec_cpu_affinity = Some(affinity(Some("0-"), None)),
        "execCPUAffinity.initial: invalid list \"0-\"",
    );
    let error = probe(&[]).cpu_affinity(affinity(None, Some("65536"))).build().unwrap_err();
    assert!(error.to_string().contains("values larger than 65535 are not supported"), "{error}");
    Ok(())
}

fn io_priorities_arrive() -> Outcome {
    let classes = [("IOPRIO_CLASS_RT", 1, 0), ("IOPRIO_CLASS_BE", 2, 7), ("IOPRIO_CLASS_IDLE", 3, 3)];
    for (class, number, level) in classes {
        for report in both(|spec| process(spec).io_priority = Some(io(class, level))) {
            assert_eq!(report.io_priority, Some((number, level.unsigned_abs())));
        }
    }
    Ok(())
}

fn affinity(initial: Option<&str>, last: Option<&str>) -> CpuAffinity {
    CpuAffinity { initial: initial.map(str::to_owned), last: last.map(str::to_owned) }
}

fn an_affinity_is_for_programs_that_join() -> Outcome {
    let all = report(|_| {}).cpus.unwrap();
    let last = all.rsplit([',', '-']).next().unwrap().to_owned();
    let stage = Stage::new(|spec| process(spec).exec_cpu_affinity = Some(affinity(None, Some(&last))));
    let container = waiting(&stage);
    let status = fs::read_to_string(format!("/proc/{}/status", container.state()?.pid.unwrap()))?;
    assert!(status.contains(&format!("Cpus_allowed_list:\t{all}\n")), "init keeps its own: {status}");
    assert_eq!(joined(&container, |process| process).cpus.unwrap(), last);
    let own = joined(&container, |process| process.cpu_affinity(affinity(Some("0"), Some("0-65535"))));
    assert_eq!(own.cpus.unwrap(), all, "what it asks for itself");
    let error = not_joined(&container, |process| process.cpu_affinity(affinity(None, Some("4000"))));
    assert!(error.to_string().contains("none of the CPUs of process.execCPUAffinity"), "{error}");
    let error = not_joined(&container, |process| process.cpu_affinity(affinity(Some("4000"), None)));
    assert_eq!(error.stage(), ErrorStage::Bootstrap, "before the control group: {error}");
    Ok(())
}

/// Where there is no control group to move into, nothing changes the affinity before it.
fn the_initial_affinity_comes_before_the_group() -> Outcome {
    let stage = Stage::new(|spec| spec.linux.as_mut().unwrap().resources = None);
    let options = SpecOptions { no_cgroup: true, ..SpecOptions::default() };
    let config = Config::from_spec(&stage.bundle.spec, stage.bundle.path(), options)?;
    let container = stage.runtime.create(&stage.id(), config)?;
    container.run(probe(&["sleep"]).build()?)?;
    let seen = joined(&container, |process| process.cpu_affinity(affinity(Some("0"), None)));
    assert_eq!(seen.cpus.as_deref(), Some("0"));
    Ok(())
}

fn memory_policies_arrive() -> Outcome {
    let policies = [
        (memory("MPOL_BIND", "0", &["MPOL_F_STATIC_NODES"]), (2 | 1 << 15, 1)),
        (memory("MPOL_INTERLEAVE", "0", &["MPOL_F_RELATIVE_NODES"]), (3 | 1 << 14, 1)),
        (memory("MPOL_PREFERRED", "0", &[]), (1, 1)),
        (memory("MPOL_PREFERRED_MANY", "0", &[]), (5, 1)),
        (memory("MPOL_LOCAL", "", &[]), (4, 0)),
        (memory("MPOL_DEFAULT", "", &[]), (0, 0)),
    ];
    for (policy, expected) in policies {
        for report in both(|spec| spec.linux.as_mut().unwrap().memory_policy = Some(policy.clone())) {
            assert_eq!(report.memory_policy, Some(expected), "{policy:?}");
        }
    }
    let absent = memory("MPOL_BIND", "1000", &[]);
    let error = refusal(|spec| spec.linux.as_mut().unwrap().memory_policy = Some(absent));
    let text = error.to_string();
    assert!(
        text.contains("set memory policy MPOL_BIND: invalid argument (the nodes must be there"),
        "{text}"
    );
    Ok(())
}

fn execution_domains_arrive() -> Outcome {
    for (domain, number) in [("LINUX", 0), ("LINUX32", 8)] {
        let edit = |spec: &mut Spec| {
            let flags = vec!["ADDR_NO_RANDOMIZE".to_owned()];
            spec.linux.as_mut().unwrap().personality = Some(Personality { domain: domain.to_owned(), flags });
        };
        for report in both(edit) {
            assert_eq!(report.personality, Some(number));
        }
    }
    Ok(())
}

/// A privilege in the container's user namespace is none for the scheduler.
fn a_user_namespace_has_what_an_ordinary_user_has() -> Outcome {
    let in_user_namespace = |spec: &mut Spec, scheduler: Scheduler| {
        let linux = spec.linux.as_mut().unwrap();
        linux.namespaces.push(Namespace { typ: "user".to_owned(), path: None });
        linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: 100_000, size: 1000 }];
        linux.gid_mappings = linux.uid_mappings.clone();
        process(spec).scheduler = Some(scheduler);
        process(spec).io_priority = Some(io("IOPRIO_CLASS_BE", 6));
    };
    let nice = |nice| Scheduler { nice: Some(nice), ..policy("SCHED_OTHER") };
    let stage = Stage::new(|spec| in_user_namespace(spec, nice(8)));
    open_to_all(&stage);
    let seen = joined(&waiting(&stage), |process| process);
    assert_eq!((seen.scheduling.unwrap().nice, seen.io_priority), (8, Some((2, 6))));
    let error = not_joined(&stage.runtime.load(&stage.id())?, |process| process.scheduler(nice(-8)));
    assert!(error.to_string().contains("needs CAP_SYS_NICE outside of any user namespace"), "{error}");
    Ok(())
}

/// The root of the container is not root outside.
fn open_to_all(stage: &Stage) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(stage.bundle.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Not every kernel gives groups shares of real time (`CONFIG_RT_GROUP_SCHED`).
const RT_GROUPS: [Requirement; 1] = [Requirement::Path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")];

fn main() -> ExitCode {
    let cases: &[Case] = &[
        ("ordinary_policies_arrive", ordinary_policies_arrive),
        ("a_program_that_joins_has_its_own", a_program_that_joins_has_its_own),
        ("deadlines_arrive", deadlines_arrive),
        ("what_the_kernel_lacks_is_its_refusal", what_the_kernel_lacks_is_its_refusal),
        ("wrong_words_are_refused_before_anything_is_made", wrong_words_are_refused_before_anything_is_made),
        ("io_priorities_arrive", io_priorities_arrive),
        ("an_affinity_is_for_programs_that_join", an_affinity_is_for_programs_that_join),
        ("the_initial_affinity_comes_before_the_group", the_initial_affinity_comes_before_the_group),
        ("memory_policies_arrive", memory_policies_arrive),
        ("execution_domains_arrive", execution_domains_arrive),
        ("a_user_namespace_has_what_an_ordinary_user_has", a_user_namespace_has_what_an_ordinary_user_has),
    ];
    let root = &[Requirement::Root];
    let v1 = |controller| [Requirement::Root, Requirement::CgroupV1(controller)];
    let add = |suite: Suite, (name, case): &Case| suite.needs(root, name, *case);
    cases
        .iter()
        .fold(common::suite(), add)
        .seeing(View::V2, root, "real_time_policies_arrive", real_time_policies_arrive)
        .needs(
            &[&v1("cpu")[..], &RT_GROUPS].concat(),
            "a_v1_group_needs_real_time_bandwidth",
            a_v1_group_needs_real_time_bandwidth,
        )
        .needs(&v1("cpuset"), "a_deadline_needs_every_cpu", a_deadline_needs_every_cpu)
        .run()
}
