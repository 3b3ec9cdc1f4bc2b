//! Attacks that container runtimes have suffered, each tried. SECURITY.md names the defence of each.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Outcome, Stage};
use corten_oci::{Device, Mount, Namespace, Spec};
use corten_testkit::{Report, Requirement, Suite, rounds};
use rustix::fs::{CWD, FileType, RenameFlags};

fn mount(destination: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        typ: Some(typ.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn program(spec: &mut Spec, words: &[&str]) {
    let words = ["/bin/probe"].iter().chain(words).map(|word| (*word).to_owned());
    spec.process.as_mut().unwrap().args = words.collect();
}

/// What the probe saw as the program of this container, which must start.
fn report(stage: &Stage) -> Report {
    stage.does(&["run", stage.id()]).json().unwrap()
}

/// Everything below a directory that a container could have changed: names, kinds, modes, owners, sizes, devices, contents.
fn fingerprint(directory: &Path) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        let status = path.symlink_metadata().unwrap();
        let content = if status.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let facts = [
            u64::from(status.mode()),
            u64::from(status.uid()),
            u64::from(status.gid()),
            status.rdev(),
            status.dev(),
        ];
        seen.insert(format!("{} {facts:?} {content:?}", path.display()));
        if status.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    seen
}

/// A directory of the host's, beside the root file system, that nothing may change.
fn victim(stage: &Stage) -> PathBuf {
    let victim = stage.bundle.path().join("victim");
    for directory in ["pts", "shm", "mqueue", "sys", "fs"] {
        fs::create_dir_all(victim.join(directory)).unwrap();
    }
    for file in ["null", "console", "ptmx", "passwd", "core_pattern"] {
        fs::write(victim.join(file), "precious").unwrap();
    }
    victim
}

/// CVE-2019-5736: who has the program open, from a process of a container, can overwrite it once it has ended.
fn the_runtimes_program_cannot_be_overwritten() -> Outcome {
    let stage = Stage::new(|spec| program(spec, &["exit", "0"]));
    let bytes = fs::read(common::corten())?;
    stage.does(&["create", stage.id()]);
    let state: serde_json::Value = stage.does(&["state", stage.id()]).json()?;
    let held = File::open(format!("/proc/{}/exe", state["pid"]))?;
    stage.does(&["start", stage.id()]);
    common::eventually("the container ends", || stage.status() == "stopped");
    // Nobody executes it now, and a busy text file is no excuse any more.
    let again = OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", held.as_raw_fd()));
    assert!(again.is_err(), "the program of a container's init can be written");
    let mut copy = Vec::new();
    (&held).read_to_end(&mut copy)?;
    assert!(copy == bytes && fs::read(common::corten())? == bytes);
    stage.does(&["delete", stage.id()]);
    Ok(())
}

/// The same by an image whose program is `/proc/self/exe`: what runs then is the sealed copy, a stranger to the command line.
fn a_program_that_is_the_runtime_itself_is_sealed() -> Outcome {
    let bytes = fs::read(common::corten())?;
    let stage = Stage::new(|spec| {
        spec.process.as_mut().unwrap().args = ["/proc/self/exe", "--version"].map(str::to_owned).to_vec();
    });
    let output = stage.corten(&["run", stage.id()]).output()?;
    assert!(!output.timed_out(), "{}", output.describe());
    assert!(fs::read(common::corten())? == bytes);
    stage.nothing_is_left();
    Ok(())
}

/// CVE-2016-9962: a container's root looks into a process that is on its way into the same pid namespace.
fn nobody_looks_into_init_before_it_executes() -> Outcome {
    let host = Stage::waiting(|_| {});
    host.does(&["run", "--detach", host.id()]);
    let state: serde_json::Value = host.does(&["state", host.id()]).json()?;
    let namespace = format!("/proc/{}/ns/pid", state["pid"]);
    let guest = Stage::new(|spec| {
        let namespaces = &mut spec.linux.as_mut().unwrap().namespaces;
        namespaces.retain(|kind| kind.typ != "pid");
        namespaces.push(Namespace { typ: "pid".to_owned(), path: Some(namespace) });
        program(spec, &["sleep"]);
    });
    guest.does(&["create", guest.id()]);
    let init: serde_json::Value = guest.does(&["state", guest.id()]).json()?;
    let status = fs::read_to_string(format!("/proc/{}/status", init["pid"]))?;
    let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    let inside = inside.split_whitespace().last().unwrap();
    let seen: serde_json::Value = host.does(&["exec", host.id(), "/bin/probe", "spy", inside]).json()?;
    assert_eq!(seen["value"]["seen"], true, "the test looks at nobody: {seen}");
    assert_eq!(seen["value"]["open"], serde_json::json!([]), "{seen}");
    // The spy is no fool: once the program runs, it sees what is its right.
    guest.does(&["start", guest.id()]);
    let seen: serde_json::Value = host.does(&["exec", host.id(), "/bin/probe", "spy", inside]).json()?;
    assert!(!seen["value"]["open"].as_array().unwrap().is_empty(), "{seen}");
    for stage in [&guest, &host] {
        stage.does(&["delete", "--force", stage.id()]);
        stage.nothing_is_left();
    }
    Ok(())
}

/// CVE-2024-21626: a working directory behind a descriptor that the runtime forgot to close is outside the container.
fn no_descriptor_leads_out() -> Outcome {
    let own = Stage::waiting(|_| {});
    own.does(&["run", "--detach", own.id()]);
    for number in 0..32 {
        let place = format!("/proc/self/fd/{number}");
        let stage = Stage::new(|spec| spec.process.as_mut().unwrap().cwd = place.clone());
        symlink(&place, stage.inside("way-out"))?;
        for cwd in [place.as_str(), "/way-out"] {
            let mut spec = stage.bundle.spec.clone();
            spec.process.as_mut().unwrap().cwd = cwd.to_owned();
            fs::write(stage.bundle.path().join("config.json"), serde_json::to_vec(&spec)?)?;
            let output = stage.corten(&["run", stage.id()]).output()?;
            if output.status.success() {
                let report: Report = output.json()?;
                panic!("{cwd} is a working directory: {:?}", report.cwd);
            }
            assert!(
                output.stderr.contains("cwd") || output.stderr.contains("working directory"),
                "{}",
                output.describe()
            );
            stage.nothing_is_left();
        }
        let output = own.corten(&["exec", "--cwd", &place, own.id(), "/bin/probe"]).output()?;
        assert_eq!(output.status.code(), Some(255), "{}", output.describe());
    }
    let report: Report = own.does(&["exec", own.id(), "/bin/probe"]).json()?;
    // The probe's own directory stream is among them.
    let fds: Vec<i32> = report.fds.unwrap().into_keys().filter(|number| *number > 2).collect();
    assert!(fds.is_empty(), "{fds:?}");
    own.does(&["delete", "--force", own.id()]);
    own.nothing_is_left();
    Ok(())
}

/// CVE-2021-43784: a field longer than its length can say must not become other fields: namespaces of the attacker's choice.
fn long_fields_stay_what_they_are() -> Outcome {
    let long = "x".repeat(100_000);
    let stage = Stage::new(|spec| {
        let process = spec.process.as_mut().unwrap();
        process.env.extend((0..15).map(|number| format!("LONG{number}={long}")));
    });
    let report = report(&stage);
    for number in 0..15 {
        assert_eq!(report.env(&format!("LONG{number}")).map(str::len), Some(100_000));
    }
    let own = |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
    for kind in ["pid", "mnt", "ipc", "uts", "net"] {
        assert_ne!(report.namespace(kind).unwrap(), own(kind));
    }
    let stage = Stage::new(|spec| {
        let path = Some(format!("/proc/self/ns/{}", "x".repeat(70_000)));
        let namespaces = &mut spec.linux.as_mut().unwrap().namespaces;
        namespaces.retain(|kind| kind.typ != "ipc");
        namespaces.push(Namespace { typ: "ipc".to_owned(), path });
    });
    let message = stage.fails(&["run", stage.id()], 1);
    assert!(message.contains("open the ipc namespace"), "{}", &message[..200]);
    Ok(())
}

/// CVE-2022-29162, CVE-2022-27650: inheritable capabilities that nobody asked for.
fn nothing_is_inheritable_unasked() -> Outcome {
    let stage = Stage::waiting(|_| {});
    let none = "0000000000000000";
    stage.does(&["run", "--detach", stage.id()]);
    let report: Report =
        stage.does(&["exec", "--cap", "CAP_SYS_TIME", "--user", "7", stage.id(), "/bin/probe"]).json()?;
    let sets = report.capabilities.unwrap();
    assert!(sets.bounding.names.iter().any(|name| name == "CAP_SYS_TIME"), "{:?}", sets.bounding);
    assert_eq!((sets.inheritable.hex.as_str(), sets.ambient.hex.as_str()), (none, none));
    stage.does(&["delete", "--force", stage.id()]);
    let spec = corten_oci::default_spec();
    assert!(spec.process.unwrap().capabilities.unwrap().inheritable.is_empty());
    Ok(())
}

/// CVE-2026-30892 (crun): `exec --user 1` is user 1, and what is no user is refused.
fn users_are_who_they_are() -> Outcome {
    let stage = Stage::waiting(|_| {});
    stage.does(&["run", "--detach", stage.id()]);
    for (word, expected) in
        [("1", (1, 0)), ("1:2", (1, 2)), ("0", (0, 0)), ("4294967294", (4_294_967_294, 0))]
    {
        let report: Report = stage.does(&["exec", "--user", word, stage.id(), "/bin/probe"]).json()?;
        assert_eq!((report.uids.effective, report.gids.effective), expected, "{word}");
    }
    for word in ["", ":", "1:", ":1", "x", "1x", "1:x", "-1", "4294967296", "1:2:3", " 1", "0x1"] {
        let output = stage.corten(&["exec", &format!("--user={word}"), stage.id(), "/bin/probe"]).output()?;
        assert_eq!(output.status.code(), Some(255), "{word:?}: {}", output.describe());
    }
    stage.does(&["delete", "--force", stage.id()]);
    Ok(())
}

/// CVE-2025-31133: a volume at /dev whose `null` leads elsewhere must not show that in the place of what is masked.
fn masks_are_the_hosts_null_device() -> Outcome {
    let stage = Stage::new(|spec| {
        spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
        program(spec, &["stat", "/proc/timer_list"]);
        spec.linux.as_mut().unwrap().masked_paths =
            ["/proc/timer_list", "/etc/secret", "/way"].map(str::to_owned).to_vec();
    });
    let volume = stage.bundle.path().join("volume");
    fs::create_dir(&volume)?;
    symlink("/proc/sysrq-trigger", volume.join("null"))?;
    fs::write(stage.inside("etc/secret"), "secret")?;
    symlink("/etc/secret", stage.inside("way"))?;
    let mut spec = stage.bundle.spec.clone();
    spec.mounts.push(mount("/dev", "bind", volume.to_str().unwrap(), &["bind"]));
    for (path, kind) in [("/proc/timer_list", true), ("/etc/secret", true), ("/proc/uptime", false)] {
        program(&mut spec, &["stat", path]);
        fs::write(stage.bundle.path().join("config.json"), serde_json::to_vec(&spec)?)?;
        let node: serde_json::Value = stage.does(&["run", stage.id()]).json()?;
        let null = node["value"]["major"] == 1 && node["value"]["minor"] == 3;
        assert_eq!(null, kind, "{path}: {node}");
    }
    Ok(())
}

/// What masks a file is the host's, and its mode is what it has for all the host.
fn masks_cannot_be_changed() -> Outcome {
    let stage = Stage::new(|spec| {
        program(spec, &["chmod", "/etc/secret"]);
        spec.linux.as_mut().unwrap().masked_paths =
            vec!["/proc/timer_list".to_owned(), "/etc/secret".to_owned()];
    });
    fs::write(stage.inside("etc/secret"), "secret")?;
    let said = stage.corten(&["run", stage.id()]).output()?.describe();
    assert!(said.contains("EROFS"), "{said}");
    Ok(())
}

/// CVE-2025-52565: a terminal comes from the container's own devpts, or not at all.
fn a_terminal_is_not_taken_from_a_volume() -> Outcome {
    for hostile in ["ptmx is a link", "pts is a link", "ptmx is a file", "console is a link"] {
        let stage = Stage::new(|spec| {
            spec.process.as_mut().unwrap().terminal = true;
            spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
            program(spec, &["exit", "0"]);
        });
        let victim = victim(&stage);
        let volume = stage.bundle.path().join("volume");
        fs::create_dir_all(volume.join("pts"))?;
        match hostile {
            "ptmx is a link" => symlink("/proc/self/fd/0", volume.join("pts/ptmx"))?,
            "ptmx is a file" => fs::write(volume.join("pts/ptmx"), "")?,
            "pts is a link" => {
                fs::remove_dir(volume.join("pts"))?;
                symlink("/tmp", volume.join("pts"))?;
            }
            _ => symlink(victim.join("core_pattern"), volume.join("console"))?,
        }
        let mut spec = stage.bundle.spec.clone();
        spec.mounts.push(mount("/dev", "bind", volume.to_str().unwrap(), &["bind"]));
        fs::write(stage.bundle.path().join("config.json"), serde_json::to_vec(&spec)?)?;
        let before = fingerprint(&victim);
        let output = stage.corten(&["run", stage.id()]).output()?;
        assert!(!output.timed_out() && !output.status.success(), "{hostile}: {}", output.describe());
        assert_eq!(fingerprint(&victim), before, "{hostile}");
        stage.nothing_is_left();
    }
    Ok(())
}

/// What an attacker puts in the place of a directory or a file that the runtime uses.
fn plant(kind: &str, place: &Path, victim: &Path) {
    drop(fs::remove_dir_all(place).or_else(|_| fs::remove_file(place)));
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let node = |kind, device| rustix::fs::mknodat(CWD, place, kind, 0o666.into(), device).unwrap();
    match kind {
        "an absolute link" => symlink(victim, place).unwrap(),
        "a climbing link" => {
            symlink(format!("../../../../../../../../../..{}", victim.display()), place).unwrap();
        }
        "a link to itself" => symlink(place.file_name().unwrap(), place).unwrap(),
        "a magic link" => symlink("/proc/self/root", place).unwrap(),
        "a FIFO" => node(FileType::Fifo, 0),
        "a device" => node(FileType::CharacterDevice, rustix::fs::makedev(1, 5)),
        _ => fs::write(place, "").unwrap(),
    }
}

/// CVE-2026-41579, CVE-2026-47766 and their kin: whatever an image has in the place of what the runtime makes or reads, it
/// starts or is refused, in time, and nothing of the host's changes.
fn a_hostile_image_changes_nothing_outside() -> Outcome {
    let kinds = [
        "an absolute link",
        "a climbing link",
        "a link to itself",
        "a magic link",
        "a FIFO",
        "a device",
        "a file",
    ];
    let places = [
        "proc",
        "sys",
        "dev",
        "etc",
        "etc/passwd",
        "etc/group",
        "dev/null",
        "dev/zero",
        "dev/pts",
        "dev/shm",
        "dev/console",
        "dev/ptmx",
        "dev/fd",
        "dev/mqueue",
        "tmp",
        "root",
    ];
    // With the usual mounts, and with an image whose own /dev is used.
    let cases: Vec<_> = places
        .iter()
        .flat_map(|place| kinds.iter().flat_map(move |kind| [(place, kind, false), (place, kind, true)]))
        .collect();
    // Those of an emulated machine are spread over all.
    for (place, kind, bare) in cases.iter().step_by(cases.len() / rounds(cases.len())) {
        let stage = Stage::new(|spec| {
            if *bare {
                spec.mounts.retain(|mount| mount.destination == "/proc");
            }
            spec.root.as_mut().unwrap().readonly = false;
            spec.process.as_mut().unwrap().cwd = "/root/made".to_owned();
            spec.process.as_mut().unwrap().env.retain(|entry| !entry.starts_with("HOME"));
            program(spec, &["exit", "0"]);
        });
        let victim = victim(&stage);
        plant(kind, &stage.inside(place), &victim);
        let before = fingerprint(&victim);
        let output = stage.corten(&["run", stage.id()]).output()?;
        let told = format!("{place} is {kind}: {}", output.describe());
        assert!(!output.timed_out(), "{told}");
        assert!(output.status.success() || output.stderr.contains("error"), "{told}");
        assert_eq!(fingerprint(&victim), before, "{told}");
        stage.nothing_is_left();
    }
    Ok(())
}

/// CVE-2021-30465, CVE-2024-45310 and youki's read-only paths (GHSA-3q8j-pf29-vwv8): a volume that another container shares is
/// changed under the runtime's hands, thousands of times a second.
fn a_race_changes_nothing_outside() -> Outcome {
    let stage = Stage::new(|spec| {
        program(spec, &["list", "/"]);
        let linux = spec.linux.as_mut().unwrap();
        linux.readonly_paths = vec!["/var/volume/place/closed".to_owned()];
        linux.masked_paths =
            vec!["/var/volume/place/masked".to_owned(), "/var/volume/place/hidden".to_owned()];
        linux.devices.push(Device {
            typ: "c".to_owned(),
            path: "/var/volume/place/device".to_owned(),
            major: Some(1),
            minor: Some(3),
            ..Device::default()
        });
        spec.root.as_mut().unwrap().readonly = false;
    });
    let victim = victim(&stage);
    let volume = stage.bundle.path().join("volume");
    for directory in ["place", "place/closed", "place/hidden"] {
        fs::create_dir_all(volume.join(directory))?;
        fs::create_dir_all(victim.join(directory.trim_start_matches("place").trim_start_matches('/')))?;
    }
    fs::write(volume.join("place/masked"), "")?;
    fs::write(victim.join("masked"), "precious")?;
    symlink(&victim, volume.join("other"))?;
    let mut spec = stage.bundle.spec.clone();
    let source = volume.to_str().unwrap();
    spec.mounts.push(mount("/var/volume", "bind", source, &["bind"]));
    spec.mounts.push(mount("/var/volume/place/new/deep", "tmpfs", "tmpfs", &[]));
    spec.mounts.push(mount("/var/volume/place/file", "bind", "/etc/passwd", &["bind"]));
    fs::write(stage.bundle.path().join("config.json"), serde_json::to_vec(&spec)?)?;
    let before = fingerprint(&victim);
    let done = AtomicBool::new(false);
    let runs = rounds(100);
    let (mut started, mut exchanges) = (0, 0_u64);
    std::thread::scope(|scope| {
        let racer = scope.spawn(|| {
            let (place, other) = (volume.join("place"), volume.join("other"));
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, &place, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                rounds += 1;
            }
            rounds
        });
        for _ in 0..runs {
            let output = stage.corten(&["run", stage.id()]).output().unwrap();
            started += u32::from(output.status.success());
            if output.timed_out() || fingerprint(&victim) != before {
                done.store(true, Ordering::Relaxed);
                panic!("{}", output.describe());
            }
        }
        done.store(true, Ordering::Relaxed);
        exchanges = racer.join().unwrap();
    });
    stage.nothing_is_left();
    assert!(exchanges > 2000, "only {exchanges} exchanges");
    eprintln!("{exchanges} exchanges, {started} of {runs} containers started");
    Ok(())
}

