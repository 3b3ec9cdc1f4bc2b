//! `cargo xtask bench`: corten beside its peers and the kernel's own charge, in alternation.

mod contestant;
mod peers;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use corten_testkit::{Requirement, Target, View, build, missing};

use contestant::Contestant;
use table::Sample;

const WARM_UP: usize = 3;

/// The kinds of work that are timed.
const WORKS: [&str; 3] = ["run", "create", "exec"];

/// Those that need CRIU, and are timed only where they are asked for.
const WORKS_OF_CRIU: [&str; 2] = ["checkpoint", "restore"];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    runs: usize,
    works: Vec<String>,
    view: Option<View>,
    json: bool,
    fetch: bool,
}

impl Options {
    /// Reads the arguments after `bench`.
    pub fn parse(arguments: &[&str]) -> Result<Options, String> {
        let mut options = Options { runs: 50, works: Vec::new(), view: None, json: false, fetch: false };
        let mut rest = arguments;
        loop {
            rest = match rest {
                [] => break,
                ["--json", rest @ ..] => {
                    options.json = true;
                    rest
                }
                ["--fetch-peers", rest @ ..] => {
                    options.fetch = true;
                    rest
                }
                ["--runs", runs, rest @ ..] => {
                    let runs = runs.parse().ok().filter(|runs| *runs > 0);
                    options.runs = runs.ok_or("--runs needs a number greater than 0")?;
                    rest
                }
                ["--only", work, rest @ ..] if [&WORKS[..], &WORKS_OF_CRIU].concat().contains(work) => {
                    options.works.push((*work).to_owned());
                    rest
                }
                ["--view", "v1", rest @ ..] => {
                    options.view = Some(View::V1);
                    rest
                }
                ["--view", "v2", rest @ ..] => {
                    options.view = Some(View::V2);
                    rest
                }
                [unknown, ..] => return Err(format!("{unknown}: not understood\n{}", crate::USAGE)),
            };
        }
        if options.works.is_empty() {
            options.works = WORKS.map(str::to_owned).to_vec();
        }
        Ok(options)
    }
}

