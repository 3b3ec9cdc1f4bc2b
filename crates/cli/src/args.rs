//! The command line. The options of a command are in its file.

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
pub struct Arguments {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
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
