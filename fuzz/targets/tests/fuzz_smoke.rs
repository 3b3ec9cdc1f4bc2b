//! The corpora, and inputs made from them, the same each time: `fuzz_smoke`, or as many as `cargo xtask fuzz` wants.
#![allow(clippy::unwrap_used)] // Clippy knows the functions that are tests, not the files.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use corten_fuzz_targets::{TARGETS, Target, mutate, whole_messages_come_back};
use fastrand::Rng;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The inputs of a corpus, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = fuzz().join("corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: {text:?}")))
}

/// Runs a target, and keeps the input where it fails.
fn attempt(name: &str, run: Target, data: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(data))) {
        let directory = fuzz().join("artifacts").join(name);
        let sum = data.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let path = directory.join(format!("crash-{sum:016x}"));
        fs::create_dir_all(&directory).and_then(|()| fs::write(&path, data)).unwrap();
        eprintln!("{name} fails for {}: {}", path.display(), data.escape_ascii());
        resume_unwind(panic);
    }
}

fn smoke(name: &str, usual: u64) {
    if let Ok(only) = std::env::var("CORTEN_FUZZ_TARGET") {
        assert!(TARGETS.iter().any(|(known, _)| *known == only), "there is no target {only:?}");
        if only != name {
            return;
        }
    }
    let (_, run) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let mut inputs = corpus(name);
    assert!(!inputs.is_empty());
    inputs.iter().for_each(|input| attempt(name, *run, input));
    let seed = number("CORTEN_FUZZ_SEED").unwrap_or(1);
    let end = number("CORTEN_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let runs = match end {
        Some(_) => u64::MAX,
        None => number("CORTEN_FUZZ_RUNS").unwrap_or(usual),
    };
    let mut random = Rng::with_seed(seed);
    let given = inputs.len();
    let mut done = 0;
    while done < runs && end.is_none_or(|end| Instant::now() < end) {
        let mut data = random.choice(&inputs).unwrap().clone();
        mutate(&mut random, &inputs, &mut data);
        attempt(name, *run, &data);
        // Some of them live on, so that changes add up.
        match random.usize(..64) {
            0 if inputs.len() < given + 64 => inputs.push(data),
            0 => {
                let replaced = given + random.usize(..64);
                inputs[replaced] = data;
            }
            _ => {}
        }
        done += 1;
    }
    println!("{name}: {done} inputs, seed {seed}");
}

/// A test for each target, with as many inputs as take a second or two without optimisation.
macro_rules! smoke {
    ($($name:ident: $usual:expr;)*) => {
        $(
            #[test]
            fn $name() {
                smoke(stringify!($name), $usual);
            }
        )*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), run);
        }
    };
}

smoke! {
    config: 3000;
    seccomp: 2000;
    mounts: 6000;
    protocol: 6000;
    mountinfo: 20000;
    cgroup: 6000;
}

#[test]
fn messages_of_the_corpus_lose_nothing() {
    corpus("protocol").iter().for_each(|input| whole_messages_come_back(input));
}
