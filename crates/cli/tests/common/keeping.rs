//! A container whose program keeps a count and memory, and how it is saved and brought back.

use corten_oci::Spec;
use corten_testkit::patience;
use serde_json::Value;

use super::{Stage, eventually};

/// Memory of the program that keeps things, where its size does not matter.
pub const LITTLE: usize = 1 << 20;

/// Where the program is asked, inside the container.
pub const SOCKET: &str = "/dev/shm/keeper";

/// Connections are not the matter, and iptables may be missing.
pub const UNLOCKED: [&str; 2] = ["--network-lock", "skip"];

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub fn keeper(spec: &mut Spec, port: &str, bytes: usize) {
    spec.process.as_mut().unwrap().args = words(&["/bin/probe", "keep", port, &bytes.to_string()]);
}

/// A container that keeps a count and memory.
pub fn keeping(bytes: usize, edit: impl FnOnce(&mut Spec)) -> Stage {
    Stage::new(|spec| {
        keeper(spec, SOCKET, bytes);
        edit(spec);
    })
}

/// The container's root is an ordinary user outside.
pub fn with_user_namespace(spec: &mut Spec) {
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.push(corten_oci::Namespace { typ: "user".to_owned(), path: None });
    let ids = corten_oci::IdMapping { container_id: 0, host_id: 100_000, size: 65536 };
    linux.uid_mappings = vec![ids];
    linux.gid_mappings = vec![ids];
}

pub trait Checkpoint {
    fn images(&self, name: &str) -> String;
    fn starts(&self);
    fn ask(&self, question: &str) -> Value;
    fn checkpoints(&self, name: &str, options: &[&str]);
    fn restores(&self, name: &str, options: &[&str]);
}

impl Checkpoint for Stage {
    fn images(&self, name: &str) -> String {
        self.bundle.path().join(name).to_str().unwrap().to_owned()
    }

    fn starts(&self) {
        self.does(&["run", "--detach", self.id()]);
        eventually("reach the container's program", || {
            self.corten(&["exec", self.id(), "/bin/probe", "ask", SOCKET, ""])
                .output()
                .unwrap()
                .status
                .success()
        });
    }

    /// What the container's program answers, by way of another that is started inside.
    fn ask(&self, question: &str) -> Value {
        let answer: Value =
            self.does(&["exec", self.id(), "/bin/probe", "ask", SOCKET, question]).json().unwrap();
        answer["value"].clone()
    }

    fn checkpoints(&self, name: &str, options: &[&str]) {
        let images = self.images(name);
        let command = [&["checkpoint", "--image-path", &images], options, &[self.id()]].concat();
        self.corten(&command).deadline(patience(60)).output().unwrap().success().unwrap();
    }

    fn restores(&self, name: &str, options: &[&str]) {
        let images = self.images(name);
        let command = [&["restore", "--detach", "--image-path", &images], options, &[self.id()]].concat();
        self.corten(&command).deadline(patience(60)).output().unwrap().success().unwrap();
    }
}

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

pub fn count(answer: &Value) -> u64 {
    answer["count"].as_u64().unwrap()
}

/// What a program sees that may differ: numbers of namespaces, mounts and processes outside, and a clock namespace, which
/// CRIU always makes.
fn comparable(mut report: Value) -> Value {
    let report_map = report.as_object_mut().unwrap();
    report_map.remove("namespaces");
    report_map.remove("time_offsets");
    if let Some(fds) = report_map.get_mut("fds").and_then(Value::as_object_mut) {
        for file in fds.values_mut() {
            *file = file.as_str().unwrap().split(':').next().unwrap().into();
        }
    }
    if let Some(mounts) = report_map.get_mut("mounts").and_then(Value::as_array_mut) {
        for mount in mounts.iter_mut() {
            let mount = mount.as_object_mut().unwrap();
            for name in ["id", "parent", "device", "optional", "source", "propagation"] {
                mount.remove(name);
            }
            // CRIU mounts the hierarchy for itself, without the flags that the host's mount of it has, which all of them share.
            if mount["fstype"] == "cgroup2" {
                mount.remove("super_options");
            }
        }
        mounts.sort_by_key(ToString::to_string);
    }
    report
}

/// Fails with what differs.
#[track_caller]
pub fn assert_same(after: &Value, before: &Value, when: &str) {
    let fields = |value: &Value| value.as_object().unwrap().clone();
    let (after, before) = (comparable(after["report"].clone()), comparable(before["report"].clone()));
    for (name, was) in &fields(&before) {
        let is = &after[name];
        if let (Some(is), Some(was)) = (is.as_array(), was.as_array()) {
            let lacks = was.iter().find(|item| !is.contains(item));
            let new = is.iter().find(|item| !was.contains(item));
            assert!(lacks.is_none() && new.is_none(), "{when}: {name}: {lacks:?} is now {new:?}");
        } else {
            assert_eq!(is, was, "{when}: {name}");
        }
    }
}
