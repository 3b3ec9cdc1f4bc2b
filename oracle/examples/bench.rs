//! corten-seccomp beside libseccomp: `cargo run --release --package corten-oracle --example bench`. Docker's default
//! profile, compiled, and real system calls behind the filters.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use corten_oracle::child::{Call, time};
use corten_oracle::{Judge, Libseccomp};
use corten_seccomp::interpreter::{Data, run};
use corten_seccomp::{Arch, Instruction, compile};
use corten_testkit::{DEFAULT_CAPABILITIES, Engine};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if !Libseccomp::PRESENT {
        return Err("needs libseccomp.a (Debian: libseccomp-dev)".into());
    }
    let native = Arch::native();
    for engine in [Engine::Docker, Engine::Podman] {
        let profile = engine.profile(native.name(), &DEFAULT_CAPABILITIES);
        println!("{engine:?}, {}", profile.architectures.join(", "));
        let ours = compile(&profile, native)?.program;
        let of_theirs = |optimize| {
            Judge::compile(&profile, native, optimize).map_err(|refused| format!("libseccomp: {refused:?}"))
        };
        let (list, tree) = (of_theirs(false)?.program, of_theirs(true)?.program);
        let contestants = [("corten", ours), ("libseccomp", list), ("libseccomp, tree", tree)];
        println!("  {:<20} {:>12} {:>13}", "", "compile", "instructions");
        let times = [
            median(200, || drop(compile(&profile, native))),
            median(50, || drop(of_theirs(false))),
            median(50, || drop(of_theirs(true))),
        ];
        for ((name, program), time) in contestants.iter().zip(times) {
            println!("  {name:<20} {:>9.1} us {:>13}", time.as_secs_f64() * 1e6, program.len());
        }
        calls(native, &contestants)?;
    }
    Ok(())
}

/// Times calls that get through without a look at their arguments, which the kernel remembers, with one, and not at all.
fn calls(native: Arch, contestants: &[(&str, Vec<Instruction>)]) -> Result<(), Box<dyn std::error::Error>> {
    for (name, first) in [("getppid", 0), ("personality", 0xffff_ffff), ("clone3", 0), ("kexec_load", 0)] {
        let Some(number) = native.number(name) else { continue };
        let call = Call { number, compat: false, arguments: [first, 0, 0, 0, 0, 0] };
        let data = Data { number, arch: native.audit(), instruction_pointer: 0, arguments: call.arguments };
        let programs: Vec<&[Instruction]> =
            [&[][..]].into_iter().chain(contestants.iter().map(|(_, program)| &program[..])).collect();
        let times = least(&programs, call)?;
        println!("  {name}: without a filter {:.0} ns", times[0]);
        for ((contestant, program), time) in contestants.iter().zip(&times[1..]) {
            let outcome = run(program, &data)?;
            println!(
                "    {contestant:<18} {time:>9.0} ns {:>4} steps, {:#010x}",
                outcome.steps, outcome.answer
            );
        }
    }
    Ok(())
}

/// The least of some means of each, taken in turns.
fn least(programs: &[&[Instruction]], call: Call) -> std::io::Result<Vec<f64>> {
    const SPEC_ALLOW: u32 = 1 << 2;
    let mut least = vec![f64::MAX; programs.len()];
    for _ in 0..20 {
        for (program, least) in programs.iter().zip(&mut least) {
            *least = time(program, SPEC_ALLOW, call, 50_000)?.min(*least);
        }
    }
    Ok(least)
}

fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[rounds / 2]
}
