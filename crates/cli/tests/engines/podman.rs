//! Podman: no service, a command that keeps everything in directories.

use corten_testkit::Requirement;

use super::Cases;
use super::compare::{Engine, Steps};
use super::place::{Place, by_systemd, runtime};

pub const NEEDS: &[Requirement] = &[Requirement::Program("podman")];

pub const CASES: Cases = &[
    ("podman::basics", BASICS, &[]),
    ("podman::life", LIFE, &[]),
    ("podman::limits", LIMITS, &[]),
    ("podman::namespaces", NAMESPACES, &[]),
    ("podman::rest", REST, &[]),
    ("podman::init_and_pods", INIT, &[Requirement::Path("/usr/libexec/podman/catatonit")]),
    ("podman::mapped_users", MAPPED, &[Requirement::Root]),
    ("podman::kept_user", KEPT, &[Requirement::OrdinaryUser]),
    ("podman::units", UNITS, &[Requirement::Path("/run/systemd/system")]),
    ("podman::checkpoints", CHECKPOINTS, &[Requirement::Root, Requirement::Criu(&[])]),
    (
        "podman::pre_checkpoints",
        PRE_CHECKPOINTS,
        &[Requirement::Root, Requirement::Criu(&["mem_dirty_track"])],
    ),
];

/// What every container of a case starts with: no network of the engine's, which is not the runtime's work.
const RUN: &str = "podman run --network=none $PARENT";

