//! The six kinds of hooks: when they run, where, with what on their standard input, and what their failure does.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs::{self, read_link};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use common::{Outcome, Stage, kind, probe};
use corten::oci::{Hook, Hooks, State};
use corten::{Error, ErrorKind, Status};

/// A shell script of the host's as a hook.
fn script(text: &str) -> Hook {
    let args = ["hook", "-c", text].map(str::to_owned).to_vec();
    Hook { path: "/bin/sh".to_owned(), args, env: vec!["PATH=/usr/bin:/bin".to_owned()], timeout: None }
}

/// The probe of the container's root as a hook.
fn inside(arguments: &[&str]) -> Hook {
    let args = ["probe"].iter().chain(arguments).map(|text| (*text).to_owned()).collect();
    Hook { path: "/bin/probe".to_owned(), args, ..Hook::default() }
}

/// What a hook that ran [`recorder`] saw.
struct Seen {
    kind: String,
    mount: String,
    pid: String,
    state: State,
}

/// A hook that adds to the record: its name, two of its namespaces, and its standard input.
fn recorder(kind: &str, record: &Path) -> Hook {
    let namespaces = "$(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/pid)";
    script(&format!("echo \"{kind} {namespaces} $(cat)\" >>{}", record.display()))
}

fn record(path: &Path) -> Vec<Seen> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| {
            let mut parts = line.splitn(4, ' ').map(str::to_owned);
            let mut next = || parts.next().unwrap();
            let (kind, mount, pid) = (next(), next(), next());
            Seen { kind, mount, pid, state: serde_json::from_str(&next()).unwrap() }
        })
        .collect()
}

/// A stage whose root can be written to, with hooks.
fn stage(hooks: impl FnOnce(&Path, &mut Hooks)) -> Stage {
    let mut stage = Stage::new(|spec| spec.root.as_mut().unwrap().readonly = false);
    let directory = stage.bundle.path().to_owned();
    hooks(&directory, stage.bundle.spec.hooks.get_or_insert_default());
    stage.bundle.spec.annotations.insert("org.example.key".to_owned(), "value".to_owned());
    stage
}

fn each_kind_runs_in_its_place_with_the_state() -> Outcome {
    let stage = stage(|directory, hooks| {
        let record = directory.join("record");
        for (list, kind) in [
            (&mut hooks.prestart, "prestart"),
            (&mut hooks.create_runtime, "createRuntime"),
            (&mut hooks.create_container, "createContainer"),
            (&mut hooks.poststart, "poststart"),
            (&mut hooks.poststop, "poststop"),
        ] {
            list.extend([recorder(&format!("{kind}-1"), &record), recorder(&format!("{kind}-2"), &record)]);
        }
        hooks.start_container = vec![inside(&["save", "/tmp/state"]), inside(&["report", "out=/tmp/report"])];
    });
    let path: PathBuf = stage.bundle.path().join("record");
    let kinds = || record(&path).into_iter().map(|seen| seen.kind).collect::<Vec<_>>();
    let tmp = stage.bundle.rootfs().path().join("tmp");

    let container = stage.container();
    assert!(kinds().is_empty(), "there is no process yet");
    let created = container.start_init(probe(&["sleep"]).build()?)?;
    let early = ["prestart", "createRuntime", "createContainer"];
    let numbered = |kinds: &[&str]| -> Vec<String> {
        kinds.iter().flat_map(|kind| [format!("{kind}-1"), format!("{kind}-2")]).collect()
    };
    assert_eq!(kinds(), numbered(&early));
    assert!(!tmp.join("state").exists(), "startContainer comes after the gate");
    let theirs = |kind: &str| read_link(format!("/proc/{}/ns/{kind}", created.pid())).unwrap();
    let (their_mount, their_pid) = (theirs("mnt"), theirs("pid"));
    let pid = created.pid();

    let child = created.release()?;
    let state: State = serde_json::from_slice(&fs::read(tmp.join("state"))?)?;
    assert_eq!((state.status.as_str(), state.pid), ("created", Some(1)), "its number in the container");
    let report: corten_testkit::Report = serde_json::from_slice(&fs::read(tmp.join("report"))?)?;
    assert_eq!(report.namespace("mnt"), their_mount.to_str());
    assert!(report.env.is_empty(), "{:?}", report.env);
    child.signal(corten::Signal::KILL)?;
    child.wait()?;
    container.destroy().map_err(Error::from)?;
    assert_eq!(kinds(), numbered(&[&early[..], &["poststart", "poststop"]].concat()));

    let (our_mount, our_pid) = (read_link("/proc/self/ns/mnt")?, read_link("/proc/self/ns/pid")?);
    for Seen { kind, mount, pid: namespace, state } in record(&path) {
        let (status, place, number) = match kind.as_str() {
            "createContainer-1" | "createContainer-2" => ("creating", (&their_mount, &their_pid), Some(1)),
            "poststart-1" | "poststart-2" => ("running", (&our_mount, &our_pid), Some(pid)),
            "poststop-1" | "poststop-2" => ("stopped", (&our_mount, &our_pid), None),
            _ => ("creating", (&our_mount, &our_pid), Some(pid)),
        };
        assert_eq!((state.status.as_str(), state.pid.filter(|pid| *pid != 0)), (status, number), "{kind}");
        assert_eq!((Some(mount.as_str()), Some(namespace.as_str())), (place.0.to_str(), place.1.to_str()));
        assert_eq!((state.id.as_str(), state.oci_version.is_empty()), (stage.bundle.id(), false));
        assert_eq!(Path::new(&state.bundle), stage.bundle.path());
        assert_eq!(state.annotations["org.example.key"], "value");
    }
    Ok(())
}

