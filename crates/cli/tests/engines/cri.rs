//! containerd's service for Kubernetes, driven as the kubelet drives it.

mod grpc;
mod kubelet;
mod messages;

use corten_testkit::{Failed, Requirement};

use kubelet::{Kubelet, config, exec};
use messages::*;

/// Where the network's plugins are.
const PLUGINS: &str = "/usr/lib/cni";

pub const NEEDS: &[Requirement] = &[
    Requirement::Root,
    Requirement::Program("runc"),
    Requirement::Busybox,
    Requirement::Program("containerd"),
    Requirement::Program("ctr"),
    Requirement::Path("/usr/lib/cni/ptp"),
    Requirement::CgroupV2("memory"),
];

const SYSTEMD: &[Requirement] = &[Requirement::Path("/run/systemd/system")];

/// What is asked, and whether systemd makes the control groups.
type Case = (&'static str, fn(&mut Kubelet), bool, &'static [Requirement]);

pub const CASES: &[Case] = &[
    ("cri::life", life, false, &[]),
    ("cri::probes", probes, false, &[]),
    ("cri::limits", limits, false, &[]),
    ("cri::limits_by_systemd", limits, true, SYSTEMD),
    ("cri::security", security, false, &[]),
    ("cri::namespaces", namespaces, false, &[]),
    ("cri::user_namespaces", user_namespaces, false, &[]),
    ("cri::refusals", refusals, false, &[]),
];

/// The same under both runtimes, one after the other; what is told must be the same.
pub fn same(case: fn(&mut Kubelet), by_systemd: bool) -> Result<(), Failed> {
    let [theirs, ours] = ["runc", "corten"].map(|name| {
        let mut kubelet = Kubelet::start(name, by_systemd);
        case(&mut kubelet);
        kubelet.said()
    });
    if std::env::var_os("CORTEN_ENGINES_SHOW").is_some() {
        eprintln!("{theirs}");
    }
    if theirs == ours { Ok(()) } else { Err(format!("runc:\n{theirs}\ncorten:\n{ours}").into()) }
}

/// From the first to the last word of a pod with containers that end by themselves, heed a signal or do not.
fn life(kubelet: &mut Kubelet) {
    let StatusAnswer { status } = kubelet.must("Status", &Nothing {});
    kubelet.tell(&format!("{status:?}"));
    let pod = kubelet.pod("p", |pod| {
        pod.labels.insert("app".to_owned(), "tested".to_owned());
    });
    kubelet.tell_pod(&pod);
    kubelet.whole(
        &pod,
        "whole",
        "echo out; echo err >&2; hostname; pwd; echo $A; ls -d /v/*; exit 7",
        |config| {
            config.working_dir = "/tmp".to_owned();
            config.envs.push(KeyValue { key: "A".to_owned(), value: "1 2".to_owned() });
            config.mounts.push(Mount {
                container_path: "/v".to_owned(),
                host_path: "/proc/sys".to_owned(),
                readonly: true,
                propagation: 0,
            });
        },
    );
    let heeds = kubelet.create(
        &pod,
        "heeds",
        "trap 'echo told; exit 5' TERM; echo up; while :; do sleep 0.1; done",
        |_| {},
    );
    kubelet.tell_container(&heeds);
    let Nothing {} = kubelet.must("StartContainer", &Id { id: heeds.clone() });
    kubelet.exec(&heeds, "until grep -q up /proc/1/cmdline; do :; done; ps -o pid,comm | head -2", 0);
    kubelet.tell_container(&heeds);
    kubelet.stop(&heeds, 600);
    kubelet.tell_log(&pod, "heeds");
    kubelet.tell_container(&heeds);
    let deaf = kubelet.run(&pod, "deaf", "trap '' TERM; while :; do sleep 0.1; done", |_| {});
    kubelet.stop(&deaf, 1);
    kubelet.tell_container(&deaf);
    kubelet.remove(&deaf);
    kubelet.refused("ContainerStatus", &Id { id: deaf });
    kubelet.whole(&pod, "tty", "test -t 1 && tty", |config| config.tty = true);
    // A container is stopped and removed with its pod.
    kubelet.run(&pod, "left", "sleep 1000", |_| {});
    kubelet.end(&pod);
}