/// In the steps, `RUN ` stands for [`RUN`].
const BASICS: Steps = &[
    "RUN --rm box sh -c 'echo out; id -u; pwd; exit 7'",
    // In no certain order with the other stream.
    "RUN --rm box sh -c 'echo err >&2' 2>&1 >/dev/null",
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

const LIFE: Steps = &[
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

const LIMITS: Steps = &[
    "RUN --rm --memory 64m --pids-limit 33 --cpu-shares 2 box sh -c \
     'exec 2>&1; cd /sys/fs/cgroup; cat memory.max pids.max cpu.weight || cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.shares'",
    "RUN --rm --ulimit nofile=111:222 --ulimit nproc=4096:4096 box sh -c 'ulimit -n; ulimit -Hn'",
    "RUN --rm --tmpfs /t:size=1m,mode=711 box sh -c 'stat -c %a /t; grep \" /t \" /proc/mounts | cut -d\" \" -f3,4'",
    "RUN --rm --sysctl kernel.msgmax=1234 box cat /proc/sys/kernel/msgmax",
    "! RUN --rm --sysctl kernel.no_such=1 box true",
    "mkdir -p vol && echo kept >vol/f; RUN --rm -v ./vol:/v:ro box sh -c 'cat /v/f; touch /v/g'",
    "podman volume create named && RUN --rm -v named:/n box touch /n/made && RUN --rm -v named:/n box ls /n",
];

const NAMESPACES: Steps = &[
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
const INIT: Steps = &[
    "RUN --rm --init box sh -c 'cat /proc/1/comm'",
    "podman pod create $PARENT --network none --name pod >/dev/null && podman run $PARENT -d --pod pod --name a box sleep 1000 >/dev/null \
     && podman run $PARENT --rm --pod pod box hostname",
    "podman pod pause pod >/dev/null; podman pod ps --format '{{.Name}} {{.Status}}'; podman pod unpause pod >/dev/null",
    "podman pod rm -f -t 0 pod >/dev/null; podman ps -a --format '{{.Names}}'",
];

const REST: Steps = &[
    "RUN -d --name c --health-cmd 'test -e /well' --health-interval disable box sleep 1000 >/dev/null",
    "podman healthcheck run c; echo $?; podman exec c touch /well; podman healthcheck run c; echo $?",
    "podman rm -f -t 0 c",
    "printf 'FROM box\\nRUN\\techo built >/b && id -u\\nCMD cat /b\\n' >Containerfile; \
     podman build --network none -q -t built . >/dev/null && RUN --rm built",
];

/// User namespaces of the engine's choice: what an ordinary user has mapped decides.
const MAPPED: Steps =
    &["RUN --rm --uidmap 0:100000:5000 box sh -c 'cat /proc/self/uid_map | tr -s \" \"; id -u'"];
const KEPT: Steps = &["RUN --rm --userns keep-id box sh -c 'test $(id -u) != 0 && echo kept'"];

/// A unit of systemd's, the system's or the user's: the engine says when the container runs, and its end is the container's.
const UNITS: Steps = &[
    "systemd-run $MANAGER --quiet --collect --unit $UNIT -p Type=notify -p NotifyAccess=all -p KillMode=mixed --setenv PATH=\"$PATH\" \
     podman run --network=none --cgroups=split --sdnotify=conmon --replace --name c box sh -c 'trap \"exit 0\" TERM; while :; do sleep 1; done' \
     && systemctl $MANAGER is-active $UNIT; podman exec c echo there",
    "podman inspect --format '{{.State.Status}}' c; systemctl $MANAGER show --property Type --property NotifyAccess $UNIT",
    "systemctl $MANAGER stop $UNIT; systemctl $MANAGER is-active $UNIT; podman rm -f -t 0 c >/dev/null; podman ps -a --format '{{.Names}}'",
];

/// A container goes on from disk. Of its count only matters that it does not begin anew.
const CHECKPOINTS: Steps = &[
    "RUN -d --name c box sh -c 'n=0; while true; do n=$((n + 1)); echo $n >/tmp/m; mv /tmp/m /tmp/n; sleep 0.1; done' >/dev/null; \
     until test $(podman exec c cat /tmp/n) -gt 3; do :; done",
    "podman container checkpoint c; podman inspect --format '{{.State.Status}} {{.State.Checkpointed}}' c",
    "n=$(cat $(podman mount c)/tmp/n); podman container restore c; \
     until test $(podman exec c cat /tmp/n) -gt $n; do :; done; podman inspect --format '{{.State.Status}} {{.State.Restored}}' c",
    "podman container checkpoint --leave-running c; podman exec c echo there",
    "podman container checkpoint --export moved.tar.gz c && podman rm c && podman container restore --import moved.tar.gz --name d",
    "podman exec d sh -c 'test $(cat /tmp/n) -gt 3 && echo counted'; podman rm -f -t 0 d",
];

/// Memory first, and what has changed then.
const PRE_CHECKPOINTS: Steps = &[
    "RUN -d --name c box sh -c 'n=0; while true; do n=$((n + 1)); echo $n >/tmp/m; mv /tmp/m /tmp/n; sleep 0.1; done' >/dev/null",
    "podman container checkpoint --pre-checkpoint c; podman exec c echo there",
    "podman container checkpoint --with-previous c && podman container restore c && podman exec c echo back; podman rm -f -t 0 c",
];

/// An engine with a store of its own under one runtime.
pub struct Podman {
    place: Place,
}

impl Engine for Podman {
    const ERROR: &str = "Error: ";

    fn start(name: &str) -> Self {
        let mut podman = Self { place: Place::new() };
        let program = runtime(name);
        let program = program.display();
        // No more open files than an ordinary root may allow. Podman asks a runtime for messages in JSON only when this list
        // has its name.
        let conf = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
             [engine]\nruntime_supports_json = [\"runc\", \"corten\"]\n[engine.runtimes]\n{name} = [\"{program}\"]\n"
        );
        podman.place.write("containers.conf", &conf);
        let manager = if by_systemd() { "systemd" } else { "cgroupfs" };
        let path = |name: &str| podman.place.path(name);
        let wrapper = format!(
            "export CONTAINERS_CONF={}\nexec /usr/bin/podman --root {} --runroot {} --tmpdir {} --storage-driver vfs \
             --events-backend file --cgroup-manager {manager} --runtime {name} \"$@\"",
            path("containers.conf"),
            path("store"),
            path("run"),
            path("tmp"),
        );
        podman.place.program("podman", &wrapper);
        let root = rustix::process::geteuid().is_root();
        let own = root && !by_systemd();
        let parent = if own { format!("--cgroup-parent={}", podman.place.group()) } else { String::new() };
        podman.place.set("PARENT", parent);
        podman.place.set("PODMAN_IGNORE_CGROUPSV1_WARNING", "1".to_owned());
        podman.place.set("UNIT", podman.place.name().to_owned());
        let manager = if root { "--system" } else { "--user" };
        podman.place.set("MANAGER", manager.to_owned());
        podman.place.must("tar -C box -c . | podman import -q - box >/dev/null");
        podman
    }

    fn step(&self, step: &str) -> String {
        let said = self.place.says(&step.replace("RUN ", &format!("{RUN} ")));
        let cause = |line: &str| match line.rsplit_once(": ") {
            // The runtime's own words for an error are not runc's; what the engine makes of them is the same.
            Some((before, end)) if before.starts_with("Error: RUNTIME: ") => {
                format!("Error: RUNTIME: {end}\n")
            }
            _ => format!("{line}\n"),
        };
        // Told by corten and by runc from 1.3 on, and not by older ones, in an order of their own; by runc of every ordinary user; and
        // by runc of a group that has gone before it.
        let warnings = [
            "can't raise ambient capability",
            "may fail if you don't have the full access to cgroups",
            "freezer not supported: ",
            "cannot toggle freezer: ",
            "msg=\"lstat ",
        ];
        let told = |line: &&str| !warnings.iter().any(|warning| line.contains(warning));
        said.lines().filter(told).map(cause).collect()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.step("podman pod rm -fa -t 0; podman rm -fa -t 0; podman rmi -fa; podman unshare true");
        self.place.remove_groups();
        // The runtime's own directory goes if nothing else is in it.
        self.step("rmdir /run/corten");
    }
}
