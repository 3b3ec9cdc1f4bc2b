//! Seccomp filters: of init and of programs that join it, with and without no_new_privs, and with an agent that answers.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitCode, Stdio};

use common::{Case, Outcome, Stage, output, probe, refusal};
use corten::oci::{Hook, IdMapping, Namespace, Seccomp, Spec, SyscallArg, SyscallRule};
use corten::{Child, Config, Container, Error, ErrorKind, ErrorStage, ExitStatus, Process, Signal};
use corten_testkit::{Report, Requirement, Suite};
use serde_json::Value;

/// What making a directory is called on any architecture.
const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

/// Where the probe can make one.
const DIRECTORY: &str = "/dev/shm/made";

fn rule(names: &[&str], action: &str) -> SyscallRule {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    SyscallRule { names, action: action.to_owned(), ..SyscallRule::default() }
}

fn profile(default: &str, rules: Vec<SyscallRule>) -> Seccomp {
    Seccomp { default_action: default.to_owned(), syscalls: rules, ..Seccomp::default() }
}

/// A profile that lets everything through but making directories.
fn no_directories(action: &str) -> Seccomp {
    profile("SCMP_ACT_ALLOW", vec![rule(&MKDIR, action)])
}

/// A configuration with this profile.
fn with(seccomp: Seccomp) -> impl Fn(&mut Spec) {
    move |spec| spec.linux.as_mut().unwrap().seccomp = Some(seccomp.clone())
}

fn no_new_privileges(spec: &mut Spec, yes: bool) {
    spec.process.as_mut().unwrap().no_new_privileges = yes;
}

/// Of a container with this configuration, how the probe ends as init, and how as a program that joins it.
fn ends(edit: impl Fn(&mut Spec), action: &[&str]) -> [(ExitStatus, String); 2] {
    let stage = Stage::new(&edit);
    let container = stage.container();
    let first = output(|process| container.run(process), probe(action));
    container.destroy().map_err(Error::from).unwrap();
    let stage = Stage::new(&edit);
    let container = stage.container();
    container.run(probe(&["sleep"]).build().unwrap()).unwrap();
    let second = output(|process| container.exec(process), probe(action));
    [first, second]
}

/// The value of an action that succeeded, or the name of its error.
fn answer((status, text): (ExitStatus, String)) -> Value {
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status:?}: {text}"));
    if answer["ok"] == true { answer["value"].clone() } else { answer["error"].clone() }
}

/// Whether a program may gain privileges decides when a filter is loaded; it holds all the same.
fn filters_hold_in_init_and_in_exec() -> Outcome {
    for yes in [true, false] {
        let edit = |spec: &mut Spec| {
            with(no_directories("SCMP_ACT_ERRNO"))(spec);
            no_new_privileges(spec, yes);
        };
        for end in ends(edit, &["mkdir", DIRECTORY]) {
            assert_eq!(answer(end), "EPERM");
        }
        for (status, text) in ends(edit, &["report"]) {
            assert_eq!(status, ExitStatus::Exited(0), "{text}");
            let report: Report = serde_json::from_str(&text)?;
            assert_eq!((report.seccomp, report.seccomp_filters), (Some(2), Some(1)));
            assert_eq!(report.no_new_privs, Some(yes));
            let effective = report.capabilities.unwrap().effective.names;
            assert!(!effective.contains(&"CAP_SYS_ADMIN".to_owned()), "{effective:?}");
        }
    }
    Ok(())
}

fn the_kernel_says_so_outside() -> Outcome {
    let stage = Stage::new(with(no_directories("SCMP_ACT_ERRNO")));
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let joined = container.exec(probe(&["sleep"]).build()?)?;
    for pid in [child.pid(), joined.pid()] {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
    }
    Ok(())
}

fn without_a_profile_there_is_no_filter() -> Outcome {
    for profile in [None, Some(Seccomp::default())] {
        let report = common::report(|spec| spec.linux.as_mut().unwrap().seccomp = profile);
        assert_eq!((report.seccomp, report.seccomp_filters), (Some(0), Some(0)));
    }
    Ok(())
}

