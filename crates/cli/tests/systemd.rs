//! Control groups that systemd makes, as root by the machine's and as an ordinary user by that of the session.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::process::ExitCode;

use common::{Case, Outcome, Stage, corten, eventually, file, group_of, is_root, limit, v2};
use corten_oci::{Cpu, Device, Memory, Pids, Resources};
use corten_testkit::{Output, Requirement, Run, Suite};
use serde_json::Value;

const RUNNING: &str = "/run/systemd/system";

fn start(stage: &Stage) -> i64 {
    stage.does(&["--systemd-cgroup", "run", "--detach", stage.id()]);
    let state: Value = stage.does(&["state", stage.id()]).json().unwrap();
    state["pid"].as_i64().unwrap()
}

fn systemctl(arguments: &[&str]) -> Output {
    let user: &[&str] = if is_root() { &[] } else { &["--user"] };
    Run::new("systemctl").args(user).args(arguments).output().unwrap()
}

/// A property of a unit, as systemd shows it.
fn property(unit: &str, name: &str) -> String {
    systemctl(&["show", "--value", "--property", name, unit]).success().unwrap().stdout.trim().to_owned()
}

fn a_scope_is_made_changed_and_removed() -> Outcome {
    let resources = Resources {
        memory: Some(Memory { limit: Some(64 << 20), ..Memory::default() }),
        cpu: Some(Cpu { shares: Some(512), quota: Some(12_345), period: Some(100_000), ..Cpu::default() }),
        pids: Some(Pids { limit: Some(33) }),
        ..Resources::default()
    };
    let stage = Stage::waiting(|spec| limit(spec, if v2() { resources } else { Resources::default() }));
    let id = stage.id();
    let unit = format!("corten-{id}.scope");
    let pid = start(&stage);
    let group = group_of(pid);
    let slice = if is_root() { "/system.slice/" } else { "/user.slice/" };
    assert!(group.ends_with(&format!("{slice}{unit}")), "{group}");
    assert_eq!(property(&unit, "ControlGroup"), group);
    assert_eq!(property(&unit, "Delegate"), "yes");
    assert_eq!(property(&unit, "Description"), format!("corten container {id}"));
    if v2() {
        let values = ["memory.max", "cpu.max", "cpu.weight", "pids.max"].map(|name| file(&group, name));
        assert_eq!(values, ["67108864", "12345 100000", "59", "33"], "exact, where systemd rounds");
        let names = ["MemoryMax", "CPUWeight", "CPUQuotaPerSecUSec", "TasksMax"];
        assert_eq!(names.map(|name| property(&unit, name)), ["67108864", "59", "130ms", "33"]);
        stage.does(&["update", "--pids-limit", "44", "--cpu-quota", "54321", id]);
        assert_eq!([file(&group, "pids.max"), file(&group, "cpu.max")], ["44", "54321 100000"]);
        assert_eq!(property(&unit, "TasksMax"), "44");
        assert_eq!(property(&unit, "CPUQuotaPerSecUSec"), "550ms");
        let said = stage.corten(&["update", "--pids-limit", "55", "--cpuset-cpus", "4095", id]).output()?;
        let said = said.code(1)?.stderr;
        assert!(said.contains("4095"), "{said}");
        assert_eq!(
            [file(&group, "pids.max"), property(&unit, "TasksMax")],
            ["44", "44"],
            "nothing has changed"
        );
        stage.does(&["pause", id]);
        assert_eq!(stage.status(), "paused");
        stage.does(&["resume", id]);
    }
    stage.does(&["exec", "--detach", "--pid-file", "joined", id, "/bin/probe", "sleep"]);
    let joined: i64 = fs::read_to_string(stage.bundle.path().join("joined"))?.trim().parse()?;
    assert_eq!(group_of(joined), group);
    stage.does(&["delete", "--force", id]);
    assert_eq!(property(&unit, "LoadState"), "not-found");
    stage.nothing_is_left();
    Ok(())
}

