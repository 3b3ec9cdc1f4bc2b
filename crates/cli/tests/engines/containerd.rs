//! containerd: a service and its shim, which starts the runtime, driven by `ctr`.

use corten_testkit::Requirement;

use super::Cases;
use super::compare::{Engine, Steps, cause};
use super::place::{Place, Service, runtime};

pub const NEEDS: &[Requirement] = &[
    Requirement::Root,
    Requirement::Program("containerd"),
    Requirement::Program("ctr"),
    Requirement::CgroupV2("memory"),
];

const SYSTEMD: Requirement = Requirement::Path("/run/systemd/system");
const CRIU: Requirement = Requirement::Criu(&[]);

pub const CASES: Cases = &[
    ("containerd::basics", BASICS, &[]),
    ("containerd::life", LIFE, &[]),
    ("containerd::limits", LIMITS, &[]),
    ("containerd::namespaces", NAMESPACES, &[]),
    ("containerd::by_systemd", BY_SYSTEMD, &[SYSTEMD]),
    ("containerd::checkpoint", CHECKPOINT, &[CRIU]),
];

/// In the steps, `RUN` is `ctr run` with the runtime, and `BOX` the image's whole name.
const BASICS: Steps = &[
    "ctr images ls -q",
    "RUN --rm BOX c sh -c 'echo out; id -u; pwd; exit 7'",
    // In no certain order with the other stream.
    "RUN --rm BOX c sh -c 'echo err >&2' 2>&1 >/dev/null",
    "! RUN --rm BOX c /no/such/program",
    "! RUN --rm BOX c /etc",
    "! RUN --rm --cwd /etc/passwd BOX c true",
    "RUN --rm --cwd /tmp --env A=1 --hostname named --user 5:6 BOX c sh -c 'pwd; echo $A; hostname; id'",
    "RUN --rm --read-only BOX c touch /file",
    "RUN --rm --cap-drop CAP_CHOWN --cap-add CAP_SYS_TIME BOX c grep Cap /proc/self/status | sed 's/..../& /g'",
    "RUN --rm --privileged BOX c sh -c 'grep -E \"CapEff|Seccomp:\" /proc/self/status; ls /dev | wc -l' | sed 's/..../& /g'",
    "RUN --rm --seccomp BOX c sh -c 'grep -E \"Seccomp:|NoNew\" /proc/self/status; unshare -m true'",
    "RUN --rm --allow-new-privs BOX c grep NoNew /proc/self/status",
    "RUN --rm --rootfs $PWD/box c /bin/id -u",
    // Standard input that has no end.
    "mkfifo in; script -qec \"RUN --rm -t BOX c sh -c 'test -t 0 && tty'\" /dev/null <>in",
];

const LIFE: Steps = &[
    "RUN -d BOX c sh -c 'sleep 1000; exit 3'",
    "ctr tasks exec --exec-id e c sh -c 'echo in $0; exit 3'",
    "ctr tasks exec --exec-id e --user 7 --cwd /tmp c sh -c 'id -u; pwd'",
    "mkfifo in; script -qec \"ctr tasks exec -t --exec-id e c sh -c 'test -t 0 && tty'\" /dev/null <>in",
    "! ctr tasks exec --exec-id e c /no/such/program",
    "! ctr tasks exec --exec-id e --cwd /etc/passwd c true",
    "ctr tasks exec -d --exec-id e c sleep 500; ctr tasks ps c | wc -l",
    "ctr tasks kill -s KILL --exec-id e c; await 'test $(ctr tasks ps c | wc -l) = 3'",
    "ctr tasks ls | tr -s ' ' | cut -d' ' -f1,3",
    "! ctr tasks pause c; ctr tasks ls | tr -s ' ' | cut -d' ' -f1,3; ctr tasks exec --exec-id g c true",
    "ctr tasks resume c; ctr tasks ls | tr -s ' ' | cut -d' ' -f1,3",
    "ctr tasks metrics c | cut -d' ' -f1 | sort; ctr tasks metrics --format json c | grep -c usage",
    "! ctr tasks rm c",
    "ctr tasks kill c; ctr tasks exec --exec-id f c echo init heeds no SIGTERM",
    "ctr tasks kill -a -s KILL c; await 'ctr tasks ls | grep -q STOPPED'; ctr tasks rm c; echo $?; ctr c rm c",
    "RUN --rm BOX c sleep 1000 & await 'ctr tasks ls | grep -q RUNNING' && ctr tasks kill -s KILL c; wait $!; echo $?",
    "{ RUN -d BOX c sh -c 'echo twice; exit 4'; await 'ctr tasks ls | grep -q STOPPED'; ctr tasks rm c; ctr tasks start c; echo $?; } | sort",
    "ctr c rm c; ctr c ls -q; ctr tasks ls -q",
];

