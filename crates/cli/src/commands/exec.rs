//! `corten exec`.

use std::os::fd::AsFd;
use std::path::PathBuf;

use corten::oci::{self, Capabilities};
use corten::{Container, ExitStatus, Id, Process, ProcessBuilder, Runtime, Status, Stdio};

use crate::bundle::{self, Console};
use crate::error::{Error, Result, from_json};
use crate::foreground::{self, Signals};
use crate::inherited::Inherited;
use crate::{pid_file, sockets};

/// Run a further program in a running container
///
/// The exit status is the program's, or 128 and the number of the signal that ended it; 255 where it cannot be started.
#[derive(Debug, clap::Args)]
pub struct Exec {
    /// Unix socket that gets the terminal's other end
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Unix socket that gets the pidfd of the program
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIRECTORY")]
    cwd: Option<String>,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Give the program a terminal
    #[arg(short, long)]
    tty: bool,
    /// User, by number
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Further group, by number
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// File with the whole process as config.json has it; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Return when the program runs
    #[arg(short, long)]
    detach: bool,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// SELinux label of the program
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// AppArmor profile of the program
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Let no execve(2) grant privileges
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability
    #[arg(short, long, value_name = "CAPABILITY")]
    cap: Vec<String>,
    /// How many file descriptors the program inherits, from 3 on
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    pub preserve_fds: u32,
    /// Control group below the container's to run in; `/` is the container's own
    #[arg(long, value_name = "[CONTROLLER[,CONTROLLER...]:]PATH")]
    cgroup: Vec<String>,
    /// Allow a paused container: the program starts when it is resumed
    #[arg(long)]
    ignore_paused: bool,
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the command.
pub fn run(runtime: &Runtime, inherited: Inherited, arguments: &Exec) -> Result<i32> {
    let signals = if arguments.detach { None } else { Some(Signals::hold()?) };
    let container = runtime.load(&Id::try_from(arguments.id.as_str())?)?;
    match container.status()? {
        Status::Stopped => return Err(Error::usage("cannot exec in a stopped container")),
        Status::Paused if !arguments.ignore_paused => {
            return Err(Error::usage("cannot exec in a paused container (use --ignore-paused to override)"));
        }
        _ => {}
    }
    let pidfd_socket = arguments.pidfd_socket.as_deref().map(sockets::open).transpose()?;
    let mut child = container.exec(arguments.program(&container, inherited)?)?;
    let told = || -> Result<()> {
        if let Some(socket) = &pidfd_socket {
            sockets::send(socket, "setns", child.as_fd())?;
        }
        if let Some(path) = &arguments.pid_file {
            pid_file::write(path, child.pid())?;
        }
        Ok(())
    };
    if let Err(error) = told() {
        // Nobody would know of it.
        child.signal(corten::Signal::KILL)?;
        child.wait()?;
        return Err(error);
    }
    let status = match &signals {
        Some(signals) => foreground::attend(signals, &mut child, None)?,
        None => ExitStatus::Exited(0),
    };
    Ok(status.code())
}

impl Exec {
    fn program(&self, container: &Container, inherited: Inherited) -> Result<Process> {
        let document = match &self.process {
            Some(path) => {
                if !self.command.is_empty() {
                    return Err(Error::usage("exec takes a command or --process, not both"));
                }
                read(path)?
            }
            None if self.command.is_empty() => {
                return Err(Error::usage("process args cannot be empty"));
            }
            None => of_bundle(&container.state()?.bundle)?,
        };
        let terminal = if self.process.is_some() { document.terminal } else { self.tty };
        let document = self.document(document, terminal, container)?;
        let mut builder = self.change(Process::from_spec(&document)?)?.preserve_fds(inherited.fds);
        match bundle::console(terminal, self.detach, self.console_socket.as_deref())? {
            Console::Socket(socket) => builder = builder.console_socket(socket),
            Console::Own => builder = builder.terminal(foreground::terminal_size()),
            Console::None => builder = builder.stdio(Stdio::Inherit),
        }
        Ok(builder.build()?)
    }

    /// The document with what the arguments say of it.
    fn document(
        &self,
        document: oci::Process,
        terminal: bool,
        container: &Container,
    ) -> Result<oci::Process> {
        let mut document = match &self.process {
            Some(_) => document,
            None => oci::Process { args: self.command.clone(), terminal, console_size: None, ..document },
        };
        if let Some(user) = &self.user {
            let (uid, gid) = ids(user)?;
            document.user.uid = uid;
            document.user.gid = gid.unwrap_or(document.user.gid);
        }
        document.user.additional_gids.extend(&self.additional_gids);
        if !self.cap.is_empty() {
            let own = document.capabilities.or_else(|| container.config().capabilities().cloned());
            document.capabilities = Some(with(own.unwrap_or_default(), &self.cap));
        }
        Ok(document)
    }

