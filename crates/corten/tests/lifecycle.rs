//! The life of a container through the library: created, started, joined, paused, signalled, destroyed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use common::{LAUNCHER, Outcome, Stage, kind, output, probe};
use corten::{Config, Error, ErrorKind, ExitStatus, Id, Process, Runtime, Signal, SpecOptions, Status};
use corten_testkit::{Report, Requirement, View, default_spec};

fn the_exit_status_arrives() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    let child = container.run(probe(&["exit", "7"]).build()?)?;
    assert_eq!(child.wait()?, ExitStatus::Exited(7));
    assert_eq!(child.wait()?, ExitStatus::Exited(7), "told as often as asked");
    assert_eq!(container.status()?, Status::Stopped);
    // It can be started again until it is destroyed.
    assert_eq!(container.run(probe(&["exit", "0"]).build()?)?.wait()?.code(), 0);
    Ok(container.destroy().map_err(Error::from)?)
}

fn init_waits_at_the_gate() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    assert_eq!(container.status()?, Status::Stopped);
    let created = container.start_init(probe(&["sleep"]).build()?)?;
    let pid = created.pid();
    assert_eq!(container.status()?, Status::Created);
    assert_eq!(container.oci_state()?.pid, Some(pid));
    // From another handle, as another program would have it.
    let other = stage.runtime.load(&stage.id())?;
    assert_eq!(other.status()?, Status::Created);
    other.release()?;
    assert_eq!(container.status()?, Status::Running);
    assert_eq!(kind(other.release()), ErrorKind::Running);
    assert!(std::fs::read_to_string(format!("/proc/{pid}/cmdline"))?.contains("probe"));
    other.signal(Signal::KILL)?;
    let child = created.pidfd();
    let mut ended = [rustix::event::PollFd::new(&child, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut ended, None)?;
    assert_eq!(other.status()?, Status::Stopped);
    assert_eq!(kind(other.signal(Signal::TERM)), ErrorKind::NotRunning);
    assert_eq!(kind(other.release()), ErrorKind::NotRunning);
    Ok(container.destroy().map_err(Error::from)?)
}

fn the_program_that_released_it_gets_the_child() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    let child = container.start_init(probe(&["sleep"]).build()?)?.release()?;
    assert_eq!(child.try_wait()?, None);
    assert_eq!(child.wait_timeout(Duration::from_millis(1))?, None);
    let refused = container.destroy().unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::Running);
    child.signal(Signal::KILL)?;
    assert_eq!(child.wait()?, ExitStatus::Signaled(Signal::KILL));
    assert_eq!(child.wait()?.code(), 137);
    Ok(refused.container.destroy().map_err(Error::from)?)
}

fn a_created_container_can_be_destroyed() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    let pid = container.start_init(probe(&["sleep"]).build()?)?.pid();
    container.destroy().map_err(Error::from)?;
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "init is collected");
    assert!(stage.runtime.list()?.is_empty());
    Ok(())
}

fn exec_joins_every_namespace() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let (status, text) = output(|process| container.exec(process), stage.process());
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    let report: Report = serde_json::from_str(&text)?;
    for kind in ["pid", "net", "ipc", "uts", "mnt", "cgroup"] {
        let theirs = std::fs::read_link(format!("/proc/{}/ns/{kind}", child.pid()))?;
        assert_eq!(report.namespace(kind), theirs.to_str(), "{kind}");
        let ours = std::fs::read_link(format!("/proc/self/ns/{kind}"))?;
        assert_ne!(theirs, ours, "{kind}");
    }
    assert_eq!(report.hostname, "corten");
    assert!(container.processes()?.contains(&child.pid()));
    container.signal(Signal::KILL)?;
    child.wait()?;
    assert_eq!(kind(container.exec(stage.process().build()?)), ErrorKind::NotRunning);
    Ok(container.destroy().map_err(Error::from)?)
}

