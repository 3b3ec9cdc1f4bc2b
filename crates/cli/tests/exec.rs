//! What a program that joins a container has of the container's, and where it goes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::process::ExitCode;

use common::{Outcome, Stage, corten, group_of};
use corten_oci::{Capabilities, Process, Spec};
use corten_testkit::{Report, Requirement, Run, Suite};
use serde_json::Value;

/// A container that waits.
fn running(edit: impl FnOnce(&mut Spec)) -> Stage {
    let stage = Stage::waiting(edit);
    stage.does(&["run", "--detach", stage.id()]);
    stage
}

/// The process id of its first program.
fn init(stage: &Stage) -> i64 {
    let state: Value = stage.does(&["state", stage.id()]).json().unwrap();
    state["pid"].as_i64().unwrap()
}

/// The group of a program that joins with these options.
fn joined(stage: &Stage, options: &[&str]) -> String {
    let command = ["exec", "--detach", "--pid-file", "joined"];
    stage.does(&[&command, options, &[stage.id(), "/bin/probe", "sleep"]].concat());
    let pid = fs::read_to_string(stage.bundle.path().join("joined")).unwrap();
    group_of(pid.trim().parse().unwrap())
}

fn what_is_not_named_stays() -> Outcome {
    let stage = running(|spec| {
        let process = spec.process.as_mut().unwrap();
        (process.user.uid, process.user.gid, process.user.additional_gids) = (1, 3, vec![4]);
    });
    let id = stage.id();
    let report: Report = stage.does(&["exec", "--user", "7", "-g", "8", id, "/bin/probe"]).json()?;
    assert_eq!((report.uids.effective, report.gids.effective), (7, 3));
    assert!(report.groups.contains(&4) && report.groups.contains(&8), "{:?}", report.groups);
    let report: Report = stage.does(&["exec", "--user", "7:9", id, "/bin/probe"]).json()?;
    assert_eq!((report.uids.effective, report.gids.effective), (7, 9));
    // A document has the capabilities of its own, and gets more.
    let own = vec!["CAP_KILL".to_owned()];
    let document = Process {
        args: vec!["/bin/probe".to_owned()],
        cwd: "/".to_owned(),
        capabilities: Some(Capabilities { bounding: own, ..Capabilities::default() }),
        ..Process::default()
    };
    let json = serde_json::to_vec(&document)?;
    let command = ["exec", "--process", "-", "--cap", "CAP_CHOWN", id];
    let report: Report = stage.corten(&command).stdin(json).output()?.success()?.json()?;
    assert_eq!(report.capabilities.unwrap().bounding.names, ["CAP_CHOWN", "CAP_KILL"]);
    // Nothing is listened for by a program that is not the first.
    let command = format!(
        "exec 3</etc/passwd; LISTEN_FDS=1 LISTEN_PID=$$ exec {} --root {} exec {id} /bin/probe",
        corten().display(),
        stage.state().display()
    );
    let report: Report = Run::new("sh").args(["-c", &command]).output()?.success()?.json()?;
    assert_eq!(report.fds.unwrap().len(), 3);
    assert!(!report.env.iter().any(|entry| entry.starts_with("LISTEN_")), "{:?}", report.env);
    stage.does(&["delete", "--force", id]);
    stage.nothing_is_left();
    Ok(())
}

fn a_bundle_that_cannot_be_read_is_told() -> Outcome {
    let stage = running(|_| {});
    let (id, config) = (stage.id(), stage.bundle.path().join("config.json"));
    let text = fs::read(&config)?;
    fs::write(&config, "{")?;
    let said = stage.corten(&["exec", id, "/bin/probe"]).output()?.code(255)?.stderr;
    assert!(said.contains("config.json"), "{said}");
    // As a container of a library's has none.
    fs::remove_file(&config)?;
    let output = stage.does(&["exec", id, "probe"]);
    assert!(output.stderr.contains("has no config.json"), "{}", output.stderr);
    assert!(output.json::<Report>()?.env.iter().any(|entry| entry.starts_with("PATH=")));
    fs::write(&config, text)?;
    let said = stage.corten(&["exec", "--pidfd-socket", "none", id, "/bin/probe"]).output()?;
    assert!(said.stdout.is_empty(), "the program has run: {}", said.stdout);
    said.code(255)?;
    stage.does(&["delete", "--force", id]);
    stage.nothing_is_left();
    Ok(())
}