    /// What single options change.
    fn change(&self, mut builder: ProcessBuilder) -> Result<ProcessBuilder> {
        if let Some(cwd) = &self.cwd {
            builder = builder.cwd(cwd);
        }
        for entry in &self.env {
            let (key, value) = entry.split_once('=').ok_or_else(|| {
                Error::usage(format!("invalid environment variable {entry:?}: missing '='"))
            })?;
            builder = builder.env(key, value);
        }
        if let Some(label) = &self.process_label {
            builder = builder.selinux_label(label);
        }
        if let Some(profile) = &self.apparmor {
            builder = builder.apparmor_profile(profile);
        }
        if self.no_new_privs {
            builder = builder.no_new_privileges(true);
        }
        for (controllers, path) in sub_cgroups(&self.cgroup)? {
            builder = match controllers {
                None => builder.sub_cgroup(path),
                Some(controllers) => builder.sub_cgroup_of(controllers.split(','), path),
            };
        }
        Ok(builder)
    }
}

/// What the container's first program has. A container of a library's has no bundle.
fn of_bundle(bundle: &std::path::Path) -> Result<oci::Process> {
    if bundle.join("config.json").exists() {
        return Ok(bundle::read(bundle)?.process.unwrap_or_default());
    }
    tracing::warn!("{} has no config.json: the program has a plain environment", bundle.display());
    let plain = oci::Process::default();
    Ok(oci::Process { cwd: "/".to_owned(), env: vec![PATH.to_owned()], ..plain })
}

/// Where programs are found without a bundle.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn read(path: &std::path::Path) -> Result<oci::Process> {
    if path == std::path::Path::new("-") {
        return serde_json::from_reader(std::io::stdin())
            .map_err(|source| Error::Json { what: "standard input".to_owned(), source });
    }
    let text = std::fs::read(path)
        .map_err(|source| Error::System { what: format!("read {}", path.display()), source })?;
    from_json(&text, path)
}

/// Paths with the controllers that they are for, each of them once; one path without controllers is for all.
fn sub_cgroups(asked: &[String]) -> Result<Vec<(Option<&str>, &str)>> {
    let mut seen = Vec::new();
    let one = |text: &'_ String| text.split_once(':').is_none();
    if asked.len() > 1
        && let Some(text) = asked.iter().find(|text| one(text))
    {
        return Err(Error::usage(format!(
            "invalid --cgroup argument: {text} (missing <controller>: prefix)"
        )));
    }
    asked
        .iter()
        .map(|text| {
            let Some((controllers, path)) = text.split_once(':') else { return Ok((None, text.as_str())) };
            for controller in controllers.split(',') {
                if controller.is_empty() || seen.contains(&controller) {
                    let what = if controller.is_empty() {
                        "empty <controller> prefix"
                    } else {
                        "twice the same controller"
                    };
                    return Err(Error::usage(format!("invalid --cgroup argument: {text} ({what})")));
                }
                seen.push(controller);
            }
            Ok((Some(controllers), path))
        })
        .collect()
}

/// `UID` or `UID:GID`; without a group the one that it has stays.
fn ids(text: &str) -> Result<(u32, Option<u32>)> {
    let wrong = || Error::usage(format!("--user takes UID or UID:GID in numbers, not {text:?}"));
    let number = |text: &str| text.parse().map_err(|_| wrong());
    match text.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
        None => Ok((number(text)?, None)),
    }
}

/// Capabilities added as runc does: ambient only where something is inheritable, for the kernel would refuse them.
fn with(mut sets: Capabilities, added: &[String]) -> Capabilities {
    let ambient = !sets.inheritable.is_empty();
    let Capabilities { bounding, effective, inheritable: _, permitted, ambient: raised } = &mut sets;
    for name in added {
        for set in [&mut *bounding, &mut *effective, &mut *permitted] {
            set.push(name.clone());
        }
        if ambient {
            raised.push(name.clone());
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        assert_eq!(ids("5").unwrap(), (5, None));
        assert_eq!(ids("5:6").unwrap(), (5, Some(6)));
        for wrong in ["", "x", "5:", ":5", "-1", "5:6:7", "4294967296"] {
            assert!(ids(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cgroups_have_controllers_or_are_one() {
        let read = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|text| (*text).to_owned()).collect();
            sub_cgroups(&asked).map(|found| format!("{found:?}"))
        };
        assert_eq!(read(&["/a"]).unwrap(), r#"[(None, "/a")]"#);
        assert_eq!(
            read(&["cpu,memory:/a", "pids:"]).unwrap(),
            r#"[(Some("cpu,memory"), "/a"), (Some("pids"), "")]"#
        );
        for wrong in
            [&["a", "cpu:b"][..], &["cpu:a", "b"], &["cpu:a", "cpu:b"], &["cpu,cpu:a"], &[":a"], &["cpu,:a"]]
        {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_added_capability_is_ambient_only_with_inheritable_ones() {
        let added = vec!["CAP_KILL".to_owned()];
        let sets = with(Capabilities::default(), &added);
        assert_eq!((&sets.bounding, &sets.effective, &sets.permitted), (&added, &added, &added));
        assert!(sets.ambient.is_empty());
        let inheritable =
            Capabilities { inheritable: vec!["CAP_CHOWN".to_owned()], ..Capabilities::default() };
        assert_eq!(with(inheritable, &added).ambient, added);
    }
}
