//! `examples/libcontainer.rs`: it runs, and each field of its configuration holds.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::{self, read_link};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use corten_testkit::{Failed, Report, Requirement, Rootfs, Run, Suite, example};

type Outcome = Result<(), Failed>;

const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_MKNOD",
    "CAP_AUDIT_WRITE",
    "CAP_SETFCAP",
];

/// A root file system that is the container's root's.
fn rootfs(rootfs: Rootfs) -> Rootfs {
    rootfs.give_to(1000, 1000).unwrap();
    rootfs
}

fn state(rootfs: &Rootfs) -> PathBuf {
    rootfs.scratch().path().join("state")
}

/// The example names its control group, so that there can be one at a time; what it makes above it goes with the test.
fn clear_up() {
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap() {
        // Only an empty group can be removed.
        let _ = fs::remove_dir(hierarchy.unwrap().path().join("system"));
    }
    let _ = fs::remove_dir("/sys/fs/cgroup/system");
}

fn every_field_holds_inside() -> Outcome {
    let rootfs = rootfs(Rootfs::new()?);
    let run = Run::new(example()).arg(rootfs.path()).arg("/bin/probe").env("CORTEN_STATE", state(&rootfs));
    let output = run.output()?.success()?;
    clear_up();
    let report: Report = output.json()?;
    for part in ["status: created", "status: paused", "state: container-id", "status: stopped, Exited(0)"] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
    identity(&report);
    mounts(&report);
    let device = |path: &str| report.device(path).map(|node| (node.major, node.minor));
    let expected =
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
    for (name, major, minor) in expected {
        assert_eq!(device(&format!("/dev/{name}")), Some((major, minor)), "{name}");
    }
    for (name, target) in [("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0")] {
        let node = report.device(&format!("/dev/{name}")).unwrap();
        assert_eq!(node.target.as_deref(), Some(target), "{name}");
    }
    assert!(!state(&rootfs).join("container-id").exists(), "it is destroyed");
    Ok(())
}

fn identity(report: &Report) {
    // A user that is not root has what is ambient only, and that the kernel refused.
    let sets = report.capabilities.as_ref().unwrap();
    assert_eq!(sets.bounding.names, CAPABILITIES);
    for set in [&sets.effective, &sets.permitted, &sets.inheritable, &sets.ambient] {
        assert!(set.names.is_empty(), "{set:?}");
    }
    for kind in ["mnt", "uts", "ipc", "pid", "user", "net", "cgroup"] {
        let ours = read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(report.namespace(kind).unwrap(), ours.to_str().unwrap(), "{kind}");
    }
    let time = read_link("/proc/self/ns/time").unwrap();
    assert_eq!(report.namespace("time"), time.to_str(), "it was not asked for");
    assert_eq!((report.pid, report.hostname.as_str()), (1, "testing"));
    assert_eq!((report.uids.real, report.gids.real), (1, 1), "daemon");
    for map in [&report.uid_map, &report.gid_map] {
        assert_eq!(map.as_deref(), Some(&["0 1000 65536".to_owned()][..]));
    }
    assert_eq!(report.env("PATH"), Some("/bin:/usr/bin"));
    let limit = &report.rlimits["RLIMIT_NOFILE"];
    assert_eq!((limit.soft, limit.hard), (Some(1025), Some(1025)));
    assert!(report.loopback_up);
    assert_eq!(report.interfaces.as_deref(), Some(&["lo".to_owned()][..]));
    for line in report.cgroups.as_ref().unwrap() {
        assert!(line.ends_with(":/"), "the root of its own namespace: {line}");
    }
}

fn mounts(report: &Report) {
    let expected: [(&str, &str, &[&str]); 6] = [
        ("/proc", "proc", &["noexec", "nosuid", "nodev"]),
        ("/dev", "tmpfs", &["nosuid", "mode=755"]),
        ("/dev/pts", "devpts", &["ptmxmode=666", "mode=620", "nosuid", "noexec"]),
        ("/dev/shm", "tmpfs", &["size=65536k", "noexec", "nosuid", "nodev"]),
        ("/dev/mqueue", "mqueue", &["noexec", "nosuid", "nodev"]),
        ("/sys", "sysfs", &["ro", "noexec", "nosuid", "nodev"]),
    ];
    for (path, kind, options) in expected {
        let mount = report.mount(path).unwrap_or_else(|| panic!("{path} is not mounted"));
        assert_eq!(mount.fstype, kind, "{path}");
        for option in options {
            assert!(mount.has(option), "{path}: {option}: {mount:?}");
        }
    }
    // Strictatime is the absence of relatime and noatime.
    let dev = report.mount("/dev").unwrap();
    assert!(!dev.has("relatime") && !dev.has("noatime") && !dev.has("ro"), "{dev:?}");
    // The group that devpts was told of is the container's, in its own namespace.
    assert!(report.mount("/dev/pts").unwrap().has("gid=1005"), "{:?}", report.mount("/dev/pts"));
    // Not every kernel has each of these, and what is not there needs no cover.
    let there = |path: &&str| Path::new(path).exists();
    for path in ["/proc/kcore"].into_iter().filter(there) {
        let masked = report.mount(path).unwrap();
        assert_eq!(masked.root, "/null", "a device that reads as empty: {masked:?}");
    }
    for path in ["/sys/firmware"].into_iter().filter(there) {
        let masked = report.mount(path).unwrap();
        assert!(masked.fstype == "tmpfs" && masked.has("ro"), "{masked:?}");
    }
    for path in ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"].into_iter().filter(there) {
        let mount = report.mount(path).unwrap();
        assert!(mount.fstype == "proc" && mount.options.iter().any(|option| option == "ro"), "{mount:?}");
    }
}

