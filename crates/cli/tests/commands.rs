//! The commands, as an operator or an engine uses them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::ExitCode;

use common::{Outcome, Stage, corten, eventually};
use corten_oci::{CpuAffinity, IoPriority, Scheduler};
use corten_testkit::{Report, Requirement, Run, View};

fn an_unmodified_bundle_with_busybox_runs() -> Outcome {
    let stage = Stage::busybox(|_| {});
    std::fs::remove_file(stage.bundle.path().join("config.json"))?;
    stage.does(&["spec"]);
    // Its terminal needs somebody at it: script(1) would be one, a console socket is another.
    let socket = stage.bundle.path().join("console");
    let listener = UnixListener::bind(&socket)?;
    let path = socket.to_str().unwrap();
    stage.does(&["run", "--detach", "--console-socket", path, stage.id()]);
    let (connection, _) = listener.accept()?;
    let (word, master) = common::receive(&connection);
    assert_eq!(word, b"/dev/ptmx");
    rustix::io::write(&master, b"echo $((6*7)); tty; exit\n")?;
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = rustix::io::read(&master, &mut buffer) {
        seen += &String::from_utf8_lossy(&buffer[..count]);
    }
    assert!(seen.contains("42") && seen.contains("/dev/pts/0"), "{seen}");
    eventually("wait for the end", || stage.status() == "stopped");
    stage.does(&["delete", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

fn a_container_lives_step_by_step() -> Outcome {
    let stage = Stage::new(|spec| {
        spec.process.as_mut().unwrap().args.push("sleep".to_owned());
        spec.annotations.insert("one".to_owned(), "1".to_owned());
    });
    let id = stage.id();
    let file = stage.bundle.path().join("pid");
    stage.does(&["create", "--pid-file", file.to_str().unwrap(), id]);
    let state: serde_json::Value = stage.does(&["state", id]).json()?;
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], id);
    assert_eq!(state["annotations"]["one"], "1");
    assert_eq!(state["owner"], "root");
    assert_eq!(state["bundle"], stage.bundle.path().to_str().unwrap());
    assert_eq!(std::fs::read_to_string(&file)?, state["pid"].to_string(), "no newline");
    stage.does(&["start", id]);
    assert_eq!(stage.status(), "running");
    let again = stage.corten(&["start", id]).output()?.code(1)?.stderr;
    assert!(again.contains("cannot start an already running container"), "{again}");
    let report: Report = stage.does(&["exec", id, "/bin/probe"]).json()?;
    assert!(report.pid > 1);
    assert_eq!(stage.does(&["ps", "--format", "json", id]).stdout.trim(), format!("[{}]", state["pid"]));
    let table = stage.does(&["ps", id]).stdout;
    assert_eq!(table.lines().count(), 2, "{table}");
    let refused = stage.corten(&["delete", id]).output()?.code(1)?.stderr;
    assert!(refused.contains("is not stopped: running"), "{refused}");
    stage.does(&["pause", id]);
    assert_eq!(stage.status(), "paused");
    let paused = stage.corten(&["exec", id, "/bin/probe"]).output()?.code(255)?.stderr;
    assert!(paused.contains("cannot exec in a paused container"), "{paused}");
    stage.does(&["resume", id]);
    stage.does(&["kill", id, "KILL"]);
    eventually("wait for the end", || stage.status() == "stopped");
    let dead = stage.corten(&["kill", id, "0x1"]).output()?.code(1)?.stderr;
    assert!(dead.contains("unknown signal"), "{dead}");
    let dead = stage.corten(&["kill", id]).output()?.code(1)?.stderr;
    assert!(dead.contains("container not running"), "{dead}");
    stage.does(&["delete", id]);
    stage.nothing_is_left();
    let gone = stage.fails(&["state", id], 1);
    assert!(gone.contains("container does not exist"), "{gone}");
    stage.does(&["delete", "--force", id]);
    Ok(())
}

fn containers_are_listed() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args.push("sleep".to_owned()));
    let none = stage.fails(&["list"], 1);
    assert!(
        none.contains("state: No such file or directory"),
        "a directory that was named by mistake: {none}"
    );
    std::fs::create_dir(stage.state())?;
    assert_eq!(stage.does(&["list", "--format", "json"]).stdout, "null\n");
    stage.does(&["create", stage.id()]);
    assert_eq!(stage.does(&["list", "--quiet"]).stdout, format!("{}\n", stage.id()));
    let table = stage.does(&["list"]).stdout;
    let heads: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert!(
        table.lines().nth(1).is_some_and(|line| line.starts_with(stage.id()) && line.contains("created"))
    );
    let list: serde_json::Value = stage.does(&["list", "-f", "json"]).json()?;
    assert_eq!(list[0]["status"], "created");
    // One that is broken does not hide the others.
    std::fs::create_dir(stage.state().join("broken"))?;
    let output = stage.does(&["list"]);
    assert_eq!(output.stdout.lines().count(), 2, "{}", output.stdout);
    assert!(output.stderr.contains("broken"), "{}", output.stderr);
    stage.does(&["delete", "--force", "broken"]);
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

