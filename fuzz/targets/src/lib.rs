//! What is fuzzed, for tests only: a function for each target, which panics where a property does not hold.
//!
//! `cargo +nightly fuzz run TARGET` runs them under libFuzzer, guided by coverage; `cargo xtask fuzz` and the test `fuzz_smoke`
//! without it, by the mutator of this crate.
#![forbid(unsafe_code)]

mod cgroup;
mod config;
mod mountinfo;
mod mounts;
mod mutate;
mod protocol;
mod seccomp;

pub use cgroup::cgroup;
pub use config::config;
pub use mountinfo::mountinfo;
pub use mounts::mounts;
pub use mutate::{mutate, mutate_for_libfuzzer};
pub use protocol::{protocol, whole_messages_come_back};
pub use seccomp::seccomp;

/// What panics where a property does not hold of an input.
pub type Target = fn(&[u8]);

/// A target by its name, which is also that of its directory in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 6] = [
    ("config", config),
    ("seccomp", seccomp),
    ("mounts", mounts),
    ("protocol", protocol),
    ("mountinfo", mountinfo),
    ("cgroup", cgroup),
];

/// Larger inputs than this are no better than small ones, and slow.
pub const LARGEST: usize = 64 << 10;

/// What is written and read again is the same, and `again` is what is written the second time.
fn comes_back<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let text = match serde_json::to_string(value) {
        Ok(text) => text,
        Err(error) => panic!("it cannot be written: {error}"),
    };
    let again: T = match serde_json::from_str(&text) {
        Ok(again) => again,
        Err(error) => panic!("it cannot be read again: {error}: {text}"),
    };
    assert_eq!(serde_json::to_string(&again).ok().as_deref(), Some(text.as_str()));
    again
}

/// The same, and nothing is left out when it is written.
fn comes_back_whole<T: serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug>(value: &T) {
    assert_eq!(format!("{:?}", comes_back(value)), format!("{value:?}"));
}

/// Whether a path is absolute and has nothing but names.
fn is_plain(path: &std::path::Path) -> bool {
    use std::path::Component;
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}
