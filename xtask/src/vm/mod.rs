//! `cargo xtask vm`: a virtual machine with what the machine at hand may lack, and the tests inside it.

mod image;
mod machine;
mod tests;

use std::path::{Path, PathBuf};

use machine::{Host, Machine};

/// How `cargo xtask vm` is used.
pub const USAGE: &str = "\
usage: cargo xtask vm build
       cargo xtask vm run [--user tester] [--host v2|v1|selinux] -- COMMAND [ARGUMENT]…
       cargo xtask vm test [--host v2|v1|selinux] [NAME]…

vm build        makes a virtual machine of Debian trixie in target/vm: cgroup v2, systemd, AppArmor, CRIU, podman,
                containerd, docker, runc and crun; needs root and the Debian packages that it names
vm run          runs a command in it, in this directory, which is shared, and exits with its status
  --user tester as an ordinary user with a systemd session, in place of root
  --host v1     boots it with cgroup v1 hierarchies; selinux: with SELinux, which permits everything
vm test         builds the container tests here and runs them there, as root and as the user; with names, only those
                test programs. Without names, all but `engines`, which drives podman, containerd and docker and takes long

The machine is made when it is missing or its recipe has changed. v2 goes on from a saved state in seconds; the other two
hosts boot, which takes a minute.
";

/// Runs `cargo xtask vm ARGUMENTS`; the exit status of what ran inside.
pub fn vm(arguments: &[&str]) -> Result<u8, String> {
    match arguments {
        ["build"] => image::build(&directory()).map(|()| 0),
        ["run", rest @ ..] => {
            let (options, command) = options(rest)?;
            if command.is_empty() {
                return Err(USAGE.to_owned());
            }
            let here = std::env::current_dir().map_err(|error| format!("working directory: {error}"))?;
            let machine = ready(options.host)?;
            let words: Vec<String> = command.iter().map(|word| quote(word)).collect();
            let script = format!("cd {} && exec {}\n", quote(&here.display().to_string()), words.join(" "));
            machine.run(&root(), &options.user, &script)
        }
        ["test", rest @ ..] => {
            let (options, names) = options(rest)?;
            let staged = tests::stage(&directory(), &names)?;
            let machine = ready(options.host)?;
            staged.run(&machine, &root())
        }
        _ => Err(USAGE.to_owned()),
    }
}

/// The machine, made if need be.
fn ready(host: Host) -> Result<Machine, String> {
    let directory = directory();
    if !image::is_current(&directory) {
        image::build(&directory)?;
    }
    Ok(Machine::new(directory, host))
}

struct Options {
    host: Host,
    user: String,
}

/// Takes the options off the front; what follows them, or `--`, is the rest.
fn options<'a>(mut arguments: &'a [&'a str]) -> Result<(Options, Vec<&'a str>), String> {
    let mut options = Options { host: Host::V2, user: "root".to_owned() };
    loop {
        match arguments {
            ["--user", user @ ("root" | "tester"), rest @ ..] => {
                options.user = (*user).to_owned();
                arguments = rest;
            }
            ["--host", host, rest @ ..] => {
                options.host =
                    Host::parse(host).ok_or_else(|| format!("--host {host}: v2, v1 or selinux"))?;
                arguments = rest;
            }
            ["--", rest @ ..] => return Ok((options, rest.to_vec())),
            [unknown, ..] if unknown.starts_with('-') => {
                return Err(format!("{unknown}: not understood\n{USAGE}"));
            }
            rest => return Ok((options, rest.to_vec())),
        }
    }
}

/// The repository, which is shared with the machine at its own path.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::canonicalize(&root).unwrap_or(root)
}

fn directory() -> PathBuf {
    root().join("target/vm")
}

/// A word for a shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs a program of the host's, whose failure is told with what it said.
fn host_program(command: &mut std::process::Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => not_installed(&name),
        _ => format!("{name}: {error}"),
    })?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}")) }
}

fn not_installed(name: &str) -> String {
    format!("{name} is not installed; `cargo xtask vm` needs the Debian packages {}", image::HOST_PACKAGES)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn options_end_where_the_command_begins() {
        let (options, rest) =
            options(&["--user", "tester", "--host", "v1", "--", "ls", "--user"]).ok().unwrap();
        assert_eq!((options.user.as_str(), options.host, rest), ("tester", Host::V1, vec!["ls", "--user"]));
        assert!(super::options(&["--hst"]).is_err() && super::options(&["--host", "x"]).is_err());
    }

    #[test]
    fn words_stay_words() {
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