fn exit_statuses_pass_through() -> Outcome {
    let stage = Stage::new(|spec| {
        spec.process.as_mut().unwrap().args.extend(["exit".to_owned(), "7".to_owned()]);
    });
    stage.corten(&["run", stage.id()]).output()?.code(7)?;
    stage.nothing_is_left();
    stage.corten(&["run", "--keep", stage.id()]).output()?.code(7)?;
    assert_eq!(stage.status(), "stopped");
    stage.does(&["delete", stage.id()]);
    // Whoever starts it may ignore SIGCHLD, and that is inherited.
    let ignoring = Run::new("env").arg("--ignore-signal=CHLD").arg(corten()).arg("--root").arg(stage.state());
    ignoring.args(["run", stage.id()]).current_dir(stage.bundle.path()).output()?.code(7)?;
    stage.nothing_is_left();
    Ok(())
}

fn exec_takes_its_options() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args.push("sleep".to_owned()));
    let id = stage.id();
    stage.does(&["run", "--detach", id]);
    let options = [
        "exec",
        "--cwd",
        "/tmp",
        "--env",
        "ONE=1",
        "--user",
        "1:1",
        "--additional-gids",
        "5",
        "--cap",
        "CAP_CHOWN",
        id,
        "/bin/probe",
    ];
    let report: Report = stage.does(&options).json()?;
    assert_eq!(report.cwd.as_deref(), Some("/tmp"));
    assert!(report.env.contains(&"ONE=1".to_owned()) && report.env.contains(&"TERM=xterm".to_owned()));
    assert_eq!((report.uids.effective, report.gids.effective), (1, 1));
    assert!(report.groups.contains(&5), "{:?}", report.groups);
    assert!(report.capabilities.unwrap().bounding.names.contains(&"CAP_CHOWN".to_owned()));
    assert_eq!(report.no_new_privs, Some(true));
    // The whole process from a file, and from standard input.
    let mut process = stage.bundle.spec.process.clone().unwrap();
    process.args = vec!["/bin/probe".to_owned(), "exit".to_owned(), "9".to_owned()];
    let json = serde_json::to_vec(&process)?;
    let file = stage.bundle.path().join("process.json");
    std::fs::write(&file, &json)?;
    stage.corten(&["exec", "--process", file.to_str().unwrap(), id]).output()?.code(9)?;
    stage.corten(&["exec", "--process", "-", id]).stdin(json).output()?.code(9)?;
    process.args = vec!["/bin/probe".to_owned()];
    process.io_priority = Some(IoPriority { class: "IOPRIO_CLASS_BE".to_owned(), priority: 6 });
    process.scheduler =
        Some(Scheduler { policy: "SCHED_BATCH".to_owned(), nice: Some(9), ..Scheduler::default() });
    process.exec_cpu_affinity = Some(CpuAffinity { last: Some("0".to_owned()), ..CpuAffinity::default() });
    let json = serde_json::to_vec(&process)?;
    let report: Report = stage.corten(&["exec", "-p", "-", id]).stdin(json).output()?.success()?.json()?;
    let scheduling = report.scheduling.unwrap();
    assert_eq!((scheduling.policy, scheduling.nice), (3, 9));
    assert_eq!((report.io_priority, report.cpus.as_deref()), (Some((2, 6)), Some("0")));
    let missing = stage.corten(&["exec", id, "/nope"]).output()?.code(255)?.stderr;
    assert!(missing.contains(r#"exec: \"/nope\": stat /nope: no such file or directory"#), "{missing}");
    let label = stage.corten(&["exec", "--process-label", "x", id, "/bin/probe"]).output()?.code(255)?.stderr;
    assert!(label.contains("not supported"), "{label}");
    stage.does(&["delete", "--force", id]);
    stage.nothing_is_left();
    Ok(())
}

fn descriptors_are_inherited_only_where_asked_for() -> Outcome {
    let stage = Stage::new(|_| {});
    let command = format!(
        "exec 3</etc/passwd 4</etc/group 5</etc/hostname; exec {} --root {} run --preserve-fds 2 {}",
        corten().display(),
        stage.state().display(),
        stage.id()
    );
    let output =
        Run::new("sh").args(["-c", &command]).current_dir(stage.bundle.path()).output()?.success()?;
    let report: Report = output.json()?;
    let fds = report.fds.unwrap();
    assert_eq!(fds.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4], "{fds:?}");
    assert!(fds[&3].ends_with("passwd") && fds[&4].ends_with("group"), "{fds:?}");
    assert!(!report.env.iter().any(|entry| entry.starts_with("LISTEN_")));
    // Sockets to listen on.
    let command = format!(
        "exec 3</etc/passwd 4</etc/group; LISTEN_FDS=1 LISTEN_PID=$$ exec {} --root {} run --preserve-fds 1 {}",
        corten().display(),
        stage.state().display(),
        stage.id()
    );
    let output =
        Run::new("sh").args(["-c", &command]).current_dir(stage.bundle.path()).output()?.success()?;
    let report: Report = output.json()?;
    assert!(report.env.contains(&"LISTEN_FDS=1".to_owned()), "{:?}", report.env);
    assert!(report.env.contains(&"LISTEN_PID=1".to_owned()), "{:?}", report.env);
    assert_eq!(report.fds.unwrap().len(), 5);
    let none = stage.fails(&["run", "--preserve-fds", "3", stage.id()], 1);
    assert!(none.contains("file descriptor 3 is not open"), "{none}");
    Ok(())
}