fn a_container_that_ends_leaves_no_unit() -> Outcome {
    let stage = Stage::waiting(|spec| {
        spec.process.as_mut().unwrap().args = ["/bin/probe", "exit", "7"].map(str::to_owned).to_vec();
    });
    stage.corten(&["--systemd-cgroup", "run", stage.id()]).output()?.code(7)?;
    assert_eq!(property(&format!("corten-{}.scope", stage.id()), "LoadState"), "not-found");
    stage.nothing_is_left();
    let created = stage_with_path(":made:");
    created.does(&["--systemd-cgroup", "create", created.id()]);
    created.does(&["start", created.id()]);
    created.does(&["kill", created.id(), "KILL"]);
    eventually("wait for the end", || created.status() == "stopped");
    created.does(&["delete", created.id()]);
    assert_eq!(property(&format!("made-{}.scope", created.id()), "LoadState"), "not-found");
    created.nothing_is_left();
    Ok(())
}

/// `PATH` with the container's name at its end.
fn stage_with_path(path: &str) -> Stage {
    let mut stage = Stage::waiting(|_| {});
    let full = format!("{path}{}", stage.id());
    stage.bundle.spec.linux.as_mut().unwrap().cgroups_path = Some(full);
    stage.bundle.write().unwrap();
    stage
}

fn the_path_names_slice_and_scope() -> Outcome {
    let stage = stage_with_path("corten-test.slice:pre:");
    let group = group_of(start(&stage));
    assert!(group.ends_with(&format!("/corten.slice/corten-test.slice/pre-{}.scope", stage.id())), "{group}");
    stage.does(&["delete", "--force", stage.id()]);
    for (path, words) in [
        ("/plain/", "slice:prefix:name"),
        ("notaslice:pre:", "a slice ends in .slice"),
        ("corten.slice:a b:", "letters, digits"),
    ] {
        let stage = stage_with_path(path);
        let said = stage.fails(&["--systemd-cgroup", "run", stage.id()], 1);
        assert!(said.contains(words), "{path}: {said}");
    }
    Ok(())
}

fn annotations_are_properties() -> Outcome {
    let annotated = |name: &str, value: &str| {
        Stage::waiting(|spec| {
            spec.annotations.insert(format!("org.systemd.property.{name}"), value.to_owned());
        })
    };
    let timed = annotated("TimeoutStopSec", "12.5");
    start(&timed);
    let unit = format!("corten-{}.scope", timed.id());
    assert_eq!(property(&unit, "TimeoutStopUSec"), "12.500000s");
    timed.does(&["delete", "--force", timed.id()]);
    for (name, value, words) in [
        ("CollectMode", "'never-heard-of'", "never-heard-of"),
        ("NoSuchProperty", "true", "NoSuchProperty"),
        ("CollectMode", "inactive", "strings are quoted"),
    ] {
        let stage = annotated(name, value);
        let said = stage.fails(&["--systemd-cgroup", "run", stage.id()], 1);
        assert!(said.contains(words), "{name}={value}: {said}");
        assert_eq!(property(&format!("corten-{}.scope", stage.id()), "LoadState"), "not-found");
    }
    Ok(())
}

fn a_unit_that_failed_is_replaced_and_one_that_runs_is_not() -> Outcome {
    let stage = Stage::waiting(|_| {});
    let unit = format!("corten-{}.scope", stage.id());
    let user: &[&str] = if is_root() { &[] } else { &["--user"] };
    let scope = |more: &[&str]| {
        let own = ["--quiet", "--scope", "--unit", &unit, "--slice", "corten.slice"];
        Run::new("systemd-run").args(user).args(own).args(more)
    };
    // It is ended for its time is over, which counts as a failure.
    scope(&["--property=RuntimeMaxSec=100ms", "sleep", "1000"]).output()?;
    eventually("wait for the failure", || property(&unit, "ActiveState") == "failed");
    start(&stage);
    assert_eq!(property(&unit, "ActiveState"), "active");
    stage.does(&["delete", "--force", stage.id()]);
    let script = format!(
        "cd {:?} && exec {:?} --root {:?} --systemd-cgroup run {}",
        stage.bundle.path(),
        corten(),
        stage.state(),
        stage.id()
    );
    let said = scope(&["sh", "-c", &script]).output()?.code(1)?.stderr;
    assert!(said.contains(&unit) && said.contains("already"), "{said}");
    // It was the test's own, and systemd takes it away in its own time.
    eventually("wait for the scope's end", || property(&unit, "LoadState") == "not-found");
    stage.nothing_is_left();
    Ok(())
}

