//! What a program has and may do: capabilities, limits, ids, environment, terminal, inherited descriptors.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use common::{Outcome, Stage, output, probe, refusal, report};
use corten::oci::{Capabilities, ConsoleSize, Process as Document, Rlimit, Spec};
use corten::{Error, ErrorKind, ExitStatus, ProcessBuilder, Signal};
use corten_testkit::Report;

fn process(spec: &mut Spec) -> &mut Document {
    spec.process.as_mut().unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The probe's report as another program of a container than its document's.
fn seen(stage: &Stage, change: impl FnOnce(ProcessBuilder) -> ProcessBuilder) -> Report {
    let container = stage.container();
    let (status, text) = output(|process| container.run(process), change(stage.process()));
    container.destroy().map_err(Error::from).unwrap();
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    serde_json::from_str(&text).unwrap()
}

fn each_capability_set_is_exact() -> Outcome {
    let (a, b, c, d) = ("CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_MKNOD");
    let report = report(|spec| {
        process(spec).capabilities = Some(Capabilities {
            bounding: names(&[a, b, c, d]),
            permitted: names(&[a, b, c]),
            inheritable: names(&[b, c]),
            effective: names(&[a, b]),
            ambient: names(&[c]),
        });
    });
    let sets = report.capabilities.unwrap();
    assert_eq!(sets.bounding.names, names(&[a, b, c, d]));
    assert_eq!(sets.inheritable.names, names(&[b, c]));
    assert_eq!(sets.ambient.names, names(&[c]));
    // The execve of root would give it all that is bounding; no_new_privs keeps what was permitted.
    assert_eq!(sets.permitted.names, names(&[a, b, c]));
    Ok(())
}

fn a_user_keeps_what_is_ambient_only() -> Outcome {
    let stage = Stage::new(|spec| {
        let sets = process(spec).capabilities.as_mut().unwrap();
        for set in [&mut sets.bounding, &mut sets.permitted, &mut sets.effective, &mut sets.inheritable] {
            *set = names(&["CAP_KILL", "CAP_CHOWN"]);
        }
        sets.ambient = names(&["CAP_KILL"]);
    });
    let sets = seen(&stage, |process| process.user((7, 8))).capabilities.unwrap();
    assert_eq!(sets.effective.names, names(&["CAP_KILL"]));
    assert_eq!(sets.permitted.names, names(&["CAP_KILL"]));
    assert_eq!(sets.bounding.names, names(&["CAP_CHOWN", "CAP_KILL"]));
    Ok(())
}

/// What the library says by `tracing`, and nothing else.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl tracing::field::Visit for Heard {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}
    fn enter(&self, _: &tracing::Id) {}
    fn exit(&self, _: &tracing::Id) {}
}

fn what_cannot_be_ambient_is_a_warning_to_the_librarys_user() -> Outcome {
    let stage = Stage::new(|spec| {
        let sets = process(spec).capabilities.as_mut().unwrap();
        sets.inheritable = names(&["CAP_CHOWN"]);
        for set in [&mut sets.bounding, &mut sets.permitted, &mut sets.effective, &mut sets.ambient] {
            *set = names(&["CAP_CHOWN", "CAP_KILL"]);
        }
    });
    let heard = Heard::default();
    let report = tracing::subscriber::with_default(heard.clone(), || seen(&stage, |process| process));
    assert_eq!(report.capabilities.unwrap().ambient.names, names(&["CAP_CHOWN"]));
    let expected = "can't raise ambient capability CAP_KILL: operation not permitted";
    assert_eq!(*heard.0.lock().unwrap(), [expected]);
    Ok(())
}

fn attributes_arrive() -> Outcome {
    let report = report(|spec| {
        let process = process(spec);
        process.oom_score_adj = Some(333);
        process.user.umask = Some(0o77);
        process.user.uid = 5;
        process.user.gid = 6;
        process.user.additional_gids = vec![7, 8];
        process.cwd = "/made/on/the/way".to_owned();
        process.env = names(&["A=1", "B=2=3", "A=4"]);
        let limit = |name: &str, soft, hard| Rlimit { typ: name.to_owned(), soft, hard };
        process.rlimits = vec![limit("RLIMIT_NOFILE", 100, 200), limit("RLIMIT_CORE", 0, u64::MAX)];
        spec.root.as_mut().unwrap().readonly = false;
    });
    assert_eq!(report.oom_score_adj, Some(333));
    assert_eq!(report.umask, 0o77);
    assert_eq!((report.uids.real, report.uids.effective, report.uids.saved), (5, 5, Some(5)));
    assert_eq!((report.gids.real, report.gids.effective, report.gids.saved), (6, 6, Some(6)));
    assert_eq!(report.groups, [7, 8]);
    assert_eq!(report.cwd.as_deref(), Some("/made/on/the/way"));
    assert_eq!((report.env("A"), report.env("B")), (Some("4"), Some("2=3")));
    assert_eq!(report.env("HOME"), Some("/"), "the user has no home");
    assert_eq!(
        (report.rlimits["RLIMIT_NOFILE"].soft, report.rlimits["RLIMIT_NOFILE"].hard),
        (Some(100), Some(200))
    );
    assert_eq!((report.rlimits["RLIMIT_CORE"].soft, report.rlimits["RLIMIT_CORE"].hard), (Some(0), None));
    assert_eq!(report.no_new_privs, Some(true));
    assert_eq!((report.pid, report.sid, report.pgid), (1, 1, 1));
    Ok(())
}

