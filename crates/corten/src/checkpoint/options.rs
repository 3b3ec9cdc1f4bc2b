//! What a checkpoint and a restore can be asked for.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, Result, Stdio};

/// How control groups are saved and restored. Without one it is as for [`CgroupMode::Soft`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CgroupMode {
    /// Groups that the container has made inside its own come back with their properties; those that are there keep theirs.
    Soft,
    /// All groups come back with the properties that CRIU knows; limits of the configuration count more.
    Full,
    /// As `Full`, and none of the groups may be there before.
    Strict,
    /// Groups are neither saved nor restored: every process comes back in the container's own group.
    Ignore,
}

impl TryFrom<&str> for CgroupMode {
    type Error = Error;

    /// Takes `soft`, `full`, `strict` and `ignore`.
    fn try_from(name: &str) -> Result<Self> {
        match name {
            "soft" => Ok(Self::Soft),
            "full" => Ok(Self::Full),
            "strict" => Ok(Self::Strict),
            "ignore" => Ok(Self::Ignore),
            _ => Err(Error::invalid(format!(
                "invalid manage-cgroups-mode {name:?}: it is one of soft, full, strict, ignore"
            ))),
        }
    }
}

/// How connections are kept from the network while they are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetworkLock {
    /// By rules of iptables(8), CRIU's own choice.
    Iptables,
    /// By rules of nft(8).
    Nftables,
    /// Not at all: what arrives meanwhile can break a connection.
    Skip,
}

impl TryFrom<&str> for NetworkLock {
    type Error = Error;

    /// Takes `iptables`, `nftables` and `skip`.
    fn try_from(name: &str) -> Result<Self> {
        match name {
            "iptables" => Ok(Self::Iptables),
            "nftables" => Ok(Self::Nftables),
            "skip" => Ok(Self::Skip),
            _ => Err(Error::invalid(format!(
                "invalid network-lock method {name:?}: it is one of iptables, nftables, skip"
            ))),
        }
    }
}

/// How far a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of memory in the images so far.
    pub written: u64,
    /// Bytes of memory that the container's processes had when it began; pages that are shared count more than once, and
    /// those of files, which need not be saved, count as well.
    pub resident: u64,
}

/// What a checkpoint has cost, as CRIU tells it in its statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// How long the processes stood still; none where CRIU does not tell.
    pub frozen: Option<Duration>,
    /// Bytes of memory that were written, here or to a page server; none where CRIU does not tell.
    pub written: Option<u64>,
}

/// What a checkpoint is asked for, see [`Container::checkpoint`](crate::Container::checkpoint).
///
/// ```no_run
/// # fn checkpoint(container: corten::Container) -> corten::Result<()> {
/// use corten::Checkpoint;
///
/// // The memory first, while the container runs; then the rest, with what has changed since.
/// container.checkpoint(Checkpoint::new("/images/1").pre_dump(true))?;
/// container.checkpoint(Checkpoint::new("/images/2").parent_image("../1").tcp_established(true))?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Checkpoint<'a> {
    pub(super) images: PathBuf,
    pub(super) work: Option<PathBuf>,
    pub(super) parent: Option<PathBuf>,
    pub(super) pre_dump: bool,
    pub(super) leave_running: bool,
    pub(super) tcp_established: bool,
    pub(super) tcp_skip_in_flight: bool,
    pub(super) tcp_close: bool,
    pub(super) link_remap: bool,
    pub(super) external_unix_sockets: bool,
    pub(super) shell_job: bool,
    pub(super) file_locks: bool,
    pub(super) page_server: Option<(String, u16)>,
    pub(super) lazy_pages: bool,
    pub(super) status: Option<OwnedFd>,
    pub(super) cgroups: Option<CgroupMode>,
    pub(super) empty_network: bool,
    pub(super) auto_dedup: bool,
    pub(super) network_lock: Option<NetworkLock>,
    pub(super) progress: Option<Box<dyn FnMut(Progress) + Send + 'a>>,
}

impl fmt::Debug for Checkpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("images", &self.images)
            .field("parent", &self.parent)
            .finish_non_exhaustive()
    }
}

impl<'a> Checkpoint<'a> {
    /// A checkpoint into a directory, which is made (mode 0700) where it is missing. What the container holds in memory is in
    /// the images, keys and passwords too.
    pub fn new(images: impl AsRef<Path>) -> Self {
        Self {
            images: images.as_ref().to_owned(),
            work: None,
            parent: None,
            pre_dump: false,
            leave_running: false,
            tcp_established: false,
            tcp_skip_in_flight: false,
            tcp_close: false,
            link_remap: false,
            external_unix_sockets: false,
            shell_job: false,
            file_locks: false,
            page_server: None,
            lazy_pages: false,
            status: None,
            cgroups: None,
            empty_network: false,
            auto_dedup: false,
            network_lock: None,
            progress: None,
        }
    }

