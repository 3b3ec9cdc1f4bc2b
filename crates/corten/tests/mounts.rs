//! Mounts, devices, masked and read-only paths, seen from inside.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Outcome, Stage, output, probe, refusal, report};
use corten::oci::{Device, IdMapping, Mount, Namespace, Spec};
use corten::{Error, ExitStatus};
use corten_testkit::{Report, Requirement, View, rounds};

fn mount(destination: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        typ: Some(typ.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn with_user_namespace(spec: &mut Spec) {
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.push(Namespace { typ: "user".to_owned(), path: None });
    let mapping = IdMapping { container_id: 0, host_id: 100_000, size: 65_536 };
    linux.uid_mappings = vec![mapping];
    linux.gid_mappings = vec![mapping];
}

/// Runs the probe in this stage, which must succeed.
fn seen(stage: &Stage, arguments: &[&str]) -> String {
    let container = stage.container();
    let (status, text) = output(|process| container.run(process), probe(arguments));
    container.destroy().map_err(Error::from).unwrap();
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    text
}

fn options_of_a_tmpfs_arrive() -> Outcome {
    let flags = ["nosuid", "nodev", "noexec", "ro", "noatime", "nodiratime", "nosymfollow"];
    for flag in flags {
        let report = report(|spec| {
            spec.mounts.push(mount("/tmp", "tmpfs", "mark", &[flag, "size=4096k", "mode=711"]))
        });
        let mount = report.mount("/tmp").unwrap();
        assert!(mount.has(flag), "{flag}: {mount:?}");
        assert!(mount.super_options.contains(&"size=4096k".to_owned()), "{mount:?}");
        assert!(mount.super_options.contains(&"mode=711".to_owned()), "{mount:?}");
        assert_eq!(mount.source, "mark");
    }
    // The last of two that contradict each other counts.
    let report =
        report(|spec| spec.mounts.push(mount("/tmp", "tmpfs", "mark", &["ro", "rw", "nosuid", "suid"])));
    let mount = report.mount("/tmp").unwrap();
    assert!(mount.has("rw") && !mount.has("nosuid"), "{mount:?}");
    Ok(())
}

fn kinds_of_file_systems_are_mounted() -> Outcome {
    let report = report(|_| {});
    for (place, kind) in [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
        ("/sys", "sysfs"),
    ] {
        assert_eq!(report.mount(place).unwrap().fstype, kind, "{place}");
    }
    assert!(report.mount("/dev/pts").unwrap().super_options.contains(&"ptmxmode=666".to_owned()));
    assert!(report.mount("/sys").unwrap().has("ro"));
    assert!(report.mount("/").unwrap().has("ro"));
    // Nothing of the host's is in sight but the root file system.
    let strangers: Vec<_> =
        report.mounts.as_ref().unwrap().iter().filter(|mount| mount.mountpoint.contains("corten")).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    Ok(())
}

fn binds_take_their_options() -> Outcome {
    let stage = Stage::new(|_| {});
    let outside = stage.bundle.path().join("outside");
    fs::create_dir_all(outside.join("below"))?;
    fs::write(outside.join("file"), "hello")?;
    let source = outside.to_str().unwrap();
    let file = outside.join("file");
    let report = report(|spec| {
        spec.mounts.push(mount("/var/plain", "bind", source, &["bind"]));
        spec.mounts.push(mount("/var/closed", "none", source, &["rbind", "ro", "nosuid", "nodev", "noexec"]));
        spec.mounts.push(mount("/var/deep", "bind", source, &["rbind", "rro", "rnosuid"]));
        spec.mounts.push(mount("/etc/one/file", "bind", file.to_str().unwrap(), &["bind", "ro"]));
        spec.mounts.push(mount("/var/shared", "bind", source, &["bind", "shared"]));
        spec.mounts.push(mount("/var/unbindable", "bind", source, &["bind", "runbindable"]));
        spec.root.as_mut().unwrap().readonly = false;
    });
    assert!(report.mount("/var/plain").unwrap().has("rw"));
    let closed = report.mount("/var/closed").unwrap();
    assert!(["ro", "nosuid", "nodev", "noexec"].iter().all(|option| closed.has(option)), "{closed:?}");
    let deep = report.mount("/var/deep").unwrap();
    assert!(deep.has("ro") && deep.has("nosuid"), "{deep:?}");
    assert!(report.mount("/etc/one/file").unwrap().has("ro"));
    let shared = &report.mount("/var/shared").unwrap().propagation;
    assert!(shared.iter().any(|word| word.starts_with("shared:")), "{shared:?}");
    assert!(report.mount("/var/unbindable").unwrap().propagation.contains(&"unbindable".to_owned()));
    let error = refusal(|spec| spec.mounts.push(mount("/var/x", "bind", "/nonexistent/source", &["bind"])));
    assert!(error.to_string().contains("/nonexistent/source"), "{error}");
    Ok(())
}

/// What is below a bind mount: `ro` is for the mount itself, `rro` for all.
fn recursive_attributes_reach_the_mounts_below() -> Outcome {
    let scratch = corten_testkit::Scratch::new()?;
    let below = scratch.path().join("below");
    fs::create_dir(&below)?;
    rustix::mount::mount("corten-test", &below, "tmpfs", rustix::mount::MountFlags::empty(), None)?;
    for (option, expected) in [("ro", "rw"), ("rro", "ro")] {
        let source = scratch.path().to_str().unwrap();
        let report = report(|spec| spec.mounts.push(mount("/var", "bind", source, &["rbind", option])));
        assert!(report.mount("/var").unwrap().has("ro"));
        let below = report.mount("/var/below").unwrap();
        assert!(below.has(expected), "{option}: {below:?}");
    }
    Ok(())
}

fn tmpcopyup_begins_with_what_was_there() -> Outcome {
    let stage = Stage::new(|spec| {
        spec.mounts.push(mount("/var", "tmpfs", "tmpfs", &["tmpcopyup", "mode=700"]));
    });
    let var = stage.bundle.rootfs().path().join("var");
    fs::create_dir_all(var.join("one/two"))?;
    fs::write(var.join("one/two/file"), "content")?;
    fs::set_permissions(var.join("one/two/file"), fs::Permissions::from_mode(0o4755))?;
    std::os::unix::fs::chown(var.join("one/two/file"), Some(7), Some(8))?;
    fs::set_permissions(var.join("one/two/file"), fs::Permissions::from_mode(0o4755))?;
    symlink("/etc/passwd", var.join("link"))?;
    assert!(seen(&stage, &["read", "/var/one/two/file"]).contains("content"));
    let node: serde_json::Value = serde_json::from_str(&seen(&stage, &["stat", "/var/one/two/file"]))?;
    let mode = node["value"]["mode"].as_u64().unwrap() & 0o7777;
    assert_eq!(
        (mode, node["value"]["uid"].as_u64(), node["value"]["gid"].as_u64()),
        (0o4755, Some(7), Some(8))
    );
    let link: serde_json::Value = serde_json::from_str(&seen(&stage, &["stat", "/var/link"]))?;
    assert_eq!(link["value"]["target"], "/etc/passwd");
    seen(&stage, &["touch", "/var/one/new"]);
    assert!(!var.join("one/new").exists(), "the image stays as it is");
    Ok(())
}

/// What is asked for wins; else the mode is that of the directory, where there was one. The owner is never the directory's.
fn the_root_of_a_tmpfs_is_what_was_asked_for() -> Outcome {
    for (place, copied, asked, expected) in [
        ("/there", false, None, 0o2750),
        ("/there", true, None, 0o2750),
        ("/there", false, Some("mode=711"), 0o711),
        ("/there", true, Some("mode=711"), 0o711),
        ("/missing/deep", false, None, 0o1777),
        ("/missing/deep", true, None, 0o1777),
        ("/missing/deep", false, Some("mode=711"), 0o711),
        ("/missing/deep", true, Some("mode=711"), 0o711),
    ] {
        for (ids, owner) in [(&[][..], (0, 0)), (&["uid=5", "gid=6"][..], (5, 6)), (&["uid=5"][..], (5, 0))] {
            let options = [ids, asked.as_slice(), if copied { &["tmpcopyup"] } else { &[] }].concat();
            let stage = Stage::new(|spec| {
                spec.mounts.push(mount(place, "tmpfs", "tmpfs", &options));
                spec.root.as_mut().unwrap().readonly = false;
            });
            let there = stage.bundle.rootfs().path().join("there");
            fs::create_dir(&there)?;
            fs::write(there.join("file"), "")?;
            std::os::unix::fs::chown(&there, Some(7), Some(8))?;
            fs::set_permissions(&there, fs::Permissions::from_mode(0o2750))?;
            let said = seen(&stage, &["stat", place]);
            let node: serde_json::Value = serde_json::from_str(&said)?;
            let number = |name: &str| node["value"][name].as_u64();
            assert_eq!(
                number("mode").map(|mode| mode & 0o7777),
                Some(expected),
                "{place} {options:?}: {said}"
            );
            assert_eq!((number("uid"), number("gid")), (Some(owner.0), Some(owner.1)), "{place} {options:?}");
            // The probe may not pass over the mode of what is not its own.
            if place == "/there" && ids.is_empty() {
                assert_eq!(seen(&stage, &["list", place]).contains("file"), copied, "{options:?}");
            }
        }
    }
    Ok(())
}

fn paths_are_masked_and_read_only() -> Outcome {
    let stage = Stage::new(|spec| {
        spec.root.as_mut().unwrap().readonly = false;
        let linux = spec.linux.as_mut().unwrap();
        linux.masked_paths.extend(["/etc/secret", "/var/secrets", "/no/such/path"].map(str::to_owned));
        linux.readonly_paths.extend(["/etc", "/var/log", "/no/such/path"].map(str::to_owned));
    });
    let root = stage.bundle.rootfs().path();
    fs::write(root.join("etc/secret"), "secret")?;
    fs::create_dir_all(root.join("var/secrets/deep"))?;
    fs::create_dir_all(root.join("var/log"))?;
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let does = |deed: &[&str]| {
        let (_, text) = output(|process| container.exec(process), probe(deed));
        let said: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        (said["error"].as_str().unwrap_or("ok").to_owned(), said["value"].clone())
    };
    assert_eq!(does(&["read", "/etc/secret"]), ("ok".to_owned(), "".into()));
    assert_eq!(does(&["list", "/var/secrets"]).1, serde_json::json!([]));
    assert_eq!(does(&["touch", "/var/secrets/x"]).0, "EROFS");
    assert_eq!(does(&["touch", "/etc/x"]).0, "EROFS");
    assert_eq!(does(&["touch", "/var/log/x"]).0, "EROFS");
    assert_eq!(does(&["touch", "/var/x"]).0, "ok");
    if std::path::Path::new("/proc/timer_list").exists() {
        assert_eq!(does(&["read", "/proc/timer_list"]), ("ok".to_owned(), "".into()));
    }
    assert_eq!(does(&["write", "/proc/sys/kernel/hostname", "x"]).0, "EROFS");
    if std::path::Path::new("/sys/firmware").exists() {
        assert_eq!(does(&["list", "/sys/firmware"]).1, serde_json::json!([]));
    }
    stage.runtime.purge(container.id())?;
    drop(child);
    Ok(())
}

fn devices_are_made() -> Outcome {
    let device = |path: &str, typ: &str, major, minor| Device {
        typ: typ.to_owned(),
        path: path.to_owned(),
        major: Some(major),
        minor: Some(minor),
        file_mode: Some(0o640),
        uid: Some(3),
        gid: Some(4),
    };
    let report = report(|spec| {
        spec.linux.as_mut().unwrap().devices = vec![
            device("/dev/one", "c", 1, 11),
            device("/dev/two/disk", "b", 7, 9),
            device("/dev/pipe", "p", 0, 0),
        ];
    });
    for (path, major, minor) in
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
    {
        let node = report.device(&format!("/dev/{path}")).unwrap();
        assert_eq!((node.major, node.minor, node.mode & 0o777, node.uid), (major, minor, 0o666, 0), "{path}");
    }
    let one = report.device("/dev/one").unwrap();
    assert_eq!((one.major, one.minor, one.mode & 0o777, one.uid, one.gid), (1, 11, 0o640, 3, 4));
    assert_eq!(report.device("/dev/two/disk").unwrap().kind, "block");
    assert_eq!(report.device("/dev/pipe").unwrap().kind, "fifo");
    for (link, target) in [("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0")] {
        assert_eq!(report.device(&format!("/dev/{link}")).unwrap().target.as_deref(), Some(target), "{link}");
    }
    Ok(())
}

fn the_control_groups_are_seen() -> Outcome {
    let report = report(|_| {});
    let v2 = !fs::read_to_string("/proc/self/mountinfo")?.contains(" - cgroup ");
    let place = report.mount("/sys/fs/cgroup").unwrap();
    assert!(place.has("ro"), "{place:?}");
    if v2 {
        assert_eq!(place.fstype, "cgroup2");
        assert_eq!(report.cgroups.unwrap().last().unwrap(), "0::/");
    } else {
        let pids = report.mount("/sys/fs/cgroup/pids").unwrap();
        assert_eq!((pids.fstype.as_str(), pids.root.as_str()), ("cgroup", "/"));
        assert!(report.cgroups.unwrap().iter().all(|line| line.ends_with(":/")), "each is a root of its own");
    }
    Ok(())
}

/// With no namespace for them, the container's own directory is mounted.
fn without_a_namespace_only_the_own_group_is_seen() -> Outcome {
    let stage =
        Stage::new(|spec| spec.linux.as_mut().unwrap().namespaces.retain(|kind| kind.typ != "cgroup"));
    let text = {
        let container = stage.container();
        let (_, text) = output(|process| container.run(process), stage.process());
        container.destroy().map_err(Error::from)?;
        text
    };
    let report: Report = serde_json::from_str(&text)?;
    let mounts = report.mounts.unwrap();
    let roots = mounts.iter().filter(|mount| mount.fstype.starts_with("cgroup"));
    for mount in roots {
        assert!(mount.root.ends_with(stage.bundle.id()), "{mount:?}");
    }
    Ok(())
}

/// A directory of the image is exchanged for a link to the outside, again and again, while containers are made.
fn a_race_cannot_move_a_mount_outside() -> Outcome {
    let stage = Stage::new(|spec| {
        spec.mounts.push(mount("/var/one/two", "tmpfs", "tmpfs", &[]));
        spec.mounts.push(mount("/var/one/file", "bind", "/etc/passwd", &["bind"]));
        spec.linux.as_mut().unwrap().devices.push(Device {
            typ: "c".to_owned(),
            path: "/var/one/null".to_owned(),
            major: Some(1),
            minor: Some(3),
            ..Device::default()
        });
    });
    let outside = stage.bundle.path().join("outside");
    fs::create_dir(&outside)?;
    let var = stage.bundle.rootfs().path().join("var");
    fs::create_dir(var.join("one"))?;
    symlink(&outside, var.join("other"))?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (one, other) = (var.join("one"), var.join("other"));
            while !done.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &one, rustix::fs::CWD, &other, flags).unwrap();
            }
        });
        for _ in 0..rounds(200) {
            let container = stage.container();
            // It starts, or is refused: the image is in nobody's interest but its own.
            if let Ok(child) = container.run(probe(&["exit", "0"]).build().unwrap()) {
                child.wait().unwrap();
            }
            container.destroy().map_err(Error::from).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(&outside)?.count(), 0, "nothing was made outside");
    Ok(())
}