fn pidfds_are_sent() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args.push("sleep".to_owned()));
    let socket = stage.bundle.path().join("pidfd");
    let listener = UnixListener::bind(&socket)?;
    stage.does(&["create", "--pidfd-socket", socket.to_str().unwrap(), stage.id()]);
    let (word, pidfd) = common::receive(&listener.accept()?.0);
    assert_eq!(word, b"standard");
    rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL)?;
    eventually("wait for the end", || stage.status() == "stopped");
    stage.does(&["delete", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Annotations of crun's that engines set: a receiver of the pidfd, and groups that are kept (podman's `keep-groups`).
fn annotations_of_engines_are_heeded() -> Outcome {
    let mut stage = Stage::waiting(|_| {});
    let socket = stage.bundle.path().join("pidfd");
    let listener = UnixListener::bind(&socket)?;
    let annotations = &mut stage.bundle.spec.annotations;
    annotations.insert("run.oci.pidfd_receiver".to_owned(), socket.display().to_string());
    annotations.insert("run.oci.keep_original_groups".to_owned(), "1".to_owned());
    let linux = stage.bundle.spec.linux.as_mut().unwrap();
    linux.namespaces.push(corten_oci::Namespace { typ: "user".to_owned(), path: None });
    let mapping = corten_oci::IdMapping { container_id: 0, host_id: 100_000, size: 65_536 };
    (linux.uid_mappings, linux.gid_mappings) = (vec![mapping], vec![mapping]);
    stage.bundle.rootfs().give_to(100_000, 100_000)?;
    stage.bundle.write()?;
    let root = stage.state();
    let groups = |arguments: &[&str]| {
        let run = Run::new("setpriv").args(["--groups", "7,100009"]).arg(corten()).arg("--root").arg(&root);
        run.args(arguments).current_dir(stage.bundle.path()).output().unwrap().success().unwrap()
    };
    groups(&["run", "--detach", stage.id()]);
    assert_eq!(common::receive(&listener.accept()?.0).0, b"standard");
    let report: Report = groups(&["exec", "--user", "3:4", stage.id(), "/bin/probe"]).json()?;
    // The first is not mapped, and is the owner's group all the same.
    assert_eq!((report.gids.effective, report.groups), (4, vec![65_534, 9]));
    let state: serde_json::Value = stage.does(&["state", stage.id()]).json()?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", state["pid"]))?;
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
    assert_eq!(groups.trim(), "7 100009");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// What a service manager hears at `NOTIFY_SOCKET` until it is told to end (sd_notify(3)), with the descriptors closed at once.
fn heard(socket: &UnixDatagram, count: usize) -> Vec<String> {
    socket.set_read_timeout(Some(corten_testkit::patience(20))).unwrap();
    let mut datagrams = Vec::new();
    for _ in 0..count {
        let mut text = [0; 4096];
        // A plain read drops the descriptor of the barrier, which is what the sender waits for.
        let length = socket.recv(&mut text).unwrap_or_else(|error| panic!("{datagrams:?}: {error}"));
        datagrams.push(String::from_utf8_lossy(&text[..length]).into_owned());
    }
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 1]).is_err(), "more than {datagrams:?}");
    datagrams
}