fn error_numbers_are_the_profiles() -> Outcome {
    let mut seccomp = no_directories("SCMP_ACT_ERRNO");
    seccomp.syscalls[0].errno_ret = Some(28);
    for end in ends(with(seccomp), &["mkdir", DIRECTORY]) {
        assert_eq!(answer(end), "ENOSPC");
    }
    Ok(())
}

/// What the probe does when it starts and ends, all of it but its execve.
const START: [&str; 13] = [
    "brk",
    "mprotect",
    "readlink",
    "readlinkat",
    "arch_prctl",
    "set_tid_address",
    "set_robust_list",
    "prlimit64",
    "getrandom",
    "rseq",
    "mmap",
    "write",
    "exit_group",
];

/// With no_new_privs a filter has to allow nothing that Corten does but the execve.
fn nothing_but_the_execve_comes_after_the_filter() -> Outcome {
    let allowed = vec![rule(&START, "SCMP_ACT_ALLOW"), rule(&["execve"], "SCMP_ACT_ALLOW")];
    let stage = Stage::new(with(profile("SCMP_ACT_KILL_PROCESS", allowed)));
    let container = stage.container();
    let child = container.run(probe(&["exit", "5"]).build()?)?;
    assert_eq!(child.wait()?, ExitStatus::Exited(5));
    let created = container.start_init(probe(&["exit", "6"]).build()?)?;
    assert_eq!(created.release()?.wait()?, ExitStatus::Exited(6), "through the gate");
    Ok(container.destroy().map_err(Error::from)?)
}

/// Calls that profiles of older engines do not know, and calls that only Corten makes.
fn what_a_profile_denies_breaks_no_start() -> Outcome {
    let denied = ["close_range", "sendmsg", "recvmsg", "sendto", "recvfrom", "prlimit64", "umask", "pipe2"];
    let args = ["probe", "exit", "0"].map(str::to_owned).to_vec();
    let hook = Hook { path: "/bin/probe".to_owned(), args, ..Hook::default() };
    // Only where the filter comes early it matters to hooks, so these have one without no_new_privs.
    for (yes, errno, hooks) in
        [(true, 1, vec![]), (true, 38, vec![]), (false, 1, vec![hook.clone()]), (false, 38, vec![hook])]
    {
        let edit = |spec: &mut Spec| {
            let mut seccomp = profile("SCMP_ACT_ALLOW", vec![rule(&denied, "SCMP_ACT_ERRNO")]);
            seccomp.syscalls[0].errno_ret = Some(errno);
            with(seccomp)(spec);
            no_new_privileges(spec, yes);
            spec.hooks.get_or_insert_default().start_container = hooks.clone();
        };
        for (status, text) in ends(edit, &["exit", "7"]) {
            assert_eq!(status, ExitStatus::Exited(7), "{text}");
        }
    }
    Ok(())
}

/// A hook is a program of the image.
fn hooks_of_the_container_are_filtered() -> Outcome {
    for yes in [true, false] {
        let edit = |spec: &mut Spec| {
            with(no_directories("SCMP_ACT_ERRNO"))(spec);
            no_new_privileges(spec, yes);
            let args = ["probe", "mkdir", DIRECTORY].map(str::to_owned).to_vec();
            let hook = Hook { path: "/bin/probe".to_owned(), args, ..Hook::default() };
            spec.hooks.get_or_insert_default().start_container = vec![hook];
        };
        let error = refusal(edit);
        assert_eq!(error.kind(), ErrorKind::Hook, "{error}");
    }
    Ok(())
}

fn actions_end_what_they_say() -> Outcome {
    let system = ExitStatus::Signaled(Signal::from_raw(31).unwrap());
    assert_eq!(system.code(), 159);
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
        for (status, text) in ends(with(no_directories(action)), &["mkdir", DIRECTORY]) {
            assert_eq!((status, text.as_str()), (system, ""), "{action}");
        }
    }
    for end in ends(with(no_directories("SCMP_ACT_LOG")), &["mkdir", DIRECTORY]) {
        assert_eq!(answer(end), Value::Null, "made");
    }
    for end in ends(with(no_directories("SCMP_ACT_TRACE")), &["mkdir", DIRECTORY]) {
        assert_eq!(answer(end), "ENOSYS", "nobody traces");
    }
    Ok(())
}

