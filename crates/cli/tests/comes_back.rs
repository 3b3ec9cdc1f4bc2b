//! What comes back of a container with a restore: what it may do, much memory, memory that follows later, a unit of systemd.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use common::keeping::{Checkpoint, LITTLE, UNLOCKED, assert_same, free_port, keeping, words};
use common::{Outcome, Stage, corten, eventually, group_of};
use corten_oci::{Memory, Pids, Resources, Rlimit};
use corten_testkit::{Requirement, Suite, missing, patience};
use serde_json::Value;

const MIB: usize = 1 << 20;

/// Saves and restores it, with the same options for both.
fn there_and_back(stage: &Stage, options: &[&str]) {
    stage.checkpoints("images", &[&UNLOCKED[..], options].concat());
    stage.nothing_is_left();
    stage.restores("images", options);
}

/// A seccomp filter, capabilities, limits, no_new_privs, and the score for lack of memory.
fn what_it_may_do_comes_back() -> Outcome {
    let stage = keeping(LITTLE, |spec| {
        let process = spec.process.as_mut().unwrap();
        process.no_new_privileges = true;
        process.oom_score_adj = Some(321);
        process.rlimits = vec![Rlimit { typ: "RLIMIT_NOFILE".to_owned(), soft: 77, hard: 99 }];
        let capabilities = process.capabilities.get_or_insert_default();
        for set in [&mut capabilities.bounding, &mut capabilities.effective, &mut capabilities.permitted] {
            *set = words(&["CAP_KILL", "CAP_NET_BIND_SERVICE"]);
        }
        let profile = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }],
        });
        spec.linux.as_mut().unwrap().seccomp = Some(serde_json::from_value(profile).unwrap());
    });
    stage.starts();
    let before = stage.ask("report");
    assert_eq!(before["report"]["seccomp_filters"], 1);
    there_and_back(&stage, &[]);
    assert_same(&stage.ask("report"), &before, "restored");
    // What masks it is the host's.
    let said = stage.corten(&["exec", stage.id(), "/bin/probe", "chmod", "/proc/keys"]).output()?.describe();
    assert!(said.contains("EROFS"), "{said}");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// 256 MiB, of which no two words are the same.
