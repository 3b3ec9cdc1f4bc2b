//! Docker: a dockerd with a containerd of its own, in a network and a mount namespace that go with it.

use corten_testkit::Requirement;

use super::Cases;
use super::compare::{Engine, Steps, cause};
use super::containerd::serve;
use super::place::{Place, Service, by_systemd, runtime};

mod swarm;

pub use swarm::{CASES as SWARM, Swarm};

pub const NEEDS: &[Requirement] = &[
    Requirement::Root,
    Requirement::Program("docker"),
    Requirement::Program("dockerd"),
    Requirement::Program("containerd"),
    Requirement::Program("iptables"),
];

pub const CASES: Cases = &[
    ("docker::basics", BASICS, &[]),
    ("docker::life", LIFE, &[]),
    ("docker::endings", ENDINGS, &[]),
    ("docker::limits", LIMITS, &[]),
    ("docker::namespaces", NAMESPACES, &[]),
    ("docker::build", BUILD, &[]),
    ("docker::compose", COMPOSE, &[Requirement::Path(PLUGIN)]),
];

const PLUGIN: &str = "/usr/libexec/docker/cli-plugins/docker-compose";

const BASICS: Steps = &[
    "docker run --rm box sh -c 'id -u; pwd; grep -E \"Cap|Seccomp:|NoNew\" /proc/self/status; exit 7'",
    "! docker run --rm box /no/such/program",
    "! docker run --rm box no-such-program",
    "! docker run --rm box /etc",
    "docker run --rm --workdir /tmp --env A=1 --hostname named --user 5:6 --group-add 9 box sh -c 'pwd; echo $A; hostname; id'",
    "docker run --rm --read-only --cap-drop all --cap-add kill --security-opt no-new-privileges box \
     sh -c 'exec 2>&1; touch /file; grep -E \"Cap|NoNew\" /proc/self/status'",
    "docker run --rm --privileged box sh -c 'grep -E \"CapEff|Seccomp:\" /proc/self/status; mount | grep -E \" /(sys|proc)[ /]\"' | grep -v unified",
    "docker run --rm box sh -c 'echo err >&2; exit 8'",
    // All that docker mounts, in whatever order, and the devices. What masks a path is the runtime's choice; hybrid v1 has one
    // hierarchy more than runc shows.
    "docker run --rm --device /dev/null:/dev/other:r box sh -c \
     'cut -d\" \" -f2- /proc/mounts; cd /dev; stat -c \"%n %A %U %t:%T\" *; cat /proc/self/attr/current 2>/dev/null; true' | \
     sed -E '/^\\/(proc|sys)\\/.* (dev)?tmpfs /s/ .*//; /^\\/ /d; /unified/d' | sort",
    // Standard input that has no end.
    "mkfifo in; script -qec \"docker run --rm -it box sh -c 'test -t 0 && tty'\" /dev/null <>in",
    "echo typed | docker run --rm -i --init box sh -c 'cat /proc/1/comm -'",
];

const LIFE: Steps = &[
    "docker run -d --name one --memory 64m box sh -c 'echo started; exec sleep 1000' >/dev/null",
    "docker inspect --format '{{.State.Status}} {{.HostConfig.Runtime}}' one",
    "docker exec one sh -c 'echo in $0; cat /proc/self/attr/current 2>/dev/null; grep -E \"Cap|Seccomp:\" /proc/self/status; exit 3'",
    "docker exec -u 7 -w /tmp -e B=2 one sh -c 'id -u; pwd; echo $B'",
    "mkfifo in; script -qec \"docker exec -it one sh -c 'test -t 0 && tty'\" /dev/null <>in",
    "echo typed | docker exec -i one cat",
    "docker exec --privileged one grep CapEff /proc/self/status",
    "docker exec one /no/such/program",
    "docker exec one no-such-program",
    "docker exec one /etc",
    "docker top one -o pid,comm | tr -d '0-9 '",
    "docker stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemPerc}}' one | sed 's/[1-9]//g'",
    "docker pause one && docker ps --format '{{.Names}} {{.State}}'",
    "! docker exec one true",
    "docker unpause one && docker exec one echo again",
    "docker restart -t 0 one && docker exec one echo restarted",
    "docker logs one",
    "docker cp one:/etc/passwd - | tar -xO",
    "docker kill -s KILL one; docker wait one; docker inspect --format '{{.State.ExitCode}} {{.State.OOMKilled}}' one",
    "docker start one && docker stop -t 0 one && docker rm one && docker ps -a --format '{{.Names}}'",
];