/// The four kinds whose failure is known before the user's program runs.
fn list<'a>(hooks: &'a mut Hooks, kind: &str) -> &'a mut Vec<Hook> {
    match kind {
        "prestart" => &mut hooks.prestart,
        "createRuntime" => &mut hooks.create_runtime,
        "createContainer" => &mut hooks.create_container,
        _ => &mut hooks.start_container,
    }
}

const EARLY: [&str; 4] = ["prestart", "createRuntime", "createContainer", "startContainer"];

/// Runs a container whose second hook of this kind is `hook`: what is said, and that nothing is left but poststop.
fn failure(kind: &str, hook: Hook) -> String {
    let stage = stage(|directory, hooks| {
        let good = if kind == "startContainer" { inside(&["exit", "0"]) } else { script("exit 0") };
        *list(hooks, kind) = vec![good, hook];
        hooks.poststop = vec![recorder("poststop", &directory.join("record"))];
    });
    let container = stage.container();
    let error = container.run(probe(&["touch", "/tmp/ran"]).build().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hook, "{error}");
    assert_eq!(container.status().unwrap(), Status::Stopped);
    assert!(!stage.bundle.rootfs().path().join("tmp/ran").exists(), "the program must not run");
    container.destroy().map_err(Error::from).unwrap();
    assert_eq!(record(&stage.bundle.path().join("record")).len(), 1, "what has begun is cleared up after");
    error.to_string()
}

fn a_hook_that_fails_stops_the_start() -> Outcome {
    for kind in EARLY {
        let bad =
            if kind == "startContainer" { inside(&["exit", "3"]) } else { script("echo no >&2; exit 3") };
        let said = if kind == "startContainer" { "" } else { ", stderr: no" };
        assert_eq!(failure(kind, bad), format!("error running {kind} hook #1: exit status 3{said}"));
        let gone = Hook { path: "/nonexistent/hook".to_owned(), ..Hook::default() };
        let message = failure(kind, gone);
        assert!(message.contains("run /nonexistent/hook: no such file"), "{message}");
    }
    Ok(())
}

fn a_hook_that_hangs_is_ended() -> Outcome {
    let threads: Vec<_> = EARLY
        .into_iter()
        .map(|kind| {
            std::thread::spawn(move || {
                let hook = if kind == "startContainer" { inside(&["sleep"]) } else { script("sleep 600") };
                failure(kind, Hook { timeout: Some(1), ..hook })
            })
        })
        .collect();
    for (thread, kind) in threads.into_iter().zip(EARLY) {
        assert_eq!(thread.join().unwrap(), format!("error running {kind} hook #1: timed out after 1s"));
    }
    Ok(())
}

fn after_the_start_a_failure_ends_the_container() -> Outcome {
    for gate in [true, false] {
        let stage = stage(|directory, hooks| {
            let record = directory.join("record");
            hooks.poststart = vec![script("exit 2"), recorder("never", &record)];
            hooks.poststop = vec![script("exit 1"), recorder("poststop", &record)];
        });
        let container = stage.container();
        let process = probe(&["sleep"]).build()?;
        let result = if gate { container.start_init(process)?.release() } else { container.run(process) };
        let error = result.map(|child| child.pid()).unwrap_err();
        assert_eq!(error.to_string(), "error running poststart hook #0: exit status 2");
        assert_eq!(container.status()?, Status::Stopped);
        // After the stop a failure is no more than a warning.
        container.destroy().map_err(Error::from)?;
        let ran = record(&stage.bundle.path().join("record"));
        assert_eq!(ran.iter().map(|seen| seen.kind.as_str()).collect::<Vec<_>>(), ["poststop"]);
    }
    Ok(())
}

