//! `cargo xtask fuzz`: the fuzz targets with the mutator of this repository, on a stable toolchain.

use std::path::Path;
use std::process::Command;

pub const USAGE: &str = "\
usage: cargo xtask fuzz [--seconds N | --runs N] [--seed N] [TARGET]

fuzz            runs the fuzz targets (fuzz/targets), or one of them, on their corpora and on inputs made from these; one that
                fails is kept in fuzz/artifacts. Guided by coverage, with a nightly toolchain: cargo +nightly fuzz run TARGET
  --seconds N   for so long, each target at the same time as the others
  --runs N      so many inputs for each target
  --seed N      makes other inputs (1)
";

/// Runs the test `fuzz_smoke`, optimised.
pub fn fuzz(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["test", "--quiet", "--profile", "fuzz", "--package", "corten-fuzz-targets"])
        .args(["--test", "fuzz_smoke", "--", "--nocapture"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let variable = match *argument {
            "--seconds" => "CORTEN_FUZZ_SECONDS",
            "--runs" => "CORTEN_FUZZ_RUNS",
            "--seed" => "CORTEN_FUZZ_SEED",
            target if !target.starts_with('-') => {
                command.env("CORTEN_FUZZ_TARGET", target);
                continue;
            }
            _ => return Err(USAGE.to_owned()),
        };
        let number = rest.next().filter(|number| number.parse::<u64>().is_ok());
        command.env(variable, number.ok_or(USAGE)?);
    }
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("fuzzing: {status}")) }
}