/// getpriority(2), whose arguments are free to choose.
fn conditions_on_arguments_hold() -> Outcome {
    let condition =
        |index, op: &str, value, value_two| SyscallArg { index, op: op.to_owned(), value, value_two };
    let with_conditions = |args: Vec<SyscallArg>| {
        let denied = SyscallRule { args, ..rule(&["getpriority"], "SCMP_ACT_ERRNO") };
        with(profile("SCMP_ACT_ALLOW", vec![denied]))
    };
    let call = libc_number("getpriority");
    let asked = |edit: &dyn Fn(&mut Spec), who: &str| ends(edit, &["syscall", &call, "0", who]).map(answer);
    let equal = with_conditions(vec![condition(1, "SCMP_CMP_EQ", 1, 0)]);
    assert_eq!(asked(&equal, "1"), ["EPERM", "EPERM"]);
    assert_eq!(asked(&equal, "0"), [20, 20]);
    let masked = with_conditions(vec![
        condition(1, "SCMP_CMP_MASKED_EQ", 0xf0, 0x10),
        condition(0, "SCMP_CMP_LT", 1, 0),
    ]);
    assert_eq!(asked(&masked, "18"), ["EPERM", "EPERM"]);
    assert_eq!(asked(&masked, "0"), [20, 20]);
    Ok(())
}

fn libc_number(name: &str) -> String {
    corten_seccomp::Arch::native().number(name).unwrap().to_string()
}

/// getpid(2) of i386 is 20, and that of x86_64 is 39.
fn calls_of_another_architecture_are_covered_or_end_the_program() -> Outcome {
    let mut seccomp = profile("SCMP_ACT_ALLOW", vec![rule(&["getpid"], "SCMP_ACT_ERRNO")]);
    seccomp.architectures = vec!["SCMP_ARCH_X86".to_owned()];
    for end in ends(with(seccomp.clone()), &["int80", "20"]) {
        assert_eq!(answer(end), "EPERM");
    }
    // getuid.
    for end in ends(with(seccomp), &["int80", "24"]) {
        assert_eq!(answer(end), 0);
    }
    for (status, _) in ends(with(no_directories("SCMP_ACT_ERRNO")), &["int80", "24"]) {
        assert_eq!(status, ExitStatus::Signaled(Signal::from_raw(31).unwrap()));
    }
    Ok(())
}

fn in_a_user_namespace(spec: &mut Spec) {
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.push(Namespace { typ: "user".to_owned(), path: None });
    linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: 100_000, size: 1000 }];
    linux.gid_mappings = linux.uid_mappings.clone();
}

fn a_user_namespace_is_privilege_enough() -> Outcome {
    for yes in [true, false] {
        let edit = |spec: &mut Spec| {
            with(no_directories("SCMP_ACT_ERRNO"))(spec);
            in_a_user_namespace(spec);
            no_new_privileges(spec, yes);
            spec.process.as_mut().unwrap().user.uid = 33;
        };
        for end in ends(edit, &["mkdir", DIRECTORY]) {
            assert_eq!(answer(end), "EPERM");
        }
    }
    Ok(())
}

