//! `corten`: an OCI runtime that takes the place of runc.
//!
//! The program is [`main`]; [`command`] describes its command line to what makes pages and completions of it.
#![forbid(unsafe_code)]

mod announce;
mod archive;
mod args;
mod bundle;
mod commands;
mod error;
mod foreground;
mod globals;
mod inherited;
mod interval;
mod log;
mod notify_socket;
mod owner;
mod pid_file;
mod raw;
mod root;
mod size;
mod sockets;
mod table;

use std::process::ExitCode;

use clap::CommandFactory;
use corten::{Launcher, Runtime};

use args::{Arguments, Command};
use commands::{
    check, checkpoint, create, delete, events, exec, features, kill, list, pause, ps, restore, run, spec,
    start, state, throwaway, top, update,
};
use error::Result;
use globals::Globals;
use inherited::Inherited;

/// The command line: every command with its options and their help.
pub fn command() -> clap::Command {
    let mut command = Arguments::command();
    command.build();
    command
}

/// The program.
pub fn main() -> ExitCode {
    // First: in the re-executed copy, which becomes a container's init, this never returns.
    let hook = corten::init();
    let Arguments { globals, command } = match Arguments::read(std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(answer) => return ExitCode::from(answered(&answer)),
    };
    if let Err(errno) = corten_sys::signal::keep_exit_statuses() {
        eprintln!("corten: SIGCHLD: {errno}");
        return ExitCode::FAILURE;
    }
    // Before anything is opened: what was not inherited after all must not be taken for it.
    let inherited = Inherited::take(command.makes_init(), command.preserve_fds(), command.status_fd());
    let run = |()| run(&globals, &command, inherited?, Launcher::self_exe(hook));
    let code = match log::start(&globals).and_then(run) {
        Ok(code) => code,
        Err(error) => {
            log::last_word(&error);
            command.exit_status(&error)
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Says what is wrong with the arguments, or what they ask for: help, the version. Engines read the former in their log.
fn answered(answer: &clap::Error) -> u8 {
    if !answer.use_stderr() {
        let _ = answer.print();
        return 0;
    }
    let globals = Arguments::globals_of(std::env::args_os().collect());
    if globals.is_some_and(|globals| globals.log.is_some() && log::start(&globals).is_ok()) {
        let said = answer.to_string();
        let said = said.split("\n\n").next().unwrap_or_default();
        tracing::error!("{}", said.trim_start_matches("error: "));
    }
    let _ = answer.print();
    1
}

fn run(globals: &Globals, command: &Command, inherited: Inherited, launcher: Launcher) -> Result<i32> {
    match command {
        Command::Check(arguments) => return check::run(arguments),
        Command::Features(arguments) => return features::run(arguments),
        Command::Spec(arguments) => return spec::run(arguments),
        Command::Try(arguments) => return throwaway::run(launcher, arguments),
        _ => {}
    }
    let runtime = Runtime::open(root::directory(globals)?, launcher)?;
    match command {
        Command::Checkpoint(arguments) => checkpoint::run(&runtime, inherited.status, arguments),
        Command::Create(arguments) => create::run(globals, &runtime, inherited, arguments),
        Command::Delete(arguments) => delete::run(&runtime, arguments),
        Command::Events(arguments) => events::run(&runtime, arguments),
        Command::Exec(arguments) => exec::run(&runtime, inherited, arguments),
        Command::Kill(arguments) => kill::run(&runtime, arguments),
        Command::List(arguments) => list::run(globals, &runtime, arguments),
        Command::Pause(arguments) => pause::pause(&runtime, arguments),
        Command::Ps(arguments) => ps::run(&runtime, arguments),
        Command::Restore(arguments) => restore::run(globals, &runtime, arguments),
        Command::Resume(arguments) => pause::resume(&runtime, arguments),
        Command::Run(arguments) => run::run(globals, &runtime, inherited, arguments),
        Command::Start(arguments) => start::run(&runtime, arguments),
        Command::State(arguments) => state::run(&runtime, arguments),
        Command::Top(arguments) => top::run(&runtime, arguments),
        Command::Update(arguments) => update::run(&runtime, arguments),
        Command::Check(_) | Command::Features(_) | Command::Spec(_) | Command::Try(_) => Ok(0),
    }
}
