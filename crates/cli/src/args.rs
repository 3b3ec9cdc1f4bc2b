//! The command line. The options of a command are in its file.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::commands::{
    check, checkpoint, create, delete, events, exec, features, kill, list, pause, ps, restore, run, spec,
    start, state, throwaway, top, update,
};
use crate::error::Error;
use crate::globals::Globals;

/// What `--version` says after the name: engines read the lines by their first word.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.3.0");

/// Runs containers after the OCI runtime specification, in the place of runc.
///
/// A container is made from a bundle: a directory with a root file system and a config.json, which `corten spec` writes.
/// For a container without any of it, use `corten try`.
#[derive(Debug, Parser)]
#[command(name = "corten", version = VERSION, disable_version_flag = true, disable_help_subcommand = false)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 110)]
// Of an option that is given twice the last counts, as with runc: podman gives some twice.
#[command(args_override_self = true)]
pub struct Arguments {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// Reads the arguments, of which the first is the program. A switch may have a value, as with runc: `--debug=true`.
    pub fn read(mut arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        loop {
            let error = match Self::try_parse_from(&arguments) {
                Ok(read) => return Ok(read),
                Err(error) => error,
            };
            arguments = match switched(&arguments, &error) {
                Some(arguments) => arguments,
                // Told with every command and option at hand, which reading did without.
                None => return Err(crate::command().try_get_matches_from(arguments).err().unwrap_or(error)),
            }
        }
    }
}

/// The arguments without the value of the switch that the error is about: with the switch, or without it.
fn switched(arguments: &[OsString], error: &clap::Error) -> Option<Vec<OsString>> {
    if error.kind() != ErrorKind::TooManyValues {
        return None;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (switch, value) = (text(ContextKind::InvalidArg)?, text(ContextKind::InvalidValue)?);
    let at = arguments.iter().position(|argument| *argument == *format!("{switch}={value}"))?;
    let (before, after) = (arguments.get(..at)?, arguments.get(at + 1..)?);
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some([before, &[switch.into()], after].concat()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => {
            let before = before.iter().filter(|argument| argument.as_os_str() != OsStr::new(switch));
            Some(before.chain(after).cloned().collect())
        }
        _ => None,
    }
}

/// The options of a command are made when it is asked for: all of them would take a tenth of the time of `exec`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    Check(check::Check),
    Checkpoint(Box<checkpoint::Checkpoint>),
    Create(create::Create),
    Delete(delete::Delete),
    Events(events::Events),
    Exec(Box<exec::Exec>),
    Features(features::Features),
    Kill(kill::Kill),
    List(list::List),
    Pause(pause::Pause),
    Ps(ps::Ps),
    Restore(Box<restore::Restore>),
    Resume(pause::Resume),
    Run(run::Run),
    Spec(spec::Spec),
    Start(start::Start),
    State(state::State),
    Top(top::Top),
    Try(throwaway::Try),
    Update(Box<update::Update>),
}

impl Command {
    /// How many descriptors a container is to inherit beside those that the environment tells of; `None` for a command
    /// that starts no program of a bundle.
    pub fn preserve_fds(&self) -> Option<u32> {
        match self {
            Self::Create(create) => Some(create.options.preserve_fds),
            Self::Exec(exec) => Some(exec.preserve_fds),
            Self::Run(run) => Some(run.options.preserve_fds),
            _ => None,
        }
    }

    /// The number of the descriptor that is to be told of something.
    pub fn status_fd(&self) -> Option<i32> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.status_fd,
            _ => None,
        }
    }

    /// The exit status of a failure: runc's.
    pub fn exit_status(&self, error: &Error) -> i32 {
        match self {
            Self::Exec(_) => 255,
            Self::Try(_) => throwaway::exit_status(error),
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::read(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn a_switch_may_have_a_value() {
        for (line, systemd) in [
            ("corten --systemd-cgroup list", true),
            ("corten --systemd-cgroup=true list", true),
            ("corten --systemd-cgroup=false --debug=1 list", false),
            ("corten --systemd-cgroup --systemd-cgroup=F list --quiet=t", false),
            ("corten --systemd-cgroup=false --systemd-cgroup list", true),
        ] {
            assert_eq!(read(line).unwrap().globals.systemd_cgroup, systemd, "{line}");
        }
        assert!(read("corten --systemd-cgroup=yes list").is_err());
    }

    #[test]
    fn what_a_container_runs_is_left_as_it_is() {
        let exec = read("corten --debug=true exec --tty=false one grep --count=true --tty=false").unwrap();
        let Command::Exec(exec) = exec.command else { unreachable!("{exec:?}") };
        assert_eq!(format!("{exec:?}").matches("--tty=false").count(), 1, "{exec:?}");
    }
}