fn users_are_found_by_name() -> Outcome {
    let stage = Stage::new(|_| {});
    let report = seen(&stage, |process| process.user("daemon"));
    assert_eq!((report.uids.real, report.gids.real), (1, 1));
    assert_eq!(report.env("HOME"), Some("/usr/sbin"));
    let report = seen(&stage, |process| process.user("nobody:tty"));
    assert_eq!((report.uids.real, report.gids.real), (65534, 5));
    let container = stage.container();
    let error = container.run(probe(&["exit", "0"]).user("nemo").build()?).unwrap_err();
    assert!(error.to_string().contains("nemo"), "{error}");
    // The database is the image's, and may be anything.
    let passwd = stage.bundle.rootfs().path().join("etc/passwd");
    fs::write(&passwd, "x".repeat(3 << 20))?;
    assert!(container.run(probe(&["exit", "0"]).user("daemon").build()?).is_err());
    fs::remove_file(&passwd)?;
    rustix::fs::mknodat(rustix::fs::CWD, &passwd, rustix::fs::FileType::Fifo, 0o666.into(), 0)?;
    assert!(
        container.run(probe(&["exit", "0"]).user("daemon").build()?).is_err(),
        "a FIFO is not waited for"
    );
    Ok(container.destroy().map_err(Error::from)?)
}

fn what_cannot_be_is_refused() -> Outcome {
    let error = refusal(|spec| process(spec).user.uid = u32::MAX);
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    let error = refusal(|spec| process(spec).cwd = "relative".to_owned());
    assert!(error.to_string().contains("relative"), "{error}");
    let error = refusal(|spec| process(spec).cwd = "/bin/probe".to_owned());
    assert!(error.to_string().contains("/bin/probe"), "{error}");
    let error = refusal(|spec| process(spec).env.push("NO_EQUALS_SIGN".to_owned()));
    assert!(error.to_string().contains("NO_EQUALS_SIGN"), "{error}");
    let error = refusal(|spec| process(spec).args.clear());
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    let limit = Rlimit { typ: "RLIMIT_NOFILE".to_owned(), soft: 5, hard: 4 };
    let error = refusal(|spec| process(spec).rlimits = vec![limit]);
    assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
    Ok(())
}

fn a_working_directory_may_be_closed_to_its_user() -> Outcome {
    let stage = Stage::new(|_| {});
    let closed = stage.bundle.rootfs().path().join("var/closed");
    fs::create_dir(&closed)?;
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let report = seen(&stage, |process| process.cwd("/var/closed").user((9, 9)));
    assert_eq!((report.cwd.as_deref(), report.uids.real), (Some("/var/closed"), 9));
    Ok(())
}

fn a_terminal_is_the_programs() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    let size = ConsoleSize { height: 31, width: 97 };
    let file = "/dev/shm/report";
    let process = probe(&["report", &format!("out={file}")]).terminal(size).build()?;
    let mut child = container.run(process)?;
    let master = child.take_terminal().unwrap();
    assert!(child.take_terminal().is_none(), "once");
    assert_eq!(child.wait()?, ExitStatus::Exited(0));
    drop(master);
    // What it saw is gone with its /dev; look again, at a program that stays.
    let mut child = container.run(probe(&["sleep"]).terminal(size).build()?)?;
    let (_, text) = output(|process| container.exec(process), probe(&["stat", "/dev/console"]));
    assert!(text.contains("\"major\":136"), "{text}");
    child.resize(40, 120)?;
    let master = child.take_terminal().unwrap();
    let size = rustix::termios::tcgetwinsize(&master)?;
    assert_eq!((size.ws_row, size.ws_col), (40, 120));
    // Ctrl-C is a signal of the terminal, which is the program's controlling one.
    let mut seen = Vec::new();
    let mut buffer = [0; 256];
    while !String::from_utf8_lossy(&seen).contains("ready") {
        let count = rustix::io::read(&master, &mut buffer)?;
        seen.extend_from_slice(&buffer[..count]);
    }
    rustix::io::write(&master, b"\x03")?;
    assert_eq!(child.wait()?, ExitStatus::Exited(0));
    Ok(container.destroy().map_err(Error::from)?)
}