/// The word that the program is ready goes to systemd with the process id outside, and nothing else of what it says.
fn a_container_says_that_it_is_ready() -> Outcome {
    let stage = Stage::waiting(|spec| {
        let words = ["/bin/probe", "notify", "STATUS=up", "READY=1", "MAINPID=1", "FDSTORE=1"];
        spec.process.as_mut().unwrap().args = words.map(str::to_owned).to_vec();
    });
    let path = stage.bundle.path().join("manager");
    let ways: [&[&[&str]]; 2] =
        [&[&["run", "--detach", stage.id()]], &[&["create", stage.id()], &["start", stage.id()]]];
    for commands in ways {
        let manager = UnixDatagram::bind(&path)?;
        std::thread::scope(|scope| {
            let ear = scope.spawn(|| heard(&manager, 3));
            for command in commands {
                stage.corten(command).env("NOTIFY_SOCKET", &path).output().unwrap().success().unwrap();
            }
            let state: serde_json::Value = stage.does(&["state", stage.id()]).json().unwrap();
            let expected =
                ["READY=1".to_owned(), format!("MAINPID={}", state["pid"]), "BARRIER=1".to_owned()];
            assert_eq!(ear.join().unwrap(), expected);
        });
        stage.does(&["delete", "--force", stage.id()]);
        stage.nothing_is_left();
        std::fs::remove_file(&path)?;
    }
    // In the foreground, and by a name that is no path.
    let name = format!("corten-{}", stage.id());
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name)?;
    let manager = UnixDatagram::bind_addr(&address)?;
    std::thread::scope(|scope| {
        let run = scope
            .spawn(|| stage.corten(&["run", stage.id()]).env("NOTIFY_SOCKET", format!("@{name}")).output());
        assert_eq!(heard(&manager, 3)[0], "READY=1");
        stage.does(&["kill", stage.id()]);
        run.join().unwrap().unwrap().success().unwrap();
    });
    stage.nothing_is_left();
    // Who is not there cannot be told, and who ends without a word keeps nobody waiting.
    let output =
        stage.corten(&["run", "--detach", stage.id()]).env("NOTIFY_SOCKET", &path).output()?.success()?;
    assert!(output.stderr.contains("NOTIFY_SOCKET does not listen"), "{}", output.describe());
    stage.does(&["delete", "--force", stage.id()]);
    let quiet =
        Stage::new(|spec| spec.process.as_mut().unwrap().args.extend(["exit", "0"].map(str::to_owned)));
    quiet.corten(&["run", "--detach", quiet.id()]).env("NOTIFY_SOCKET", &path).output()?.success()?;
    quiet.does(&["delete", "--force", quiet.id()]);
    let wrong = quiet.corten(&["run", quiet.id()]).env("NOTIFY_SOCKET", "relative").output()?.code(1)?;
    assert!(wrong.stderr.contains("neither a path nor an abstract name"), "{}", wrong.describe());
    quiet.nothing_is_left();
    Ok(())
}

