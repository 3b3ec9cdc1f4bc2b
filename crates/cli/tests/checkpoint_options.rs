//! Options of checkpoint and restore, each with a container that needs it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use common::keeping::{self, Checkpoint, LITTLE, UNLOCKED, free_port, keeping};
use common::{Outcome, Stage, Typed, corten, eventually, group_of};
use corten_oci::{Hook, Hooks, Mount};
use corten_testkit::{Failed, Requirement, patience};
use serde_json::Value;

/// A container of busybox whose shell runs this, and says so in a file when it is ready.
fn shell(script: &str) -> Stage {
    let stage = Stage::busybox(|spec| {
        let process = spec.process.as_mut().unwrap();
        let script = format!("{script}; echo >/tmp/ready; while :; do sleep 1; done");
        process.args = ["sh", "-c", &script].map(str::to_owned).to_vec();
        process.terminal = false;
        spec.root.as_mut().unwrap().readonly = false;
    });
    stage.does(&["run", "--detach", stage.id()]);
    eventually("wait for the shell", || says(&stage, "test -e /tmp/ready && echo yes") == "yes");
    stage
}

/// What a script says inside.
fn says(stage: &Stage, script: &str) -> String {
    let output = stage.corten(&["exec", stage.id(), "sh", "-c", script]).output().unwrap();
    output.stdout.trim().to_owned()
}

fn pid(stage: &Stage) -> i64 {
    let state: Value = stage.does(&["state", stage.id()]).json().unwrap();
    state["pid"].as_i64().unwrap()
}