fn probes(kubelet: &mut Kubelet) {
    let pod = kubelet.pod("p", |_| {});
    let id = kubelet.run(&pod, "c", "sleep 1000", |config| {
        config.working_dir = "/tmp".to_owned();
        config.security().run_as_user = Some(Number { value: 7 });
    });
    kubelet.exec(&id, "echo out; echo err >&2; id -u; pwd; exit 3", 600);
    kubelet.exec(&id, "head -c 100000 /dev/zero | tr '\\0' x | md5sum", 0);
    kubelet.exec(&id, "kill -9 $$", 0);
    kubelet.refused("ExecSync", &exec(&id, &["sh", "-c", "sleep 1000"], 2));
    // Nothing of the probe that took too long is left.
    kubelet.exec(&id, "ps -o comm | grep -c sleep", 0);
    kubelet.refused("ExecSync", &exec(&id, &["/no/such/program"], 0));
    kubelet.refused("ExecSync", &exec(&id, &["/etc"], 0));
    kubelet.stop(&id, 0);
    kubelet.tell_container(&id);
    kubelet.refused("ExecSync", &exec(&id, &["true"], 0));
    kubelet.end(&pod);
}

const FILES: &str =
    "cd /sys/fs/cgroup; grep . memory.max cpu.max cpu.weight cpuset.cpus pids.max; cat /proc/1/oom_score_adj";

fn limits(kubelet: &mut Kubelet) {
    let pod = kubelet.pod("p", |_| {});
    let id = kubelet.run(&pod, "c", "sleep 1000", |config| {
        *config.resources() = Resources {
            cpu_period: 100_000,
            cpu_quota: 50_000,
            cpu_shares: 2,
            memory_limit_in_bytes: 64 << 20,
            oom_score_adj: 500,
            cpuset_cpus: "0".to_owned(),
            unified: [("pids.max".to_owned(), "99".to_owned())].into(),
        };
    });
    kubelet.exec(&id, FILES, 0);
    kubelet.tell_container(&id);
    let StatsAnswer { stats } = kubelet.must("ContainerStats", &Id { id: id.clone() });
    let stats = stats.unwrap();
    let memory = stats.memory.unwrap();
    let some = [stats.cpu.unwrap().core_nanoseconds, memory.working_set, memory.available, memory.usage];
    kubelet.tell(&format!("{:?}", some.map(|amount| amount.is_some_and(|amount| amount.value > 0))));
    let linux = Some(Resources {
        cpu_period: 100_000,
        cpu_quota: 80_000,
        cpu_shares: 262_144,
        memory_limit_in_bytes: 96 << 20,
        ..Resources::default()
    });
    let Nothing {} = kubelet.must("UpdateContainerResources", &UpdateResources { id: id.clone(), linux });
    kubelet.exec(&id, FILES, 0);
    kubelet.tell_container(&id);
    let linux = Some(Resources { cpuset_cpus: "4096".to_owned(), ..Resources::default() });
    let refused = kubelet.answers("UpdateContainerResources", &UpdateResources { id: id.clone(), linux });
    assert!(refused.to_lowercase().contains("numerical result out of range"), "{refused}");
    kubelet.stop(&id, 0);
    kubelet
        .whole(&pod, "hog", "tail /dev/zero", |config| config.resources().memory_limit_in_bytes = 16 << 20);
    kubelet.end(&pod);
}

fn security(kubelet: &mut Kubelet) {
    let pod = kubelet.pod("p", |pod| {
        pod.linux().sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "99".to_owned());
        pod.linux().security_context.get_or_insert_default().privileged = true;
    });
    const STATUS: &str = "grep -E '^(Cap|NoNew|Seccomp:|Groups)' /proc/self/status | sed 's/..../& /g'; sed 's/.*(unconfined)/unconfined/' /proc/self/attr/current; \
        cat /proc/sys/net/ipv4/ip_unprivileged_port_start; touch /file /proc/sys/kernel/domainname; id";
    kubelet.whole(&pod, "plain", STATUS, |_| {});
    kubelet.whole(&pod, "held", STATUS, |config| {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        *config.security() = Security {
            capabilities: Some(Capabilities { add: names(&["NET_ADMIN"]), drop: names(&["ALL"]) }),
            run_as_user: Some(Number { value: 5 }),
            run_as_group: Some(Number { value: 6 }),
            supplemental_groups: vec![7, 8],
            readonly_rootfs: true,
            no_new_privs: true,
            seccomp: Some(Profile { kind: DEFAULT, ..Profile::default() }),
            ..Security::default()
        };
    });
    kubelet.whole(
        &pod,
        "privileged",
        &format!("{STATUS}; ls /dev | wc -l; mount -t tmpfs none /tmp && echo mounted"),
        |config| {
            config.security().privileged = true;
            config.security().apparmor = Some(Profile { kind: UNCONFINED, ..Profile::default() });
        },
    );
    kubelet.whole(
        &pod,
        "masked",
        "cat /proc/meminfo; ls /proc/bus; touch /proc/irq/f; stat -c \"%A %u:%g %t:%T\" /dev/loop; cat /dev/loop",
        |config| {
            config.security().masked_paths = vec!["/proc/meminfo".to_owned(), "/proc/bus".to_owned()];
            config.security().readonly_paths = vec!["/proc/irq".to_owned()];
            config.devices.push(Device {
                container_path: "/dev/loop".to_owned(),
                host_path: "/dev/loop-control".to_owned(),
                permissions: "r".to_owned(),
            });
        },
    );
    kubelet.end(&pod);
}

