//! Bundles: from the options of `create` and `run` to a container and its first program.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use corten::oci::Spec;
use corten::{Config, Container, Id, Process, Runtime, SpecOptions, Stdio};

use crate::error::{Error, Result, from_json};
use crate::foreground;
use crate::globals::{CgroupManager, Globals};
use crate::inherited::Inherited;
use crate::{notify_socket, sockets};

/// What `create` and `run` have in common.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The container's name, unique on this machine
    #[arg(value_name = "CONTAINER")]
    pub id: String,
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIRECTORY", default_value = ".", hide_default_value = true)]
    pub bundle: PathBuf,
    /// Unix socket that gets the terminal's other end
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Unix socket that gets the pidfd of the container's first process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// File to write the process id of the container's first process to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Change the root without pivot_root(2), for a root file system on a ramdisk. Weaker
    #[arg(long)]
    pub no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// How many file descriptors the container inherits, from 3 on (after those of LISTEN_FDS)
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    pub preserve_fds: u32,
}

/// The annotation that stands for `--pidfd-socket`, as crun has it.
const PIDFD_RECEIVER: &str = "run.oci.pidfd_receiver";

/// Whether a document says what to run, whatever else it says.
#[derive(serde::Deserialize)]
struct WhatRuns {
    process: Option<serde::de::IgnoredAny>,
}

/// What is said of a document without a process, in runc's words.
pub fn no_process(path: &Path) -> Error {
    Error::usage(format!("process property must not be empty: {} does not say what to run", path.display()))
}

/// The bundle's document, which has a process.
pub fn read(bundle: &Path) -> Result<Spec> {
    let path = bundle.join("config.json");
    match std::fs::read(&path) {
        Ok(text) => {
            // Told before anything else that may be wrong with the document, as runc does.
            if serde_json::from_slice(&text).is_ok_and(|document: WhatRuns| document.process.is_none()) {
                return Err(no_process(&path));
            }
            from_json(&text, &path)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::usage(format!("JSON specification file {} not found", path.display())))
        }
        Err(source) => Err(Error::System { what: format!("read {}", path.display()), source }),
    }
}

/// The document of a bundle, changed by `edit`, and the configuration that it and the options make.
pub fn configure(
    globals: &Globals,
    bundle: &Path,
    no_pivot_root: bool,
    no_new_keyring: bool,
    edit: impl FnOnce(&mut Spec),
) -> Result<(Spec, Config)> {
    let bundle = std::path::absolute(bundle)
        .map_err(|source| Error::System { what: format!("find {}", bundle.display()), source })?;
    let mut spec = read(&bundle)?;
    edit(&mut spec);
    let options = SpecOptions {
        no_pivot_root,
        no_new_keyring,
        systemd_cgroup: globals.cgroup_manager() == CgroupManager::Systemd,
        no_cgroup: globals.cgroup_manager() == CgroupManager::Disabled,
        rootless_euid: globals.ordinary_user(),
        rootless_cgroups: globals.rootless_cgroups(),
    };
    let config = Config::from_spec(&spec, &bundle, options)?;
    Ok((spec, config))
}

/// A container that exists, and the program that is to be its first.
pub struct Made {
    pub container: Container,
    pub process: Process,
    pub pidfd_socket: Option<OwnedFd>,
    /// The directory of the socket on which the container says that it is ready, if somebody wants to know.
    pub notify: Option<PathBuf>,
}

impl Options {
    /// Makes the container of a bundle. `detached`: nobody stays with it.
    pub fn make(
        &self,
        globals: &Globals,
        runtime: &Runtime,
        inherited: Inherited,
        detached: bool,
    ) -> Result<Made> {
        let id = Id::try_from(self.id.as_str())?;
        let notify = notify_socket::directory(runtime, &id);
        let (spec, config) = configure(globals, &self.bundle, self.no_pivot, self.no_new_keyring, |spec| {
            notify.iter().for_each(|directory| notify_socket::add_to(spec, directory));
        })?;
        let process = spec.process.as_ref().ok_or_else(|| no_process(&self.bundle.join("config.json")))?;
        let mut builder =
            Process::from_spec(process)?.listen_fds(inherited.listen).preserve_fds(inherited.fds);
        match console(process.terminal, detached, self.console_socket.as_deref())? {
            Console::Socket(socket) => builder = builder.console_socket(socket),
            Console::Own if process.console_size.is_none() => {
                builder = builder.terminal(foreground::terminal_size());
            }
            Console::Own => {}
            Console::None => builder = builder.stdio(Stdio::Inherit),
        }
        let process = builder.build()?;
        let receiver = spec.annotations.get(PIDFD_RECEIVER).filter(|path| !path.is_empty()).map(Path::new);
        let pidfd_socket = self.pidfd_socket.as_deref().or(receiver).map(sockets::open).transpose()?;
        let container = runtime.create(&id, config)?;
        if let Some(directory) = &notify
            && let Err(error) = notify_socket::make(directory)
        {
            runtime.purge(&id)?;
            return Err(error);
        }
        Ok(Made { container, process, pidfd_socket, notify })
    }
}

/// Where the other end of a terminal goes.
pub enum Console {
    /// To whoever listens on a socket.
    Socket(OwnedFd),
    /// It stays with this command.
    Own,
    /// There is no terminal.
    None,
}

/// A terminal that nobody stays with needs a socket, and nothing else does.
pub fn console(terminal: bool, detached: bool, socket: Option<&Path>) -> Result<Console> {
    match (terminal, detached, socket) {
        (true, true, None) => {
            Err(Error::usage("cannot allocate tty if corten will detach without setting console socket"))
        }
        (true, true, Some(path)) => Ok(Console::Socket(sockets::open(path)?)),
        (_, _, Some(_)) => {
            Err(Error::usage("cannot use console socket if corten will not detach or allocate tty"))
        }
        (true, false, None) => Ok(Console::Own),
        (false, _, None) => Ok(Console::None),
    }
}
