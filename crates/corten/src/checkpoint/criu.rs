//! The machine's CRIU: finding it, asking what it is and can do, and having it do one thing.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use corten_criu::rpc::{Features, Kind, Options, Request, Response};
use corten_criu::{Conversation, Event, Version, complaints};
use corten_init::payload::{HostProgram, Keyring};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::child::Started;
use crate::launch::{Descriptors, Launcher, Ready};
use crate::{Error, ErrorKind, ExitStatus, Result};

/// CRIU's program, and its version.
#[derive(Debug)]
pub(super) struct Criu<'a> {
    launcher: &'a Launcher,
    path: PathBuf,
    version: Version,
    /// The one that has told the version, and serves on.
    serving: Option<Serving>,
}

/// A directory for CRIU.
#[derive(Debug)]
pub(super) struct Directory {
    /// Its path, absolute and without links.
    pub(super) path: PathBuf,
}

impl Directory {
    /// Opens a directory, which is made where it is missing.
    pub(super) fn make(path: &Path) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| Error::io(format!("make the directory {}", path.display()), error))?;
        Self::find(path)
    }

    /// Finds a directory.
    pub(super) fn find(path: &Path) -> Result<Self> {
        let doing = |error| Error::io(format!("open the directory {}", path.display()), error);
        let path = path.canonicalize().map_err(doing)?;
        if path.is_dir() { Ok(Self { path }) } else { Err(doing(Errno::NOTDIR.into())) }
    }
}

/// How CRIU is started for a request.
#[derive(Debug, Default)]
pub(super) struct Setting {
    /// Whether it stays in the caller's session.
    pub(super) callers_session: bool,
    /// Its standard input, which is where it takes a terminal of the caller's from; by default nothing.
    pub(super) input: Option<OwnedFd>,
    /// A session keyring that it, and what it restores, gets.
    pub(super) keyring: Option<Keyring>,
    /// A directory that it finds as a mount of itself, in a mount namespace of its own.
    pub(super) root: Option<PathBuf>,
    /// Directories that the request names; set when it is carried out.
    pub(super) directories: Vec<PathBuf>,
}

/// A CRIU that is about to be started.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    criu: &'a Criu<'a>,
    ready: Ready,
}

/// A request, and where CRIU writes its log.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) kind: Kind,
    pub(super) options: Options,
    /// The directory of the images.
    pub(super) images: &'a Directory,
    /// The directory of the log, where it is another.
    pub(super) work: Option<&'a Directory>,
    /// How often the caller is told that nothing has happened.
    pub(super) interval: Option<Duration>,
}

/// A CRIU that serves requests.
#[derive(Debug)]
struct Serving {
    conversation: Conversation,
    process: Started,
    /// What it says outside its log.
    said: File,
    directories: Vec<OwnedFd>,
}

/// CRIU's log level: everything. The log is what a person has when something fails.
pub(super) const LOG_LEVEL: i32 = 4;

impl<'a> Criu<'a> {
    /// Finds CRIU on the search path, and asks for its version.
    pub(super) fn find(launcher: &'a Launcher) -> Result<Self> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&search)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("criu"))
            .find(|path| {
                path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
            });
        let path = path.ok_or_else(|| {
            Error::unsupported(format!(
                "checkpoint and restore need the program criu, version {} or newer, which is not on the search path (PATH): \
                 install it",
                Version::OLDEST
            ))
        })?;
        let mut criu = Self { launcher, path, version: Version::OLDEST, serving: None };
        criu.version = match criu.served_version()? {
            Some(version) => version,
            None => criu.told_version()?,
        };
        tracing::debug!("{} has version {}", criu.path.display(), criu.version);
        criu.needs(Version::OLDEST, "checkpoint and restore")?;
        Ok(criu)
    }

    /// Asks the one that is to serve; none where it does not answer that.
    fn served_version(&mut self) -> Result<Option<Version>> {
        let serving = self.start(Ready::start(self.launcher)?, &mut Setting::default(), Vec::new())?;
        let request = Request { kind: Kind::Version.into(), keep_open: Some(true), ..Request::default() };
        let answer: corten_criu::Result<_> = serving.conversation.ask(&request, None, |_| Ok(()));
        match answer.ok().and_then(|answer| answer.version).map(Version::try_from) {
            Some(Ok(version)) => {
                self.serving = Some(serving);
                Ok(Some(version))
            }
            _ => serving.end().map(|_| None),
        }
    }

    /// Asks by an option, as one can that is too old for more.
    fn told_version(&self) -> Result<Version> {
        let (said, stdio) = standard_files()?;
        let program = self.program(&["--version"], 0, &Setting::default());
        let fds = Descriptors::new(stdio, Vec::new());
        let (process, _) = Ready::start(self.launcher)?.become_program(fds, program)?;
        let status = process.wait(None)?;
        let text = tail(said);
        Version::parse(&text).ok_or_else(|| {
            Error::unsupported(format!(
                "{} does not tell its version (status {}): {}",
                self.path.display(),
                status.unwrap_or(ExitStatus::Unknown).code(),
                text.trim()
            ))
        })
    }

