//! Checkpoint and restore, with the machine's CRIU.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;

use common::keeping::{
    Checkpoint, LITTLE, UNLOCKED, assert_same, count, free_port, keeper, keeping, with_user_namespace, words,
};
use common::{Outcome, Stage, corten, eventually};
use corten_oci::Mount;
use corten_testkit::{Requirement, Suite, missing, patience, rounds};
use serde_json::Value;

fn a_count_goes_on_and_memory_is_the_same() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    stage.starts();
    stage.ask("write");
    let before = stage.ask("report");
    stage.checkpoints("images", &UNLOCKED);
    assert!(!stage.state().join(stage.id()).exists(), "the container is deleted");
    stage.restores("images", &UNLOCKED[2..]);
    assert_eq!(stage.status(), "running");
    let after = stage.ask("report");
    assert!(count(&after) > count(&before));
    let memory = stage.ask("");
    assert_eq!((&memory["writes"], &memory["intact"]), (&1.into(), &true.into()));
    assert_same(&after, &before, "restored");
    // Clocks go on, for whoever joins it too.
    let joined = stage.does(&["exec", stage.id(), "/bin/probe", "report"]).json::<Value>()?;
    let offsets = &after["report"]["time_offsets"];
    assert!(offsets.is_object(), "{offsets}");
    assert_eq!(&joined["time_offsets"], offsets);
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Many rounds, after which there is as much as after the first.
fn rounds_leak_nothing() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    stage.starts();
    let mut last = 0;
    let mut first = None;
    for round in 0..rounds(50) {
        stage.checkpoints(&round.to_string(), &UNLOCKED);
        stage.nothing_is_left();
        stage.restores(&round.to_string(), &[]);
        let answer = stage.ask("report");
        assert!(count(&answer) > last);
        last = count(&answer);
        assert_same(&answer, first.get_or_insert_with(|| answer.clone()), &format!("round {round}"));
    }
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Mounts of each kind come back, with what is in them and with their attributes.
fn mounts_come_back() -> Outcome {
    let stage = keeping(LITTLE, |spec| {
        let mount = |destination: &str, typ: &str, source: &str, options: &[&str]| Mount {
            destination: destination.to_owned(),
            typ: Some(typ.to_owned()),
            source: Some(source.to_owned()),
            options: words(options),
            ..Mount::default()
        };
        spec.mounts.push(mount("/data", "bind", "data", &["rbind", "rw"]));
        spec.mounts.push(mount(
            "/data/locked",
            "bind",
            "locked",
            &["bind", "ro", "nosuid", "nodev", "noexec"],
        ));
        spec.mounts.push(mount("/file", "bind", "data/file", &["bind", "ro"]));
        spec.mounts.push(mount("/scratch", "tmpfs", "tmpfs", &["size=1m", "mode=1777"]));
        spec.mounts.push(mount("/var/link/below", "bind", "data", &["bind"]));
        spec.root.as_mut().unwrap().readonly = false;
    });
    let bundle = stage.bundle.path();
    for directory in ["data", "locked"] {
        std::fs::create_dir_all(bundle.join(directory))?;
    }
    std::fs::write(bundle.join("data/file"), "of the host")?;
    std::fs::create_dir_all(stage.inside("var/real"))?;
    std::os::unix::fs::symlink("real", stage.inside("var/link"))?;
    stage.starts();
    stage.does(&["exec", stage.id(), "/bin/probe", "write", "/scratch/note", "in memory"]);
    let before = stage.ask("report");
    stage.checkpoints("images", &UNLOCKED);
    stage.restores("images", &[]);
    assert_same(&stage.ask("report"), &before, "restored");
    let read = |path: &str| -> Value {
        let answer: Value = stage.does(&["exec", stage.id(), "/bin/probe", "read", path]).json().unwrap();
        answer["value"].clone()
    };
    assert_eq!(read("/scratch/note"), "in memory");
    assert_eq!(read("/file"), "of the host");
    assert_eq!(read("/var/real/below/file"), "of the host");
    let locked = ["exec", stage.id(), "/bin/probe", "write", "/data/locked/x", "x"];
    assert!(stage.corten(&locked).output()?.stdout.contains("EROFS"));
    stage.does(&["exec", stage.id(), "/bin/probe", "write", "/data/x", "x"]);
    Ok(())
}