fn namespaces(kubelet: &mut Kubelet) {
    const LINKS: &str = "for n in pid ipc net uts mnt cgroup; do readlink /proc/self/ns/$n; done >/v/NAME";
    const SAME: &str = "cd /v; for n in 1 2 3 4 5 6; do test \"$(sed -n ${n}p a)\" = \"$(sed -n ${n}p b)\" && echo same $n; done; rm a b";
    let shared = kubelet.place.path("shared");
    std::fs::create_dir(&shared).unwrap();
    let mount = Mount { container_path: "/v".to_owned(), host_path: shared, ..Mount::default() };
    for (name, network, pid, ipc) in
        [("p", POD, CONTAINER, POD), ("q", POD, POD, POD), ("h", NODE, NODE, NODE)]
    {
        let change = |namespaces: &mut Namespaces| {
            *namespaces = Namespaces { network, pid, ipc, ..Namespaces::default() };
        };
        let pod = kubelet.pod(name, |pod| {
            change(pod.namespaces());
            if network == NODE {
                // The kubelet gives none: the node has its own.
                pod.hostname.clear();
            }
        });
        kubelet.tell_pod(&pod);
        for (container, script) in [("a", LINKS), ("b", LINKS), ("c", SAME)] {
            kubelet.whole(&pod, container, &script.replace("NAME", container), |config| {
                change(config.security().namespaces.get_or_insert_default());
                config.mounts.push(mount.clone());
            });
        }
        kubelet.end(&pod);
    }
    // A container for debugging in the process namespace of another.
    let pod = kubelet.pod("t", |_| {});
    let id = kubelet.run(&pod, "a", "exec sleep 1000", |_| {});
    kubelet.whole(
        &pod,
        "debug",
        "until ps -o pid,comm | grep sleep; do :; done; cat /proc/1/root/etc/hostname",
        |config| {
            let namespaces = config.security().namespaces.get_or_insert_default();
            *namespaces = Namespaces { pid: TARGET, target_id: id.clone(), ..Namespaces::default() };
        },
    );
    kubelet.end(&pod);
}

fn user_namespaces(kubelet: &mut Kubelet) {
    let map = IdMapping { host_id: 100_000, container_id: 0, length: 65536 };
    let user = Some(UserNamespace { mode: POD, uids: vec![map.clone()], gids: vec![map] });
    let pod = kubelet.pod("p", |pod| pod.namespaces().user = user.clone());
    kubelet.tell_pod(&pod);
    let change = |config: &mut ContainerConfig| {
        config.security().namespaces.get_or_insert_default().user = user.clone()
    };
    kubelet.whole(
        &pod,
        "c",
        "cat /proc/self/uid_map | tr -s ' '; id -u; touch /f && stat -c %u /f /bin",
        change,
    );
    let id = kubelet.run(&pod, "d", "sleep 1000", change);
    kubelet.exec(&id, "id; grep CapEff /proc/self/status | sed 's/..../& /g'; hostname", 0);
    kubelet.stop(&id, 0);
    kubelet.end(&pod);
}

fn refusals(kubelet: &mut Kubelet) {
    let pod = kubelet.pod("p", |_| {});
    for (name, command) in [("missing", "/no/such/program"), ("directory", "/etc")] {
        let id = kubelet.create(&pod, name, "", |config| config.command = vec![command.to_owned()]);
        kubelet.refused("StartContainer", &Id { id: id.clone() });
        kubelet.tell_container(&id);
        kubelet.remove(&id);
    }
    let bad = |change: fn(&mut ContainerConfig)| config(&pod, "bad", "true", change);
    let image = bad(|config| config.image.get_or_insert_default().image = "no-such-image".to_owned());
    kubelet.refused("CreateContainer", &image);
    for change in [
        (|config| config.working_dir = "/bin/sh".to_owned()) as fn(&mut ContainerConfig),
        |config| config.resources().cpuset_cpus = "4096".to_owned(),
        |config| config.resources().memory_limit_in_bytes = 4096,
    ] {
        let Id { id } = kubelet.must("CreateContainer", &bad(change));
        kubelet.refused("StartContainer", &Id { id: id.clone() });
        kubelet.tell_container(&id);
        kubelet.remove(&id);
    }
    kubelet.end(&pod);
}
