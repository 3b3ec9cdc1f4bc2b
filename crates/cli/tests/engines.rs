//! Engines, driven by their own clients: the same steps under runc and under corten say the same.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use corten_testkit::{Failed, Requirement, Scratch, Suite, corten};

/// What every container of a case starts with: no network of the engine's, which is not the runtime's work.
const RUN: &str = "podman run --network=none $PARENT";

/// Steps of the shell; what an engine calls an error under runc is wrong in those without a `! `. In them, `RUN ` stands for [`RUN`].
const BASICS: &[&str] = &[
    "RUN --rm box sh -c 'echo out; echo err >&2; id -u; pwd; exit 7'",
    "! RUN --rm box /no/such/program",
    // Runc's word for it depends on the Go that built it, and podman's with it.
    "RUN --rm box /etc >/dev/null 2>&1",
    "RUN --rm --workdir /tmp --env A=1 --hostname named --user 5:6 box sh -c 'pwd; echo $A; hostname; id'",
    "RUN --rm --read-only box touch /file",
    "RUN --rm --cap-drop all --cap-add kill box grep Cap /proc/self/status",
    "RUN --rm --privileged box grep -E 'CapEff|Seccomp:' /proc/self/status",
    // Standard input that has no end.
    "mkfifo in; script -qec \"RUN --rm -it box sh -c 'test -t 0 && tty'\" /dev/null <>in",
    "echo typed | RUN --rm -i box cat",
];

const LIFE: &[&str] = &[
    "RUN -d --name c box sh -c 'echo started; sleep 1000' >/dev/null",
    "podman exec c sh -c 'echo in $0; exit 3'",
    "podman exec -u 7 -w /tmp -e B=2 c sh -c 'id -u; pwd; echo $B'",
    "! podman exec c /no/such/program",
    "podman top c pid comm",
    "! podman pause c && podman ps --format '{{.Names}} {{.State}}'; podman exec c true",
    "podman unpause c && podman ps --format '{{.Names}} {{.State}}' | sed 's/Up .*/Up/'",
    "podman stats --no-stream --format '{{.Name}} {{.PIDs}}' c",
    "podman restart -t 0 c >/dev/null; podman exec c echo again",
    "podman logs c",
    "podman kill -s KILL c; podman wait c; podman inspect --format '{{.State.ExitCode}} {{.State.OOMKilled}}' c",
    "podman rm c && podman ps -a --format '{{.Names}}'",
];

const LIMITS: &[&str] = &[
    "RUN --rm --memory 64m --pids-limit 33 --cpu-shares 512 box sh -c \
     'cd /sys/fs/cgroup; cat memory.max pids.max cpu.weight || cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.shares'",
    "RUN --rm --ulimit nofile=111:222 --ulimit nproc=4096:4096 box sh -c 'ulimit -n; ulimit -Hn'",
    "RUN --rm --tmpfs /t:size=1m,mode=711 box sh -c 'stat -c %a /t; grep \" /t \" /proc/mounts | cut -d\" \" -f3,4'",
    "RUN --rm --sysctl kernel.msgmax=1234 box cat /proc/sys/kernel/msgmax",
    "! RUN --rm --sysctl kernel.no_such=1 box true",
    "mkdir -p vol && echo kept >vol/f; RUN --rm -v ./vol:/v:ro box sh -c 'cat /v/f; touch /v/g'",
    "podman volume create named && RUN --rm -v named:/n box touch /n/made && RUN --rm -v named:/n box ls /n",
];

const NAMESPACES: &[&str] = &[
    "RUN -d --name c --ipc shareable box sleep 1000 >/dev/null",
    "for n in pid ipc uts net mnt; do test $(readlink /proc/self/ns/$n) = \
     $(RUN --rm --pid host --ipc host --uts host box readlink /proc/self/ns/$n) && echo $n; done; true",
    "RUN --rm --pid container:c box ps -o comm",
    "for n in net ipc; do test $(podman exec c readlink /proc/1/ns/$n) = \
     $(podman run $PARENT --rm --$n container:c box readlink /proc/self/ns/$n) && echo $n; done",
    "podman run $PARENT --rm --network host box sh -c 'ls /sys/class/net | grep lo'",
    "podman rm -f -t 0 c",
];