/// Measures and prints.
pub fn bench(options: &Options) -> Result<(), String> {
    if let Some(reason) = missing(&[Requirement::Root, Requirement::Busybox]) {
        return Err(format!("bench {reason}"));
    }
    if options.fetch {
        peers::fetch()?;
    }
    let corten = build("corten-cli", Target::Bin("corten"), true)?;
    let library = build("xtask", Target::Bin("corten-bench-library"), true)?;
    // Built now: while it is measured, nothing else is to run.
    corten_testkit::probe();
    let view = options.view.unwrap_or(if View::V1.missing().is_none() { View::V1 } else { View::V2 });
    view.enter().map_err(|error| format!("cannot show cgroup {view:?} alone: {error}"))?;
    let (mut contestants, mut complaints) = gather(&corten);
    if contestants.is_empty() {
        return Err(complaints.join("\n"));
    }
    let plain: Result<Vec<Sample>, String> = (0..options.runs).map(|_| contestants[0].plain()).collect();
    let mut rows = table::rows("spawn", &[("busybox".to_owned(), plain?)]);
    for work in &options.works {
        rows.extend(table::rows(
            work,
            &measure(work, options.runs, &library, &mut contestants, &mut complaints),
        ));
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())?);
    } else {
        table::print(&rows);
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

/// The runtimes that are there and work, and what is wrong with the others.
fn gather(corten: &Path) -> (Vec<Contestant>, Vec<String>) {
    let (mut contestants, mut complaints) = (Vec::new(), Vec::new());
    let peers = ["crun", "runc"].map(|name| (name, peers::find(name)));
    for (name, program) in [("corten", Some(corten.to_owned()))].into_iter().chain(peers) {
        match program.map(|program| Contestant::new(name, &program)) {
            None => eprintln!("{name} is not there (--fetch-peers gets it)"),
            Some(Ok(contestant)) => contestants.push(contestant),
            Some(Err(error)) => complaints.push(format!("{name} is left out: {error}")),
        }
    }
    (contestants, complaints)
}

/// One work by all, in rounds that begin with another contestant each time. One that fails is out from then on.
fn measure(
    work: &str,
    runs: usize,
    library: &Path,
    contestants: &mut [Contestant],
    complaints: &mut Vec<String>,
) -> Vec<(String, Vec<Sample>)> {
    let mut inside = Vec::new();
    if WORKS.contains(&work) {
        inside.push(Inside::floor(work, contestants));
        // A library has no `create` of another program's.
        let corten = contestants.iter().find(|contestant| contestant.name == "corten" && work != "create");
        inside.extend(corten.map(|corten| Inside::library(library, work, corten)));
    }
    let names = contestants.iter().map(|contestant| contestant.name.as_str());
    let names = names.chain(inside.iter().map(|program| program.name));
    let mut samples: Vec<(String, Vec<Sample>)> = names.map(|name| (name.to_owned(), Vec::new())).collect();
    let mut out = vec![false; samples.len()];
    let count = contestants.len();
    for round in 0..WARM_UP + runs {
        for turn in 0..samples.len() {
            let index = (round + turn) % samples.len();
            if out[index] {
                continue;
            }
            let sample = match contestants.get_mut(index) {
                None => inside[index - count].measure(),
                Some(contestant) => match work {
                    "run" => contestant.run(),
                    "create" => contestant.create(),
                    "checkpoint" => contestant.checkpoint(),
                    "restore" => contestant.restore(),
                    _ => contestant.exec(),
                },
            };
            match sample {
                Ok(sample) if round >= WARM_UP => samples[index].1.push(sample),
                Ok(_) => {}
                Err(error) => {
                    out[index] = true;
                    samples[index].1.clear();
                    complaints.push(error);
                }
            }
        }
    }
    samples
}

/// A program that does the work five times in itself, and times that.
struct Inside {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Inside {
    /// The program that makes only the kernel calls.
    fn floor(work: &str, contestants: &[Contestant]) -> Self {
        let rootfs = contestants.first().map(|contestant| contestant.rootfs().to_string_lossy().into_owned());
        let pid = contestants.iter().find_map(Contestant::pid).unwrap_or_default().to_string();
        let arguments = match work {
            "exec" => ["floor".to_owned(), "exec".to_owned(), pid],
            _ => ["floor".to_owned(), "run".to_owned(), rootfs.unwrap_or_default()],
        };
        Self { name: "floor", program: "/proc/self/exe".into(), arguments: arguments.to_vec() }
    }

    /// The program that uses Corten as a library.
    fn library(program: &Path, work: &str, corten: &Contestant) -> Self {
        Self { name: "library", program: program.to_owned(), arguments: corten.by_library(work).to_vec() }
    }

    fn measure(&self) -> Result<Sample, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.name);
        let mut command = Command::new(&self.program);
        let output = command.args(&self.arguments).arg("5").output().map_err(|error| failed(&error))?;
        if !output.status.success() {
            return Err(failed(&String::from_utf8_lossy(&output.stderr)));
        }
        let seconds: Vec<f64> = serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))?;
        let samples: Vec<Sample> =
            seconds.into_iter().map(|seconds| Sample { seconds, peak: None }).collect();
        let seconds = table::median(&samples).ok_or_else(|| failed(&"no samples"))?;
        Ok(Sample { seconds, peak: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let options = Options::parse(&["--runs", "7", "--only", "exec", "--view", "v2", "--json"]).unwrap();
        assert_eq!(
            options,
            Options { runs: 7, works: vec!["exec".into()], view: Some(View::V2), json: true, fetch: false }
        );
        assert_eq!(Options::parse(&[]).unwrap().works, WORKS);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for wrong in [&["--runs", "0"][..], &["--runs"], &["--only", "dance"], &["--view", "v3"], &["x"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
