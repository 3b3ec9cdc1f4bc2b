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

pub fn count(answer: &Value) -> u64 {
    answer["count"].as_u64().unwrap()
}
