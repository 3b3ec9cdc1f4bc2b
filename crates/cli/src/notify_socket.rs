//! `NOTIFY_SOCKET`: telling systemd that the program in the container is ready (sd_notify(3)).
//!
//! The container gets a socket of its own, in a directory of its state; of what it says, the word that it is ready is passed on,
//! with the process id that the host knows it by. The rest is none of the host's business: a container must not speak for
//! its service.

use std::ffi::OsString;
use std::fs::{self, DirEntry, Permissions};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::Duration;

use corten::oci::{Mount, Spec};
use corten::{Config, ConfigBuilder, Id, Runtime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};

use crate::error::{Doing, Error, Result};
use crate::sockets;

/// Where the container finds the directory, and the socket in it.
pub const INSIDE: &str = "/run/notify";
const NAME: &str = "notify.sock";

/// The directory's name in the container's state.
const DIRECTORY: &str = "notify";

/// How long systemd may take to have read what it was told.
const BARRIER: Duration = Duration::from_secs(30);

/// The directory of the container's socket, where the environment names a socket to pass its word on to.
pub fn directory(runtime: &Runtime, id: &Id) -> Option<PathBuf> {
    std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
    Some(place(runtime, id))
}

/// Where that directory is.
pub fn place(runtime: &Runtime, id: &Id) -> PathBuf {
    runtime.root().join(id.as_str()).join(DIRECTORY)
}

/// Whether a container that was saved has such a directory, and must have one again, whoever listens. What cannot be read is told of
/// by the restore.
pub fn is_in(images: &Path) -> bool {
    // Images name what is mounted from outside by its place, with its length before it.
    let key = [&[INSIDE.len().to_le_bytes()[0]], INSIDE.as_bytes()].concat();
    let names = |entry: &DirEntry| entry.file_name().as_bytes().starts_with(b"mountpoints-");
    let has = |text: Vec<u8>| text.windows(key.len()).any(|part| part == key);
    let entries = fs::read_dir(images).into_iter().flatten().flatten();
    entries.filter(names).any(|entry| fs::read(entry.path()).is_ok_and(has))
}

/// Whether a container of this id had the directory, and not a mount of its own in that place.
pub fn is_of(config: &Config, id: &Id) -> bool {
    let own = Path::new(id.as_str()).join(DIRECTORY);
    config.mounts().iter().any(|shown| {
        let source = shown.source.as_deref().unwrap_or_default();
        shown.destination == INSIDE && Path::new(source).ends_with(&own) && *shown == mount(Path::new(source))
    })
}

/// Shows the directory to the container, and tells the program of it.
pub fn add_to(spec: &mut Spec, directory: &Path) {
    show(spec, directory);
    if let Some(process) = &mut spec.process {
        process.env.retain(|entry| !entry.starts_with("NOTIFY_SOCKET="));
        process.env.push(format!("NOTIFY_SOCKET={INSIDE}/{NAME}"));
    }
}

/// Shows the directory to the container.
pub fn show(spec: &mut Spec, directory: &Path) {
    spec.mounts.push(mount(directory));
}

/// Shows the directory to a container out of an archive, in the place of that which it had.
pub fn show_again(config: Config, directory: &Path) -> Result<Config> {
    let mut mounts = config.mounts().to_vec();
    mounts.retain(|mount| mount.destination != INSIDE);
    mounts.push(mount(directory));
    Ok(ConfigBuilder::from(config).mounts(mounts).build()?)
}

fn mount(directory: &Path) -> Mount {
    let options = ["bind", "ro", "nosuid", "noexec", "nodev", "rprivate"].map(str::to_owned).to_vec();
    Mount {
        destination: INSIDE.to_owned(),
        typ: Some("bind".to_owned()),
        source: Some(directory.display().to_string()),
        options,
        ..Mount::default()
    }
}

/// Makes the directory, once there is a container whose state it belongs to.
pub fn make(directory: &Path) -> Result<()> {
    fs::create_dir(directory).doing(|| format!("make {}", directory.display()))?;
    fs::set_permissions(directory, Permissions::from_mode(0o755))
        .doing(|| format!("open {}", directory.display()))
}