    /// Refuses a CRIU that is too old for something.
    pub(super) fn needs(&self, oldest: Version, what: &str) -> Result<()> {
        if self.version >= oldest {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "{} is version {}, and {what} needs version {oldest} or newer",
            self.path.display(),
            self.version
        )))
    }

    /// Whether it is as new as that.
    pub(super) fn is(&self, oldest: Version) -> bool {
        self.version >= oldest
    }

    /// Asks whether the kernel, seen by CRIU, can tell which memory is written, and let memory follow later.
    pub(super) fn features(&mut self) -> Result<Features> {
        let asked = Features { mem_track: Some(true), lazy_pages: Some(true) };
        let kind = Kind::FeatureCheck.into();
        let request = Request { kind, keep_open: Some(true), features: Some(asked), ..Request::default() };
        let serving = self.serving()?;
        match serving.conversation.ask(&request, None, |_| Ok::<(), corten_criu::Error>(())) {
            Ok(answer) => {
                self.serving = Some(serving);
                Ok(answer.features.unwrap_or_default())
            }
            Err(error) => {
                let said = serving.end()?.1;
                Err(failed("ask criu what this kernel can do", &error, &tail(said)))
            }
        }
    }

    /// The one that serves already, or another.
    fn serving(&mut self) -> Result<Serving> {
        match self.serving.take() {
            Some(serving) => Ok(serving),
            None => self.start(Ready::start(self.launcher)?, &mut Setting::default(), Vec::new()),
        }
    }

    /// Has CRIU save something, and returns when CRIU has ended. `on` is told of each event; where it fails at a step, CRIU undoes
    /// what it has done.
    pub(super) fn save(&mut self, order: Order<'_>, on: impl FnMut(Event) -> Result<()>) -> Result<Response> {
        let open = |directory: &Directory| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(&directory.path, flags, Mode::empty())
                .map_err(|errno| Error::io(format!("open the directory {}", directory.path.display()), errno))
        };
        let directories = order.directories().map(open).collect::<Result<_>>()?;
        let serving = Serving { directories, ..self.serving()? };
        serving.carry_out(order, on)
    }

    /// Its version.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Gets a process ready that becomes CRIU.
    pub(super) fn prepare(&'a self) -> Result<Prepared<'a>> {
        Ok(Prepared { criu: self, ready: Ready::start(self.launcher)? })
    }

    fn program(&self, arguments: &[&str], inherit: usize, setting: &Setting) -> HostProgram {
        // Nothing but what its helpers (tar, ip, nft, iptables) need to be found and to speak plainly.
        let path = std::env::var("PATH").unwrap_or_default();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        HostProgram {
            path: self.path.display().to_string(),
            args: std::iter::once("criu".to_owned()).chain(arguments).collect(),
            env: vec![format!("PATH={path}"), "LC_ALL=C".to_owned()],
            inherit: u32::try_from(inherit).unwrap_or(u32::MAX),
            session: !setting.callers_session,
            keyring: setting.keyring.clone(),
            root: setting.root.clone(),
            directories: setting.directories.clone(),
        }
    }

    /// Starts CRIU as the server of one request; `inherited` are its descriptors from 4 on.
    fn start(&self, ready: Ready, setting: &mut Setting, inherited: Vec<OwnedFd>) -> Result<Serving> {
        let (conversation, socket) =
            Conversation::pair().map_err(|error| Error::new(ErrorKind::System, error.to_string()))?;
        let (said, mut stdio) = standard_files()?;
        if let Some(input) = setting.input.take() {
            stdio[0] = input;
        }
        let inherited: Vec<_> = std::iter::once(socket).chain(inherited).collect();
        let program = self.program(&["swrk", "3"], inherited.len(), setting);
        let (process, directories) = ready.become_program(Descriptors::new(stdio, inherited), program)?;
        let pidfd = process.pidfd.try_clone().map_err(|error| Error::io("copy a file descriptor", error))?;
        Ok(Serving { conversation: conversation.with(pidfd), process, said, directories })
    }
}

impl Prepared<'_> {
    /// The id of the process.
    pub(super) fn pid(&self) -> i32 {
        self.ready.pid()
    }

    /// Has CRIU do it, and returns when CRIU has ended. `on` is told of each event; where it fails at a step, CRIU undoes
    /// what it has done.
    pub(super) fn carry_out(
        self,
        order: Order<'_>,
        mut setting: Setting,
        inherited: Vec<OwnedFd>,
        on: impl FnMut(Event) -> Result<()>,
    ) -> Result<Response> {
        setting.directories = order.directories().map(|directory| directory.path.clone()).collect();
        self.criu.start(self.ready, &mut setting, inherited)?.carry_out(order, on)
    }
}