fn profiles_that_cannot_be_name_what_is_wrong() -> Outcome {
    let refused = |seccomp: Seccomp, words: &str| {
        let error = refusal(with(seccomp));
        assert!(error.to_string().contains(words), "{error} has no {words:?}");
        assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidConfig, ErrorStage::Host));
    };
    refused(profile("SCMP_ACT_DANCE", Vec::new()), "string SCMP_ACT_DANCE is not a valid action");
    refused(no_directories("SCMP_ACT_X"), "string SCMP_ACT_X is not a valid action");
    let arch = vec!["SCMP_ARCH_PDP11".to_owned()];
    refused(Seccomp { architectures: arch, ..no_directories("SCMP_ACT_KILL") }, "SCMP_ARCH_PDP11");
    let flags = Some(vec!["SECCOMP_FILTER_FLAG_X".to_owned()]);
    refused(Seccomp { flags, ..no_directories("SCMP_ACT_KILL") }, "SECCOMP_FILTER_FLAG_X");
    let mut seccomp = no_directories("SCMP_ACT_KILL");
    seccomp.syscalls[0].args = vec![SyscallArg { op: "SCMP_CMP_ALMOST".to_owned(), ..SyscallArg::default() }];
    refused(seccomp, "SCMP_CMP_ALMOST");
    refused(no_directories("SCMP_ACT_NOTIFY"), "seccomp listenerPath is not set");
    let listener_path = Some("/run/agent".to_owned());
    let seccomp = Seccomp { listener_path, ..no_directories("SCMP_ACT_NOTIFY") };
    refused(Seccomp { default_action: "SCMP_ACT_NOTIFY".to_owned(), ..seccomp.clone() }, "as default action");
    refused(
        Seccomp { syscalls: vec![rule(&["write"], "SCMP_ACT_NOTIFY")], ..seccomp },
        "for the write syscall",
    );
    let listener_metadata = Some("x".to_owned());
    refused(
        Seccomp { listener_metadata, ..no_directories("SCMP_ACT_KILL") },
        "listenerMetadata must not be set",
    );
    let config = |seccomp: Seccomp| Config::builder("/r").seccomp(seccomp).seccomp_listener(true).build();
    let error = config(no_directories("SCMP_ACT_KILL")).unwrap_err().to_string();
    assert!(error.contains("no seccomp rule has SCMP_ACT_NOTIFY"), "{error}");
    let error = config(Seccomp::default()).unwrap_err().to_string();
    assert!(error.contains("there is no seccomp profile"), "{error}");
    Ok(())
}

fn every_flag_is_taken() -> Outcome {
    for (flag, action) in
        [("LOG", "ERRNO"), ("SPEC_ALLOW", "ERRNO"), ("TSYNC", "ERRNO"), ("WAIT_KILLABLE_RECV", "ERRNO")]
    {
        let flags = Some(vec![format!("SECCOMP_FILTER_FLAG_{flag}")]);
        let seccomp = Seccomp { flags, ..no_directories(&format!("SCMP_ACT_{action}")) };
        for end in ends(with(seccomp), &["mkdir", DIRECTORY]) {
            assert_eq!(answer(end), "EPERM", "{flag}");
        }
    }
    Ok(())
}

/// An agent in a process of its own, which it ends with.
struct Agent {
    process: std::process::Child,
    lines: BufReader<ChildStdout>,
}

impl Agent {
    /// One that waits at a socket.
    fn at(socket: &Path, call: &str, errno: i32) -> Self {
        let mut agent = Self::start(socket.to_str().unwrap(), call, errno, Stdio::null());
        assert_eq!(agent.said()["ready"], true);
        agent
    }

    /// One that has the listener.
    fn of(listener: OwnedFd, call: &str, errno: i32) -> Self {
        Self::start("-", call, errno, listener.into())
    }