/// The runtime does not hold its lock across a hook: others can look at the container, and end it.
fn a_container_can_be_ended_during_a_hook() -> Outcome {
    let stage = stage(|directory, hooks| {
        let (reached, go) = (directory.join("reached"), directory.join("go"));
        hooks.create_runtime = vec![script(&format!("echo >{}; cat {}", reached.display(), go.display()))];
    });
    for name in ["reached", "go"] {
        let path = stage.bundle.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0)?;
    }
    let container = stage.container();
    std::thread::scope(|scope| -> Outcome {
        let run = scope.spawn(|| container.run(probe(&["sleep"]).build().unwrap()).map(|child| child.pid()));
        fs::read(stage.bundle.path().join("reached"))?;
        let other = stage.runtime.load(&stage.id())?;
        let (status, released) = (other.status(), kind(other.release()));
        let killed = other.signal(corten::Signal::KILL);
        // Before anything can fail here, for the hook waits for it.
        fs::write(stage.bundle.path().join("go"), "")?;
        assert_eq!((status?, released), (Status::Created, ErrorKind::NotRunning));
        killed?;
        let error = run.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("ended"), "{error}");
        Ok(())
    })?;
    assert_eq!(container.status()?, Status::Stopped);
    Ok(container.destroy().map_err(Error::from)?)
}

fn what_cannot_be_a_hook_is_refused() -> Outcome {
    for hook in [
        Hook { path: "relative".to_owned(), ..Hook::default() },
        Hook { path: "/bin/true".to_owned(), timeout: Some(0), ..Hook::default() },
        Hook { path: "/bin/true".to_owned(), timeout: Some(-1), ..Hook::default() },
    ] {
        let stage = stage(|_, hooks| hooks.poststop = vec![hook]);
        let config = corten::Config::from_spec(
            &stage.bundle.spec,
            stage.bundle.path(),
            corten::SpecOptions::default(),
        );
        assert_eq!(kind(config), ErrorKind::InvalidConfig);
    }
    Ok(())
}

/// Whatever hooks say is in the files that the annotations name, those of the container's namespaces too.
fn what_hooks_say_is_kept() -> Outcome {
    let mut stage = stage(|_, hooks| {
        let say = |word: &str| vec![script(&format!("echo {word}; echo {word} failed >&2"))];
        hooks.prestart = say("prestart");
        hooks.create_container = say("createContainer");
        hooks.start_container = vec![inside(&["exit", "0"]), inside(&["list", "/nonexistent/place"])];
        hooks.poststop = say("poststop");
    });
    let (out, errors) = (stage.bundle.path().join("out"), stage.bundle.path().join("errors"));
    for (name, path) in [("stdout", &out), ("stderr", &errors)] {
        stage.bundle.spec.annotations.insert(format!("run.oci.hooks.{name}"), path.display().to_string());
    }
    let container = stage.container();
    let error = container.run(probe(&["exit", "0"]).build()?).unwrap_err();
    assert_eq!(error.to_string(), "error running startContainer hook #1: exit status 1");
    container.destroy().map_err(Error::from)?;
    let said = fs::read_to_string(out)?;
    assert!(said.starts_with("prestart\ncreateContainer\n") && said.ends_with("poststop\n"), "{said}");
    assert!(said.contains("ENOENT"), "{said}");
    assert_eq!(fs::read_to_string(errors)?, "prestart failed\ncreateContainer failed\npoststop failed\n");
    Ok(())
}

fn main() -> ExitCode {
    common::run(&[
        ("each_kind_runs_in_its_place_with_the_state", each_kind_runs_in_its_place_with_the_state),
        ("a_hook_that_fails_stops_the_start", a_hook_that_fails_stops_the_start),
        ("a_hook_that_hangs_is_ended", a_hook_that_hangs_is_ended),
        ("after_the_start_a_failure_ends_the_container", after_the_start_a_failure_ends_the_container),
        ("a_container_can_be_ended_during_a_hook", a_container_can_be_ended_during_a_hook),
        ("what_hooks_say_is_kept", what_hooks_say_is_kept),
        ("what_cannot_be_a_hook_is_refused", what_cannot_be_a_hook_is_refused),
    ])
}