/// What docker itself makes of the end of a container, and of its health.
const ENDINGS: Steps = &[
    "docker run -d --name full --memory 16m --memory-swap 16m box sh -c \
     'dd if=/dev/zero of=/dev/null bs=64M count=1; echo $?; exec sleep 1000' >/dev/null",
    "await 'docker inspect full | grep -q \"OOMKilled.: true\"'; await 'docker logs full | grep 137'",
    "docker run -d --name again --restart on-failure:2 box sh -c 'echo tried; exit 3' >/dev/null",
    "await 'docker inspect --format \"{{.State.Status}} {{.RestartCount}}\" again | grep \"exited 2\"'; docker logs again",
    "docker run -d --name always --restart always --health-cmd 'test -e /well' --health-interval 1s --health-retries 1 \
     box sleep 1000 >/dev/null",
    "await 'docker inspect --format \"{{.State.Health.Status}}\" always | grep unhealthy'",
    "docker exec always touch /well; await 'docker inspect --format \"{{.State.Health.Status}}\" always | grep ^healthy'",
    "kill -9 $(docker inspect --format '{{.State.Pid}}' always); await 'docker inspect --format \"{{.State.Status}} {{.RestartCount}}\" always | grep \"running 1\"'; docker exec always echo back",
];

const LIMITS: Steps = &[
    "docker run -d --name limited --memory 64m --memory-swap 96m --memory-reservation 32m --pids-limit 33 --cpus 0.5 --cpu-shares 2 \
     --cpuset-cpus 0 --ulimit nofile=111:222 --sysctl net.ipv4.ip_forward=0 --sysctl kernel.msgmax=1234 --shm-size 2m \
     --tmpfs /t:size=1m,mode=711 --oom-score-adj 77 box sleep 1000 >/dev/null",
    "docker exec limited sh -c \"$LIMITS\"; docker exec limited sh -c 'ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward; \
     cat /proc/sys/kernel/msgmax /proc/1/oom_score_adj; stat -c %a /t; grep -E \" /(t|dev/shm) \" /proc/mounts'",
    "docker update --memory 32m --memory-swap 48m --pids-limit 44 --cpus 0.25 --cpu-shares 262144 --cpuset-cpus 1 limited",
    "docker exec limited sh -c \"$LIMITS\"",
    "! docker run --rm --sysctl kernel.msgmax=word box true",
    "! docker run --rm --memory 1k box true",
    "mkdir -p vol && echo kept >vol/f; docker run --rm -v ./vol:/v:ro -v named:/n --mount type=tmpfs,dst=/m,tmpfs-mode=1770 box \
     sh -c 'exec 2>&1; cat /v/f; touch /v/g; touch /n/made; stat -c %a /m'",
    "docker run --rm --volumes-from limited -v named:/n:nocopy box sh -c 'ls /n; grep \" /n \" /proc/mounts | cut -d\" \" -f2-'",
];

const NAMESPACES: Steps = &[
    "docker run -d --name one --ipc shareable --network none box sleep 1000 >/dev/null",
    "docker run --rm --pid host --ipc host --uts host --network host --cgroupns host --userns host box \
     sh -c 'cd /proc/self/ns; for n in *; do readlink $n; done' | sed 's/mnt.*/mnt/' >inside; \
     for n in cgroup ipc net pid uts; do grep -Fx \"$(readlink /proc/$(cat docker.pid)/ns/$n)\" inside | sed 's/:.*/ is shared/'; done",
    "docker run --rm --pid container:one box ps -o comm",
    "docker exec one readlink /proc/1/ns/net /proc/1/ns/ipc >of-one; \
     docker run --rm --network container:one --ipc container:one box readlink /proc/self/ns/net /proc/self/ns/ipc | cmp - of-one && ls of-one",
    "docker network create net >/dev/null && docker run -d --name server --network net --network-alias served box \
     sh -c 'echo page >/tmp/p; exec httpd -f -h /tmp' >/dev/null",
    "docker run --rm --network net box sh -c 'wget -qO- http://served/p; ip -o addr | grep -c eth0'",
    "docker network connect bridge server; docker exec server sh -c 'ls /sys/class/net'; docker network disconnect net server; \
     docker exec server sh -c 'ls /sys/class/net'",
];

/// The builder of dockerd's own. BuildKit takes `runc` whatever the engine's runtime is.
const BUILD: Steps = &[
    "docker build -q -t built - <Dockerfile 2>/dev/null | cut -c1-7; docker run --rm built",
    "(cat Dockerfile; echo RUN exit 5) | docker build -q - 2>&1 | grep returned",
    "docker run --name changed box touch /changed && docker diff changed && docker commit changed with >/dev/null && \
     docker run --rm with ls /changed",
];