/// A lock of a file, and an open file whose other name is all that is left, which CRIU saves only where it is told to.
fn locks_and_links_come_back_of_busybox() -> Outcome {
    let stage = shell("exec 9>/lock; flock -x 9; echo kept >/f; exec 8</f; ln /f /g; rm /f");
    let images = stage.images("refused");
    let command =
        ["checkpoint", UNLOCKED[0], UNLOCKED[1], "--file-locks", "--image-path", &images, stage.id()];
    let said = stage.corten(&command).output()?.code(1)?.stderr;
    assert!(said.contains("link-remap"), "{said}");
    assert_eq!(stage.status(), "running");
    stage.checkpoints("images", &[UNLOCKED[0], UNLOCKED[1], "--file-locks", "--link-remap"]);
    stage.restores("images", &["--file-locks"]);
    assert_eq!(says(&stage, "cat /proc/1/fd/8"), "kept");
    assert_eq!(says(&stage, "flock -n /lock echo free || echo locked"), "locked");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// A connection within the container, to a server that answers as long as there is one.
const CONNECTED: &str = "ip link set lo up; mkfifo /in; nc -l -p 99 -e cat & until nc 127.0.0.1 99 </in >/out; do :; done & exec 7>/in; \
     echo one >&7; until grep -q one /out; do :; done";

/// Connections that were left out come back closed: both ends notice.
fn connections_can_be_left_out_of_busybox() -> Outcome {
    let stage = shell(CONNECTED);
    stage.checkpoints("images", &[UNLOCKED[0], UNLOCKED[1], "--tcp-close"]);
    stage.restores("images", &["--tcp-close"]);
    eventually("wait for the client's end", || says(&stage, "pidof nc || echo none") == "none");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// One that is in a queue of the kernel's is nobody's, and can be left out.
fn connections_that_nobody_took_can_be_left_out() -> Outcome {
    let stage = Stage::new(|spec| {
        spec.process.as_mut().unwrap().args = keeping::words(&["/bin/probe", "queue"]);
    });
    stage.does(&["run", "--detach", stage.id()]);
    eventually("wait for the connection", || {
        let read = stage.does(&["exec", stage.id(), "/bin/probe", "read", "/proc/net/tcp"]);
        read.stdout.matches(" 01 ").count() == 2
    });
    let images = stage.images("refused");
    let command =
        ["checkpoint", UNLOCKED[0], UNLOCKED[1], "--tcp-established", "--image-path", &images, stage.id()];
    let said = stage.corten(&command).output()?.code(1)?.stderr;
    assert!(said.contains("In-flight connection"), "{said}");
    assert_eq!(stage.status(), "running");
    stage.checkpoints("images", &[UNLOCKED[0], UNLOCKED[1], "--tcp-established", "--tcp-skip-in-flight"]);
    stage.restores("images", &["--tcp-established"]);
    assert_eq!(stage.status(), "running");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Whatever keeps the network from the connections meanwhile.
fn connections_are_locked(method: &'static str) -> Outcome {
    let stage = shell(CONNECTED);
    stage.checkpoints("images", &["--network-lock", method, "--tcp-established"]);
    stage.restores("images", &["--tcp-established"]);
    assert_eq!(says(&stage, "echo two >/in; until grep two /out; do :; done"), "two");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// A program that ends with the test.
struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.0.kill());
        self.0.wait().unwrap();
    }
}

/// The memory goes to a server, which has it in a directory of its own; with the other images there it is all that is needed.
fn memory_goes_to_a_server() -> Outcome {
    let stage = keeping(8 << 20, |_| {});
    stage.starts();
    stage.ask("write");
    let (there, port) = (stage.images("there"), free_port().to_string());
    fs::create_dir(&there)?;
    let mut criu = Command::new("criu");
    criu.args([
        "page-server",
        "--images-dir",
        &there,
        "--address",
        "127.0.0.1",
        "--port",
        &port,
        "-o",
        "server.log",
    ]);
    let mut server = Helper(criu.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
    let listening = format!("0100007F:{:04X}", port.parse::<u16>()?);
    eventually("wait for the page server", || {
        fs::read_to_string("/proc/net/tcp").unwrap().contains(&format!("{listening} 00000000:0000 0A"))
    });
    stage.checkpoints("images", &[UNLOCKED[0], UNLOCKED[1], "--page-server", &format!("127.0.0.1:{port}")]);
    assert!(server.0.wait()?.success());
    let pages = |directory: &Path| {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("pages-")).count()
    };
    let images = stage.bundle.path().join("images");
    assert_eq!(pages(&images), 0, "none is here");
    assert!(pages(Path::new(&there)) > 0);
    for entry in fs::read_dir(&there)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(".img") {
            fs::copy(entry.path(), images.join(entry.file_name()))?;
        }
    }
    stage.restores("images", &[]);
    let memory = stage.ask("");
    assert_eq!((&memory["writes"], &memory["intact"]), (&1.into(), &true.into()));
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Processes in a pid namespace that somebody else has made; it goes with its first process.
fn an_existing_pid_namespace_is_joined() -> Outcome {
    let mut holder = Command::new("unshare");
    holder.args(["--pid", "--fork", "--kill-child", "sleep", "1000"]).stdin(Stdio::null());
    let holder = Helper(holder.spawn()?);
    let namespace = format!("/proc/{}/ns/pid_for_children", holder.0.id());
    let own = fs::read_link("/proc/self/ns/pid")?;
    eventually("wait for the namespace", || fs::read_link(&namespace).is_ok_and(|link| link != own));
    let stage = keeping(LITTLE, |spec| {
        let namespaces = &mut spec.linux.as_mut().unwrap().namespaces;
        namespaces.iter_mut().find(|one| one.typ == "pid").unwrap().path = Some(namespace);
    });
    stage.starts();
    stage.ask("write");
    let inside = |stage: &Stage| fs::read_link(format!("/proc/{}/ns/pid", pid(stage))).unwrap();
    let (first, before) = (pid(&stage), inside(&stage));
    stage.checkpoints("images", &UNLOCKED);
    // Its number is free when whoever has adopted it has collected it.
    eventually("wait for the end", || !Path::new(&format!("/proc/{first}")).exists());
    stage.restores("images", &[]);
    assert_eq!(inside(&stage), before);
    assert_eq!(stage.ask("")["intact"], true);
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    drop(holder);
    Ok(())
}

/// Strictly, no group may be there before.
fn groups_are_restored_strictly() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    stage.starts();
    let before = group_of(pid(&stage));
    let group = || {
        let state: Value =
            serde_json::from_slice(&fs::read(stage.state().join(stage.id()).join("state.json")).unwrap())
                .unwrap();
        state["cgroup"]["hierarchies"][0]["dir"].as_str().unwrap().to_owned()
    };
    let directory = group();
    stage.checkpoints("images", &[UNLOCKED[0], UNLOCKED[1], "--manage-cgroups-mode", "strict"]);
    fs::create_dir(&directory)?;
    let images = stage.images("images");
    let command =
        ["restore", "--detach", "--image-path", &images, "--manage-cgroups-mode", "strict", stage.id()];
    let said = stage.corten(&command).output()?.code(1)?.stderr;
    assert!(said.contains(&directory) && said.contains("is there already"), "{said}");
    fs::remove_dir(&directory)?;
    stage.nothing_is_left();
    stage.restores("images", &["--manage-cgroups-mode", "strict"]);
    assert_eq!(group_of(pid(&stage)), before);
    assert_eq!(stage.ask("")["intact"], true);
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// What the first life was told of is told of the second: its socket for readiness and its annotations. It is a new container.
fn a_life_goes_on_with_what_was_said_of_it() -> Outcome {
    let stage = keeping(LITTLE, |spec| {
        spec.annotations.insert("org.example.kept".to_owned(), "yes".to_owned());
    });
    let socket = stage.bundle.path().join("notify");
    let listener = std::os::unix::net::UnixDatagram::bind(&socket)?;
    listener.set_read_timeout(Some(patience(10)))?;
    let name = socket.to_str().unwrap();
    stage.corten(&["create", stage.id()]).env("NOTIFY_SOCKET", name).output()?.success()?;
    stage.does(&["start", stage.id()]);
    eventually("wait for the program", || {
        let asked = ["exec", stage.id(), "/bin/probe", "ask", common::keeping::SOCKET, ""];
        stage.corten(&asked).output().unwrap().status.success()
    });
    let created =
        |stage: &Stage| stage.does(&["state", stage.id()]).json::<Value>().unwrap()["created"].to_string();
    let first = created(&stage);
    stage.checkpoints("images", &UNLOCKED);
    let images = stage.images("images");
    let restore = ["restore", "--detach", "--image-path", &images, stage.id()];
    let told = |restore: &[&str]| -> Outcome {
        let listener = listener.try_clone()?;
        // Who tells waits until all is read: the third word is the barrier.
        let heard = std::thread::spawn(move || -> Vec<String> {
            let mut buffer = [0; 64];
            let mut hear = || listener.recv(&mut buffer).map(|length| buffer[..length].to_vec()).unwrap();
            (0..3).map(|_| String::from_utf8(hear()).unwrap()).collect()
        });
        stage.corten(restore).env("NOTIFY_SOCKET", name).output()?.success()?;
        let heard = heard.join().unwrap();
        assert_eq!(heard[..2], ["READY=1".to_owned(), format!("MAINPID={}", pid(&stage))]);
        Ok(())
    };
    told(&restore)?;
    // It has the directory of its socket again where nobody listens, and where it comes from elsewhere.
    stage.checkpoints("again", &UNLOCKED);
    stage.restores("again", &[]);
    let archive = stage.images("archive");
    stage.does(&["checkpoint", UNLOCKED[0], UNLOCKED[1], "--export", &archive, stage.id()]);
    told(&["restore", "--detach", "--import", &archive, stage.id()])?;
    let state: Value = stage.does(&["state", stage.id()]).json()?;
    assert_eq!(state["annotations"]["org.example.kept"], "yes");
    assert_eq!(state["bundle"].as_str(), stage.bundle.path().to_str());
    assert!(created(&stage) > first, "as with runc");
    assert_eq!(stage.ask("")["intact"], true);
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Somebody's own mount where the directory of that socket would be is theirs, from a bundle and from an archive.
fn a_mount_in_the_place_of_the_socket_stays() -> Outcome {
    let mut stage = keeping(LITTLE, |_| {});
    let own = stage.bundle.path().join("own/notify");
    fs::create_dir_all(&own)?;
    fs::write(own.join("mine"), "mine")?;
    stage.bundle.spec.mounts.push(Mount {
        destination: "/run/notify".to_owned(),
        typ: Some("bind".to_owned()),
        source: own.to_str().map(str::to_owned),
        options: vec!["bind".to_owned()],
        ..Mount::default()
    });
    stage.bundle.write()?;
    stage.starts();
    let is_there = || stage.does(&["exec", stage.id(), "/bin/probe", "read", "/run/notify/mine"]);
    stage.checkpoints("images", &UNLOCKED);
    stage.restores("images", &[]);
    is_there();
    let archive = stage.images("archive");
    stage.does(&["checkpoint", UNLOCKED[0], UNLOCKED[1], "--export", &archive, stage.id()]);
    stage.does(&["restore", "--detach", "--import", &archive, stage.id()]);
    is_there();
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Hooks of the host's side run again, for they make what is outside; what was done inside is in the images.
fn hooks_outside_run_again() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    let log = stage.bundle.path().join("hooks");
    let hook = |name: &str| {
        let script = format!("echo {name} >>{}", log.display());
        vec![Hook {
            path: "/bin/sh".to_owned(),
            args: ["sh", "-c", &script].map(str::to_owned).to_vec(),
            ..Hook::default()
        }]
    };
    let mut spec = stage.bundle.spec.clone();
    spec.hooks = Some(Hooks {
        prestart: hook("prestart"),
        create_runtime: hook("createRuntime"),
        poststart: hook("poststart"),
        poststop: hook("poststop"),
        ..Hooks::default()
    });
    fs::write(stage.bundle.path().join("config.json"), serde_json::to_vec(&spec)?)?;
    stage.starts();
    let run = || {
        let run = fs::read_to_string(&log).unwrap_or_default();
        drop(fs::remove_file(&log));
        run.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(run(), ["prestart", "createRuntime", "poststart"]);
    stage.checkpoints("images", &UNLOCKED);
    assert_eq!(run(), ["poststop"]);
    stage.restores("images", &[]);
    assert_eq!(run(), ["prestart", "createRuntime", "poststart"]);
    stage.does(&["delete", "--force", stage.id()]);
    assert_eq!(run(), ["poststop"]);
    stage.nothing_is_left();
    Ok(())
}

/// A program at the terminal of the shell that started its container goes on at that where it is restored.
fn a_job_goes_on_at_its_terminal() -> Outcome {
    let stage = Stage::busybox(|spec| {
        let process = spec.process.as_mut().unwrap();
        let script = "n=0; while :; do n=$((n+1)); echo count $n; sleep 0.1; done";
        process.args = ["sh", "-c", script].map(str::to_owned).to_vec();
        process.terminal = false;
        spec.root.as_mut().unwrap().readonly = false;
    });
    let (images, state) = (stage.images("images"), stage.state());
    let program = format!("{} --root {}", corten().display(), state.display());
    let (bundle, id) = (stage.bundle.path().display(), stage.id());
    let [lock, skip] = UNLOCKED;
    // One open file, as a shell has it: CRIU fails where there are several of the same terminal.
    let script = format!(
        "exec <&2 >&2; cd {bundle}; {program} run --detach {id}; read go; \
         {program} checkpoint {lock} {skip} --shell-job --image-path {images} {id} && echo saved; read go; \
         {program} restore --detach --shell-job --image-path {images} {id} && echo restored; read go; \
         {program} delete --force {id}; echo done"
    );
    let mut typed = Typed::new(&keeping::words(&["sh", "-c", &script]), stage.bundle.path());
    typed.until("count 3");
    typed.types(b"\n");
    typed.until("saved");
    let last = typed.seen.rsplit("count ").next().unwrap().split_whitespace().next().unwrap();
    let next = last.parse::<u32>()? + 2;
    typed.seen.clear();
    typed.types(b"\n");
    typed.until("restored");
    typed.until(&format!("count {next}"));
    assert!(!typed.seen.contains("count 1\r"), "it does not begin anew: {:?}", typed.seen);
    typed.types(b"\n");
    typed.until("done");
    assert!(typed.child.wait()?.success());
    stage.nothing_is_left();
    Ok(())
}

/// A datagram socket of the container's is connected to the host's again, whose place it knows by the same name.
fn a_socket_outside_is_found_again() -> Outcome {
    let mut stage = Stage::new(|_| {});
    let place = stage.bundle.path().join("sockets");
    fs::create_dir(&place)?;
    let (place, name) = (place.to_str().unwrap(), place.join("log").to_str().unwrap().to_owned());
    let spec = &mut stage.bundle.spec;
    spec.process.as_mut().unwrap().args = keeping::words(&["/bin/probe", "count", &name]);
    // CRIU looks for the other end in the container's network namespace.
    spec.linux.as_mut().unwrap().namespaces.retain(|namespace| namespace.typ != "network");
    spec.mounts.push(Mount {
        destination: place.to_owned(),
        typ: Some("bind".to_owned()),
        source: Some(place.to_owned()),
        options: vec!["bind".to_owned()],
        ..Mount::default()
    });
    stage.bundle.write()?;
    let listener = std::os::unix::net::UnixDatagram::bind(&name)?;
    listener.set_read_timeout(Some(patience(20)))?;
    let hear = || -> Result<u32, Failed> {
        let mut buffer = [0; 16];
        let length = listener.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).parse()?)
    };
    stage.does(&["run", "--detach", stage.id()]);
    assert_eq!(hear()?, 1);
    let images = stage.images("refused");
    let command = ["checkpoint", UNLOCKED[0], UNLOCKED[1], "--image-path", &images, stage.id()];
    let said = stage.corten(&command).output()?.code(1)?.stderr;
    assert!(said.contains("External socket is used"), "{said}");
    assert_eq!(hear()?, 2, "it goes on");
    stage.checkpoints("images", &[UNLOCKED[0], UNLOCKED[1], "--ext-unix-sk"]);
    listener.set_nonblocking(true)?;
    let mut last = 2;
    while let Ok(number) = hear() {
        last = number;
    }
    listener.set_nonblocking(false)?;
    stage.restores("images", &["--ext-unix-sk"]);
    assert_eq!(hear()?, last + 1);
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// Whoever waits at a terminal sees how much of a large container is saved, and for how long it stood still.
fn a_terminal_is_told_how_far_it_is() -> Outcome {
    let stage = keeping(80 << 20, |_| {});
    stage.starts();
    stage.ask("write");
    let (images, state) = (stage.images("images"), stage.state());
    let program = [corten().to_str().unwrap(), "--root", state.to_str().unwrap(), "checkpoint"];
    let words = [&program[..], &UNLOCKED, &["--leave-running", "--image-path", &images, stage.id()]].concat();
    let mut typed = Typed::new(&keeping::words(&words), stage.bundle.path());
    typed.until("MiB saved of up to ");
    typed.until(" MiB saved in ");
    typed.until("; the container stood still for ");
    assert!(typed.child.wait()?.success());
    // Nobody sees it in a file.
    let command =
        ["checkpoint", UNLOCKED[0], UNLOCKED[1], "--image-path", &stage.images("other"), stage.id()];
    let output = stage.corten(&command).deadline(patience(60)).output()?.success()?;
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    stage.nothing_is_left();
    Ok(())
}

fn main() -> ExitCode {
    corten();
    let criu = [Requirement::Root, Requirement::Criu(&[])];
    let busybox = [&criu[..], &[Requirement::Busybox]].concat();
    let with = |more: &'static str| [&busybox[..], &[Requirement::Program(more)]].concat();
    common::suite(&[])
        .needs(&busybox, "locks_and_links_come_back_of_busybox", locks_and_links_come_back_of_busybox)
        .needs(&busybox, "connections_can_be_left_out_of_busybox", connections_can_be_left_out_of_busybox)
        .needs(
            &busybox,
            "connections_that_nobody_took_can_be_left_out",
            connections_that_nobody_took_can_be_left_out,
        )
        .needs(&with("nft"), "connections_are_locked_by_nftables", || connections_are_locked("nftables"))
        .needs(&with("iptables-restore"), "connections_are_locked_by_iptables", || {
            connections_are_locked("iptables")
        })
        .needs(&criu, "memory_goes_to_a_server", memory_goes_to_a_server)
        .needs(&criu, "an_existing_pid_namespace_is_joined", an_existing_pid_namespace_is_joined)
        .needs(&criu, "groups_are_restored_strictly", groups_are_restored_strictly)
        .needs(&busybox, "a_job_goes_on_at_its_terminal", a_job_goes_on_at_its_terminal)
        .needs(&criu, "a_socket_outside_is_found_again", a_socket_outside_is_found_again)
        .needs(&criu, "a_terminal_is_told_how_far_it_is", a_terminal_is_told_how_far_it_is)
        .needs(&criu, "a_mount_in_the_place_of_the_socket_stays", a_mount_in_the_place_of_the_socket_stays)
        .needs(&criu, "hooks_outside_run_again", hooks_outside_run_again)
        .needs(&criu, "a_life_goes_on_with_what_was_said_of_it", a_life_goes_on_with_what_was_said_of_it)
        .run()
}
