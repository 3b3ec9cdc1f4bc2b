//! The programs that tests start: built once in a test process, so that they are as fresh as the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The static probe. `CORTEN_PROBE` names another file, where tests run without cargo.
pub fn probe() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| binary("CORTEN_PROBE", "corten-testkit", Target::Bin("corten-probe")))
}

/// The `corten` command. `CORTEN_BIN` names another file, where tests run without cargo or try another runtime.
pub fn corten() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| binary("CORTEN_BIN", "corten-cli", Target::Bin("corten")))
}

/// `examples/libcontainer.rs`. `CORTEN_EXAMPLE` names another file, where tests run without cargo.
pub fn example() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| binary("CORTEN_EXAMPLE", "corten", Target::Example("libcontainer")))
}

fn binary(variable: &str, package: &str, target: Target<'_>) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => match build(package, target, !cfg!(debug_assertions)) {
            Ok(path) => path,
            Err(message) => panic!("cannot build {target:?}, and {variable} does not name it: {message}"),
        },
    }
}

/// A program of a package, as cargo sorts them.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// One to install.
    Bin(&'a str),
    /// An example.
    Example(&'a str),
}

/// Builds a program of this workspace, and takes its path from what cargo says. Cargo holds a lock on its directory, so
/// that processes that do this at the same time build one after the other.
pub fn build(package: &str, target: Target<'_>, release: bool) -> Result<PathBuf, String> {
    build_commit(package, target, release, None)
}

/// The same, of a program that tells which commit it was built from.
pub fn build_commit(
    package: &str,
    target: Target<'_>,
    release: bool,
    commit: Option<&str>,
) -> Result<PathBuf, String> {
    let (kind, name) = match target {
        Target::Bin(name) => ("--bin", name),
        Target::Example(name) => ("--example", name),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--message-format=json-render-diagnostics", "--package", package])
        .args([kind, name])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if release {
        command.arg("--release");
    }
    command.envs(commit.map(|commit| ("CORTEN_COMMIT", commit)));
    let output = command.output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo build: {}", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| "cargo names no such program".to_owned())
}