const COMPOSE: Steps = &[
    "docker compose up -d >/dev/null 2>&1",
    "docker compose ps --format '{{.Service}} {{.State}} {{.Health}}'",
    "await 'docker compose logs --no-color client | grep page'",
    "docker compose exec -T server sh -c \"$LIMITS\" | grep 67108864",
    "docker compose exec -T client sh -c 'cat /proc/1/comm; wget -qO- http://server/p; exit 4'",
    "docker compose down -t 0 >/dev/null 2>&1; docker ps -a --format '{{.Names}}'",
];

const DOCKERFILE: &str = r#"FROM box
RUN id -u >/b && (cat /proc/self/attr/current >>/b || true) && chmod 777 /b
USER 7
WORKDIR /tmp
RUN (id -u; pwd) >>/b
CMD ["cat", "/b"]
"#;

const SERVICES: &str = r#"name: both
services:
  server:
    image: box
    command: ["sh", "-c", "echo page >/tmp/p; exec httpd -f -h /tmp"]
    mem_limit: 64m
    healthcheck: {test: ["CMD", "test", "-e", "/tmp/p"], interval: 1s}
  client:
    image: box
    init: true
    depends_on: {server: {condition: service_healthy}}
    command: ["sh", "-c", "wget -qO- http://server/p; exec sleep 1000"]
"#;

/// What the control group of a container says from inside, on v2 and on v1.
const FILES: &str = "cd /sys/fs/cgroup; for f in memory.max memory.swap.max memory.low pids.max cpu.max cpu.weight cpuset.cpus \
    */memory.limit_in_bytes */memory.memsw.limit_in_bytes */memory.soft_limit_in_bytes */pids.max */cpu.cfs_quota_us \
    */cpu.shares */cpuset.cpus; do test ! -e $f || echo $f $(cat $f); done";

impl Docker {
    /// With containers of that runtime, on what seems to be a machine of its own.
    fn on(name: &str, host: &str) -> Self {
        let mut place = Place::new();
        let socket = format!("unix://{}", place.path("docker.sock"));
        place.write("daemon.json", &daemon(&place, name, &socket).to_string());
        place.write("Dockerfile", DOCKERFILE);
        place.write("compose.yaml", SERVICES);
        place.set("LIMITS", FILES.to_owned());
        place.set("DOCKER_HOST", socket);
        place.set("DOCKER_BUILDKIT", "0".to_owned());
        place.set("DOCKER_CONFIG", place.path("config"));
        place.set("HOST", host.to_owned());
        let containerd = serve(&mut place, "moby", None, OWN);
        let dockerd = place.service("dockerd", DOCKERD, "docker.sock");
        let docker = Self { _dockerd: dockerd, _containerd: containerd, place };
        docker.place.must("tar -C box -c . | docker import - box >/dev/null");
        docker
    }
}

/// What dockerd is told.
fn daemon(place: &Place, name: &str, socket: &str) -> serde_json::Value {
    let mut daemon = serde_json::json!({
        "data-root": place.path("data"),
        "exec-root": place.path("exec"),
        "pidfile": place.path("docker.pid"),
        "hosts": [socket],
        "default-runtime": name,
        "containerd": place.path("socket"),
    });
    // Systemd takes away the groups that docker lets it make.
    if by_systemd() {
        daemon["exec-opts"] = serde_json::json!(["native.cgroupdriver=systemd"]);
    } else {
        daemon["cgroup-parent"] = serde_json::json!(place.group());
    }
    // Docker has one of the name runc, and takes no other for it.
    if name != "runc" {
        daemon["runtimes"] = serde_json::json!({ name: { "path": runtime(name) } });
    }
    daemon
}

/// A dockerd, and where it keeps everything.
pub struct Docker {
    // They end in this order, before their directory goes.
    _dockerd: Service,
    _containerd: Service,
    place: Place,
}

/// Bridges, rules of the firewall and addresses go with the network namespace, and what is mounted with the other. The two
/// directories are those where dockerd and containerd's shims make sockets, whatever they are told.
const OWN: &str = "unshare --net --mount --uts --propagation private sh -ec 'echo $$ >containerd.pid; ip link set lo up; \
    hostname \"$HOST\"; for directory in /run/docker /run/containerd; do mkdir -p $directory; mount -t tmpfs corten-docker $directory; \
    done; exec \"$@\"' sh";

/// One that it started itself would have 15 seconds to answer, whatever the machine.
const DOCKERD: &str =
    "nsenter --net --mount --uts --target $(cat containerd.pid) dockerd --config-file \"$PWD/daemon.json\"";

impl Engine for Docker {
    const ERROR: &str = "Error response from daemon: ";

    fn start(name: &str) -> Self {
        Self::on(name, "host")
    }

    fn step(&self, step: &str) -> String {
        self.place.says(step).lines().map(cause).collect()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.step("docker ps -aq | xargs -r docker rm -f -v; rmdir /run/docker /run/containerd");
        self.place.remove_groups();
    }
}
