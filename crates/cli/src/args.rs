//! The command line. The options of a command are in its file.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{FromArgMatches, Parser, Subcommand};

use crate::commands::{
    check, checkpoint, create, delete, events, exec, features, kill, list, pause, ps, restore, run, spec,
    start, state, throwaway, top, update,
};
use crate::error::Error;
use crate::globals::Globals;

/// What `--version` says after the name: engines read the lines by their first word. Which commit it is, packages know.
fn version() -> String {
    let commit = option_env!("CORTEN_COMMIT").map(|commit| format!("\ncommit: {commit}"));
    format!("version {}{}\nspec: 1.3.0", env!("CARGO_PKG_VERSION"), commit.unwrap_or_default())
}

/// Runs containers after the OCI runtime specification, in the place of runc.
///
/// A container is made from a bundle: a directory with a root file system and a config.json, which `corten spec` writes.
/// For a container without any of it, use `corten try`.
#[derive(Debug, Parser)]
#[command(name = "corten", version = version(), disable_version_flag = true, disable_help_subcommand = false)]
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
    /// Reads the arguments, of which the first is the program. A switch may have a value, and one dash is as good as two, as with
    /// runc: `--debug=true`, `-no-subreaper`.
    pub fn read(mut arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        if arguments.iter().any(|argument| one_dash(argument).is_some()) {
            with_two_dashes(&crate::command(), &mut arguments);
        }
        loop {
            let error = match Self::try_parse_from(&arguments) {
                Ok(read) => return Ok(read),
                Err(error) => error,
            };
            arguments = match switched(&arguments, &error) {
                Some(arguments) => arguments,
                // Told with every command and option at hand, which reading did without.
                None => {
                    let told = crate::command().try_get_matches_from(&arguments).err().unwrap_or(error);
                    return Err(in_known_words(told));
                }
            }
        }
    }

    /// The options of all commands, as far as arguments with a mistake have them.
    pub fn globals_of(mut arguments: Vec<OsString>) -> Option<Globals> {
        with_two_dashes(&crate::command(), &mut arguments);
        let found = crate::command().ignore_errors(true).try_get_matches_from(arguments).ok()?;
        Globals::from_arg_matches(&found).ok()
    }
}

/// Says of an option without its value what runc says: podman asks so whether `restore` has one of them.
fn in_known_words(error: clap::Error) -> clap::Error {
    let value = error.get(ContextKind::InvalidValue);
    let (ErrorKind::InvalidValue, Some(ContextValue::String(option)), Some(ContextValue::String(value))) =
        (error.kind(), error.get(ContextKind::InvalidArg), value)
    else {
        return error;
    };
    if !value.is_empty() {
        return error;
    }
    let option = option.split_whitespace().next().unwrap_or_default();
    let message = format!("flag needs an argument: {option}\n\nFor more information, try '--help'.\n");
    clap::Error::raw(ErrorKind::InvalidValue, message)
}

/// What comes after the only dash of an argument, where that is more than a letter.
fn one_dash(argument: &OsStr) -> Option<&str> {
    let name = argument.to_str()?.strip_prefix('-')?;
    (name.chars().nth(1).is_some() && !name.starts_with('-')).then_some(name)
}

