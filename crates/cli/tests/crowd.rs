//! Many containers at once.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::process::ExitCode;

use common::{Outcome, Stage, corten};
use corten_testkit::{Run, patience, probe, rounds};
use serde_json::Value;

/// Containers that are counted before and after: a tracer is slow.
const FEW: usize = 20;

/// Starts, or does something else to, containers of these numbers, two at a time.
fn each(stage: &Stage, numbers: std::ops::Range<usize>, does: impl Fn(&str) + Sync) {
    let middle = usize::midpoint(numbers.start, numbers.end);
    std::thread::scope(|scope| {
        for half in [numbers.start..middle, middle..numbers.end] {
            scope.spawn(|| half.for_each(|number| does(&format!("{}-{number}", stage.id()))));
        }
    });
}

/// The system calls of a command.
fn calls(stage: &Stage, command: &[&str]) -> usize {
    let run = Run::new(probe()).args(["trace", "runtime", "0"]).arg(corten());
    let run = run.arg("--root").arg(stage.state()).args(command).deadline(patience(60));
    let output = run.output().unwrap().success().unwrap();
    let told = output.stdout.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        usize::try_from(line["calls"].as_u64()?).ok()
    });
    told.unwrap_or_else(|| panic!("the tracer did not tell: {}", output.describe()))
}

/// Each is listed and watched in one pass, whose cost for each is that of the first.
fn two_hundred_are_listed_and_watched() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args.push("sleep".to_owned()));
    let commands: [&[&str]; 2] = [&["list", "--quiet"], &["top", "--json", "--count", "1"]];
    let start = |id: &str| {
        let bundle = stage.bundle.path().to_str().unwrap().to_owned();
        stage.does(&["run", "--detach", "--bundle", &bundle, id]);
    };
    let cost = || commands.map(|command| calls(&stage, command));
    let crowd = rounds(200);
    let none = cost();
    each(&stage, 0..FEW, start);
    let few = cost();
    each(&stage, FEW..2 * FEW, start);
    let twice = cost();
    each(&stage, 2 * FEW..crowd, start);
    let listed = stage.corten(&["list", "--quiet"]).output()?.success()?.stdout;
    assert_eq!(listed.lines().count(), crowd);
    let run = stage.corten(&["top", "--json", "--count", "1"]).deadline(patience(60));
    let watched = run.output()?.success()?.stdout;
    let watched: Vec<Value> = watched.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |number: usize| {
        let id = format!("{}-{number}", stage.id());
        watched.iter().any(|line| line.to_string().contains(&format!("{id}\"")))
    };
    assert!((0..crowd).all(named), "{watched:?}");
    for (command, ((none, few), twice)) in commands.iter().zip(none.into_iter().zip(few).zip(twice)) {
        let (first, second) = (few - none, twice - few);
        assert!(second <= first + first / 20, "{command:?}: {none} {few} {twice} system calls");
    }
    each(&stage, 0..crowd, |id| drop(stage.does(&["delete", "--force", id])));
    stage.nothing_is_left();
    Ok(())
}

fn main() -> ExitCode {
    common::run(&[("two_hundred_are_listed_and_watched", two_hundred_are_listed_and_watched)])
}