impl Order<'_> {
    fn directories(&self) -> impl Iterator<Item = &Directory> {
        std::iter::once(self.images).chain(self.work)
    }
}

impl Serving {
    /// Asks nothing more of it, and waits for its end: its status, and what it has said.
    fn end(self) -> Result<(ExitStatus, File)> {
        self.conversation.end();
        Ok((self.process.wait(None)?.unwrap_or(ExitStatus::Unknown), self.said))
    }

    fn carry_out(self, order: Order<'_>, mut on: impl FnMut(Event) -> Result<()>) -> Result<Response> {
        let doing = match order.kind {
            Kind::PreDump => "pre-dump the container",
            Kind::Restore => "restore the container",
            _ => "checkpoint the container",
        };
        let log = order.work.unwrap_or(order.images);
        let log = log.path.join(order.options.log_file.as_deref().unwrap_or_default());
        let mut options = order.options;
        // CRIU looks them up in this process, where they are until it has ended.
        options.images_dir_fd = self.directories.first().map_or(-1, number);
        options.work_dir_fd = self.directories.get(1).map(number);
        let request = Request { kind: order.kind.into(), options: Some(options), ..Request::default() };
        let answer =
            self.conversation.ask(&request, order.interval, |event| on(event).map_err(Refusal::Ours));
        let (status, said) = self.end()?;
        let explain = |error: &corten_criu::Error| {
            let told = File::open(&log).map(tail).unwrap_or_default();
            let told = if complaints(&told).is_empty() { tail(said) } else { told };
            let end = match error {
                corten_criu::Error::Ended => format!(" (status {})", status.code()),
                _ => String::new(),
            };
            let error = failed(&format!("{doing}{end}"), error, &told);
            Error::new(error.kind(), format!("{error}\nthe whole log is in {}", log.display()))
        };
        match answer {
            Ok(answer) if order.kind == Kind::PreDump || status.success() => Ok(answer),
            Ok(_) => Err(explain(&corten_criu::Error::Ended)),
            Err(Refusal::Ours(error)) => Err(error),
            Err(Refusal::Criu(error)) => Err(explain(&error)),
        }
    }
}

impl Drop for Criu<'_> {
    fn drop(&mut self) {
        drop(self.serving.take().map(Serving::end));
    }
}

/// Who says no.
enum Refusal {
    Ours(Error),
    Criu(corten_criu::Error),
}

impl From<corten_criu::Error> for Refusal {
    fn from(error: corten_criu::Error) -> Self {
        Self::Criu(error)
    }
}

/// The log says more than CRIU's answer, if there is one.
fn failed(doing: &str, error: &corten_criu::Error, log: &str) -> Error {
    let told = complaints(log);
    let message = match error {
        corten_criu::Error::Failed { .. } if !told.is_empty() => format!("{doing}: criu failed:\n{told}"),
        error if told.is_empty() => format!("{doing}: {error}"),
        error => format!("{doing}: {error}:\n{told}"),
    };
    Error::new(ErrorKind::Criu, message + hint(&told))
}

/// What a person can do about some complaints.
fn hint(told: &str) -> &'static str {
    let hints = [
        (
            "tables-restore\", ...) failed",
            "\ncriu locks the network by iptables: install it, or checkpoint in another way (--network-lock nftables or skip)",
        ),
        (
            "couldn't restore veth interface",
            "\nthis criu cannot make the interfaces of a user namespace: restore with an empty network, and they are made anew",
        ),
        (
            "Unable to dump more than one netns",
            "\nthere are network namespaces in the container: save it with what is in its own (--keep-network)",
        ),
    ];
    hints.iter().find(|(complaint, _)| told.contains(complaint)).map_or("", |(_, hint)| hint)
}

/// Standard files for CRIU: nothing to read, and a place in memory for what it says, which comes first.
fn standard_files() -> Result<(File, [OwnedFd; 3])> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::io("open /dev/null", errno))?;
    let said = rustix::fs::memfd_create("criu", MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(|errno| Error::io("make a file in memory", errno))?;
    let copy =
        || said.try_clone().map(OwnedFd::from).map_err(|error| Error::io("copy a file descriptor", error));
    let stdio = [null, copy()?, copy()?];
    Ok((said, stdio))
}

/// As much of the end of a text as can matter.
const TAIL: u64 = 64 << 10;

/// The end of what was said.
fn tail(mut file: File) -> String {
    let mut text = Vec::new();
    let from = file.seek(SeekFrom::End(0)).unwrap_or(0).saturating_sub(TAIL);
    if file.seek(SeekFrom::Start(from)).is_ok() {
        drop(file.take(TAIL).read_to_end(&mut text));
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A descriptor's number, which CRIU looks up in this process.
pub(super) fn number(fd: &impl AsFd) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd())
}
