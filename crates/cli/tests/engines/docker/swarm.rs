//! Docker's swarm mode: two machines, of which one manages both.

use super::Docker;
use crate::Cases;
use crate::compare::{Engine, Steps};

pub const CASES: Cases = &[("docker::swarm", SERVICE, &[])];

/// In the steps, `$WORKER` is the other machine's docker, `await-running` waits until so many tasks of the service `web` run, and
/// `one` has a command for one of them, wherever it is.
const SERVICE: Steps = &[
    "docker swarm init --advertise-addr 10.98.0.1 >/dev/null; docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.Managers}}'",
    "docker -H $WORKER swarm join --token $(docker swarm join-token -q worker) 10.98.0.1:2377; \
     await 'docker node ls --format \"{{.Hostname}} {{.Status}}\" | grep \"worker Ready\"'; \
     docker node ls --format '{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}' | sort",
    "echo word | docker secret create secret - >/dev/null; docker network create -d overlay net >/dev/null; docker network ls --format '{{.Name}} {{.Scope}}' | sort",
    "docker service create -d -q --no-resolve-image --name web --replicas 3 --limit-memory 64m --limit-cpu 0.5 --limit-pids 33 --endpoint-mode dnsrr \
     --env V=1 --secret secret --network net --init --hostname '{{.Service.Name}}-{{.Task.Slot}}' --stop-grace-period 1s \
     --health-cmd 'test -e /tmp/p' --health-interval 5s --update-order start-first \
     box sh -c 'echo $V >/tmp/p; exec httpd -f -h /tmp' >/dev/null; await-running 3",
    "docker service ls --format '{{.Name}} {{.Mode}} {{.Replicas}} {{.Image}}'; docker service ps --format '{{.Name}} {{.DesiredState}} {{.Error}}' web | sort",
    "for h in $DOCKER_HOST $WORKER; do for c in $(docker -H $h ps -q); do \
     docker -H $h exec $c sh -c \"$LIMITS; hostname; cat /run/secrets/secret /proc/1/comm; id -u\"; done; done | sort",
    // The name of the service stands for all its tasks: an address of one service for all of them needs the kernel's IPVS.
    "docker $(one exec) sh -c 'wget -qO- http://web/p; nslookup web | grep -c 10.0.'",
    "docker service scale -d web=5; await-running 5; docker service scale -d web=2; await-running 2",
    "docker service update -d -q --no-resolve-image --env-add V=2 --limit-memory 32m web >/dev/null; \
     await 'docker service inspect --format \"{{.UpdateStatus.State}}\" web | grep completed'; await-running 2; \
     docker service ps --filter desired-state=running --format '{{.Name}} {{.DesiredState}}' web | sort",
    "for h in $DOCKER_HOST $WORKER; do for c in $(docker -H $h ps -q); do \
     docker -H $h exec $c sh -c \"$LIMITS; cat /tmp/p\"; done; done | sort",
    // A task that has ended is replaced.
    "docker $(one kill) >/dev/null; await 'docker service ps --format \"{{.CurrentState}}\" web | grep Failed'; await-running 2",
    "docker service rollback -d -q web >/dev/null; await 'docker service inspect --format \"{{.UpdateStatus.State}}\" web | grep rollback_completed'; \
     await-running 2",
    "docker service scale -d web=3; await-running 3; docker node update --availability drain worker; \
     await 'test -z \"$(docker -H $WORKER ps -q)\"'; await-running 3; docker ps -q | wc -l",
    "docker node update --availability active worker; docker node ls --format '{{.Hostname}} {{.Availability}}' | sort",
    "docker service create -d -q --no-resolve-image --name missing --restart-condition none box /no/such/program >/dev/null; \
     await 'docker service ps --format \"{{.CurrentState}}\" missing | grep -E \"Rejected|Failed\"'; \
     docker service ps --no-trunc --format '{{.Name}} {{.DesiredState}} {{.Error}}' missing",
    "docker service create -d -q --no-resolve-image --name all --mode global box sleep 1000 >/dev/null; \
     await 'docker service ls --filter name=all --format \"{{.Replicas}}\" | grep 2/2'; docker service logs all",
    "docker service rm web missing all; await 'test -z \"$(docker ps -q; docker -H $WORKER ps -q)\"'; docker network rm net; docker secret rm secret >/dev/null",
    "docker -H $WORKER swarm leave; docker swarm leave --force",
];

/// Waits until so many tasks of the service `web` run and no more, and says how many.
const RUNNING: &str = "await \"test \\$(docker service ls --filter name=web --format '{{.Replicas}}') = $1/$1\"; \
    await \"test \\$({ docker ps -q --filter name=web; docker -H $WORKER ps -q --filter name=web; } | wc -l) = $1\"; echo $1 run";

const ONE: &str = "for h in $DOCKER_HOST $WORKER; do c=$(docker -H $h ps -q --filter name=web | head -1); \
    test -z \"$c\" || { echo -H $h $1 $c; exit; }; done";

/// The machine that manages, and another.
pub struct Swarm {
    manager: Docker,
    _worker: Docker,
}

/// A cable between the machines.
const LINK: &str = "ip link add eth0 netns $(cat containerd.pid) type veth peer name eth0 netns $PEER; \
    for end in \"$(cat containerd.pid) 1\" \"$PEER 2\"; do set -- $end; \
    nsenter --net --target $1 sh -ec \"ip addr add 10.98.0.$2/24 dev eth0; ip link set eth0 up\"; done";

impl Engine for Swarm {
    const ERROR: &str = Docker::ERROR;

    fn start(name: &str) -> Self {
        let (mut manager, worker) = (Docker::on(name, "manager"), Docker::on(name, "worker"));
        manager.place.set("WORKER", format!("unix://{}", worker.place.path("docker.sock")));
        let pid = std::fs::read_to_string(worker.place.path("containerd.pid")).unwrap();
        manager.place.set("PEER", pid.trim().to_owned());
        manager.place.must(LINK);
        manager.place.program("await-running", RUNNING);
        manager.place.program("one", ONE);
        Self { manager, _worker: worker }
    }

    fn step(&self, step: &str) -> String {
        self.manager.step(step)
    }
}