    /// Directory of CRIU's log (`dump.log`) and statistics; made where it is missing. By default that of the images.
    pub fn work_directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.work = Some(directory.as_ref().to_owned());
        self
    }

    /// The images of an earlier pre-dump, as a path relative to this checkpoint's: only memory that has changed since is
    /// saved. Both are needed for the restore.
    pub fn parent_image(mut self, images: impl AsRef<Path>) -> Self {
        self.parent = Some(images.as_ref().to_owned());
        self
    }

    /// Saves memory alone, and lets the container go on at once. The kernel must be able to tell which memory is written
    /// ([`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) otherwise).
    pub fn pre_dump(mut self, yes: bool) -> Self {
        self.pre_dump = yes;
        self
    }

    /// Lets the container go on afterwards.
    pub fn leave_running(mut self, yes: bool) -> Self {
        self.leave_running = yes;
        self
    }

    /// Saves established TCP connections, which otherwise are an error. They stay as they are until the restore, if the other
    /// side hears nothing meanwhile; see [`Checkpoint::network_lock`].
    pub fn tcp_established(mut self, yes: bool) -> Self {
        self.tcp_established = yes;
        self
    }

    /// Leaves out TCP connections that are being made, which otherwise are an error.
    pub fn tcp_skip_in_flight(mut self, yes: bool) -> Self {
        self.tcp_skip_in_flight = yes;
        self
    }

    /// Leaves established TCP connections out: they come back closed. Needs CRIU 4.0.
    pub fn tcp_close(mut self, yes: bool) -> Self {
        self.tcp_close = yes;
        self
    }

    /// Gives open files that were deleted, but have other names, a name again for the time of the checkpoint.
    pub fn link_remap(mut self, yes: bool) -> Self {
        self.link_remap = yes;
        self
    }

    /// Saves Unix datagram sockets that are connected to one outside which has a name. Streams cannot be saved.
    pub fn external_unix_sockets(mut self, yes: bool) -> Self {
        self.external_unix_sockets = yes;
        self
    }

    /// Saves a container whose session or terminal is the caller's.
    pub fn shell_job(mut self, yes: bool) -> Self {
        self.shell_job = yes;
        self
    }

    /// Saves file locks, which otherwise are an error. A process outside must not hold one of the same files.
    pub fn file_locks(mut self, yes: bool) -> Self {
        self.file_locks = yes;
        self
    }

    /// Sends the memory to `criu page-server` at this address and TCP port instead of writing it here.
    pub fn page_server(mut self, address: impl Into<String>, port: u16) -> Self {
        self.page_server = Some((address.into(), port));
        self
    }

    /// Keeps the memory, and serves it from here to `criu lazy-pages` after the restore elsewhere: at the address of
    /// [`Checkpoint::page_server`]. Returns when all has been fetched.
    pub fn lazy_pages(mut self, yes: bool) -> Self {
        self.lazy_pages = yes;
        self
    }

    /// With [`Checkpoint::lazy_pages`], gets one zero byte as soon as pages can be asked for, so that the restore can begin.
    pub fn status_fd(mut self, fd: OwnedFd) -> Self {
        self.status = Some(fd);
        self
    }

    /// How control groups are saved.
    pub fn manage_cgroups(mut self, mode: CgroupMode) -> Self {
        self.cgroups = Some(mode);
        self
    }

    /// Saves a network namespace of the container's own without what is in it: whoever restores it will put interfaces there.
    pub fn empty_network(mut self, yes: bool) -> Self {
        self.empty_network = yes;
        self
    }

    /// Punches memory that is saved again out of the parent's images.
    pub fn auto_dedup(mut self, yes: bool) -> Self {
        self.auto_dedup = yes;
        self
    }

    /// How connections are kept from the network meanwhile. Needs CRIU 3.16, and 3.19 for [`NetworkLock::Skip`].
    pub fn network_lock(mut self, method: NetworkLock) -> Self {
        self.network_lock = Some(method);
        self
    }

    /// Is told several times a second how far it is.
    pub fn on_progress(mut self, tell: impl FnMut(Progress) + Send + 'a) -> Self {
        self.progress = Some(Box::new(tell));
        self
    }
}

