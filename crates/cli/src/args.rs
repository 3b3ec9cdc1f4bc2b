//! The command line: global options and commands. Each command's own options are in its file.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands::{
    create, delete, exec, features, kill, list, pause, ps, run, spec, start, state, throwaway,
};
use crate::error::Error;

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

/// Options of all commands; they stand before the command.
#[derive(Debug, clap::Args)]
pub struct Globals {
    /// Directory of the containers' state [default: /run/corten, or $XDG_RUNTIME_DIR/corten without root]
    #[arg(long, value_name = "DIRECTORY")]
    pub root: Option<PathBuf>,
    /// File that log messages are appended to [default: standard error]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Form of the log messages
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Log what is done, and not only what is wrong
    #[arg(long)]
    pub debug: bool,
    /// Let systemd make the control groups (not supported by this version)
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Whether a control group that may not be made is done without
    #[arg(long, value_name = "BOOL", default_value = "auto")]
    pub rootless: Rootless,
    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

/// Form of the log messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// `--rootless`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rootless {
    /// Where the caller is not root.
    Auto,
    True,
    False,
}

impl Globals {
    /// Whether the caller is an ordinary user.
    pub fn ordinary_user(&self) -> bool {
        !rustix::process::geteuid().is_root()
    }

    /// Whether a control group that may not be made is done without.
    pub fn rootless_cgroups(&self) -> bool {
        match self.rootless {
            Rootless::Auto => self.ordinary_user(),
            Rootless::True => true,
            Rootless::False => false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Create(create::Create),
    Delete(delete::Delete),
    Exec(Box<exec::Exec>),
    Features(features::Features),
    Kill(kill::Kill),
    List(list::List),
    Pause(pause::Pause),
    Ps(ps::Ps),
    Resume(pause::Resume),
    Run(run::Run),
    Spec(spec::Spec),
    Start(start::Start),
    State(state::State),
    Try(throwaway::Try),
}

impl Command {
    /// The exit status of a failure: runc's.
    pub fn failure(&self) -> fn(&Error) -> i32 {
        match self {
            Self::Exec(_) => |_| 255,
            Self::Try(_) => throwaway::failure,
            _ => |_| 1,
        }
    }
}
