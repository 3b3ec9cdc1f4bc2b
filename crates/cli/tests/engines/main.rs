//! Engines, driven by their own clients: the same steps under runc and under corten say the same.
#![allow(clippy::unwrap_used, reason = "tests")]

mod compare;
mod containerd;
mod cri;
mod docker;
mod pages;
mod place;
mod podman;

use std::process::ExitCode;

use corten_testkit::{Requirement, Suite};

use compare::{Engine, Steps, same};
use containerd::Containerd;
use docker::{Docker, Swarm};
use podman::Podman;

/// Cases of one engine, with what one needs beside what all of them need.
type Cases = &'static [(&'static str, Steps, &'static [Requirement])];

const NOT_ASKED: &str = "takes minutes: CORTEN_ENGINES=1 runs it";

const NOT_OURS: &str = "changes the machine that it is on: `cargo xtask vm test engines` runs it";

/// On the virtual machine they are run by their name only.
fn asked_for() -> bool {
    ["CORTEN_ENGINES", "CORTEN_TEST_PATIENCE"].iter().any(|name| std::env::var_os(name).is_some())
}

fn with<E: Engine + 'static>(suite: Suite, needs: &[Requirement], cases: Cases) -> Suite {
    cases.iter().fold(suite, |suite, (name, steps, more)| {
        if !asked_for() {
            return suite.ignored(name, NOT_ASKED);
        }
        let runc = [Requirement::Program("runc"), Requirement::Busybox];
        suite.needs(&[&runc, needs, more].concat(), name, || same::<E>(steps))
    })
}

fn main() -> ExitCode {
    let suite = with::<Podman>(Suite::new(), podman::NEEDS, podman::CASES);
    let suite = with::<Containerd>(suite, containerd::NEEDS, containerd::CASES);
    let suite = cri::CASES.iter().fold(suite, |suite, &(name, case, by_systemd, more)| {
        if !asked_for() {
            return suite.ignored(name, NOT_ASKED);
        }
        suite.needs(&[cri::NEEDS, more].concat(), name, move || cri::same(case, by_systemd))
    });
    let suite = with::<Docker>(suite, docker::NEEDS, docker::CASES);
    let suite = with::<Swarm>(suite, docker::NEEDS, docker::SWARM);
    let suite = pages::PAGES.iter().fold(suite, |suite, page| {
        if std::env::var_os("CORTEN_VM").is_none() {
            return suite.ignored(page.name, NOT_OURS);
        }
        suite.needs(&[pages::NEEDS, page.needs].concat(), page.name, || pages::follow(page))
    });
    suite.one_at_a_time().run()
}