fn what_may_not_be_is_refused() -> Outcome {
    for (bad, word) in [
        (mount("/proc/x", "tmpfs", "tmpfs", &[]), "inside /proc"),
        (mount("/tmp", "nosuchfs", "x", &[]), "nosuchfs"),
        (mount("/tmp", "tmpfs", "x", &["size=lots"]), "size=lots"),
        (mount("/tmp", "tmpfs", "x", &["idmap"]), "user namespace, which has none"),
        (mount("/tmp", "tmpfs", "x", &["idmap=uids=0-1"]), "no range"),
        (mount("/tmp", "tmpfs", "x", &["idmap=uids=0-1-1"]), "both uid and gid"),
        (mount("/sys", "sysfs", "x", &["idmap=uids=0-1-1;gids=0-1-1"]), "does not support id-mapped mounts"),
        (mount("/tmp", "tmpfs", "x", &["idmap=uids=0-1-2#1-5-1;gids=0-1-1"]), "must not overlap"),
        (mount("/sys/fs/cgroup", "cgroup", "x", &["idmap=uids=0-1-1;gids=0-1-1"]), "cannot be id-mapped"),
        (mount("/proc", "bind", "/tmp", &["bind"]), "/proc"),
    ] {
        let error = refusal(|spec| spec.mounts.push(bad));
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    Ok(())
}

fn no_pivot_is_as_closed() -> Outcome {
    let stage = Stage::new(|_| {});
    let config = corten::ConfigBuilder::from(stage.config()).no_pivot_root(true).build()?;
    let container = stage.runtime.create(&stage.id(), config)?;
    let (status, text) = output(|process| container.run(process), stage.process());
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    container.destroy().map_err(Error::from)?;
    let report: Report = serde_json::from_str(&text)?;
    assert_eq!(report.cwd.as_deref(), Some("/"));
    assert_eq!(report.mount("/proc").unwrap().fstype, "proc");
    Ok(())
}

/// Mounts that the host has locked keep their flags, unless a contrary wish is uttered; then it is refused.
fn a_user_namespace_keeps_locked_flags() -> Outcome {
    let stage = Stage::new(|spec| {
        with_user_namespace(spec);
        // The host's /sys is nosuid here or there; its kernel keeps what it has.
        spec.mounts.push(mount("/var", "bind", "/sys", &["rbind", "nodev"]));
    });
    stage.bundle.rootfs().give_to(100_000, 100_000)?;
    let container = stage.container();
    let (status, text) = output(|process| container.run(process), stage.process());
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    container.destroy().map_err(Error::from)?;
    let report: Report = serde_json::from_str(&text)?;
    assert!(report.mount("/var").unwrap().has("nodev"));
    Ok(())
}

/// Root of the container cannot reach what only root of the host can; the runtime can, and was asked to.
fn a_user_namespace_gets_binds_from_closed_directories() -> Outcome {
    let stage = Stage::new(with_user_namespace);
    let closed = stage.bundle.path().join("closed");
    fs::create_dir_all(closed.join("data"))?;
    fs::write(closed.join("data/file"), "hello")?;
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700))?;
    let mut spec = stage.bundle.spec.clone();
    spec.mounts.push(mount("/var", "bind", closed.join("data").to_str().unwrap(), &["bind"]));
    stage.bundle.rootfs().give_to(100_000, 100_000)?;
    let config = corten::Config::from_spec(&spec, stage.bundle.path(), corten::SpecOptions::default())?;
    let container = stage.runtime.create(&stage.id(), config)?;
    let (status, text) = output(|process| container.run(process), probe(&["read", "/var/file"]));
    container.destroy().map_err(Error::from)?;
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    Ok(())
}

