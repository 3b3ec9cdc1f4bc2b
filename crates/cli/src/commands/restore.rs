//! `corten restore`.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use corten::{CgroupMode, Child, Config, ExitStatus, Id, Runtime, Stdio};

use crate::announce::announce;
use crate::archive::Import;
use crate::bundle::{self, Console};
use crate::error::{Doing, Error, Result};
use crate::foreground::{self, Signals};
use crate::globals::{CgroupManager, Globals, Rootless};
use crate::notify_socket::{self, Notify};
use crate::sockets;

use super::checkpoint::{empty_network, image_path};

/// Bring a container back that `checkpoint` has saved
///
/// The bundle must be the one that it was made from, or a copy. The exit status is the program's, or 128 and the number of
/// the signal that ended it; the container is deleted then.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The container's name, unique on this machine
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIRECTORY", default_value = ".", hide_default_value = true)]
    bundle: PathBuf,
    /// Directory of the images [default: ./checkpoint]
    #[arg(long, value_name = "DIRECTORY")]
    image_path: Option<PathBuf>,
    /// Archive that `checkpoint --export` has made, with the images and the configuration. The root file system must be in
    /// the bundle where it was in the old one; images are unpacked to --image-path, or below /var/tmp for a while
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Directory of CRIU's log and statistics [default: that of the images]
    #[arg(long, value_name = "DIRECTORY")]
    work_path: Option<PathBuf>,
    /// Return when the container runs
    #[arg(short, long)]
    detach: bool,
    /// Unix socket that gets the terminal's other end
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Unix socket that gets the pidfd of the container's first process
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// File to write the process id of the container's first process to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Restore established TCP connections
    #[arg(long)]
    tcp_established: bool,
    /// Restore established TCP connections closed
    #[arg(long, conflicts_with = "tcp_established")]
    tcp_close: bool,
    /// Connect Unix datagram sockets again that were connected to one outside
    #[arg(long)]
    ext_unix_sk: bool,
    /// Put the processes into the caller's session
    #[arg(long)]
    shell_job: bool,
    /// Restore file locks
    #[arg(long)]
    file_locks: bool,
    /// How control groups are restored: soft, full, strict or ignore
    #[arg(long, value_name = "MODE")]
    manage_cgroups_mode: Option<String>,
    /// For runc's sake: this command waits for its own child alone, and never adopts other processes
    #[arg(long)]
    no_subreaper: bool,
    /// Refused: CRIU can restore no root that was changed without pivot_root(2)
    #[arg(long, conflicts_with = "import")]
    no_pivot: bool,
    /// Make a namespace of this kind without what was in it: network, which is the default
    #[arg(long, value_name = "KIND")]
    empty_ns: Vec<String>,
    /// Restore what `checkpoint --keep-network` has saved of a network namespace, too
    #[arg(long, conflicts_with = "empty_ns")]
    keep_network: bool,
    /// Punch memory out of the images as it is restored
    #[arg(long)]
    auto_dedup: bool,
    /// Let the memory follow, from `criu lazy-pages`
    #[arg(long, conflicts_with = "import")]
    lazy_pages: bool,
    /// Profile of the security module: apparmor:NAME or selinux:LABEL
    #[arg(long, value_name = "TYPE:NAME")]
    lsm_profile: Option<String>,
    /// SELinux context of the mounts
    #[arg(long, value_name = "CONTEXT")]
    lsm_mount_context: Option<String>,
}

impl Restore {
    fn images(&self, import: Option<&Import>) -> Result<PathBuf> {
        match import {
            Some(import) => Ok(import.archive.images().to_owned()),
            None => image_path(self.image_path.as_deref()),
        }
    }