    fn start(socket: &str, call: &str, errno: i32, stdin: Stdio) -> Self {
        let mut command = Command::new(corten_testkit::probe());
        command.args(["agent", socket, call, &errno.to_string()]).stdin(stdin).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    fn said(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the agent said {line:?}"))
    }

    /// What it was asked until the last process of the filter ended.
    fn calls(mut self) -> Vec<Value> {
        let mut calls = Vec::new();
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            calls.push(serde_json::from_str(&line).unwrap());
            line.clear();
        }
        assert!(self.process.wait().unwrap().success());
        calls
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A stage whose profile asks an agent about these calls.
fn asking(names: &[&str], edit: impl FnOnce(&mut Spec)) -> (Stage, PathBuf) {
    let mut socket = PathBuf::new();
    let mut stage = Stage::new(|spec| {
        edit(spec);
        let seccomp = profile("SCMP_ACT_ALLOW", vec![rule(names, "SCMP_ACT_NOTIFY")]);
        let listener_metadata = Some("what only the agent knows".to_owned());
        with(Seccomp { listener_metadata, ..seccomp })(spec);
    });
    socket.push(stage.bundle.path().join("agent"));
    let seccomp = stage.bundle.spec.linux.as_mut().unwrap().seccomp.as_mut().unwrap();
    seccomp.listener_path = Some(socket.to_str().unwrap().to_owned());
    (stage, socket)
}

fn mkdir() -> String {
    let native = corten_seccomp::Arch::native();
    native.number("mkdir").or_else(|| native.number("mkdirat")).unwrap().to_string()
}

/// The agent gets the state of the process with the listener, and its answer is the call's.
fn an_agent_answers() -> Outcome {
    for yes in [true, false] {
        let (mut stage, socket) = asking(&MKDIR, |spec| no_new_privileges(spec, yes));
        if !yes {
            // As crun can be told of it.
            let spec = &mut stage.bundle.spec;
            let path = spec.linux.as_mut().unwrap().seccomp.as_mut().unwrap().listener_path.take();
            spec.annotations.insert("run.oci.seccomp.receiver".to_owned(), path.unwrap());
        }
        let container = stage.container();
        let mut agent = Agent::at(&socket, &mkdir(), 18);
        let created = container.start_init(probe(&["mkdir", DIRECTORY]).build()?)?;
        let told = agent.said();
        let (state, pid) = (&told["state"], created.pid());
        assert_eq!(told["count"], 1);
        assert_eq!(
            (&state["ociVersion"], &state["fds"]),
            (&"1.3.0".into(), &serde_json::json!(["seccompFd"]))
        );
        assert_eq!((&state["pid"], &state["metadata"]), (&pid.into(), &"what only the agent knows".into()));
        let inner = &state["state"];
        assert_eq!((&inner["status"], &inner["pid"]), (&"creating".into(), &pid.into()));
        assert_eq!((&inner["id"], &inner["ociVersion"]), (&container.id().as_str().into(), &"1.3.0".into()));
        assert_eq!(inner["bundle"], stage.bundle.path().to_str().unwrap());
        let child = created.release()?;
        assert_eq!(child.wait()?, ExitStatus::Exited(1), "it was denied");
        let [call] = &agent.calls()[..] else { panic!("not one call") };
        assert_eq!((&call["denied"], &call["pid"]), (&true.into(), &pid.into()));
        container.destroy().map_err(Error::from)?;
    }
    Ok(())
}

fn an_agent_answers_for_programs_that_join() -> Outcome {
    for yes in [true, false] {
        let (stage, socket) = asking(&MKDIR, |spec| no_new_privileges(spec, yes));
        let container = stage.container();
        let first = Agent::at(&socket, "none", 0);
        let init = container.run(probe(&["sleep"]).build()?)?;
        fs::remove_file(&socket)?;
        let mut agent = Agent::at(&socket, &mkdir(), 18);
        let denied = output(|process| container.exec(process), probe(&["mkdir", DIRECTORY]));
        assert_eq!(answer(denied), "EXDEV");
        let told = agent.said();
        assert_eq!(
            (&told["state"]["state"]["status"], &told["state"]["state"]["pid"]),
            (&"running".into(), &init.pid().into())
        );
        assert_ne!(told["state"]["pid"], init.pid());
        assert_eq!(agent.calls().len(), 1);
        init.signal(Signal::KILL)?;
        init.wait()?;
        drop(first);
        container.destroy().map_err(Error::from)?;
    }
    Ok(())
}

/// Corten's own calls after the filter are asked about as well; the agent has the listener before it is needed.
fn corten_waits_for_the_agent_too() -> Outcome {
    let names = [
        "read",
        "close",
        "waitid",
        "execve",
        "setresuid",
        "capset",
        "chdir",
        "getcwd",
        "newfstatat",
        "statx",
        "faccessat2",
        "fcntl",
        "umask",
        "brk",
        "mmap",
        "munmap",
        "mremap",
        "openat",
        "sendmsg",
        "recvmsg",
        "prctl",
        "close_range",
    ];
    for yes in [true, false] {
        let (stage, socket) = asking(&names, |spec| no_new_privileges(spec, yes));
        let container = stage.container();
        let mut agent = Agent::at(&socket, "none", 0);
        let created = container.start_init(probe(&["exit", "4"]).build()?)?;
        assert_eq!(agent.said()["count"], 1);
        assert_eq!(created.release()?.wait()?, ExitStatus::Exited(4));
        let execve: Value = libc_number("execve").parse::<i32>()?.into();
        let calls = agent.calls();
        assert!(calls.iter().any(|call| call["call"] == execve), "{calls:?}");
        fs::remove_file(&socket)?;
        let agent = Agent::at(&socket, "none", 0);
        assert_eq!(
            container.run(probe(&["exit", "5"]).build()?)?.wait()?,
            ExitStatus::Exited(5),
            "without a gate"
        );
        assert!(agent.calls().len() > 1);
        container.destroy().map_err(Error::from)?;
    }
    Ok(())
}

/// The helper that sends the listener has ended, and is nobody's zombie.
fn the_helper_is_gone() -> Outcome {
    let (stage, socket) = asking(&MKDIR, |_| {});
    let container = stage.container();
    let _agent = Agent::at(&socket, "none", 0);
    let child = container.run(probe(&["sleep"]).build()?)?;
    assert_eq!(container.processes()?, [child.pid()]);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.pid()))?;
    assert_eq!(children, "");
    let fds = fs::read_dir(format!("/proc/{}/fd", child.pid()))?;
    assert_eq!(fds.count(), 3, "no end of a pipe, and no listener");
    Ok(())
}