/// What needs the engine's own init.
const INIT: &[&str] = &[
    "RUN --rm --init box sh -c 'cat /proc/1/comm'",
    "podman pod create $PARENT --network none --name pod >/dev/null && podman run $PARENT -d --pod pod --name a box sleep 1000 >/dev/null \
     && podman run $PARENT --rm --pod pod box hostname",
    "podman pod pause pod >/dev/null; podman pod ps --format '{{.Name}} {{.Status}}'; podman pod unpause pod >/dev/null",
    "podman pod rm -f -t 0 pod >/dev/null; podman ps -a --format '{{.Names}}'",
];

const REST: &[&str] = &[
    "RUN -d --name c --health-cmd 'test -e /well' --health-interval disable box sleep 1000 >/dev/null",
    "podman healthcheck run c; echo $?; podman exec c touch /well; podman healthcheck run c; echo $?",
    "podman rm -f -t 0 c",
    "printf 'FROM box\\nRUN\\techo built >/b && id -u\\nCMD cat /b\\n' >Containerfile; \
     podman build --network none -q -t built . >/dev/null && RUN --rm built",
];

/// User namespaces of the engine's choice: what an ordinary user has mapped decides.
const MAPPED: &[&str] =
    &["RUN --rm --uidmap 0:100000:5000 box sh -c 'cat /proc/self/uid_map | tr -s \" \"; id -u'"];
const KEPT: &[&str] = &["RUN --rm --userns keep-id box sh -c 'test $(id -u) != 0 && echo kept'"];

/// An engine with a store of its own under one runtime.
struct Podman {
    scratch: Scratch,
}

impl Podman {
    fn new(runtime: &str) -> Self {
        let scratch = Scratch::new().unwrap();
        let at = scratch.path();
        let path = |name: &str| at.join(name).display().to_string();
        for name in ["bin", "box/bin", "box/etc", "box/tmp"] {
            fs::create_dir_all(at.join(name)).unwrap();
        }
        let program = if runtime == "corten" { corten().to_owned() } else { find(runtime) };
        let program = program.display();
        // No more open files than an ordinary root may allow. Podman asks a runtime for messages in JSON only when this list
        // has its name.
        let conf = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
             [engine]\nruntime_supports_json = [\"runc\", \"corten\"]\n[engine.runtimes]\n{runtime} = [\"{program}\"]\n"
        );
        fs::write(at.join("containers.conf"), conf).unwrap();
        let manager = if Path::new("/run/systemd/system").exists() { "systemd" } else { "cgroupfs" };
        let wrapper = format!(
            "#!/bin/sh\nexport CONTAINERS_CONF={}\nexec /usr/bin/podman --root {} --runroot {} --tmpdir {} \
             --storage-driver vfs --events-backend file --cgroup-manager {manager} --runtime {runtime} \"$@\"\n",
            path("containers.conf"),
            path("store"),
            path("run"),
            path("tmp"),
        );
        fs::write(at.join("bin/podman"), wrapper).unwrap();
        fs::set_permissions(at.join("bin/podman"), fs::Permissions::from_mode(0o755)).unwrap();
        let podman = Self { scratch };
        let made = podman.step(
            "cp $(command -v busybox) box/bin/busybox && for n in $(busybox --list); do test -e box/bin/$n || ln -s busybox box/bin/$n; done; \
             echo root:x:0:0:root:/:/bin/sh >box/etc/passwd; tar -C box -c . | podman import -q - box >/dev/null",
        );
        assert!(made.ends_with("status 0\n"), "{made}");
        podman
    }

    /// The control group of all its containers, where systemd has none for them.
    fn group(&self) -> String {
        format!("corten-engines-{}", self.scratch.path().file_name().unwrap().display())
    }