/// What a restore is asked for, see [`Container::restore`](crate::Container::restore).
#[derive(Debug)]
#[must_use]
pub struct Restore {
    pub(super) images: PathBuf,
    pub(super) work: Option<PathBuf>,
    pub(super) stdio: Stdio,
    pub(super) console_socket: Option<OwnedFd>,
    pub(super) tcp_established: bool,
    pub(super) tcp_close: bool,
    pub(super) external_unix_sockets: bool,
    pub(super) shell_job: bool,
    pub(super) file_locks: bool,
    pub(super) lazy_pages: bool,
    pub(super) cgroups: Option<CgroupMode>,
    pub(super) empty_network: bool,
    pub(super) auto_dedup: bool,
    pub(super) lsm_profile: Option<String>,
    pub(super) lsm_mount_context: Option<String>,
    pub(super) veths: Vec<(String, String)>,
}

impl Restore {
    /// A restore from the images of a checkpoint, which CRIU trusts: they decide what the processes are and may do. So they
    /// must come from somebody who may become root here.
    pub fn new(images: impl AsRef<Path>) -> Self {
        Self {
            images: images.as_ref().to_owned(),
            work: None,
            stdio: Stdio::Null,
            console_socket: None,
            tcp_established: false,
            tcp_close: false,
            external_unix_sockets: false,
            shell_job: false,
            file_locks: false,
            lazy_pages: false,
            cgroups: None,
            empty_network: false,
            auto_dedup: false,
            lsm_profile: None,
            lsm_mount_context: None,
            veths: Vec::new(),
        }
    }

    /// Directory of CRIU's log (`restore.log`) and statistics; made where it is missing. By default that of the images.
    pub fn work_directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.work = Some(directory.as_ref().to_owned());
        self
    }

    /// What takes the place of the pipes and files outside of the container that its first program had as standard input,
    /// output and error. Nothing else is replaced.
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.stdio = stdio;
        self
    }

    /// Gets the master of the container's terminal, as that of [`ProcessBuilder::console_socket`](crate::ProcessBuilder::console_socket)
    /// does; without one the returned [`Child`](crate::Child) has it.
    pub fn console_socket(mut self, socket: OwnedFd) -> Self {
        self.console_socket = Some(socket);
        self
    }

    /// Restores established TCP connections.
    pub fn tcp_established(mut self, yes: bool) -> Self {
        self.tcp_established = yes;
        self
    }

    /// Restores TCP connections closed.
    pub fn tcp_close(mut self, yes: bool) -> Self {
        self.tcp_close = yes;
        self
    }

    /// Connects Unix datagram sockets again that were connected to one outside.
    pub fn external_unix_sockets(mut self, yes: bool) -> Self {
        self.external_unix_sockets = yes;
        self
    }

    /// Puts the processes into the caller's session, as the checkpoint had it.
    pub fn shell_job(mut self, yes: bool) -> Self {
        self.shell_job = yes;
        self
    }

    /// Restores file locks.
    pub fn file_locks(mut self, yes: bool) -> Self {
        self.file_locks = yes;
        self
    }

    /// Lets the memory follow while the processes run: `criu lazy-pages` must be running with the same directories.
    pub fn lazy_pages(mut self, yes: bool) -> Self {
        self.lazy_pages = yes;
        self
    }

    /// How control groups are restored.
    pub fn manage_cgroups(mut self, mode: CgroupMode) -> Self {
        self.cgroups = Some(mode);
        self
    }

    /// Makes the network namespace of the container's own without what was in it, with the loopback interface up, and the
    /// interfaces and routes of the configuration; hooks can put others there.
    pub fn empty_network(mut self, yes: bool) -> Self {
        self.empty_network = yes;
        self
    }

    /// Punches memory out of the images as it is restored: they are used up.
    pub fn auto_dedup(mut self, yes: bool) -> Self {
        self.auto_dedup = yes;
        self
    }

    /// Profile of the security module that the processes come back with, as `apparmor:NAME` or `selinux:LABEL`. Needs CRIU 3.16.
    pub fn lsm_profile(mut self, profile: impl Into<String>) -> Self {
        self.lsm_profile = Some(profile.into());
        self
    }

    /// SELinux context that mounts come back with. Needs CRIU 3.16.
    pub fn lsm_mount_context(mut self, context: impl Into<String>) -> Self {
        self.lsm_mount_context = Some(context.into());
        self
    }

    /// Names the host's end of a pair of virtual Ethernet interfaces whose other end, inside the container, is in the images: it
    /// is made anew, and down. Those of the [configuration](crate::ConfigBuilder::networks) come back by themselves.
    pub fn veth(mut self, container: impl Into<String>, host: impl Into<String>) -> Self {
        self.veths.push((container.into(), host.into()));
        self
    }
}