fn a_group_of_v1_is_chosen_by_its_controller() -> Outcome {
    let stage = running(|_| {});
    let pid = init(&stage);
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let group = table.lines().find_map(|line| line.split_once(":pids:")).unwrap().1;
    let below = format!("/sys/fs/cgroup/pids{group}/below");
    fs::create_dir(&below)?;
    assert_eq!(joined(&stage, &["--cgroup", "pids:below"]), group_of(pid));
    let pid = fs::read_to_string(stage.bundle.path().join("joined"))?;
    assert_eq!(fs::read_to_string(format!("{below}/cgroup.procs"))?, format!("{pid}\n"));
    for (asked, problem) in [
        (&["--cgroup", "nothing:below"][..], "nothing"),
        (&["--cgroup", "pids:below", "--cgroup", "below"], "missing <controller>: prefix"),
        (&["--cgroup", "pids:../.."], "not below the container's"),
    ] {
        let said = stage.corten(&[&["exec"], asked, &[stage.id(), "/bin/probe"]].concat()).output()?;
        let said = said.code(255)?.stderr;
        assert!(said.contains(problem), "{said}");
    }
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// As systemd and other runtimes in a container do.
fn groups_below_the_containers_are_entered() -> Outcome {
    let stage = running(|_| {});
    let (id, pid) = (stage.id(), init(&stage));
    let group = group_of(pid);
    let directory = format!("/sys/fs/cgroup{group}");
    for below in ["init", "other"] {
        fs::create_dir(format!("{directory}/{below}"))?;
    }
    fs::write(format!("{directory}/init/cgroup.procs"), pid.to_string())?;
    assert_eq!(joined(&stage, &[]), group, "nothing keeps it from there");
    stage.does(&["exec", id, "/bin/probe", "exit", "0"]);
    for line in fs::read_to_string(format!("{directory}/cgroup.procs"))?.lines() {
        fs::write(format!("{directory}/other/cgroup.procs"), line)?;
    }
    fs::write(format!("{directory}/cgroup.subtree_control"), "+pids")?;
    assert_eq!(joined(&stage, &[]), format!("{group}/init"));
    for other in ["other", "/other"] {
        assert_eq!(joined(&stage, &["--cgroup", other]), format!("{group}/other"));
    }
    let said = stage.corten(&["exec", "--cgroup", "/", id, "/bin/probe"]).output()?.code(255)?.stderr;
    assert!(said.contains("busy"), "{said}");
    stage.does(&["delete", "--force", id]);
    stage.nothing_is_left();
    Ok(())
}

fn main() -> ExitCode {
    corten();
    let own = [Requirement::CgroupV2("pids"), Requirement::Path("/sys/fs/cgroup/cgroup.controllers")];
    let v1 = [Requirement::Root, Requirement::CgroupV1("pids")];
    Suite::new()
        .needs(&[Requirement::Root], "what_is_not_named_stays", what_is_not_named_stays)
        .needs(
            &[Requirement::Root],
            "a_bundle_that_cannot_be_read_is_told",
            a_bundle_that_cannot_be_read_is_told,
        )
        .needs(&v1, "a_group_of_v1_is_chosen_by_its_controller", a_group_of_v1_is_chosen_by_its_controller)
        .needs(&own, "groups_below_the_containers_are_entered", groups_below_the_containers_are_entered)
        .run()
}
