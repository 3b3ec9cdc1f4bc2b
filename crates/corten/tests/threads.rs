//! A program with many threads and much memory: containers from several threads at once, and nothing of the program changes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{LAUNCHER, Outcome, Stage, probe};
use corten::{Config, Error, ExitStatus, Id, Runtime, SpecOptions};
use corten_testkit::{Bundle, Requirement, Rootfs, Scratch, Snapshot, Watch, patience};

const STARTERS: usize = 4;
const BUSY: usize = 8;
const MEMORY: usize = 1 << 30;

/// Longer than any start takes on a loaded machine, and shorter than for ever.
fn deadline() -> Duration {
    patience(60)
}

/// Runs one container of a bundle, and gives the time until its program ran.
fn one(runtime: &Runtime, bundle: &Bundle, number: usize) -> Duration {
    let id = Id::try_from(format!("{}-{number}", bundle.id()).as_str()).unwrap();
    let config = Config::from_spec(&bundle.spec, bundle.path(), SpecOptions::default()).unwrap();
    let start = Instant::now();
    let container = runtime.create(&id, config).unwrap();
    let child = container.run(probe(&["exit", "3"]).build().unwrap()).unwrap();
    let took = start.elapsed();
    assert_eq!(child.wait_timeout(deadline()).unwrap(), Some(ExitStatus::Exited(3)), "{id}");
    container.destroy().map_err(Error::from).unwrap();
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What a library must not change of the program that uses it.
fn self_portrait() -> Vec<String> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
    let wanted =
        ["Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "Cap", "NoNewPrivs", "Seccomp"];
    let status = read("status");
    let lines = status.lines().filter(|line| wanted.iter().any(|word| line.starts_with(word)));
    let flags = |fd| read(&format!("fdinfo/{fd}")).lines().nth(1).unwrap().to_owned();
    let mut seen: Vec<String> = lines.map(str::to_owned).chain((0..3).map(flags)).collect();
    seen.extend(["limits", "oom_score_adj", "cgroup"].map(read));
    seen.push(format!("{:?}", std::env::current_dir().unwrap()));
    seen.push(format!("{:?}", rustix::process::dumpable_behavior().unwrap()));
    seen.push(format!("{:?}", rustix::process::child_subreaper().unwrap()));
    seen
}

fn two_hundred_containers_from_four_threads() -> Outcome {
    let bundle = Bundle::new(Rootfs::new()?, |_| {})?;
    let state = Scratch::new()?;
    let runtime = Runtime::open(state.path().join("state"), LAUNCHER.get().unwrap().clone())?;
    let alone = median((0..20).map(|number| one(&runtime, &bundle, number)).collect());
    let watch =
        Watch { marker: bundle.id().to_owned(), state: Some(state.path().join("state")), process: true };
    // The C library handles a signal of its own from the first thread on.
    std::thread::spawn(|| {}).join().unwrap();
    let (before, portrait) = (Snapshot::take(watch), self_portrait());
    // Touched, so that the kernel has to give it.
    let memory = vec![0xa5_u8; MEMORY];
    let large = median((0..20).map(|number| one(&runtime, &bundle, number)).collect());
    let done = AtomicBool::new(false);
    let start = Instant::now();
    let containers = corten_testkit::rounds(200);
    std::thread::scope(|scope| {
        for _ in 0..BUSY {
            scope.spawn(|| {
                let mut number = 1_u64;
                while !done.load(Ordering::Relaxed) {
                    number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005));
                    // Allocates, so that a clone that copied a lock of the allocator would find it taken.
                    drop(std::hint::black_box(vec![0_u8; (number >> 52) as usize]));
                }
            });
        }
        let starters: Vec<_> = (0..STARTERS)
            .map(|starter| {
                let (runtime, bundle) = (&runtime, &bundle);
                let numbers = (0..containers).skip(starter).step_by(STARTERS);
                scope.spawn(move || {
                    numbers.map(|number| one(runtime, bundle, number)).collect::<Vec<_>>().len()
                })
            })
            .collect();
        let count: usize = starters.into_iter().map(|starter| starter.join().unwrap()).sum();
        done.store(true, Ordering::Relaxed);
        assert_eq!(count, containers);
    });
    let all = start.elapsed();
    drop(std::hint::black_box(memory));
    println!(
        "one at a time: {alone:?}, with {MEMORY} bytes: {large:?}; {containers} from {STARTERS} threads: {all:?}"
    );
    for (now, then) in self_portrait().iter().zip(&portrait) {
        assert_eq!(now, then);
    }
    assert!(runtime.list()?.is_empty());
    before.assert_unchanged();
    Ok(())
}

/// Somebody else in the program waits for any child: the status is told by the kernel, or is unknown, but never wrong.
fn a_thief_of_exit_statuses_gets_no_wrong_one_told() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| -> Outcome {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
                std::thread::yield_now();
            }
        });
        for _ in 0..20 {
            let child = container.run(probe(&["exit", "9"]).build()?)?;
            let status = child.wait_timeout(deadline())?.unwrap();
            assert!(matches!(status, ExitStatus::Exited(9) | ExitStatus::Unknown), "{status:?}");
        }
        done.store(true, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(container.destroy().map_err(Error::from)?)
}

fn main() -> ExitCode {
    common::suite()
        .one_at_a_time()
        .needs(
            &[Requirement::Root],
            "two_hundred_containers_from_four_threads",
            two_hundred_containers_from_four_threads,
        )
        .needs(
            &[Requirement::Root],
            "a_thief_of_exit_statuses_gets_no_wrong_one_told",
            a_thief_of_exit_statuses_gets_no_wrong_one_told,
        )
        .run()
}
