//! The runtime, stage 1 and init, each killed after every message of their conversation, and stage 1 between its clone and its
//! word of it: nothing hangs, and nothing is left after `delete --force`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::unix::net::UnixListener;
use std::process::ExitCode;

use common::{Outcome, Stage, corten, eventually};
use corten_oci::{Seccomp, SyscallRule};
use corten_testkit::{Run, probe};
use serde::Deserialize;

/// What the tracer tells.
#[derive(Debug, Deserialize)]
struct Traced {
    killed: bool,
    code: Option<i32>,
    signal: Option<i32>,
    pids: Vec<i32>,
}

const KILL: i32 = 9;

/// One command, one of whose processes is killed after so many messages.
fn trace(stage: &Stage, role: &str, count: usize, command: &[&str]) -> Traced {
    let run = Run::new(probe()).args(["trace", role, &count.to_string()]).arg(corten());
    let run = run.arg("--root").arg(stage.state()).args(command).current_dir(stage.bundle.path());
    let output = run.output().unwrap().success().unwrap();
    // The container's own program writes to the same place, before or after the tracer.
    let told = output.stdout.lines().find_map(|line| serde_json::from_str(line).ok());
    told.unwrap_or_else(|| panic!("the tracer did not tell: {}", output.describe()))
}

/// Whether a process is there, and not only waits for somebody to collect it.
fn alive(pid: &i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Kills each role after each message of a command, until a command lives to its end. `clean` checks after each, and makes
/// room for the next; `finished` is what the command that was not disturbed must have done.
fn kill_all(stage: &Stage, command: &[&str], clean: impl Fn(), finished: impl Fn()) {
    // Fewer would mean that the tracer does not see what it should.
    kill(stage, &[("runtime", 5), ("stage1", 3), ("clone", 1), ("init", 2)], command, clean, finished);
}

/// As [`kill_all`], with these roles; each has more than so many messages.
fn kill(stage: &Stage, roles: &[(&str, usize)], command: &[&str], clean: impl Fn(), finished: impl Fn()) {
    for (role, least) in roles {
        let mut count = 1;
        loop {
            let traced = trace(stage, role, count, command);
            if !traced.killed {
                assert_eq!(traced.code, Some(0), "{role} {count}: {traced:?}");
                finished();
            } else if *role == "runtime" {
                assert_eq!(traced.signal, Some(KILL), "{role} {count}: {traced:?}");
            } else {
                // The runtime tells of it; init may also be killed when the command has nothing more to wait for.
                assert!(traced.code.is_some(), "{role} {count}: {traced:?}");
            }
            clean();
            eventually("wait for the processes of a start to end", || !traced.pids.iter().any(alive));
            if !traced.killed {
                assert!(count > *least, "{role} has {count} messages");
                break;
            }
            count += 1;
        }
    }
}

fn a_create_can_be_killed_anywhere() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args.push("sleep".to_owned()));
    let clean = || {
        stage.does(&["delete", "--force", stage.id()]);
        stage.nothing_is_left();
    };
    let created = || assert_eq!(stage.status(), "created");
    kill_all(&stage, &["create", stage.id()], clean, created);
    Ok(())
}

fn a_run_can_be_killed_anywhere() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args.push("sleep".to_owned()));
    let clean = || {
        stage.does(&["delete", "--force", stage.id()]);
        stage.nothing_is_left();
    };
    let running = || assert_eq!(stage.status(), "running");
    kill_all(&stage, &["run", "--detach", stage.id()], clean, running);
    Ok(())
}

/// The helper that sends the listener of a seccomp filter has a role as well.
fn a_run_with_a_seccomp_agent_can_be_killed_anywhere() -> Outcome {
    let mut socket = std::path::PathBuf::new();
    let stage = Stage::new(|spec| {
        spec.process.as_mut().unwrap().args.push("sleep".to_owned());
        let rule = SyscallRule {
            names: vec!["reboot".to_owned()],
            action: "SCMP_ACT_NOTIFY".to_owned(),
            ..SyscallRule::default()
        };
        let scratch = corten_testkit::Scratch::new().unwrap();
        socket = scratch.path().with_extension("agent");
        spec.linux.as_mut().unwrap().seccomp = Some(Seccomp {
            default_action: "SCMP_ACT_ALLOW".to_owned(),
            listener_path: Some(socket.to_str().unwrap().to_owned()),
            syscalls: vec![rule],
            ..Seccomp::default()
        });
    });
    let listener = UnixListener::bind(&socket)?;
    // An agent that takes whatever comes, and is there as long as this program.
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|connection| drop(std::io::read_to_string(connection)));
    });
    let clean = || {
        stage.does(&["delete", "--force", stage.id()]);
        stage.nothing_is_left();
    };
    let running = || assert_eq!(stage.status(), "running");
    let roles = [("runtime", 5), ("stage1", 3), ("init", 3), ("helper", 2)];
    kill(&stage, &roles, &["run", "--detach", stage.id()], clean, running);
    Ok(std::fs::remove_file(&socket)?)
}

fn an_exec_can_be_killed_anywhere() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args.push("sleep".to_owned()));
    stage.does(&["run", "--detach", stage.id()]);
    let clean = || {
        let alone = || {
            let pids: Vec<i32> = stage.does(&["ps", "--format", "json", stage.id()]).json().unwrap();
            pids.len() == 1
        };
        eventually("wait for the joined program to end", alone);
        assert_eq!(stage.status(), "running");
    };
    kill_all(&stage, &["exec", stage.id(), "/bin/probe", "exit", "0"], clean, || {});
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

fn main() -> ExitCode {
    common::run(&[
        ("a_create_can_be_killed_anywhere", a_create_can_be_killed_anywhere),
        ("a_run_can_be_killed_anywhere", a_run_can_be_killed_anywhere),
        (
            "a_run_with_a_seccomp_agent_can_be_killed_anywhere",
            a_run_with_a_seccomp_agent_can_be_killed_anywhere,
        ),
        ("an_exec_can_be_killed_anywhere", an_exec_can_be_killed_anywhere),
    ])
}
