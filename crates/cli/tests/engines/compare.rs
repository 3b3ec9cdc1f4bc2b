//! The same steps under two runtimes.

use std::fmt::Write;
use std::time::Instant;

use corten_testkit::Failed;

/// Steps of the shell; what an engine calls an error under runc is wrong in those without a `! `. Shares of the processor in them
/// are 2 or 262144: others mean other weights of cgroup v2 from runc 1.3 on.
pub type Steps = &'static [&'static str];

/// What `await` says of a command that does not succeed: wrong under either runtime.
pub const NEVER: &str = "never came to be";

/// An engine with a store of its own under one runtime. It goes with everything in it.
pub trait Engine {
    /// How its client begins what it says of an error.
    const ERROR: &str;

    /// Starts it, with an image `box` of busybox.
    fn start(runtime: &str) -> Self;

    /// What the step says, and its status, without what differs from one run to the next.
    fn step(&self, step: &str) -> String;
}

/// Runs the steps under both runtimes, one engine after the other; what differs fails, all of it told.
pub fn same<E: Engine>(steps: Steps) -> Result<(), Failed> {
    let [theirs, ours] = ["runc", "corten"].map(|runtime| {
        let engine = E::start(runtime);
        steps.iter().map(|step| run(&engine, runtime, step)).collect::<Vec<_>>()
    });
    let mut differences = String::new();
    for (step, (expected, got)) in steps.iter().zip(theirs.into_iter().zip(ours)) {
        if expected.contains(NEVER) || expected.contains(E::ERROR) != step.starts_with("! ") {
            writeln!(differences, "$ {step}\nrunc itself:\n{expected}")?;
        }
        if expected != got {
            writeln!(differences, "$ {step}\nrunc:\n{expected}corten:\n{got}")?;
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.into()) }
}

/// One step; with `CORTEN_ENGINES_SHOW` in the environment all are shown as they go.
fn run<E: Engine>(engine: &E, runtime: &str, step: &str) -> String {
    let start = Instant::now();
    let said = engine.step(step.trim_start_matches("! "));
    if std::env::var_os("CORTEN_ENGINES_SHOW").is_some() {
        eprintln!("{runtime}, {:.1} s $ {step}\n{said}", start.elapsed().as_secs_f64());
    }
    said
}

/// The text without what differs from one run to the next: ids, and the runtime's name.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\0']) {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
            continue;
        }
        // Sets of capabilities have 16 digits.
        let id = word.len() >= 12 && word.len() != 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.push_str(match word.as_str() {
            _ if id => "ID",
            "runc" | "corten" => "RUNTIME",
            other => other,
        });
        word.clear();
        plain.push(letter);
    }
    plain.pop();
    plain
}

/// A line without its time, and an error without the runtime's own words for it: they are not runc's, but its cause and what the
/// engine makes of it are.
pub fn cause(line: &str) -> String {
    let line = line.strip_prefix("time=").map_or(line, |line| line.split_once(' ').unwrap_or_default().1);
    let parts =
        ["OCI runtime ", "failed: "].into_iter().try_fold(line, |rest, word| Some(rest.split_once(word)?.1));
    let Some(words) = parts else { return format!("{line}\n") };
    let before = &line[..line.len() - words.len()];
    let mut last: Vec<&str> = words.rsplit(": ").take(2).collect();
    last.reverse();
    // The C library's words begin with a capital letter, Go's do not, and Rust's have the number.
    let end = last.join(": ").to_lowercase();
    let (cause, rest) = end.split_once(" (os error ").unwrap_or((&end, ""));
    let rest = rest.split_once(')').unwrap_or_default().1;
    format!("{before}{cause}{rest}\n")
}