    fn request(&self, console: Console, images: &Path) -> Result<corten::Restore> {
        let mut request = corten::Restore::new(images)
            .tcp_established(self.tcp_established)
            .tcp_close(self.tcp_close)
            .external_unix_sockets(self.ext_unix_sk)
            .shell_job(self.shell_job)
            .file_locks(self.file_locks)
            .empty_network(empty_network(&self.empty_ns, self.keep_network)?)
            .auto_dedup(self.auto_dedup)
            .lazy_pages(self.lazy_pages);
        if let Some(path) = &self.work_path {
            request = request.work_directory(path);
        }
        if let Some(mode) = &self.manage_cgroups_mode {
            request = request.manage_cgroups(CgroupMode::try_from(mode.as_str())?);
        }
        if let Some(profile) = &self.lsm_profile {
            request = request.lsm_profile(profile);
        }
        if let Some(context) = &self.lsm_mount_context {
            request = request.lsm_mount_context(context);
        }
        Ok(match console {
            Console::Socket(socket) => request.console_socket(socket),
            Console::Own => request,
            Console::None => request.stdio(Stdio::Inherit),
        })
    }

    fn configuration(
        &self,
        globals: &Globals,
        import: Option<&Import>,
        shown: Option<&Path>,
    ) -> Result<(Config, Console)> {
        if let Some(Import { archive, .. }) = import {
            if globals.cgroup_manager() != CgroupManager::Cgroupfs || globals.rootless != Rootless::Auto {
                return Err(Error::usage(
                    "the archive says who makes the control group: --systemd-cgroup, --cgroup-manager and --rootless cannot be used \
                     with --import",
                ));
            }
            let doing = || format!("find {}", self.bundle.display());
            let mut config = archive.config(&std::path::absolute(&self.bundle).doing(doing)?)?;
            if let Some(directory) = shown {
                config = notify_socket::show_again(config, directory)?;
            }
            let console = bundle::console(archive.terminal(), self.detach, self.console_socket.as_deref())?;
            return Ok((config, console));
        }
        let (spec, config) = bundle::configure(globals, &self.bundle, self.no_pivot, false, |spec| {
            // What the configuration has in its place is its own.
            let own = spec.mounts.iter().any(|mount| mount.destination == notify_socket::INSIDE);
            shown.iter().filter(|_| !own).for_each(|directory| notify_socket::show(spec, directory));
        })?;
        let process =
            spec.process.as_ref().ok_or_else(|| bundle::no_process(&self.bundle.join("config.json")))?;
        let console = bundle::console(process.terminal, self.detach, self.console_socket.as_deref())?;
        Ok((config, console))
    }
}

/// Runs the command.
pub fn run(globals: &Globals, runtime: &Runtime, arguments: &Restore) -> Result<i32> {
    let signals = if arguments.detach { None } else { Some(Signals::hold()?) };
    let id = Id::try_from(arguments.id.as_str())?;
    let import = arguments.import.as_deref();
    let import = import.map(|path| Import::new(path, &id, arguments.image_path.as_deref())).transpose()?;
    if let Some(import) = &import {
        runtime.check(&import.archive)?;
    }
    let images = arguments.images(import.as_ref())?;
    let notify = notify_socket::directory(runtime, &id);
    let shown = match &import {
        Some(Import { archive, .. }) => {
            notify_socket::is_of(&archive.config(Path::new("/"))?, &archive.id()?)
        }
        None => notify_socket::is_in(&images),
    };
    let shown = shown.then(|| notify_socket::place(runtime, &id));
    let (config, console) = arguments.configuration(globals, import.as_ref(), shown.as_deref())?;
    let request = arguments.request(console, &images)?;
    let pidfd_socket = arguments.pidfd_socket.as_deref().map(sockets::open).transpose()?;
    let container = runtime.create(&id, config)?;
    let lived = || -> Result<ExitStatus> {
        notify.as_deref().or(shown.as_deref()).map_or(Ok(()), notify_socket::make)?;
        let mut notify = notify.as_deref().map(Notify::bind).transpose()?;
        let mut child: Child = container.restore(request)?;
        if let Some(mut import) = import {
            import.restored = true;
        }
        announce((child.pid(), child.as_fd()), pidfd_socket, arguments.pid_file.as_deref())?;
        // It has said so in its former life.
        notify.iter_mut().for_each(|notify| notify.ready(child.pid()));
        match &signals {
            Some(signals) => foreground::attend(signals, &mut child, notify.as_mut()),
            None => Ok(ExitStatus::Exited(0)),
        }
    };
    foreground::leave(runtime, &id, lived(), arguments.detach)
}
