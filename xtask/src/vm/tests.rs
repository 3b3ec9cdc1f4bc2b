//! The container tests inside the machine: built here, run there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corten_testkit::{Target, build};
use serde_json::Value;

use super::machine::Machine;
use super::{host_program, quote};

/// Programs in a directory of their own, without what only a debugger needs.
pub struct Staged {
    directory: PathBuf,
    names: Vec<String>,
}

/// Where the programs are inside: on the disk of the tests' own temporary files, so that they can be linked.
const INSIDE: &str = "/var/tmp/corten-tests";

/// The machine is emulated.
const PATIENCE: u32 = 20;

/// Those that take too long for every run.
const BY_NAME_ONLY: [&str; 1] = ["engines"];

/// Builds the tests, all or those of these names, and what they start.
pub fn stage(directory: &Path, names: &[&str]) -> Result<Staged, String> {
    let directory = directory.join("tests");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let built = test_programs()?;
    if let Some(unknown) = names.iter().find(|name| !built.iter().any(|(built, _)| built == *name)) {
        let known: Vec<&str> = built.iter().map(|(name, _)| name.as_str()).collect();
        return Err(format!("no test program {unknown}: there are {}", known.join(", ")));
    }
    let is_wanted = |name: &str| match names {
        [] => !BY_NAME_ONLY.contains(&name),
        _ => names.contains(&name),
    };
    let wanted = built.into_iter().filter(|(name, _)| is_wanted(name));
    let mut staged = Staged { directory, names: Vec::new() };
    for (name, path) in wanted {
        staged.add(&name, &path)?;
        staged.names.push(name);
    }
    staged.add("corten", &build("corten-cli", Target::Bin("corten"), false)?)?;
    staged.add("corten-probe", &build("corten-testkit", Target::Bin("corten-probe"), false)?)?;
    staged.add("libcontainer", &build("corten", Target::Example("libcontainer"), false)?)?;
    Ok(staged)
}

/// Every test program of the workspace that starts containers, by name.
fn test_programs() -> Result<Vec<(String, PathBuf)>, String> {
    let packages =
        ["corten", "corten-cli", "corten-testkit"].into_iter().flat_map(|name| ["--package", name]);
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--no-run", "--quiet", "--tests", "--message-format=json-render-diagnostics"])
        .args(packages)
        .current_dir(super::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo test --no-run: {}", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = |message: Value| {
        let test = message["target"]["kind"][0] == "test";
        let name = message["target"]["name"].as_str().filter(|_| test)?.to_owned();
        Some((name, PathBuf::from(message["executable"].as_str()?)))
    };
    Ok(messages.filter_map(program).collect())
}

impl Staged {
    fn add(&self, name: &str, program: &Path) -> Result<(), String> {
        host_program(Command::new("strip").arg("-o").arg(self.directory.join(name)).arg(program))
    }

    /// Runs them inside, each as root and then as the user; the exit status is 1 if one has failed.
    pub fn run(&self, machine: &Machine, share: &Path) -> Result<u8, String> {
        machine.run(share, "root", &self.script())
    }

    fn script(&self) -> String {
        let environment: String = [
            ("CORTEN_BIN", format!("{INSIDE}/corten")),
            ("CORTEN_PROBE", format!("{INSIDE}/corten-probe")),
            ("CORTEN_EXAMPLE", format!("{INSIDE}/libcontainer")),
            ("CORTEN_TEST_PATIENCE", PATIENCE.to_string()),
            // Tests may change a machine that is there for them alone.
            ("CORTEN_VM", "1".to_owned()),
            ("TMPDIR", "/var/tmp".to_owned()),
        ]
        .map(|(name, value)| format!("{name}={value} "))
        .concat();
        let directory = quote(&self.directory.display().to_string());
        let names = self.names.join(" ");
        format!(
            "cp -r {directory} {INSIDE} && cd {INSIDE} || exit 125\n\
             as_user() {{ systemd-run --quiet --user --machine=tester@.host --pipe --wait --collect \
             --property=Delegate=yes --working-directory={INSIDE} \"$@\"; }}\n\
             failed=\n\
             for name in {names}; do\n\
             echo \"== $name, as root\"\n\
             env {environment} ./$name || failed=\"$failed $name\"\n\
             echo \"== $name, as an ordinary user\"\n\
             as_user env {environment} ./$name || failed=\"$failed $name (user)\"\n\
             done\n\
             [ -z \"$failed\" ] || {{ echo \"failed:$failed\"; exit 1; }}\n"
        )
    }
}