    /// What the step says, and its status.
    fn step(&self, step: &str) -> String {
        let at = self.scratch.path();
        let path = format!("{}:{}", at.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let parent = match Path::new("/run/systemd/system").exists() {
            true => String::new(),
            false => format!("--cgroup-parent=/{}", self.group()),
        };
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {}", step.replace("RUN ", &format!("{RUN} ")))])
            .current_dir(at)
            .env("PATH", path)
            .env("PARENT", parent)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).replace(&at.display().to_string(), "HERE");
        writeln!(text, "status {}", output.status.code().unwrap_or(-1)).unwrap();
        let cause = |line: &str| match line.rsplit_once(": ") {
            // The runtime's own words for an error are not runc's; what the engine makes of them is the same.
            Some((before, end)) if before.starts_with("Error: RUNTIME: ") => {
                format!("Error: RUNTIME: {end}\n")
            }
            _ => format!("{line}\n"),
        };
        // Told by corten and by runc from 1.3 on, and not by older ones; in an order of their own.
        let told = |line: &&str| !line.contains("can't raise ambient capability");
        plain(&text).lines().filter(told).map(cause).collect()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.step("podman pod rm -fa -t 0; podman rm -fa -t 0; podman rmi -fa; podman unshare true");
        // The runtime's own directory goes if nothing else is in it.
        let groups =
            format!("find /sys/fs/cgroup -depth -type d -path '*/{}*' -exec rmdir {{}} +", self.group());
        self.step(&format!("{groups}; rmdir /run/corten"));
    }
}

/// A program on the search path.
fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.exists()).unwrap()
}

/// The text without what differs from one run to the next: ids, and the runtime's name.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\0']) {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
            continue;
        }
        let id = word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.push_str(match word.as_str() {
            _ if id => "ID",
            "runc" | "corten" => "RUNTIME",
            other => other,
        });
        word.clear();
        plain.push(letter);
    }
    plain.pop();
    plain
}

/// Runs the steps under both runtimes; what differs fails, all of it told.
fn same(steps: &[&str]) -> Result<(), Failed> {
    let [theirs, ours] = ["runc", "corten"].map(Podman::new);
    let mut differences = String::new();
    for step in steps {
        let (fails, step) = step.strip_prefix("! ").map_or((false, *step), |step| (true, step));
        let (expected, got) = (theirs.step(step), ours.step(step));
        if std::env::var_os("CORTEN_ENGINES_SHOW").is_some() {
            eprintln!("$ {step}\n{expected}");
        }
        if expected.contains("Error: ") != fails {
            writeln!(differences, "$ {step}\nrunc itself:\n{expected}")?;
        }
        if expected != got {
            writeln!(differences, "$ {step}\nrunc:\n{expected}corten:\n{got}")?;
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.into()) }
}

/// The cases that need more than the others.
const OTHERS: [&str; 3] = ["podman::init_and_pods", "podman::mapped_users", "podman::kept_user"];

/// On the virtual machine they are run by their name only.
fn asked_for() -> bool {
    ["CORTEN_ENGINES", "CORTEN_TEST_PATIENCE"].iter().any(|name| std::env::var_os(name).is_some())
}

fn main() -> ExitCode {
    let needs = [Requirement::Program("podman"), Requirement::Program("runc"), Requirement::Busybox];
    let cases: [(&str, &'static [&'static str]); 5] = [
        ("podman::basics", BASICS),
        ("podman::life", LIFE),
        ("podman::limits", LIMITS),
        ("podman::namespaces", NAMESPACES),
        ("podman::rest", REST),
    ];
    if !asked_for() {
        let names = cases.map(|(name, _)| name).into_iter().chain(OTHERS);
        return names
            .fold(Suite::new(), |suite, name| suite.ignored(name, "takes minutes: CORTEN_ENGINES=1 runs it"))
            .run();
    }
    let suite = cases
        .into_iter()
        .fold(Suite::new(), |suite, (name, steps)| suite.needs(&needs, name, move || same(steps)));
    let init = [&needs[..], &[Requirement::Path("/usr/libexec/podman/catatonit")]].concat();
    let mapped = [&needs[..], &[Requirement::Root]].concat();
    let kept = [&needs[..], &[Requirement::OrdinaryUser]].concat();
    suite
        .needs(&init, OTHERS[0], || same(INIT))
        .needs(&mapped, OTHERS[1], || same(MAPPED))
        .needs(&kept, OTHERS[2], || same(KEPT))
        .one_at_a_time()
        .run()
}