/// More than one option of fsconfig(2) can hold.
fn an_overlay_has_many_layers() -> Outcome {
    let mut stage = Stage::new(|_| {});
    let layers: Vec<_> = (0..12).map(|number| stage.bundle.path().join(format!("layer-{number}"))).collect();
    for (number, layer) in layers.iter().enumerate() {
        fs::create_dir(layer)?;
        fs::write(layer.join(format!("file-{number}")), "")?;
    }
    let text = layers.iter().map(|layer| layer.to_str().unwrap()).collect::<Vec<_>>().join(":");
    assert!(text.len() > 256, "{text}");
    stage.bundle.spec.mounts.push(mount("/mnt", "overlay", "overlay", &[&format!("lowerdir={text}"), "ro"]));
    stage.bundle.spec.root.as_mut().unwrap().readonly = false;
    let said = seen(&stage, &["list", "/mnt"]);
    for number in 0..layers.len() {
        assert!(said.contains(&format!("file-{number}\"")), "{said}");
    }
    Ok(())
}

fn main() -> ExitCode {
    let root = [Requirement::Root];
    let suite = common::suite();
    let cases: [common::Case; 15] = [
        ("options_of_a_tmpfs_arrive", options_of_a_tmpfs_arrive),
        ("kinds_of_file_systems_are_mounted", kinds_of_file_systems_are_mounted),
        ("binds_take_their_options", binds_take_their_options),
        ("recursive_attributes_reach_the_mounts_below", recursive_attributes_reach_the_mounts_below),
        ("tmpcopyup_begins_with_what_was_there", tmpcopyup_begins_with_what_was_there),
        ("the_root_of_a_tmpfs_is_what_was_asked_for", the_root_of_a_tmpfs_is_what_was_asked_for),
        ("paths_are_masked_and_read_only", paths_are_masked_and_read_only),
        ("devices_are_made", devices_are_made),
        ("the_control_groups_are_seen", the_control_groups_are_seen),
        ("without_a_namespace_only_the_own_group_is_seen", without_a_namespace_only_the_own_group_is_seen),
        ("a_race_cannot_move_a_mount_outside", a_race_cannot_move_a_mount_outside),
        ("what_may_not_be_is_refused", what_may_not_be_is_refused),
        ("no_pivot_is_as_closed", no_pivot_is_as_closed),
        ("a_user_namespace_keeps_locked_flags", a_user_namespace_keeps_locked_flags),
        (
            "a_user_namespace_gets_binds_from_closed_directories",
            a_user_namespace_gets_binds_from_closed_directories,
        ),
    ];
    let suite = cases.iter().fold(suite, |suite, (name, case)| suite.needs(&root, name, *case));
    suite
        .needs(
            &[Requirement::Root, Requirement::Filesystem("overlay")],
            "an_overlay_has_many_layers",
            an_overlay_has_many_layers,
        )
        .seeing(View::V2, &root, "the_control_groups_are_seen_on_v2", the_control_groups_are_seen)
        .seeing(
            View::V2,
            &root,
            "without_a_namespace_only_the_own_group_is_seen_on_v2",
            without_a_namespace_only_the_own_group_is_seen,
        )
        .seeing(View::V1, &root, "the_control_groups_are_seen_on_v1", the_control_groups_are_seen)
        .run()
}