fn versions_features_and_mistakes_answer() -> Outcome {
    let version = Run::new(corten()).arg("--version").output()?.success()?.stdout;
    assert!(version.starts_with("corten version ") && version.contains("\nspec: 1.3.0"), "{version}");
    let features: serde_json::Value = Run::new(corten()).arg("features").output()?.success()?.json()?;
    assert_eq!(features["linux"]["netDevices"]["enabled"], true);
    assert_eq!(features["ociVersionMax"], "1.3.0");
    let seccomp = &features["linux"]["seccomp"];
    assert_eq!(seccomp["enabled"], true);
    for (list, name) in [
        ("actions", "SCMP_ACT_NOTIFY"),
        ("operators", "SCMP_CMP_MASKED_EQ"),
        ("archs", "SCMP_ARCH_X86_64"),
        ("knownFlags", "SECCOMP_FILTER_FLAG_LOG"),
        ("supportedFlags", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"),
    ] {
        assert!(seccomp[list].as_array().unwrap().contains(&name.into()), "{seccomp}");
    }
    let policies = &features["linux"]["memoryPolicy"];
    assert!(policies["modes"].as_array().unwrap().contains(&"MPOL_WEIGHTED_INTERLEAVE".into()));
    assert!(policies["flags"].as_array().unwrap().contains(&"MPOL_F_STATIC_NODES".into()));
    assert_eq!(features["linux"]["apparmor"]["enabled"], true);
    assert_eq!(features["linux"]["selinux"]["enabled"], true);
    let annotations = features["potentiallyUnsafeConfigAnnotations"].as_array().unwrap();
    assert!(annotations.contains(&"org.corten.process.landlock".into()), "{annotations:?}");
    assert!(features["mountOptions"].as_array().unwrap().contains(&"rro".into()));
    for wrong in [&["dance"][..], &["run"], &["run", "--dance", "x"], &["--systemd-group", "list"], &[]] {
        let output = Run::new(corten()).args(wrong).output()?;
        assert_eq!(output.status.code(), Some(1), "{wrong:?}: {}", output.describe());
        assert!(output.stderr.contains("Usage"), "{wrong:?}: {}", output.describe());
    }
    Run::new(corten()).args(["run", "--help"]).output()?.success()?;
    // Of an option that is given twice the last counts.
    let root = corten_testkit::Scratch::new()?;
    let list =
        Run::new(corten()).args(["--debug", "--debug", "--root", "/nowhere", "--root"]).arg(root.path());
    let list = list.args(["list", "--quiet", "--format", "table", "--quiet", "--format", "json"]);
    assert_eq!(list.output()?.success()?.stdout, "");
    Ok(())
}

fn a_machine_is_judged() -> Outcome {
    let table = Run::new(corten()).arg("check").output()?.success()?.stdout;
    let heads: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["AREA", "WHAT", "HERE", "FOUND"]);
    let findings: serde_json::Value =
        Run::new(corten()).args(["check", "--json"]).output()?.success()?.json()?;
    let findings = findings.as_array().unwrap();
    let of = |name: &str| findings.iter().find(|finding| finding["name"] == name).unwrap();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    assert_eq!(of("version")["detail"], release.trim());
    assert_eq!(of("hierarchies")["verdict"], "yes");
    // Where no mount of /proc can be read, nothing is known to be there, and nothing fails.
    let script = "mount -t tmpfs none /proc && exec \"$0\" check --json";
    let blind = Run::new("unshare").args(["--mount", "sh", "-c", script]).arg(corten()).output()?.code(1)?;
    let findings: serde_json::Value = blind.json()?;
    let needed = findings.as_array().unwrap().iter().filter(|finding| finding["verdict"] == "needed");
    assert_eq!(needed.map(|finding| finding["name"].as_str().unwrap()).collect::<Vec<_>>(), ["pid", "mount"]);
    Ok(())
}