/// The container's socket, and the way to whoever is to be told.
#[derive(Debug)]
pub struct Notify {
    socket: UnixDatagram,
    host: SocketAddr,
    told: bool,
}

impl Notify {
    /// Listens in the directory. Nobody has spoken yet, for the program does not run.
    pub fn bind(directory: &Path) -> Result<Self> {
        let host = address(std::env::var_os("NOTIFY_SOCKET").unwrap_or_default())?;
        let doing = || format!("listen at {}", directory.join(NAME).display());
        // By the directory's descriptor: the path may be longer than an address can be (unix(7)).
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = rustix::fs::openat(CWD, directory, flags, Mode::empty()).doing(doing)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", place.as_raw_fd()));
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).doing(doing);
        }
        let socket = UnixDatagram::bind(&path).doing(doing)?;
        socket.set_nonblocking(true).doing(doing)?;
        // Whoever the program runs as.
        fs::set_permissions(&path, Permissions::from_mode(0o777)).doing(doing)?;
        Ok(Self { socket, host, told: false })
    }

    /// Reads what the container has said, and passes on that it is ready, once.
    pub fn hear(&mut self, pid: i32) {
        let mut datagram = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            if says_ready(datagram.get(..length).unwrap_or_default()) {
                self.ready(pid);
            }
        }
    }

    /// Passes on that the container is ready, once.
    pub fn ready(&mut self, pid: i32) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        if let Err(error) = self.tell(pid) {
            tracing::warn!("the container is ready, but NOTIFY_SOCKET does not listen: {error}");
        }
    }

    /// Tells it, and waits until it is read: systemd would not know whose word it was once this process is gone.
    fn tell(&self, pid: i32) -> Result<()> {
        let doing = || "tell NOTIFY_SOCKET".to_owned();
        let socket =
            UnixDatagram::unbound().and_then(|socket| socket.connect_addr(&self.host).map(|()| socket));
        let socket = socket.doing(doing)?;
        socket.send(b"READY=1").doing(doing)?;
        socket.send(format!("MAINPID={pid}").as_bytes()).doing(doing)?;
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing(doing)?;
        sockets::send(&OwnedFd::from(socket), "BARRIER=1", write.as_fd())?;
        drop(write);
        let limit = Timespec::try_from(BARRIER).ok();
        let mut closed = [PollFd::new(&read, PollFlags::empty())];
        rustix::io::retry_on_intr(|| poll(&mut closed, limit.as_ref())).map(drop).doing(doing)
    }

    /// Waits until the container is ready, or has ended.
    pub fn wait(mut self, pidfd: BorrowedFd<'_>, pid: i32) -> Result<()> {
        while !self.told {
            let mut ready =
                [PollFd::from_borrowed_fd(pidfd, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut ready, None))
                .doing(|| "wait for the container".to_owned())?;
            let ended = !ready[0].revents().is_empty();
            self.hear(pid);
            if ended {
                break;
            }
        }
        Ok(())
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A path, or a name in the abstract namespace after `@` (sd_notify(3)).
fn address(name: OsString) -> Result<SocketAddr> {
    let answer = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(&name),
        _ => {
            return Err(Error::usage(format!(
                "NOTIFY_SOCKET is neither a path nor an abstract name: {name:?}"
            )));
        }
    };
    answer.doing(|| format!("NOTIFY_SOCKET={}", name.display()))
}

/// Whether one of the lines of a datagram is the word.
fn says_ready(datagram: &[u8]) -> bool {
    datagram.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_a_line_of_its_own_anywhere() {
        for text in ["READY=1", "STATUS=up\nREADY=1\n", "READY=1\nMAINPID=3"] {
            assert!(says_ready(text.as_bytes()), "{text}");
        }
        for text in ["", "READY=0", "STATUS=READY=1", "NOTREADY=1", "READY=11"] {
            assert!(!says_ready(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn addresses_are_paths_or_abstract_names() {
        assert_eq!(address("@x".into()).unwrap().as_abstract_name(), Some(&b"x"[..]));
        assert_eq!(address("/run/x".into()).unwrap().as_pathname(), Some(Path::new("/run/x")));
        assert!(address("x".into()).is_err());
    }
}