fn an_agent_that_goes_leaves_enosys() -> Outcome {
    let (stage, socket) = asking(&MKDIR, |_| {});
    let container = stage.container();
    let agent = Agent::at(&socket, "gone", 0);
    let created = container.start_init(probe(&["mkdir", DIRECTORY]).build()?)?;
    agent.calls();
    assert_eq!(created.release()?.wait()?, ExitStatus::Exited(1));
    let container = container.destroy().map_err(Error::from).map(|()| stage.container())?;
    fs::remove_file(&socket)?;
    let _agent = Agent::at(&socket, "gone", 0);
    assert_eq!(answer(output(|process| container.run(process), probe(&["mkdir", DIRECTORY]))), "ENOSYS");
    Ok(())
}

fn an_agent_that_is_not_there_starts_nothing() -> Outcome {
    let (stage, socket) = asking(&MKDIR, |_| {});
    let container = stage.container();
    let error = container.run(probe(&["exit", "0"]).build()?).unwrap_err().to_string();
    assert!(error.contains("failed to connect with seccomp agent"), "{error}");
    assert!(error.contains(socket.to_str().unwrap()), "{error}");
    assert!(container.processes()?.is_empty());
    Ok(container.destroy().map_err(Error::from)?)
}

/// A container whose listener is the library user's.
fn listening() -> (Stage, Container) {
    let stage = Stage::new(with(Seccomp::default()));
    let config = corten::ConfigBuilder::from(stage.config());
    let config = config.seccomp(no_directories("SCMP_ACT_NOTIFY")).seccomp_listener(true).build().unwrap();
    let container = stage.runtime.create(&stage.id(), config).unwrap();
    (stage, container)
}