fn logs_have_runcs_forms() -> Outcome {
    let stage = Stage::new(|_| {});
    let log = stage.bundle.path().join("log");
    let root = stage.state();
    let run = |format: &str| {
        let run = Run::new(corten()).arg("--root").arg(&root).arg("--log").arg(&log);
        run.args(["--log-format", format, "state", "nobody"]).output().unwrap().code(1).unwrap()
    };
    assert_eq!(run("json").stderr, "container does not exist\n", "for a person");
    let line: serde_json::Value = serde_json::from_str(std::fs::read_to_string(&log)?.trim())?;
    assert_eq!((&line["level"], &line["msg"]), (&"error".into(), &"container does not exist".into()));
    run("text");
    let lines = std::fs::read_to_string(&log)?;
    assert!(lines.ends_with("level=error msg=\"container does not exist\"\n"), "{lines}");
    Ok(())
}

/// In a network of its own, which stands for the host's.
fn devices_of_the_host_move() -> Outcome {
    let ip = |arguments: &str| Run::new("ip").args(arguments.split(' ')).output().unwrap();
    ip("link add corten-d type veth peer name corten-p").success()?;
    ip("addr add 10.1.0.5/24 dev corten-d").success()?;
    let stage = Stage::new(|spec| {
        let device = corten_oci::NetDevice { name: Some("net1".to_owned()) };
        spec.linux.as_mut().unwrap().net_devices.insert("corten-d".to_owned(), device);
    });
    stage.does(&["create", stage.id()]);
    ip("link show dev corten-d").code(1)?;
    let state: serde_json::Value = stage.does(&["state", stage.id()]).json()?;
    let inside = fs::read_to_string(format!("/proc/{}/net/fib_trie", state["pid"]))?;
    assert!(inside.contains("10.1.0.5"), "{inside}");
    stage.does(&["delete", "--force", stage.id()]);
    eventually("wait for the namespace's end", || !ip("link show dev corten-p").status.success());
    let message = stage.fails(&["run", stage.id()], 1);
    assert!(message.contains("find network device corten-d on the host: no such device"), "{message}");
    Ok(())
}

fn main() -> ExitCode {
    let needs = [Requirement::Root, Requirement::Program("ip")];
    common::suite(&[
        ("an_unmodified_bundle_with_busybox_runs", an_unmodified_bundle_with_busybox_runs),
        ("a_container_lives_step_by_step", a_container_lives_step_by_step),
        ("containers_are_listed", containers_are_listed),
        ("exit_statuses_pass_through", exit_statuses_pass_through),
        ("exec_takes_its_options", exec_takes_its_options),
        ("descriptors_are_inherited_only_where_asked_for", descriptors_are_inherited_only_where_asked_for),
        ("pidfds_are_sent", pidfds_are_sent),
        ("annotations_of_engines_are_heeded", annotations_of_engines_are_heeded),
        ("versions_features_and_mistakes_answer", versions_features_and_mistakes_answer),
        ("a_container_says_that_it_is_ready", a_container_says_that_it_is_ready),
        ("a_machine_is_judged", a_machine_is_judged),
        ("logs_have_runcs_forms", logs_have_runcs_forms),
    ])
    .seeing(View::Net, &needs, "devices_of_the_host_move", devices_of_the_host_move)
    .run()
}