/// No mount but those inside the root is in sight.
fn no_mount_of_the_host_is_seen() -> Outcome {
    for no_pivot in [false, true] {
        let stage = Stage::new(|_| {});
        let mut arguments = vec!["run"];
        arguments.extend(no_pivot.then_some("--no-pivot"));
        let report: Report = stage.does(&[&arguments[..], &[stage.id()]].concat()).json()?;
        let known = ["/", "/proc", "/dev", "/sys"];
        for mount in report.mounts.unwrap() {
            let inside = known.iter().any(|place| mount.mountpoint == *place)
                || ["/proc/", "/dev/", "/sys/"].iter().any(|place| mount.mountpoint.starts_with(place));
            assert!(inside, "{mount:?}");
        }
    }
    Ok(())
}

/// CVE-2023-25809: without a cgroup namespace, a container of a user's own must not get the host's groups to write to.
fn the_hosts_groups_are_not_there_to_write() -> Outcome {
    for typ in ["cgroup", "cgroup2"] {
        let stage = Stage::new(|spec| {
            spec.linux.as_mut().unwrap().namespaces.retain(|kind| kind.typ != "cgroup");
            spec.mounts.retain(|mount| mount.destination != "/sys/fs/cgroup");
            spec.mounts.push(mount("/sys/fs/cgroup", typ, "cgroup", &["rw"]));
        });
        let report = report(&stage);
        let groups: Vec<_> =
            report.mounts.unwrap().into_iter().filter(|mount| mount.fstype.starts_with("cgroup")).collect();
        assert!(!groups.is_empty());
        for mount in groups {
            assert!(mount.root.ends_with(stage.id()), "more than its own group: {mount:?}");
        }
        // One without a group of its own may look at the caller's.
        let words = ["--cgroup-manager", "disabled", "run", stage.id()];
        let report: Report = stage.does(&words).json()?;
        for mount in report.mounts.unwrap() {
            let read_only = mount.options.contains(&"ro".to_owned());
            assert!(read_only || !mount.fstype.starts_with("cgroup"), "{mount:?}");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let needs = [Requirement::Root];
    let cases: [common::Case; 14] = [
        ("the_runtimes_program_cannot_be_overwritten", the_runtimes_program_cannot_be_overwritten),
        ("a_program_that_is_the_runtime_itself_is_sealed", a_program_that_is_the_runtime_itself_is_sealed),
        ("nobody_looks_into_init_before_it_executes", nobody_looks_into_init_before_it_executes),
        ("no_descriptor_leads_out", no_descriptor_leads_out),
        ("long_fields_stay_what_they_are", long_fields_stay_what_they_are),
        ("nothing_is_inheritable_unasked", nothing_is_inheritable_unasked),
        ("users_are_who_they_are", users_are_who_they_are),
        ("masks_are_the_hosts_null_device", masks_are_the_hosts_null_device),
        ("masks_cannot_be_changed", masks_cannot_be_changed),
        ("a_terminal_is_not_taken_from_a_volume", a_terminal_is_not_taken_from_a_volume),
        ("a_hostile_image_changes_nothing_outside", a_hostile_image_changes_nothing_outside),
        ("a_race_changes_nothing_outside", a_race_changes_nothing_outside),
        ("no_mount_of_the_host_is_seen", no_mount_of_the_host_is_seen),
        ("the_hosts_groups_are_not_there_to_write", the_hosts_groups_are_not_there_to_write),
    ];
    common::corten();
    cases.iter().fold(Suite::new(), |suite, (name, case)| suite.needs(&needs, name, *case)).run()
}