fn the_library_user_can_be_the_agent() -> Outcome {
    let (_stage, container) = listening();
    let mut created = container.start_init(probe(&["mkdir", DIRECTORY]).build()?)?;
    let agent = Agent::of(created.take_seccomp_listener().unwrap(), &mkdir(), 5);
    assert!(created.take_seccomp_listener().is_none(), "once");
    assert_eq!(created.release()?.wait()?, ExitStatus::Exited(1));
    assert_eq!(agent.calls()[0]["denied"], true);
    let mut child = container.run(probe(&["mkdir", DIRECTORY]).build()?)?;
    let agent = Agent::of(child.take_seccomp_listener().unwrap(), "none", 0);
    assert_eq!(child.wait()?, ExitStatus::Exited(0));
    assert_eq!(agent.calls()[0]["denied"], false);
    let mut init: Child = container.run(probe(&["sleep"]).build()?)?;
    let mut joined = container.exec(probe(&["mkdir", DIRECTORY]).build()?)?;
    let agent = Agent::of(joined.take_seccomp_listener().unwrap(), &mkdir(), 5);
    assert_eq!(joined.wait()?, ExitStatus::Exited(1));
    assert_eq!(agent.calls().len(), 1);
    drop(init.take_seccomp_listener().unwrap());
    Ok(())
}

/// Nothing is said on the sync socket any more but by write(2).
fn a_program_that_cannot_be_executed_says_why() -> Outcome {
    let stage = Stage::new(with(no_directories("SCMP_ACT_ERRNO")));
    fs::write(stage.bundle.rootfs().path().join("bin/text"), "no program")?;
    fs::set_permissions(
        stage.bundle.rootfs().path().join("bin/text"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let container = stage.container();
    let text = || Process::builder("/bin/text").build();
    let error = container.run(text()?).unwrap_err();
    assert!(error.to_string().contains("exec format error"), "{error}");
    let created = container.start_init(text()?)?;
    let error = created.release().unwrap_err();
    assert!(error.to_string().contains("exec format error"), "{error}");
    container.destroy().map_err(Error::from)?;
    // The execve itself is what the profile denies.
    let error = refusal(with(profile("SCMP_ACT_ALLOW", vec![rule(&["execve"], "SCMP_ACT_ERRNO")])));
    assert_eq!(error.raw_os_error(), Some(1), "{error}");
    Ok(())
}

fn main() -> ExitCode {
    let cases: &[Case] = &[
        ("filters_hold_in_init_and_in_exec", filters_hold_in_init_and_in_exec),
        ("the_kernel_says_so_outside", the_kernel_says_so_outside),
        ("without_a_profile_there_is_no_filter", without_a_profile_there_is_no_filter),
        ("error_numbers_are_the_profiles", error_numbers_are_the_profiles),
        ("nothing_but_the_execve_comes_after_the_filter", nothing_but_the_execve_comes_after_the_filter),
        ("what_a_profile_denies_breaks_no_start", what_a_profile_denies_breaks_no_start),
        ("hooks_of_the_container_are_filtered", hooks_of_the_container_are_filtered),
        ("actions_end_what_they_say", actions_end_what_they_say),
        ("conditions_on_arguments_hold", conditions_on_arguments_hold),
        ("a_user_namespace_is_privilege_enough", a_user_namespace_is_privilege_enough),
        ("profiles_that_cannot_be_name_what_is_wrong", profiles_that_cannot_be_name_what_is_wrong),
        ("every_flag_is_taken", every_flag_is_taken),
        ("an_agent_answers", an_agent_answers),
        ("an_agent_answers_for_programs_that_join", an_agent_answers_for_programs_that_join),
        ("corten_waits_for_the_agent_too", corten_waits_for_the_agent_too),
        ("the_helper_is_gone", the_helper_is_gone),
        ("an_agent_that_goes_leaves_enosys", an_agent_that_goes_leaves_enosys),
        ("an_agent_that_is_not_there_starts_nothing", an_agent_that_is_not_there_starts_nothing),
        ("the_library_user_can_be_the_agent", the_library_user_can_be_the_agent),
        ("a_program_that_cannot_be_executed_says_why", a_program_that_cannot_be_executed_says_why),
    ];
    let root = &[Requirement::Root];
    let add = |suite: Suite, (name, case): &Case| suite.needs(root, name, *case);
    let suite = cases.iter().fold(common::suite(), add);
    let name = "calls_of_another_architecture_are_covered_or_end_the_program";
    match cfg!(target_arch = "x86_64") {
        true => suite.needs(root, name, calls_of_another_architecture_are_covered_or_end_the_program),
        false => suite.ignored(name, "needs x86_64"),
    }
    .run()
}
