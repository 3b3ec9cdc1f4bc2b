//! Benchmarks, checks, packages and generated files of this repository: `cargo xtask bench`, `fuzz`, `vm`, `dist`, `parity`, `syscalls`.
#![deny(unsafe_code)]

mod bench;
mod debian;
mod dist;
mod floor;
mod fuzz;
mod kernel;
mod parity;
mod syscalls;
mod vm;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask bench [--runs N] [--only run|create|exec|checkpoint|restore]… [--view v1|v2] [--json] [--fetch-peers]

bench           times corten, and crun and runc where they are found, in alternation, beside a program that makes
                only the kernel calls; needs root and a static busybox
  --runs N      rounds that count (50)
  --only WORK   only this work; may be repeated. checkpoint and restore need CRIU, and are timed only so
  --view VIEW   what the runtimes see at /sys/fs/cgroup: v1 hierarchies (the default where there are any) or v2 alone
  --json        prints JSON instead of a table
  --fetch-peers first fetches the newest crun and runc that Debian has into target/peers, from the mirror that the
                machine uses

The peers are looked for at CORTEN_BENCH_CRUN and CORTEN_BENCH_RUNC (a program or its directory), in target/peers, and
on the search path.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["bench", options @ ..] => bench::Options::parse(options).and_then(|options| bench::bench(&options)),
        ["vm", rest @ ..] => {
            return match vm::vm(rest) {
                Ok(status) => ExitCode::from(status),
                Err(message) => failed(&message),
            };
        }
        ["dist"] => dist::dist(),
        ["fuzz", options @ ..] => fuzz::fuzz(options),
        ["parity"] => parity::parity(),
        ["syscalls"] => syscalls::syscalls(),
        // What `bench` starts.
        ["floor", work @ ..] => floor::floor(work),
        _ => Err([USAGE, fuzz::USAGE, vm::USAGE, dist::USAGE, parity::USAGE, syscalls::USAGE].join("\n")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("{}", message.trim_end());
    ExitCode::FAILURE
}