/// A foreground restore ends as the program does, with its standard output; limits and hooks hold.
fn a_foreground_restore_is_as_a_run() -> Outcome {
    let stage = Stage::new(|spec| {
        spec.process.as_mut().unwrap().args = words(&["/bin/probe", "sleep"]);
        common::limit(
            spec,
            corten_oci::Resources {
                pids: Some(corten_oci::Pids { limit: Some(7) }),
                ..corten_oci::Resources::default()
            },
        );
        let note = |name: &str| corten_oci::Hook {
            path: "/bin/sh".to_owned(),
            args: words(&["sh", "-c", &format!("cat >>$OLDPWD/{name}; echo >>$OLDPWD/{name}")]),
            ..corten_oci::Hook::default()
        };
        let hooks = spec.hooks.get_or_insert_default();
        hooks.create_runtime = vec![note("created")];
        hooks.poststart = vec![note("started")];
    });
    // Hooks run in the bundle.
    let config = stage.bundle.path().join("config.json");
    let bundle = stage.bundle.path().to_str().unwrap().to_owned();
    std::fs::write(&config, std::fs::read_to_string(&config)?.replace("$OLDPWD", &bundle))?;
    stage.does(&["run", "--detach", stage.id()]);
    stage.checkpoints("images", &UNLOCKED);
    let pid_file = stage.images("pid");
    let images = stage.images("images");
    std::thread::scope(|scope| {
        let restored = scope.spawn(|| {
            let command = ["restore", "--image-path", &images, "--pid-file", &pid_file, stage.id()];
            stage.corten(&command).deadline(patience(60)).output().unwrap()
        });
        eventually("restore", || {
            let state = stage.corten(&["state", stage.id()]).output().unwrap();
            std::fs::read_to_string(&pid_file).is_ok() && state.stdout.contains("running")
        });
        let state: Value = stage.does(&["state", stage.id()]).json().unwrap();
        assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), state["pid"].to_string());
        let stats: Value = stage.does(&["events", "--stats", stage.id()]).json().unwrap();
        assert_eq!(stats["data"]["pids"]["limit"], 7);
        assert_eq!(stats["data"]["pids"]["current"], 1, "criu has left the group");
        stage.does(&["kill", stage.id(), "TERM"]);
        let restored = restored.join().unwrap().success().unwrap();
        // It had said that it was ready before the checkpoint.
        assert_eq!(restored.json::<Value>().unwrap(), serde_json::json!({ "ok": true, "value": 15 }));
    });
    let hooks = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(stage.images(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let status = |states: &[Value]| states.iter().map(|state| state["status"].clone()).collect::<Vec<_>>();
    assert_eq!(status(&hooks("created")), ["creating", "creating"]);
    assert_eq!(status(&hooks("started")), ["running", "running"]);
    assert_ne!(hooks("created")[1]["pid"], 0);
    stage.nothing_is_left();
    Ok(())
}

/// The container's terminal comes back with the shell in it.
fn a_terminal_comes_back() -> Outcome {
    let stage = Stage::busybox(|spec| {
        let process = spec.process.as_mut().unwrap();
        process.args = words(&["sh"]);
        process.terminal = true;
    });
    let socket = stage.images("console");
    let listener = std::os::unix::net::UnixListener::bind(&socket)?;
    let talk = |master: &std::os::fd::OwnedFd, line: &str, until: &str| {
        rustix::io::write(master, format!("{line}\n").as_bytes()).unwrap();
        let (mut seen, mut buffer) = (String::new(), [0; 4096]);
        while !seen.contains(until) {
            let count = rustix::io::read(master, &mut buffer).unwrap();
            seen += &String::from_utf8_lossy(&buffer[..count]);
        }
        seen
    };
    stage.does(&["run", "--detach", "--console-socket", &socket, stage.id()]);
    let master = common::receive(&listener.accept()?.0).1;
    talk(&master, "kept=four; echo $kept-two", "four-two");
    stage.checkpoints("images", &UNLOCKED);
    drop(master);
    stage.restores("images", &["--console-socket", &socket]);
    let master = common::receive(&listener.accept()?.0).1;
    let seen = talk(&master, "echo $kept-three; tty", "/dev/pts/0");
    assert!(seen.contains("four-three"), "{seen}");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Namespaces by path are joined again, and are not in the images.
fn namespaces_by_path_are_joined_again() -> Outcome {
    let holder = keeping(LITTLE, |_| {});
    holder.starts();
    let state: Value = holder.does(&["state", holder.id()]).json()?;
    let of = |kind: &str| format!("/proc/{}/ns/{kind}", state["pid"]);
    let stage = keeping(LITTLE, |spec| {
        for namespace in &mut spec.linux.as_mut().unwrap().namespaces {
            let kind = match namespace.typ.as_str() {
                "network" => "net",
                "uts" | "ipc" => namespace.typ.as_str(),
                _ => continue,
            };
            namespace.path = Some(of(kind));
        }
        spec.hostname = None;
    });
    stage.starts();
    let joined = || {
        let state: Value = stage.does(&["state", stage.id()]).json().unwrap();
        ["net", "uts", "ipc"].map(|kind| {
            let own = std::fs::read_link(format!("/proc/{}/ns/{kind}", state["pid"])).unwrap();
            own == std::fs::read_link(of(kind)).unwrap()
        })
    };
    assert_eq!(joined(), [true; 3]);
    stage.checkpoints("images", &UNLOCKED);
    stage.restores("images", &[]);
    assert_eq!(joined(), [true; 3]);
    assert_eq!(stage.ask("")["intact"], true);
    Ok(())
}

/// A container whose root is an ordinary user outside.
fn a_user_namespace_comes_back() -> Outcome {
    let stage = keeping(LITTLE, with_user_namespace);
    std::fs::set_permissions(stage.bundle.path(), std::fs::Permissions::from_mode(0o755))?;
    stage.starts();
    let before = stage.ask("report");
    stage.checkpoints("images", &UNLOCKED);
    stage.restores("images", &[]);
    let after = stage.ask("report");
    assert_eq!(after["report"]["uid_map"], before["report"]["uid_map"]);
    let mode = std::fs::metadata(stage.images("images"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "the images are closed again");
    assert_same(&after, &before, "restored");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Each option once, with what shows that it is heard.
fn options_are_heard() -> Outcome {
    let stage = keeping(LITTLE, |spec| {
        spec.annotations.insert("org.criu.config".to_owned(), "/nowhere/criu.conf".to_owned());
    });
    stage.starts();
    let images = stage.images("images");
    let command = ["checkpoint", UNLOCKED[0], UNLOCKED[1], "--image-path", &images, stage.id()];
    let message = stage.corten(&command).output()?.code(1)?.stderr;
    assert!(message.contains("/nowhere/criu.conf"), "{message}");
    stage.does(&["delete", "--force", stage.id()]);
    let config = stage.bundle.path().join("criu.conf");
    std::fs::write(&config, "log-file=own.log\n")?;
    let stage = keeping(LITTLE, |spec| {
        spec.annotations.insert("org.criu.config".to_owned(), config.to_str().unwrap().to_owned());
    });
    stage.starts();
    stage.checkpoints("own", &["--leave-running", UNLOCKED[0], UNLOCKED[1]]);
    assert!(stage.bundle.path().join("own/own.log").exists(), "the annotation's file is read");
    stage.does(&["delete", "--force", stage.id()]);
    let stage = keeping(LITTLE, |_| {});
    stage.starts();
    let work = stage.images("work");
    let all = [
        &UNLOCKED[..],
        &["--work-path", &work, "--tcp-established", "--tcp-skip-in-flight", "--link-remap", "--ext-unix-sk"],
        &["--shell-job", "--file-locks", "--manage-cgroups-mode", "ignore", "--empty-ns", "network"],
        &["--auto-dedup", "--leave-running"],
    ]
    .concat();
    stage.checkpoints("images", &all);
    let log = std::fs::read_to_string(format!("{work}/dump.log"))?;
    assert!(!stage.bundle.path().join("images/dump.log").exists(), "the log is in the work path");
    assert!(log.contains("Dumping finished successfully"));
    let groups = |name: &str| std::fs::metadata(format!("{}/cgroup.img", stage.images(name))).unwrap().len();
    stage.does(&["delete", "--force", stage.id()]);
    let restore = [
        &["--work-path", &work, "--tcp-established", "--ext-unix-sk", "--shell-job", "--file-locks"][..],
        &["--manage-cgroups-mode", "ignore", "--empty-ns", "network", "--auto-dedup"],
    ]
    .concat();
    let blocks = || -> u64 {
        let entries = std::fs::read_dir(stage.images("images")).unwrap().map(Result::unwrap);
        let pages = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with("pages-"));
        pages.map(|entry| std::os::unix::fs::MetadataExt::blocks(&entry.metadata().unwrap())).sum()
    };
    let before = blocks();
    stage.restores("images", &restore);
    assert!(blocks() < before / 2, "memory is used up: {} of {before} blocks", blocks());
    assert_eq!(stage.ask("")["intact"], true);
    assert!(
        std::fs::read_to_string(format!("{work}/restore.log"))?.contains("Restore finished successfully")
    );
    for mode in ["soft", "full"] {
        stage.checkpoints(mode, &[&UNLOCKED[..], &["--manage-cgroups-mode", mode]].concat());
        stage.restores(mode, &["--manage-cgroups-mode", mode]);
        assert_eq!(stage.ask("")["intact"], true, "{mode}");
        assert!(groups(mode) > groups("images"), "control groups were ignored there");
    }
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Memory goes ahead in rounds, each with what has changed since; all are needed for the restore.
fn rounds_of_pre_dump_save_what_has_changed() -> Outcome {
    const MIB: usize = 1 << 20;
    let stage = keeping(64 * MIB, |_| {});
    stage.starts();
    let size = |name: &str| -> u64 {
        let entries = std::fs::read_dir(stage.images(name)).unwrap().map(Result::unwrap);
        let pages = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with("pages-"));
        pages.map(|entry| entry.metadata().unwrap().len()).sum()
    };
    stage.checkpoints("plain", &[&UNLOCKED[..], &["--leave-running"]].concat());
    stage.checkpoints("0", &["--pre-dump"]);
    assert!(size("0") >= 64 << 20, "{}", size("0"));
    for round in 1..3 {
        stage.ask("write");
        let parent = format!("../{}", round - 1);
        stage.checkpoints(&round.to_string(), &["--pre-dump", "--parent-path", &parent]);
        let written = size(&round.to_string());
        assert!((4 << 20..32 << 20).contains(&written), "a sixteenth was written: {written}");
    }
    stage.ask("write");
    let absolute = stage.images("2");
    let wrong = ["checkpoint", "--parent-path", &absolute, "--image-path", &absolute, stage.id()];
    assert!(stage.corten(&wrong).output()?.code(1)?.stderr.contains("must be relative"));
    stage.checkpoints("3", &[&UNLOCKED[..], &["--parent-path", "../2"]].concat());
    assert!(size("3") < 32 << 20, "{}", size("3"));
    // What is written at the end is what the container waits for.
    let stats = |name: &str| corten_criu::DumpStats::read(stage.images(name).as_ref()).unwrap();
    let (plain, last) = (stats("plain"), stats("3"));
    assert!(last.pages_written < plain.pages_written / 2, "{last:?} {plain:?}");
    eprintln!(
        "the container stood still for {:?} at the end, and for {:?} without rounds",
        last.frozen, plain.frozen
    );
    stage.restores("3", &[]);
    let memory = stage.ask("");
    assert_eq!((&memory["writes"], &memory["intact"]), (&3.into(), &true.into()));
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Where the kernel does not tell which memory is written, that is told, and not found out by CRIU in the middle.
fn a_kernel_without_memory_tracking_is_told_of() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    stage.starts();
    let images = stage.images("images");
    let message = stage
        .corten(&["checkpoint", "--pre-dump", "--image-path", &images, stage.id()])
        .output()?
        .code(1)?
        .stderr;
    assert!(message.contains("criu is missing features") && message.contains("MemTrack"), "{message}");
    assert!(!std::path::Path::new(&images).exists(), "nothing was touched");
    assert_eq!(stage.status(), "running");
    Ok(())
}

/// The container is of the host's network: a client outside stays connected.
fn a_client_stays_connected() -> Outcome {
    let port = free_port();
    let stage = Stage::new(|spec| {
        keeper(spec, &port.to_string(), LITTLE);
        spec.linux.as_mut().unwrap().namespaces.retain(|namespace| namespace.typ != "network");
        spec.mounts.retain(|mount| mount.destination != "/sys");
    });
    stage.does(&["run", "--detach", stage.id()]);
    let mut client = None;
    eventually("connect to the container", || {
        client = TcpStream::connect(("127.0.0.1", port)).ok();
        client.is_some()
    });
    let mut client = client.unwrap();
    let mut answers = BufReader::new(client.try_clone()?);
    let mut ask = || {
        writeln!(client, "report").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let before = ask();
    let images = stage.images("images");
    let refused = ["checkpoint", "--network-lock", "nftables", "--image-path", &images, stage.id()];
    let message = stage.corten(&refused).output()?.code(1)?.stderr;
    assert!(message.contains("--tcp-established"), "criu says which option is missing: {message}");
    assert!(count(&ask()) > count(&before), "it goes on after the refusal");
    stage.checkpoints("images", &["--tcp-established", "--network-lock", "nftables"]);
    stage.restores("images", &["--tcp-established"]);
    let after = ask();
    assert!(count(&after) > count(&before), "on the same connection");
    stage.does(&["delete", "--force", stage.id()]);
    Ok(())
}

/// What cannot come back is refused by name.
fn what_cannot_be_saved_is_refused() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    let images = stage.images("images");
    let refused = |told: &str, options: &[&str]| {
        let command = [&["checkpoint", "--image-path", &images], options, &[stage.id()]].concat();
        let message = stage.corten(&command).output().unwrap().code(1).unwrap().stderr;
        assert!(message.contains(told), "{options:?}: {message}");
    };
    stage.does(&["create", stage.id()]);
    refused("container cannot be checkpointed in created state", &[]);
    stage.does(&["start", stage.id()]);
    eventually("start another program", || {
        let exec = ["exec", "--detach", stage.id(), "/bin/probe", "sleep"];
        stage.corten(&exec).output().unwrap().status.success()
    });
    refused("end programs that were started by exec first", &[]);
    refused("--page-server", &["--page-server", "here"]);
    refused("manage-cgroups-mode", &["--manage-cgroups-mode", "hard"]);
    refused("network-lock", &["--network-lock", "door"]);
    refused("--empty-ns", &["--empty-ns", "ipc"]);
    refused("status-fd", &["--status-fd", "77"]);
    stage.does(&["kill", stage.id(), "KILL"]);
    eventually("wait for the end", || stage.status() == "stopped");
    refused("container cannot be checkpointed in stopped state", &[]);
    Ok(())
}

fn main() -> ExitCode {
    // Built before the first case, whose deadline is short.
    corten();
    let fit = &[Requirement::Root, Requirement::Criu(&[])];
    let tracking = missing(&[Requirement::Criu(&["mem_dirty_track"])]).is_none();
    let busybox = &[Requirement::Root, Requirement::Criu(&[]), Requirement::Busybox];
    let suite = Suite::new()
        .needs(fit, "a_count_goes_on_and_memory_is_the_same", a_count_goes_on_and_memory_is_the_same)
        .needs(fit, "rounds_leak_nothing", rounds_leak_nothing)
        .needs(fit, "mounts_come_back", mounts_come_back)
        .needs(&[Requirement::Root], "what_cannot_be_saved_is_refused", what_cannot_be_saved_is_refused)
        .needs(fit, "a_foreground_restore_is_as_a_run", a_foreground_restore_is_as_a_run)
        .needs(busybox, "a_terminal_comes_back", a_terminal_comes_back)
        .needs(fit, "namespaces_by_path_are_joined_again", namespaces_by_path_are_joined_again)
        .needs(fit, "a_user_namespace_comes_back", a_user_namespace_comes_back)
        .needs(fit, "options_are_heard", options_are_heard)
        .needs(
            &[Requirement::Root, Requirement::Criu(&["mem_dirty_track"])],
            "rounds_of_pre_dump_save_what_has_changed",
            rounds_of_pre_dump_save_what_has_changed,
        );
    let name = "a_kernel_without_memory_tracking_is_told_of";
    let suite = match tracking {
        true => suite.ignored(name, "needs a kernel that does not tell which memory is written"),
        false => suite.needs(fit, name, a_kernel_without_memory_tracking_is_told_of),
    };
    let name = "a_client_stays_connected";
    match savable_tcp() {
        true => suite.needs(fit, name, a_client_stays_connected).run(),
        false => suite.ignored(name, "needs a kernel whose TCP sockets CRIU 4.1 can save").run(),
    }
}

/// CRIU 4.1 asks every socket for an option that newer kernels (6.16) have for Unix and netlink sockets only.
fn savable_tcp() -> bool {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    rustix::net::sockopt::socket_passcred(&socket).is_ok()
}