const LIMITS: Steps = &[
    "RUN --rm --memory-limit 67108864 --cpus 0.5 --cpu-shares 2 BOX c sh -c \
     'cd /sys/fs/cgroup; cat memory.max cpu.max cpu.weight'",
    "RUN --rm --device /dev/loop-control BOX c sh -c 'ls -l /dev/loop-control | cut -c1-10; cat /dev/loop-control' 2>&1 | sort",
    "RUN --rm --mount type=tmpfs,dst=/t,options=size=1m:mode=711 BOX c sh -c \
     'stat -c %a /t; grep \" /t \" /proc/mounts | cut -d\" \" -f3,4'",
    "mkdir -p vol && echo kept >vol/f; RUN --rm --mount type=bind,src=$PWD/vol,dst=/v,options=rbind:ro BOX c \
     sh -c 'cat /v/f; touch /v/g' 2>&1 | sort",
    "! RUN --rm --mount type=bind,src=/no/such/source,dst=/v,options=rbind BOX c true",
    // The shim watches for lack of memory once the container runs; the event and the end of the program come in any order.
    "ctr events >events & await 'ctr ns label $CONTAINERD_NAMESPACE a=b; grep -q /namespaces/update events'; \
     RUN -d --memory-limit 16777216 BOX c sleep 1000; ctr tasks exec --exec-id e c tail /dev/zero; echo $?; \
     await 'grep -q /tasks/oom events'; kill $!; ctr tasks rm -f c >/dev/null; ctr c rm c; grep -o '/tasks/[a-z-]*' events | sort -u",
];

const NAMESPACES: Steps = &[
    "for n in pid ipc uts net mnt cgroup; do test $(readlink /proc/self/ns/$n) = \
     $(RUN --rm --net-host BOX c readlink /proc/self/ns/$n) && echo $n; done; true",
    "RUN -d BOX c sleep 1000; p=/proc/$(ctr tasks ls | grep -w c | tr -s ' ' | cut -d' ' -f2)/ns; \
     for n in pid ipc network uts; do f=${n%work}; \
     test $(readlink $p/$f) = $(RUN --rm --with-ns $n:$p/$f BOX d readlink /proc/self/ns/$f) && echo $n; done; ctr tasks rm -f c >/dev/null; ctr c rm c",
    "RUN --rm --uidmap 0:100000:5000 --gidmap 0:100000:5000 BOX c sh -c 'cat /proc/self/uid_map | tr -s \" \"; id -u; touch /f'",
];

/// The control group is a unit of systemd's.
const BY_SYSTEMD: Steps = &[
    "RUN -d --runc-systemd-cgroup --cgroup system.slice:$UNIT:c --memory-limit 67108864 --cpus 0.5 BOX c sleep 1000",
    "systemctl show -p ActiveState -p MemoryMax -p CPUQuotaPerSecUSec -p Slice $UNIT-c.scope",
    "ctr tasks exec --exec-id e c cut -d: -f3 /proc/1/cgroup | sed \"s/$UNIT/UNIT/\"",
    "ctr tasks exec --exec-id e c cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max",
    "ctr tasks metrics --format json c | grep -c usage",
    "ctr tasks rm -f c; ctr c rm c; await 'test $(systemctl show -p ActiveState --value $UNIT-c.scope) = inactive'",
    "! RUN --rm --runc-systemd-cgroup BOX c true",
];