fn much_memory_comes_back() -> Outcome {
    let stage = keeping(256 * MIB, |_| {});
    stage.starts();
    stage.ask("write");
    there_and_back(&stage, &[]);
    let memory = stage.ask("");
    assert_eq!((&memory["writes"], &memory["intact"]), (&1.into(), &true.into()));
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// What the container's own network namespace has comes back where that is asked for; else it has what a new one has.
fn a_network_comes_back_new_or_whole() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    stage.starts();
    let ip = |arguments: &[&str]| {
        let state: Value = stage.does(&["state", stage.id()]).json().unwrap();
        let path = format!("--net=/proc/{}/ns/net", state["pid"]);
        let output = Command::new("nsenter").arg(path).arg("ip").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    ip(&["address", "add", "10.9.8.7/32", "dev", "lo"]);
    there_and_back(&stage, &["--keep-network"]);
    let kept = ip(&["address"]);
    assert!(kept.contains("10.9.8.7") && kept.contains("LOOPBACK,UP"), "{kept}");
    there_and_back(&stage, &[]);
    let new = ip(&["address"]);
    assert!(!new.contains("10.9.8.7") && new.contains("LOOPBACK,UP") && new.contains("127.0.0.1"), "{new}");
    // What was not saved cannot be kept: it comes back new.
    stage.checkpoints("mixed", &UNLOCKED);
    stage.restores("mixed", &["--keep-network"]);
    assert!(ip(&["address"]).contains("LOOPBACK,UP"));
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// `criu lazy-pages`, which ends with the test.
struct Pages(Child);

impl Pages {
    /// Starts it and waits until it listens in the directory `work`.
    fn of(images: &str, work: &str, options: &[&str]) -> Self {
        let mut criu = Command::new("criu");
        criu.args(["lazy-pages", "--images-dir", images, "--work-dir", work, "-o", "lazy.log"]).args(options);
        let pages = Self(criu.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        let listens = Path::new(work).join("lazy-pages.socket");
        eventually("wait for criu lazy-pages", || listens.exists());
        pages
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        drop(self.0.kill());
        self.0.wait().unwrap();
    }
}

/// A restored container runs before it has its memory, which follows when it is read.
fn memory_follows_later() -> Outcome {
    let stage = keeping(8 * MIB, |_| {});
    stage.starts();
    stage.ask("write");
    let images = stage.images("images");
    let lacking = ["checkpoint", "--lazy-pages", "--image-path", &images, stage.id()];
    let message = stage.corten(&lacking).output()?.code(1)?.stderr;
    assert!(message.contains("page server"), "{message}");
    let lacking = ["checkpoint", "--status-fd", "1", "--image-path", &images, stage.id()];
    let message = stage.corten(&lacking).output()?.code(1)?.stderr;
    assert!(message.contains("it needs lazy pages"), "{message}");
    stage.checkpoints("images", &UNLOCKED);
    let work = stage.images("work");
    std::fs::create_dir(&work)?;
    let mut pages = Pages::of(&images, &work, &[]);
    stage.restores("images", &["--lazy-pages", "--work-path", &work]);
    let memory = stage.ask("");
    assert_eq!((&memory["writes"], &memory["intact"]), (&1.into(), &true.into()));
    assert!(pages.0.wait()?.success(), "it ends when all memory is there");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// As [`memory_follows_later`], from a container that still holds it: it comes over the network, as to another machine.
fn memory_is_fetched_from_where_it_was() -> Outcome {
    let stage = keeping(8 * MIB, |_| {});
    stage.starts();
    stage.ask("write");
    let elsewhere = keeping(8 * MIB, |_| {});
    let (images, work) = (stage.images("images"), stage.images("work"));
    std::fs::create_dir(&work)?;
    let port = free_port().to_string();
    let address = format!("127.0.0.1:{port}");
    let mut dump = Command::new(corten())
        .arg("--root")
        .arg(stage.state())
        .args(["checkpoint", UNLOCKED[0], UNLOCKED[1], "--image-path", &images])
        .args(["--lazy-pages", "--page-server", &address, "--status-fd", "1", stage.id()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut ready = Vec::new();
    dump.stdout.as_mut().unwrap().read_to_end(&mut ready)?;
    // It is told once, and then closed.
    if ready != [0] {
        return Err(format!("{ready:?}, and then {:?}", dump.wait_with_output()?).into());
    }
    let mut pages = Pages::of(&images, &work, &["--page-server", "--address", "127.0.0.1", "--port", &port]);
    elsewhere.restores(&images, &["--lazy-pages", "--work-path", &work]);
    let memory = elsewhere.ask("");
    assert_eq!((&memory["writes"], &memory["intact"]), (&1.into(), &true.into()));
    assert!(pages.0.wait()?.success(), "it ends when all memory is there");
    assert!(dump.wait()?.success(), "it ends when all memory is fetched");
    assert_eq!(stage.corten(&["state", stage.id()]).output()?.status.code(), Some(1), "it is gone from here");
    elsewhere.does(&["delete", "--force", elsewhere.id()]);
    elsewhere.nothing_is_left();
    stage.nothing_is_left();
    Ok(())
}

/// The unit of systemd is made anew, with its limits.
fn a_unit_of_systemd_comes_back() -> Outcome {
    // The machine with cgroup v1 has no controller of memory.
    let v1 = Path::new("/sys/fs/cgroup/pids").exists();
    let stage = keeping(LITTLE, |spec| {
        let memory = || Memory { limit: Some(64 << 20), ..Memory::default() };
        let resources = Resources {
            memory: (!v1).then(memory),
            pids: Some(Pids { limit: Some(33) }),
            ..Resources::default()
        };
        common::limit(spec, resources);
    });
    let corten = |arguments: &[&str]| {
        let run = stage.corten(&[&["--systemd-cgroup"], arguments].concat());
        run.deadline(patience(60)).output().unwrap().success().unwrap()
    };
    corten(&["run", "--detach", stage.id()]);
    let group = || {
        let state: Value = stage.does(&["state", stage.id()]).json().unwrap();
        group_of(state["pid"].as_i64().unwrap())
    };
    let before = group();
    let images = stage.images("images");
    corten(&["checkpoint", "--image-path", &images, UNLOCKED[0], UNLOCKED[1], stage.id()]);
    stage.nothing_is_left();
    corten(&["restore", "--detach", "--image-path", &images, stage.id()]);
    assert_eq!(group(), before);
    assert!(before.ends_with(&format!("/corten-{}.scope", stage.id())), "{before}");
    if v1 {
        assert_eq!(common::file("/pids", &format!("{before}/pids.max")), "33");
    } else {
        assert_eq!(["memory.max", "pids.max"].map(|name| common::file(&before, name)), ["67108864", "33"]);
    }
    assert_eq!(stage.ask("")["intact"], true);
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

fn main() -> ExitCode {
    // Built before the first case, whose deadline is short.
    corten();
    let fit = &[Requirement::Root, Requirement::Criu(&[])];
    let systemd = &[Requirement::Root, Requirement::Criu(&[]), Requirement::Path("/run/systemd/system")];
    // CRIU has them tell what there is.
    let tools = &[
        Requirement::Root,
        Requirement::Criu(&[]),
        Requirement::Program("ip"),
        Requirement::Program("iptables-save"),
        Requirement::Program("nsenter"),
    ];
    let lazy = &[Requirement::Root, Requirement::Criu(&["uffd-noncoop"])];
    let suite = Suite::new()
        .needs(fit, "what_it_may_do_comes_back", what_it_may_do_comes_back)
        .needs(tools, "a_network_comes_back_new_or_whole", a_network_comes_back_new_or_whole)
        .needs(fit, "much_memory_comes_back", much_memory_comes_back)
        .needs(lazy, "memory_follows_later", memory_follows_later)
        .needs(systemd, "a_unit_of_systemd_comes_back", a_unit_of_systemd_comes_back);
    let name = "memory_is_fetched_from_where_it_was";
    match missing(lazy).is_none() && !serves_memory() {
        true => suite.ignored(name, "needs a kernel on which CRIU can serve memory").run(),
        false => suite.needs(lazy, name, memory_is_fetched_from_where_it_was).run(),
    }
}

/// CRIU 4.2 can on Linux 6.12, and on 6.18 its splice(2) fails (EBADF), whoever has started it.
fn serves_memory() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) <= (Some(6), Some(12))
}
