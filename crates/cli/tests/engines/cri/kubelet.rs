//! What drives a containerd as the kubelet does, and tells what it hears.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use corten_testkit::patience;
use prost::Message;

use super::grpc::{self, Refusal};
use super::messages::*;
use crate::compare::{cause, plain};
use crate::containerd::{empty, import, serve};
use crate::place::{Place, Service, runtime};

pub const BOX: &str = "docker.io/library/box:latest";

/// What holds a pod's namespaces.
const PAUSE: &str = "docker.io/library/pause:latest";

/// The profile of containerd's own, which it loads for the first container that has it.
const PROFILE: &str = "cri-containerd.apparmor.d";
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

/// A containerd with its CRI service in a network namespace of its own, and a transcript.
pub struct Kubelet {
    // It ends before its directory goes.
    _service: Service,
    pub place: Place,
    said: String,
    by_systemd: bool,
    had_profile: bool,
}

/// A pod that runs.
pub struct Pod {
    id: String,
    config: PodConfig,
}

fn has_profile() -> bool {
    fs::read_to_string(PROFILES).is_ok_and(|text| text.contains(PROFILE))
}

impl Kubelet {
    pub fn start(name: &str, by_systemd: bool) -> Self {
        let mut place = Place::new();
        let had_profile = has_profile();
        fs::create_dir(place.path("cni")).unwrap();
        let network = format!(
            r#"{{"cniVersion":"0.4.0","name":"{0}","plugins":[{{"type":"ptp","ipam":{{"type":"host-local",
            "subnet":"10.99.0.0/24","dataDir":"{1}"}}}}]}}"#,
            place.name(),
            place.path("ipam"),
        );
        place.write("cni/net.conflist", &network);
        let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
        let config = format!(
            "[{cri}]\nsandbox_image = \"{PAUSE}\"\nstream_server_address = \"127.0.0.1\"\n\
             [{cri}.cni]\nbin_dir = \"{}\"\nconf_dir = \"{}\"\n\
             [{cri}.containerd]\ndefault_runtime_name = \"tested\"\n\
             [{cri}.containerd.runtimes.tested]\nruntime_type = \"io.containerd.runc.v2\"\n\
             [{cri}.containerd.runtimes.tested.options]\nBinaryName = \"{}\"\nSystemdCgroup = {by_systemd}\n",
            super::PLUGINS,
            place.path("cni"),
            runtime(name).display(),
        );
        let service = serve(&mut place, "k8s.io", Some(&config), "unshare --net");
        import(&place, BOX, "[\"sh\"]");
        import(&place, PAUSE, "[\"sleep\",\"1000000\"]");
        Self { place, _service: service, said: String::new(), by_systemd, had_profile }
    }

    /// The transcript, without what differs from one run to the next.
    pub fn said(&self) -> String {
        let said = self.said.replace(&self.place.path(""), "HERE/").replace(self.place.name(), "NAME");
        plain(&said).lines().map(cause).collect()
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.said, "{line}").unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.place.path("socket").into()
    }

    fn ask<A: Message + Default>(&self, method: &str, query: &impl Message) -> Result<A, Refusal> {
        grpc::call(&self.socket(), &format!("RuntimeService/{method}"), query)
    }

    /// What must succeed under every runtime.
    pub fn must<A: Message + Default>(&self, method: &str, query: &impl Message) -> A {
        self.ask(method, query).unwrap_or_else(|refusal| {
            let log = fs::read_to_string(self.place.path("containerd.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            panic!(
                "{method}: {refusal:?}\n{}\n{}",
                self.said,
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            )
        })
    }

    /// What must be refused under every runtime, and is told.
    pub fn refused(&mut self, method: &str, query: &impl Message) {
        let answer = self.answers(method, query);
        self.tell(&answer);
    }

    /// What is said where it must be refused.
    pub fn answers(&self, method: &str, query: &impl Message) -> String {
        match self.ask::<Nothing>(method, query) {
            Ok(_) => panic!("{method} is not refused\n{}", self.said),
            Err(Refusal { code, message }) => format!("{method}: {code} {message}"),
        }
    }

    /// The control group of a pod's, as the kubelet names it.
    fn parent(&self) -> String {
        if self.by_systemd { format!("{}.slice", self.slice()) } else { format!("/{}", self.slice()) }
    }

    /// A name that systemd takes for a slice without a parent.
    fn slice(&self) -> String {
        format!("corten_engines_{}", self.place.name().replace('-', "_"))
    }

    /// A pod, changed before it runs.
    pub fn pod(&mut self, name: &str, change: impl FnOnce(&mut PodConfig)) -> Pod {
        let mut config = PodConfig {
            metadata: Some(PodMetadata {
                name: name.to_owned(),
                uid: format!("{name}-uid"),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            hostname: name.to_owned(),
            log_directory: self.place.path(&format!("logs/{name}")),
            linux: Some(LinuxPod {
                cgroup_parent: self.parent(),
                security_context: Some(PodSecurity {
                    namespaces: Some(Namespaces { pid: CONTAINER, ..Namespaces::default() }),
                    seccomp: Some(Profile { kind: DEFAULT, ..Profile::default() }),
                    ..PodSecurity::default()
                }),
                ..LinuxPod::default()
            }),
            ..PodConfig::default()
        };
        change(&mut config);
        let Id { id } = self.must("RunPodSandbox", &RunPod { config: Some(config.clone()) });
        Pod { id, config }
    }

    pub fn tell_pod(&mut self, pod: &Pod) {
        let PodStatusAnswer { status } = self.must("PodSandboxStatus", &Id { id: pod.id.clone() });
        let status = status.unwrap();
        let address = status.network.unwrap_or_default().ip;
        let namespaces =
            status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
        self.tell(&format!("pod: state {} ip {address:?} {namespaces:?} {:?}", status.state, status.labels));
    }

    /// A container that is created, of a command of the shell, changed before.
    pub fn create(
        &mut self,
        pod: &Pod,
        name: &str,
        script: &str,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> String {
        let config = config(pod, name, script, change);
        let Id { id } = self.must("CreateContainer", &config);
        id
    }

    /// One that is started too.
    pub fn run(
        &mut self,
        pod: &Pod,
        name: &str,
        script: &str,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> String {
        let id = self.create(pod, name, script, change);
        let Nothing {} = self.must("StartContainer", &Id { id: id.clone() });
        id
    }

    /// One that runs to its end: what it says, and how it ends.
    pub fn whole(&mut self, pod: &Pod, name: &str, script: &str, change: impl FnOnce(&mut ContainerConfig)) {
        let id = self.run(pod, name, script, change);
        self.ended(&id);
        self.tell_log(pod, name);
        self.tell_container(&id);
    }

    fn status(&self, id: &str) -> ContainerStatus {
        let ContainerStatusAnswer { status } = self.must("ContainerStatus", &Id { id: id.to_owned() });
        status.unwrap()
    }

    pub fn tell_container(&mut self, id: &str) {
        let ContainerStatus { state, started_at, finished_at, exit_code, reason, message, mounts, resources } =
            self.status(id);
        let (started, finished) = (started_at > 0, finished_at > 0);
        let mounts: Vec<_> = mounts.into_iter().map(|mount| (mount.container_path, mount.readonly)).collect();
        let resources = resources
            .and_then(|resources| resources.linux)
            .map(|linux| (linux.cpu_quota, linux.memory_limit_in_bytes));
        self.tell(&format!(
            "container: state {state} started {started} finished {finished} exit {exit_code} {reason} {mounts:?} {resources:?}"
        ));
        if !message.is_empty() {
            self.tell(&message);
        }
    }

    /// Waits for a container's end.
    pub fn ended(&self, id: &str) {
        let deadline = Instant::now() + patience(30);
        while self.status(id).state != 2 {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// What the kubelet's own file has of a container, line by line without the times.
    pub fn tell_log(&mut self, pod: &Pod, name: &str) {
        let log = fs::read_to_string(format!("{}/{name}.log", pod.config.log_directory)).unwrap();
        let entry = |line: &str| {
            let (time, rest) = line.split_once(' ').unwrap();
            assert!(time.starts_with("20") && time.contains('T'), "{line}");
            rest.to_owned()
        };
        let mut entries: Vec<String> = log.lines().map(entry).collect();
        // The two streams are in no certain order.
        entries.sort_by_key(|entry| entry.split(' ').next().map(str::to_owned));
        entries.iter().for_each(|entry| self.tell(&format!("log {entry}")));
    }

    /// What an exec says and its status; in seconds, how long it may take.
    pub fn exec(&mut self, id: &str, script: &str, timeout: i64) {
        let ExecSyncAnswer { stdout, stderr, exit_code } =
            self.must("ExecSync", &exec(id, &["sh", "-c", script], timeout));
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        self.tell(&format!("exec {exit_code}\n{stdout}\n{stderr}"));
    }

    pub fn stop(&mut self, id: &str, timeout: i64) {
        let Nothing {} = self.must("StopContainer", &StopContainer { id: id.to_owned(), timeout });
    }

    pub fn remove(&mut self, id: &str) {
        let Nothing {} = self.must("RemoveContainer", &Id { id: id.to_owned() });
    }

    /// Stops a pod and removes it; nothing must be left.
    pub fn end(&mut self, pod: &Pod) {
        let id = Id { id: pod.id.clone() };
        let Nothing {} = self.must("StopPodSandbox", &id);
        self.tell_pod(pod);
        let Nothing {} = self.must("RemovePodSandbox", &id);
        for method in ["ListPodSandbox", "ListContainers"] {
            let List { items } = self.must(method, &Nothing {});
            assert!(items.iter().all(|item| item.id != pod.id), "{method}: it is still there");
        }
    }
}

pub fn exec(id: &str, cmd: &[&str], timeout: i64) -> ExecSync {
    ExecSync { id: id.to_owned(), cmd: cmd.iter().map(|&word| word.to_owned()).collect(), timeout }
}

/// The order for a container in a pod.
pub fn config(
    pod: &Pod,
    name: &str,
    script: &str,
    change: impl FnOnce(&mut ContainerConfig),
) -> CreateContainer {
    let mut config = ContainerConfig {
        metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        image: Some(Image { image: BOX.to_owned() }),
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        log_path: format!("{name}.log"),
        linux: Some(LinuxContainer {
            resources: Some(Resources::default()),
            security_context: Some(Security {
                namespaces: Some(Namespaces { pid: CONTAINER, ..Namespaces::default() }),
                ..Security::default()
            }),
        }),
        ..ContainerConfig::default()
    };
    change(&mut config);
    CreateContainer { pod: pod.id.clone(), config: Some(config), sandbox_config: Some(pod.config.clone()) }
}

impl ContainerConfig {
    pub fn resources(&mut self) -> &mut Resources {
        self.linux.get_or_insert_default().resources.get_or_insert_default()
    }

    pub fn security(&mut self) -> &mut Security {
        self.linux.get_or_insert_default().security_context.get_or_insert_default()
    }
}

impl PodConfig {
    pub fn linux(&mut self) -> &mut LinuxPod {
        self.linux.get_or_insert_default()
    }

    pub fn namespaces(&mut self) -> &mut Namespaces {
        self.linux().security_context.get_or_insert_default().namespaces.get_or_insert_default()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        for (list, stop, remove) in [
            ("ListContainers", "StopContainer", "RemoveContainer"),
            ("ListPodSandbox", "StopPodSandbox", "RemovePodSandbox"),
        ] {
            let items = self.ask(list, &Nothing {}).map(|List { items }| items).unwrap_or_default();
            for Listed { id } in items {
                for method in [stop, remove] {
                    let _ = self.ask::<Nothing>(method, &Id { id: id.clone() });
                }
            }
        }
        empty(&self.place);
        let parent = self.parent();
        let groups = if self.by_systemd {
            format!("systemctl stop {parent}")
        } else {
            format!("rmdir /sys/fs/cgroup{parent}")
        };
        self.place.says(&groups);
        if !self.had_profile && has_profile() {
            let _ = fs::write("/sys/kernel/security/apparmor/.remove", PROFILE);
        }
    }
}
