//! Limits that an ordinary user sets in control groups that were delegated to them, and the group of no container.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::process::ExitCode;

use common::{Outcome, Stage, corten, file, group_of, limit};
use corten_oci::{Cpu, Memory, Pids, Resources};
use corten_testkit::{Requirement, Suite};
use serde_json::Value;

fn pid_of(stage: &Stage) -> i64 {
    let state: Value = stage.does(&["state", stage.id()]).json().unwrap();
    state["pid"].as_i64().unwrap()
}

fn limits_hold_below_a_delegated_group() -> Outcome {
    let resources = Resources {
        memory: Some(Memory { limit: Some(32 << 20), swap: Some(32 << 20), ..Memory::default() }),
        cpu: Some(Cpu { quota: Some(50_000), cpus: Some("0".to_owned()), ..Cpu::default() }),
        pids: Some(Pids { limit: Some(20) }),
        ..Resources::default()
    };
    let stage = Stage::waiting(|spec| limit(spec, resources));
    let id = stage.id();
    stage.does(&["run", "--detach", id]);
    let group = group_of(pid_of(&stage));
    let values = ["memory.max", "memory.swap.max", "cpu.max", "cpuset.cpus", "pids.max"];
    assert_eq!(values.map(|name| file(&group, name)), ["33554432", "0", "50000 100000", "0", "20"]);
    let text = stage.corten(&["exec", id, "/bin/probe", "fork", "30"]).output()?;
    assert!(text.describe().contains("EAGAIN"), "{}", text.describe());
    let killed = stage.corten(&["exec", id, "/bin/probe", "alloc", "67108864"]).output()?;
    killed.code(128 + 9)?;
    stage.does(&["update", "--pids-limit", "10", "--memory", "48m", "--memory-swap", "64m", id]);
    let values = ["memory.max", "memory.swap.max", "pids.max"];
    assert_eq!(values.map(|name| file(&group, name)), ["50331648", "16777216", "10"]);
    let stats: Value = stage.does(&["events", "--stats", id]).json()?;
    assert_eq!(stats["data"]["pids"]["limit"], 10);
    stage.does(&["pause", id]);
    assert_eq!(stage.status(), "paused");
    stage.does(&["resume", id]);
    stage.does(&["delete", "--force", id]);
    stage.nothing_is_left();
    Ok(())
}

/// The group is the caller's own, and nothing was made.
fn a_container_can_do_without_a_group() -> Outcome {
    let stage = Stage::waiting(|spec| spec.linux.as_mut().unwrap().resources = None);
    let id = stage.id();
    stage.does(&["--cgroup-manager", "disabled", "run", "--detach", id]);
    assert_eq!(group_of(pid_of(&stage)), group_of(i64::from(std::process::id())));
    stage.does(&["exec", id, "/bin/probe", "exit", "0"]);
    let said = stage.corten(&["update", "--pids-limit", "5", id]).output()?.code(1)?.stderr;
    assert!(said.contains("no control group"), "{said}");
    let said = stage.corten(&["pause", id]).output()?.code(1)?.stderr;
    assert!(said.contains("no control group"), "{said}");
    stage.does(&["kill", id, "KILL"]);
    stage.does(&["delete", "--force", id]);
    stage.nothing_is_left();
    let pids = Resources { pids: Some(Pids { limit: Some(5) }), ..Resources::default() };
    let limited = Stage::waiting(|spec| spec.linux.as_mut().unwrap().resources = Some(pids));
    let said = limited.fails(&["--cgroup-manager", "disabled", "run", limited.id()], 1);
    assert!(said.contains("cannot have limits"), "{said}");
    Ok(())
}

fn main() -> ExitCode {
    corten();
    let delegated = [
        Requirement::OrdinaryUser,
        Requirement::Path("/run/systemd/system"),
        Requirement::Path("/sys/fs/cgroup/cgroup.controllers"),
        Requirement::CgroupV2("memory"),
        Requirement::CgroupV2("cpuset"),
    ];
    Suite::new()
        .needs(&delegated, "limits_hold_below_a_delegated_group", limits_hold_below_a_delegated_group)
        .needs(
            &[Requirement::UserNamespaces],
            "a_container_can_do_without_a_group",
            a_container_can_do_without_a_group,
        )
        .run()
}