/// While a program is not collected, init of its pid namespace cannot end; and another handle knows of it too.
fn what_nobody_waited_for_goes_with_the_container() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    let mut pids = vec![container.run(probe(&["sleep"]).build()?)?.pid()];
    for deed in [&["exit", "0"][..], &["sleep"]] {
        let child = container.exec(probe(deed).build()?)?;
        pids.push(child.pid());
        child.detach();
    }
    stage.runtime.purge(container.id())?;
    let left: Vec<_> = pids.iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect();
    assert!(left.is_empty(), "{left:?} of {pids:?}");
    Ok(())
}

fn a_frozen_container_waits() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    assert_eq!(kind(container.resume()), ErrorKind::NotPaused);
    container.pause()?;
    assert_eq!(container.status()?, Status::Paused);
    assert_eq!(kind(container.pause()), ErrorKind::NotRunning);
    let refused = container.destroy().unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::Paused);
    let container = refused.container;
    container.resume()?;
    assert_eq!(container.status()?, Status::Running);
    container.pause()?;
    // A frozen process dies all the same.
    container.signal(Signal::KILL)?;
    assert_eq!(child.wait()?, ExitStatus::Signaled(Signal::KILL));
    Ok(container.destroy().map_err(Error::from)?)
}

fn wrong_use_is_told_by_kind() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    assert_eq!(kind(stage.runtime.create(&stage.id(), stage.config())), ErrorKind::Exists);
    assert_eq!(kind(stage.runtime.load(&Id::try_from("other")?)), ErrorKind::NotFound);
    stage.runtime.purge(&Id::try_from("other")?)?;
    let error = container.run(Process::builder("nope").env("PATH", "/bin").build()?).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommandNotFound);
    assert_eq!(error.to_string(), r#"exec: "nope": executable file not found in $PATH"#);
    let error = container.run(Process::builder("/nope").build()?).unwrap_err();
    assert_eq!(error.to_string(), r#"exec: "/nope": stat /nope: no such file or directory"#);
    let error = container.run(Process::builder("/bin").build()?).unwrap_err();
    assert_eq!(error.to_string(), r#"exec: "/bin": is a directory"#);
    assert_eq!(container.status()?, Status::Stopped);
    assert!(Runtime::open("relative", LAUNCHER.get().unwrap().clone()).is_err());
    Ok(container.destroy().map_err(Error::from)?)
}

fn what_fails_after_the_gate_is_told() -> Outcome {
    let stage = Stage::new(|_| {});
    std::fs::write(stage.bundle.rootfs().path().join("bin/noformat"), "no program\n")?;
    let status = std::process::Command::new("chmod")
        .args(["755", stage.bundle.rootfs().path().join("bin/noformat").to_str().unwrap()])
        .status()?;
    assert!(status.success());
    let container = stage.container();
    let created = container.start_init(Process::builder("/bin/noformat").build()?)?;
    let error = created.release().unwrap_err();
    assert_eq!(error.to_string(), r#"exec "/bin/noformat": exec format error"#);
    let error = container.run(Process::builder("/bin/noformat").build()?).unwrap_err();
    assert_eq!(error.to_string(), r#"exec "/bin/noformat": exec format error"#);
    Ok(container.destroy().map_err(Error::from)?)
}

fn the_state_survives_the_runtime() -> Outcome {
    let stage = Stage::new(|spec| drop(spec.annotations.insert("key".into(), "value".into())));
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let entries = stage.runtime.list()?;
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    let state = entry.container.as_ref().unwrap().state()?;
    assert_eq!((state.status, state.pid), (Status::Running, Some(child.pid())));
    assert_eq!(state.annotations.get("key").map(String::as_str), Some("value"));
    assert_eq!(state.bundle, stage.bundle.path());
    assert_eq!(container.config(), stage.config());
    // A broken state file is shown as such, and can be cleared.
    let broken = Id::try_from("broken")?;
    std::fs::create_dir(stage.runtime.root().join("broken"))?;
    std::fs::write(stage.runtime.root().join("broken/state.json"), "{")?;
    assert_eq!(kind(stage.runtime.load(&broken)), ErrorKind::CorruptState);
    assert_eq!(stage.runtime.list()?.len(), 2);
    stage.runtime.purge(&broken)?;
    stage.runtime.purge(&stage.id())?;
    assert!(stage.runtime.list()?.is_empty());
    assert_eq!(child.wait()?, ExitStatus::Signaled(Signal::KILL));
    Ok(())
}

fn the_default_spec_is_seen_from_inside() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    let (status, text) = output(|process| container.run(process), stage.process());
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    let report: Report = serde_json::from_str(&text)?;
    assert_eq!(report.pid, 1);
    assert_eq!(report.no_new_privs, Some(true));
    let capabilities = report.capabilities.unwrap();
    assert_eq!(capabilities.effective.names, ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]);
    assert_eq!(capabilities.bounding.names, capabilities.permitted.names);
    assert!(capabilities.inheritable.names.is_empty() && capabilities.ambient.names.is_empty());
    assert_eq!(report.umask, 0o022);
    assert!(report.loopback_up);
    let fds = report.fds.unwrap();
    assert_eq!(fds.keys().copied().collect::<Vec<_>>(), [0, 1, 2], "{fds:?}");
    let signals = report.signals.unwrap();
    assert!(signals.blocked.is_empty() && signals.ignored.is_empty(), "{signals:?}");
    assert_eq!(report.rlimits["RLIMIT_NOFILE"].soft, Some(1024));
    let session = format!("_ses.{}", stage.bundle.id());
    assert!(report.session_keyring.is_some_and(|keyring| keyring.contains(&session)));
    Ok(container.destroy().map_err(Error::from)?)
}

/// Without a pid namespace of its own the kernel ends none with the first.
fn all_processes_are_killed() -> Outcome {
    let stage = Stage::new(|spec| {
        spec.linux.as_mut().unwrap().namespaces.retain(|namespace| namespace.typ != "pid");
    });
    let container = stage.container();
    let first = container.run(probe(&["sleep"]).build()?)?;
    let others = [container.exec(probe(&["sleep"]).build()?)?, container.exec(probe(&["sleep"]).build()?)?];
    assert_eq!(container.processes()?.len(), 3);
    container.signal(Signal::KILL)?;
    for child in others.into_iter().chain([first]) {
        assert_eq!(child.wait()?, ExitStatus::Signaled(Signal::KILL));
    }
    assert_eq!(container.status()?, Status::Stopped);
    Ok(container.destroy().map_err(Error::from)?)
}

fn main() -> ExitCode {
    let cases: &[common::Case] = &[
        ("the_exit_status_arrives", the_exit_status_arrives),
        ("init_waits_at_the_gate", init_waits_at_the_gate),
        ("the_program_that_released_it_gets_the_child", the_program_that_released_it_gets_the_child),
        ("a_created_container_can_be_destroyed", a_created_container_can_be_destroyed),
        ("exec_joins_every_namespace", exec_joins_every_namespace),
        ("what_nobody_waited_for_goes_with_the_container", what_nobody_waited_for_goes_with_the_container),
        ("a_frozen_container_waits", a_frozen_container_waits),
        ("all_processes_are_killed", all_processes_are_killed),
        ("wrong_use_is_told_by_kind", wrong_use_is_told_by_kind),
        ("what_fails_after_the_gate_is_told", what_fails_after_the_gate_is_told),
        ("the_state_survives_the_runtime", the_state_survives_the_runtime),
        ("the_default_spec_is_seen_from_inside", the_default_spec_is_seen_from_inside),
        ("the_default_spec_is_valid", || {
            Config::from_spec(&default_spec(), "/nowhere", SpecOptions::default())?;
            Ok(())
        }),
    ];
    let root = [Requirement::Root];
    let suite = cases.iter().fold(common::suite(), |suite, (name, case)| suite.needs(&root, name, *case));
    suite
        .seeing(View::V1, &root, "a_frozen_container_waits_on_v1", a_frozen_container_waits)
        .seeing(
            View::V1,
            &root,
            "what_nobody_waited_for_goes_with_the_container_on_v1",
            what_nobody_waited_for_goes_with_the_container,
        )
        .seeing(View::V1, &root, "all_processes_are_killed_on_v1", all_processes_are_killed)
        .run()
}