fn limits_and_rules_hold_outside() -> Outcome {
    let rootfs = rootfs(Rootfs::new()?);
    let mut child = Command::new(example())
        .arg(rootfs.path())
        .args(["/bin/probe", "sleep"])
        .env("CORTEN_STATE", state(&rootfs))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let pid: i32 = said.next().unwrap()?.rsplit(' ').next().unwrap().parse()?;
    // Once the program runs, all that the example shows before is over.
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready)?;
    let groups = groups(&fs::read_to_string(format!("/proc/{pid}/cgroup"))?);
    let outside = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let read = |controller: &str, file: &str| {
        let directory = groups.get(controller)?;
        fs::read_to_string(directory.join(file)).ok().map(|text| text.trim().to_owned())
    };
    let seen = (
        read("memory", "memory.limit_in_bytes").or(read("", "memory.max")),
        read("pids", "pids.max").or(read("", "pids.max")),
        read("cpu", "cpu.shares").or(read("", "cpu.weight")),
        read("devices", "devices.list"),
    );
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::TERM,
    )?;
    let status = child.wait()?;
    clear_up();
    assert!(status.success(), "{status}");
    assert!(ready.contains("ready"), "{ready}");
    assert!(groups.values().any(|path| path.ends_with("system/test-container")), "{groups:?}");
    assert_eq!((seen.0.as_deref(), seen.1.as_deref()), (Some("268435456"), Some("100")));
    let shares = if groups.contains_key("cpu") { "512" } else { "59" };
    assert_eq!(seen.2.as_deref(), Some(shares));
    assert!(outside.lines().any(|line| line.split_whitespace().take(2).eq(["Uid:", "1001"])), "{outside}");
    if let Some(rules) = seen.3 {
        let mut rules: Vec<&str> = rules.lines().collect();
        rules.sort_unstable();
        let mut expected =
            vec!["b *:* m", "c *:* m", "c 10:200 rwm", "c 136:* rwm", "c 5:2 rwm", "c 5:0 rwm"];
        expected.extend(["c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm"]);
        expected.sort_unstable();
        assert_eq!(rules, expected);
    }
    Ok(())
}

/// The directories of a process's groups by controller; the empty name is v2.
fn groups(text: &str) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap(), parts.next().unwrap().trim_start_matches('/'));
        for controller in controllers.split(',') {
            let name = controller.trim_start_matches("name=");
            let mounts = [format!("/sys/fs/cgroup/{name}"), "/sys/fs/cgroup/unified".to_owned()];
            let mut mounts =
                mounts.into_iter().filter(|mount| Path::new(mount).join("cgroup.procs").exists());
            let mount = mounts.next().unwrap_or_else(|| "/sys/fs/cgroup".to_owned());
            found.insert(controller.to_owned(), Path::new(&mount).join(path));
        }
    }
    found
}

fn without_a_command_it_runs_the_shell() -> Outcome {
    let rootfs = rootfs(Rootfs::busybox()?);
    let run = Run::new(example()).arg(rootfs.path()).env("CORTEN_STATE", state(&rootfs));
    let output = run.stdin("id -un; hostname; exit 7\n").output()?.code(7)?;
    clear_up();
    assert_eq!(output.stdout, "daemon\ntesting\n");
    Ok(())
}

fn a_root_that_is_not_there_is_told() -> Outcome {
    let rootfs = rootfs(Rootfs::new()?);
    let run = Run::new(example()).arg("/nonexistent/root").env("CORTEN_STATE", state(&rootfs));
    let output = run.output()?.code(1)?;
    clear_up();
    assert!(output.stderr.contains("/nonexistent/root"), "{}", output.stderr);
    assert!(!state(&rootfs).join("container-id").exists());
    Ok(())
}

fn main() -> ExitCode {
    let root = [Requirement::Root];
    Suite::new()
        .one_at_a_time()
        .needs(&root, "every_field_holds_inside", every_field_holds_inside)
        .needs(&root, "limits_and_rules_hold_outside", limits_and_rules_hold_outside)
        .needs(
            &[Requirement::Root, Requirement::Busybox],
            "without_a_command_it_runs_the_shell",
            without_a_command_it_runs_the_shell,
        )
        .needs(&root, "a_root_that_is_not_there_is_told", a_root_that_is_not_there_is_told)
        .run()
}
