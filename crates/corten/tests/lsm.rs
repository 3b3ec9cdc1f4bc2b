//! AppArmor, SELinux and Landlock: what they were told holds for init and for exec'd programs, whatever the container has
//! at /proc, or nothing starts.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

#[path = "lsm/apparmor.rs"]
mod apparmor;
#[path = "lsm/landlock.rs"]
mod landlock;
#[path = "lsm/proc.rs"]
mod proc;
#[path = "lsm/selinux.rs"]
mod selinux;

use std::process::ExitCode;

use common::{Stage, output, probe};
use corten::oci::Mount;
use corten::{Container, ExitStatus};
use corten_testkit::{Report, Requirement, Suite};

/// What a program of the container's says of a deed: `ok`, or the name of the error.
fn does(container: &Container, deed: &[&str]) -> String {
    does_as(container, deed, |process| process)
}

fn does_as(
    container: &Container,
    deed: &[&str],
    change: impl FnOnce(corten::ProcessBuilder) -> corten::ProcessBuilder,
) -> String {
    let (_, text) = output(|process| container.exec(process), change(probe(deed)));
    outcome(&text)
}

fn outcome(said: &str) -> String {
    let said: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    said["error"].as_str().unwrap_or("ok").to_owned()
}

/// The probe's report as the container's init.
fn report_of(stage: &Stage, change: impl FnOnce(corten::ProcessBuilder) -> corten::ProcessBuilder) -> Report {
    let container = stage.container();
    let (status, text) = output(|process| container.run(process), change(stage.process()));
    container.destroy().map_err(corten::Error::from).unwrap();
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    serde_json::from_str(&text).unwrap()
}

fn mount(destination: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        typ: Some(typ.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

/// Adds cases that all need the same.
fn add(suite: Suite, needs: &[Requirement], cases: &[common::Case]) -> Suite {
    cases.iter().fold(suite, |suite, (name, case)| suite.needs(needs, name, *case))
}

fn main() -> ExitCode {
    let suite = common::suite();
    [landlock::cases, proc::cases, apparmor::cases, selinux::cases]
        .into_iter()
        .fold(suite, |suite, cases| cases(suite))
        .run()
}