fn limits_and_device_rules_outlast_a_reload() -> Outcome {
    let resources = Resources { pids: Some(Pids { limit: Some(33) }), ..Resources::default() };
    let disk =
        Device { typ: "b".to_owned(), path: "/dev/disk".to_owned(), major: Some(8), ..Device::default() };
    let stage = Stage::waiting(|spec| {
        limit(spec, resources);
        spec.linux.as_mut().unwrap().devices = vec![Device { minor: Some(0), ..disk }];
    });
    let id = stage.id();
    start(&stage);
    let unit = format!("corten-{id}.scope");
    let open = || stage.corten(&["exec", id, "/bin/probe", "open", "/dev/disk", "r"]).output().unwrap();
    let refused = |output: Output| assert!(output.describe().contains("EPERM"), "{}", output.describe());
    refused(open());
    systemctl(&["daemon-reload"]).success()?;
    // This makes systemd write everything again that it knows of.
    systemctl(&["set-property", "--runtime", &unit, "TasksMax=34", "CPUWeight=77"]).success()?;
    refused(open());
    assert_eq!(property(&unit, "TasksMax"), "34");
    stage.does(&["delete", "--force", id]);
    stage.nothing_is_left();
    Ok(())
}

fn without_systemd_it_is_told() -> Outcome {
    let stage = Stage::waiting(|_| {});
    let said = stage.fails(&["--systemd-cgroup", "run", stage.id()], 1);
    assert!(said.contains("systemd does not run here"), "{said}");
    Ok(())
}

fn without_a_bus_it_is_told() -> Outcome {
    let stage = Stage::waiting(|_| {});
    let run = stage.corten(&["--systemd-cgroup", "run", stage.id()]);
    let run =
        run.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent").env("XDG_RUNTIME_DIR", "/nonexistent");
    let said = run.output()?.code(1)?.stderr;
    assert!(said.contains("/nonexistent"), "{said}");
    stage.nothing_is_left();
    Ok(())
}

fn main() -> ExitCode {
    corten();
    let mut running = vec![Requirement::Path(RUNNING), Requirement::UserNamespaces];
    if !is_root() {
        // On cgroup v1 nothing is delegated.
        running.push(Requirement::CgroupV2("pids"));
    }
    let cases: [Case; 5] = [
        ("a_scope_is_made_changed_and_removed", a_scope_is_made_changed_and_removed),
        ("a_container_that_ends_leaves_no_unit", a_container_that_ends_leaves_no_unit),
        ("the_path_names_slice_and_scope", the_path_names_slice_and_scope),
        ("annotations_are_properties", annotations_are_properties),
        (
            "a_unit_that_failed_is_replaced_and_one_that_runs_is_not",
            a_unit_that_failed_is_replaced_and_one_that_runs_is_not,
        ),
    ];
    let add = |suite: Suite, (name, case): Case| suite.needs(&running, name, case);
    let suite = cases.into_iter().fold(Suite::new(), add);
    let suite = suite.needs(
        &[Requirement::Path(RUNNING), Requirement::Root],
        "limits_and_device_rules_outlast_a_reload",
        limits_and_device_rules_outlast_a_reload,
    );
    let suite = suite.needs(
        // On cgroup v1 the bus is not even asked for.
        &[Requirement::Path(RUNNING), Requirement::OrdinaryUser, Requirement::CgroupV2("pids")],
        "without_a_bus_it_is_told",
        without_a_bus_it_is_told,
    );
    let suite = match fs::metadata(RUNNING) {
        Ok(_) => suite.ignored("without_systemd_it_is_told", "systemd runs here"),
        Err(_) => suite.needs(
            &[Requirement::UserNamespaces],
            "without_systemd_it_is_told",
            without_systemd_it_is_told,
        ),
    };
    suite.run()
}