/// Gives long options that have one dash a second. What comes after the first argument of a command is not looked at: with `exec`
/// it is another program's.
fn with_two_dashes(root: &clap::Command, arguments: &mut [OsString]) {
    let mut command = root;
    let mut arguments = arguments.iter_mut().skip(1);
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str().map(str::to_owned) else {
            // A value that follows its option by `=`, or an argument: the first ends the options.
            if argument.as_encoded_bytes().starts_with(b"-") { continue } else { return }
        };
        let options = || command.get_arguments().chain(root.get_arguments());
        let long = |name: &str| options().find(|option| option.get_long() == name.split('=').next());
        let short = |letter: char| options().find(|option| option.get_short() == Some(letter));
        let takes_value = |option: &clap::Arg| option.get_action().takes_values();
        // A long option, or a switch of one letter with a value; and the value, with its `=`.
        let whole = |text: &str| {
            let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
            let letter = name.parse::<char>().ok().and_then(short).filter(|option| !takes_value(option));
            Some((long(name).or(letter)?, value.to_owned()))
        };
        let value_follows = if text == "--" {
            return;
        } else if let Some(name) = text.strip_prefix("--") {
            !name.contains('=') && long(name).is_some_and(takes_value)
        } else if let Some((option, value)) = one_dash(argument).and_then(whole) {
            *argument = format!("--{}{value}", option.get_long().unwrap_or_default()).into();
            value.is_empty() && takes_value(option)
        } else if let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            // The first of them that takes a value has the rest for it.
            let first = letters.char_indices().find(|(_, letter)| short(*letter).is_some_and(takes_value));
            first.is_some_and(|(at, letter)| at + letter.len_utf8() == letters.len())
        } else {
            let Some(named) = command.find_subcommand(&text) else { return };
            command = named;
            false
        };
        if value_follows {
            arguments.next();
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

    /// Whether it starts the first program of a container.
    pub fn makes_init(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Run(_))
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
    fn one_dash_is_as_good_as_two() {
        let restore =
            read("corten -root /r -log-format=json restore -no-subreaper -pid-file p -bundle b c").unwrap();
        assert_eq!(restore.globals.root.as_deref(), Some(std::path::Path::new("/r")));
        let Command::Restore(restore) = restore.command else { unreachable!("{restore:?}") };
        let said = format!("{restore:?}");
        assert!(said.contains("pid_file: Some(\"p\")") && said.contains("bundle: \"b\""), "{said}");
        let exec = read("corten exec -tty -detach -e a=b -u0 one ls -detach -tty").unwrap();
        let Command::Exec(exec) = exec.command else { unreachable!("{exec:?}") };
        let said = format!("{exec:?}");
        assert!(said.contains("tty: true") && said.contains("detach: true"), "{said}");
        assert!(said.contains("\"-detach\", \"-tty\""), "{said}");
        assert!(read("corten kill -all one").is_ok());
        let Command::List(list) = read("corten list -q=false").unwrap().command else { unreachable!() };
        assert!(format!("{list:?}").contains("quiet: false"), "{list:?}");
        assert!(read("corten restore -no-such-option c").is_err());
    }

    #[test]
    fn arguments_need_not_be_text() {
        use std::os::unix::ffi::OsStringExt;
        let line = [&b"corten"[..], b"--root=/x/\xff", b"restore", b"-no-subreaper", b"c"];
        let line = line.map(|argument| OsString::from_vec(argument.to_vec())).to_vec();
        assert!(Arguments::read(line).is_ok());
    }

    #[test]
    fn an_option_without_its_value_is_told_as_runc_does() {
        let said = read("corten restore --lsm-mount-context").unwrap_err().to_string();
        assert!(said.contains("flag needs an argument: --lsm-mount-context"), "{said}");
        let said = read("corten --log-format=x list").unwrap_err().to_string();
        assert!(said.contains("invalid value"), "{said}");
    }

    #[test]
    fn the_log_is_known_in_spite_of_a_mistake() {
        for line in
            ["corten --log L --log-format json create --nope x", "corten -log L -log-format=json -nope"]
        {
            let globals = Arguments::globals_of(line.split(' ').map(OsString::from).collect()).unwrap();
            assert_eq!(globals.log.as_deref(), Some(std::path::Path::new("L")), "{line}");
            assert_eq!(globals.log_format, crate::globals::LogFormat::Json, "{line}");
        }
    }

    #[test]
    fn what_a_container_runs_is_left_as_it_is() {
        let exec = read("corten --debug=true exec --tty=false one grep --count=true --tty=false").unwrap();
        let Command::Exec(exec) = exec.command else { unreachable!("{exec:?}") };
        assert_eq!(format!("{exec:?}").matches("--tty=false").count(), 1, "{exec:?}");
    }
}
