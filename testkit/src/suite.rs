//! The cases of a test program with a `main` of its own.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::view::{self, View};
use crate::{Requirement, missing};

/// The cases of a test program, run as `cargo test` runs others (libtest's arguments and output).
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     // let hook = corten::init();
///     corten_testkit::Suite::new()
///         .case("sums_are_right", || if 1 + 1 == 2 { Ok(()) } else { Err("wrong".into()) })
///         .run()
/// }
/// ```
#[derive(Default)]
pub struct Suite {
    trials: Vec<Trial>,
    ignored: Vec<(String, String)>,
    alone: bool,
}

impl Suite {
    /// No cases yet.
    pub fn new() -> Suite {
        Suite::default()
    }

    /// A case that runs on every machine. It fails with an error, or by a panic.
    pub fn case(mut self, name: &str, case: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Suite {
        self.trials.push(Trial::test(name, case));
        self
    }

    /// A case that is ignored, with the reason, where one of its requirements is not met.
    pub fn needs(
        self,
        requirements: &[Requirement],
        name: &str,
        case: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) -> Suite {
        match missing(requirements) {
            Some(reason) => self.ignored(name, &reason),
            None => self.case(name, case),
        }
    }

    /// A case that is run in a process of its own that sees this alone.
    pub fn seeing(
        self,
        view: View,
        requirements: &[Requirement],
        name: &str,
        case: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) -> Suite {
        if view::entered() {
            return self.case(name, case);
        }
        match view.missing().or_else(|| missing(requirements)) {
            Some(reason) => self.ignored(name, &reason),
            None => {
                let exact = name.to_owned();
                self.case(name, move || view::run_alone(view, &exact))
            }
        }
    }

    /// No two cases at the same time, for they look at their whole process.
    pub fn one_at_a_time(mut self) -> Suite {
        self.alone = true;
        self
    }

    /// A case that cannot run here.
    pub fn ignored(mut self, name: &str, reason: &str) -> Suite {
        let error = format!("cannot run here: {reason}");
        self.trials.push(Trial::test(name, move || Err(error.into())).with_ignored_flag(true));
        self.ignored.push((name.to_owned(), reason.to_owned()));
        self
    }

    /// Runs the cases that the arguments select, and lists those that were ignored, with their reasons, also in the file
    /// that `CORTEN_IGNORED_LOG` names. To be called on the first thread, before there are others.
    pub fn run(self) -> ExitCode {
        if let Err(error) = view::enter() {
            eprintln!("corten-testkit: cannot enter the view: {error}");
            return ExitCode::FAILURE;
        }
        let mut arguments = Arguments::from_args();
        if self.alone {
            arguments.test_threads = Some(1);
        }
        let runs = !arguments.list && !arguments.ignored && !arguments.include_ignored;
        let ignored: Vec<_> =
            self.ignored.into_iter().filter(|(name, _)| runs && selected(&arguments, name)).collect();
        let conclusion = libtest_mimic::run(&arguments, self.trials);
        for (name, reason) in &ignored {
            println!("ignored: {name}: {reason}");
        }
        if let Err(error) = log(&ignored) {
            eprintln!("corten-testkit: cannot list what was ignored: {error}");
            return ExitCode::FAILURE;
        }
        conclusion.exit_code()
    }
}

/// Whether libtest's filters leave this name.
fn selected(arguments: &Arguments, name: &str) -> bool {
    let matches =
        |filter: &String| if arguments.exact { name == filter } else { name.contains(filter.as_str()) };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}

fn log(ignored: &[(String, String)]) -> std::io::Result<()> {
    let Some(path) = std::env::var_os("CORTEN_IGNORED_LOG") else { return Ok(()) };
    let program = program();
    let text: String =
        ignored.iter().map(|(name, reason)| format!("{program}::{name}: {reason}\n")).collect();
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

/// The test program's name, without the hash that cargo adds.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let stem = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    match stem.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            name.to_owned()
        }
        _ => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_select_as_libtest_does() {
        let arguments =
            Arguments { filter: Some("mount".into()), skip: vec!["slow".into()], ..Arguments::default() };
        assert!(selected(&arguments, "a_mount_is_made"));
        assert!(!selected(&arguments, "a_slow_mount"));
        assert!(!selected(&arguments, "other"));
        assert!(!selected(&Arguments { exact: true, ..arguments }, "a_mount_is_made"));
    }

    #[test]
    fn the_hash_is_no_part_of_the_name() {
        assert_eq!(program(), "corten_testkit");
    }
}