/// What counts and is saved must go on counting from where it was.
const CHECKPOINT: Steps = &[
    "RUN -d --null-io BOX c sh -c 'i=0; while echo $((i=i+1)) >/m; do mv /m /n; done'",
    "await 'test $(ctr tasks exec --exec-id e c cat /n) -gt 20'",
    "ctr c checkpoint --rw --task c saved",
    "ctr tasks ls | tr -s ' ' | cut -d' ' -f1,3",
    "ctr tasks rm -f c >/dev/null 2>&1; ctr c rm c; ctr c restore --rw --live c saved",
    "n=$(ctr tasks exec --exec-id e c cat /n); test $n -gt 20 && await \"test \\$(ctr tasks exec --exec-id e c cat /n) -gt $n\"",
    "ctr tasks ls | tr -s ' ' | cut -d' ' -f1,3",
    "mkdir images work; ctr tasks checkpoint --exit --image-path $PWD/images --work-path $PWD/work c; \
     ls images | grep -cx -e inventory.img -e pstree.img",
    "ctr tasks rm -f c >/dev/null 2>&1; ctr c rm c; ctr images rm saved",
];

/// A containerd with directories of its own.
pub struct Containerd {
    // It ends before its directory goes.
    _service: Service,
    place: Place,
}

/// Imports an image as `docker save` writes it, of what is in `box`, with a command as a list of JSON.
pub fn import(place: &Place, name: &str, command: &str) {
    place.must(&format!(
        "rm -rf image && mkdir image && tar -C box -c . >image/layer.tar && cd image && \
         printf '{{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{{\"Cmd\":{command},\"Env\":[\"PATH=/bin\"]}},\
         \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}}}' \
         $(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/') $(sha256sum layer.tar | cut -d' ' -f1) >config.json && \
         printf '[{{\"Config\":\"config.json\",\"RepoTags\":[\"{name}\"],\"Layers\":[\"layer.tar\"]}}]' >manifest.json && \
         tar -c * >../image.tar && ctr images import ../image.tar"
    ));
}

/// Starts a containerd in the place, by the words `under`. Without a configuration of its CRI service it has none.
/// `ctr` in the place talks to it.
pub fn serve(place: &mut Place, namespace: &str, cri: Option<&str>, under: &str) -> Service {
    let disabled = if cri.is_some() { "" } else { "\"io.containerd.grpc.v1.cri\"" };
    let cri = cri.unwrap_or_default();
    let config = format!(
        "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [{disabled}]\n[grpc]\naddress = \"{}\"\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{}\"\n{cri}",
        place.path("root"),
        place.path("state"),
        place.path("socket"),
        place.path("opt"),
    );
    place.write("config.toml", &config);
    place.set("CONTAINERD_ADDRESS", place.path("socket"));
    std::fs::create_dir(place.path("tmp")).unwrap();
    place.set("TMPDIR", place.path("tmp"));
    place.set("CONTAINERD_NAMESPACE", namespace.to_owned());
    place.service("containerd", &format!("{under} containerd --config config.toml"), "socket")
}

/// Removes what there is in the namespace.
pub fn empty(place: &Place) {
    place.says(
        "for c in $(ctr tasks ls -q); do ctr tasks rm -f $c; done; for c in $(ctr c ls -q); do ctr c rm $c; done; \
         ctr images rm $(ctr images ls -q); cd /run/containerd && rmdir runc/$CONTAINERD_NAMESPACE fifo runc s ../containerd",
    );
}

impl Engine for Containerd {
    const ERROR: &str = "ctr: ";

    fn start(name: &str) -> Self {
        let mut place = Place::new();
        let namespace = format!("corten-engines-{}", place.name());
        let service = serve(&mut place, &namespace, None, "");
        place.set("RUNTIME", runtime(name).display().to_string());
        place.set("UNIT", namespace);
        import(&place, BOX, "[\"sh\"]");
        Self { _service: service, place }
    }

    fn step(&self, step: &str) -> String {
        let step = step.replace("RUN ", "ctr run --runc-binary $RUNTIME ").replace("BOX", BOX);
        let said = self.place.says(&step).replace(self.place.name(), "NAME");
        // A terminal may have gone before it has its size.
        said.lines().filter(|line| !line.contains("resize pty")).map(cause).collect()
    }
}

const BOX: &str = "docker.io/library/box:latest";

impl Drop for Containerd {
    fn drop(&mut self) {
        empty(&self.place);
        self.step("ctr ns rm $CONTAINERD_NAMESPACE; rmdir /sys/fs/cgroup/$CONTAINERD_NAMESPACE");
    }
}