fn exec_gets_a_terminal_of_its_own() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    container.run(probe(&["sleep"]).build()?)?;
    let size = ConsoleSize { height: 20, width: 60 };
    let mut child = container.exec(probe(&["report"]).terminal(size).build()?)?;
    let master = child.take_terminal().unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = rustix::io::read(&master, &mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(child.wait()?, ExitStatus::Exited(0));
    let report: Report = serde_json::from_slice(&text)?;
    assert_eq!(report.terminals, [true; 3]);
    let window = report.window.unwrap();
    assert_eq!((window.rows, window.columns), (20, 60));
    assert_eq!(report.sid, report.pid, "a session of its own");
    stage.runtime.purge(container.id())?;
    Ok(())
}

fn a_console_socket_gets_the_terminal() -> Outcome {
    let stage = Stage::new(|_| {});
    let (ours, theirs) = UnixStream::pair()?;
    let container = stage.container();
    let process = probe(&["sleep"]).terminal(None).console_socket(OwnedFd::from(theirs)).build()?;
    let mut child = container.run(process)?;
    assert!(child.take_terminal().is_none());
    let mut byte = [0; 9];
    std::io::Read::read_exact(&mut &ours, &mut byte)?;
    assert_eq!(&byte, b"/dev/ptmx");
    child.signal(Signal::KILL)?;
    child.wait()?;
    Ok(container.destroy().map_err(Error::from)?)
}

fn descriptors_are_in_their_places() -> Outcome {
    let stage = Stage::new(|_| {});
    let files = || -> Vec<OwnedFd> {
        ["/etc/passwd", "/etc/group"].map(|path| File::open(path).unwrap().into()).into()
    };
    let report = seen(&stage, |process| process.preserve_fds(files()).listen_fds(1));
    let fds = report.fds.as_ref().unwrap();
    assert_eq!(fds.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4], "{fds:?}");
    assert!(fds[&3].ends_with("passwd") && fds[&4].ends_with("group"), "{fds:?}");
    assert_eq!((report.env("LISTEN_FDS"), report.env("LISTEN_PID")), (Some("1"), Some("1")));
    let container = stage.container();
    container.run(probe(&["sleep"]).build()?)?;
    let (_, text) = output(|process| container.exec(process), stage.process().preserve_fds(files()));
    let report: Report = serde_json::from_str(&text)?;
    assert_eq!(report.fds.unwrap().len(), 5);
    // A great many: more than one message can carry.
    let many: Vec<OwnedFd> = (0..150).map(|_| File::open("/etc/passwd").unwrap().into()).collect();
    let (_, text) = output(|process| container.exec(process), stage.process().preserve_fds(many));
    let report: Report = serde_json::from_str(&text)?;
    assert_eq!(report.fds.unwrap().len(), 153);
    stage.runtime.purge(container.id())?;
    Ok(())
}

fn a_reaper_stands_before_the_program() -> Outcome {
    let stage = Stage::new(|_| {});
    let report = seen(&stage, |process| process.init_reaper(true));
    assert_eq!((report.pid, report.ppid), (2, 1));
    let container = stage.container();
    let child = container.run(probe(&["exit", "5"]).init_reaper(true).build()?)?;
    assert_eq!(child.wait()?, ExitStatus::Exited(5));
    Ok(container.destroy().map_err(Error::from)?)
}

fn main() -> ExitCode {
    common::run(&[
        ("each_capability_set_is_exact", each_capability_set_is_exact),
        ("a_user_keeps_what_is_ambient_only", a_user_keeps_what_is_ambient_only),
        (
            "what_cannot_be_ambient_is_a_warning_to_the_librarys_user",
            what_cannot_be_ambient_is_a_warning_to_the_librarys_user,
        ),
        ("attributes_arrive", attributes_arrive),
        ("users_are_found_by_name", users_are_found_by_name),
        ("what_cannot_be_is_refused", what_cannot_be_is_refused),
        ("a_working_directory_may_be_closed_to_its_user", a_working_directory_may_be_closed_to_its_user),
        ("a_terminal_is_the_programs", a_terminal_is_the_programs),
        ("exec_gets_a_terminal_of_its_own", exec_gets_a_terminal_of_its_own),
        ("a_console_socket_gets_the_terminal", a_console_socket_gets_the_terminal),
        ("descriptors_are_in_their_places", descriptors_are_in_their_places),
        ("a_reaper_stands_before_the_program", a_reaper_stands_before_the_program),
    ])
}
