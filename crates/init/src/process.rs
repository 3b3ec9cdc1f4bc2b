//! The last steps before the user's program: working directory, environment, command, limits, execve(2).

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use corten_sys::keyring::Key;
use corten_sys::thread::SingleThreaded;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::landlock::Ruleset;
use crate::last::Last;
use crate::outlet::Outlet;
use crate::passwd::{self, Identity};
use crate::payload::{Process, Rlimit};
use crate::proc::Proc;
use crate::protocol::Report;
use crate::{Doing, Failure, Kind, Result, credentials, lsm, reaper, scheduling};

/// A program that is ready to run: nothing that can be known beforehand is wrong with it.
#[derive(Debug)]
pub(crate) struct Program {
    path: CString,
    name: String,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    inherit: u32,
    reaper: bool,
    last: Last,
    ruleset: Ruleset,
}

/// Joins a session keyring of the container's own, with the label that the process gives its keys.
pub(crate) fn join_own_keyring(outlet: &mut Outlet<'_>, process: &Process, proc: &Proc) -> Result<()> {
    let label = |join: &mut dyn FnMut() -> Result<Option<Key>>| lsm::label_keys(proc, &process.labels, join);
    join_keyring(outlet, process.keyring.as_deref(), label).map(drop)
}

/// Joins a session keyring of the container's own, so that the caller's keys are out of reach (keyrings(7)); none where this
/// kernel has no keyrings. `around` surrounds the making of it.
pub(crate) fn join_keyring(
    outlet: &mut Outlet<'_>,
    name: Option<&str>,
    around: impl FnOnce(&mut dyn FnMut() -> Result<Option<Key>>) -> Result<Option<Key>>,
) -> Result<Option<Key>> {
    /// Lets the user that the program runs as search the keyring.
    const USER_SEARCH: u32 = 0x08_0000;
    let Some(name) = name else { return Ok(None) };
    let doing = || format!("join the session keyring {name:?}");
    let name = c_string(name)?;
    let joined = around(&mut || match corten_sys::keyring::join_session(&name) {
        Ok(key) => Ok(Some(key)),
        Err(Errno::NOSYS) => Ok(None),
        Err(errno) => Err(Failure::system(doing(), errno)),
    })?;
    let Some(key) = joined else {
        outlet.warn("this kernel has no keyrings: the session keyring stays the caller's")?;
        return Ok(None);
    };
    let permissions = corten_sys::keyring::permissions(key).doing(doing)?;
    corten_sys::keyring::set_permissions(key, permissions | USER_SEARCH).doing(doing)?;
    Ok(Some(key))
}

/// Makes the working directory where it is missing. The root is the container's already, so it cannot be elsewhere.
pub(crate) fn make_cwd(process: &Process) -> Result<()> {
    if rustix::fs::access(&*process.cwd, Access::EXISTS) == Err(Errno::NOENT) {
        match std::fs::create_dir_all(&process.cwd) {
            // A read-only root file system: the change of directory says what is wrong.
            Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {}
            answer => answer.doing(|| format!("make the working directory {}", process.cwd))?,
        }
    }
    Ok(())
}

/// Becomes the user, in the working directory, and finds the command.
///
/// Loading a seccomp filter is a privilege without no_new_privs, so that it must be done while this process has it.
pub(crate) fn prepare(
    outlet: &mut Outlet<'_>,
    mut process: Process,
    rlimits: Vec<Rlimit>,
    proc: Proc,
    proof: &SingleThreaded,
) -> Result<Program> {
    let identity = passwd::resolve(&process)?;
    // While every directory can be searched still.
    let ruleset = Ruleset::make(process.landlock.as_ref())?;
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        exchange_null(fd)?;
        give(fd, &identity)?;
    }
    // The directory may be closed to the user and open to root, or the other way round (a network file system).
    let early = rustix::process::chdir(&*process.cwd);
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).doing(|| "set no_new_privs")?;
    }
    scheduling::apply(&process)?;
    rustix::process::umask(Mode::from_raw_mode(process.umask));
    let mut last = Last::new(std::mem::take(&mut process.labels), proc, rlimits, process.seccomp.take());
    if !process.no_new_privileges {
        last.load(outlet, proof)?;
    }
    credentials::apply(outlet, &identity, process.keep_groups, process.capabilities.as_ref())?;
    if early.is_err() {
        rustix::process::chdir(&*process.cwd)
            .doing(|| format!("chdir to cwd ({:?}) set in config.json failed", process.cwd))?;
    }
    check_cwd()?;
    set_parent_death_signal(process.parent_death_signal)?;
    let environment = environment(process.env, &identity);
    let name = process.args.first().cloned().unwrap_or_default();
    let path = find(&name, &environment)?;
    Ok(Program {
        path: c_string(&path)?,
        name,
        arguments: process.args.iter().map(|argument| c_string(argument)).collect::<Result<_>>()?,
        environment: environment.iter().map(|entry| c_string(entry)).collect::<Result<_>>()?,
        inherit: process.inherit,
        reaper: process.reaper,
        last,
        ruleset,
    })
}

/// The program can open its standard files again by their names in /dev only where they are its user's.
fn give(fd: BorrowedFd<'_>, identity: &Identity) -> Result<()> {
    let status = match rustix::fs::fstat(fd) {
        Ok(status) => status,
        Err(Errno::BADF) => return Ok(()),
        Err(errno) => return Err(Failure::system("look at a standard file", errno)),
    };
    if is_null(&status) || status.st_uid == identity.uid {
        return Ok(());
    }
    match rustix::fs::fchown(fd, Some(rustix::process::Uid::from_raw(identity.uid)), None) {
        // Not ours to give: an unmapped owner, a read-only file system, a kind of file without owner.
        Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::ROFS | Errno::OVERFLOW | Errno::NOSYS) => Ok(()),
        Err(errno) => Err(Failure::system("give a standard file to the user", errno)),
    }
}

/// Puts the container's own null device in the place of the host's, whose mount it holds fast and CRIU cannot find. Where
/// the container has no such device, the host's stays.
fn exchange_null(fd: BorrowedFd<'_>) -> Result<()> {
    if !rustix::fs::fstat(fd).is_ok_and(|status| is_null(&status)) {
        return Ok(());
    }
    // Looked at before it is opened: opening some other device could have an effect.
    let look =
        |flags| rustix::fs::open("/dev/null", flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let genuine = |fd: &OwnedFd| rustix::fs::fstat(fd).is_ok_and(|status| is_null(&status));
    let null = match look(OFlags::PATH).ok().filter(genuine).and_then(|_| look(OFlags::RDWR).ok()) {
        Some(null) if genuine(&null) => null,
        _ => return Ok(()),
    };
    let placed = match fd.as_raw_fd() {
        0 => rustix::stdio::dup2_stdin(&null),
        1 => rustix::stdio::dup2_stdout(&null),
        _ => rustix::stdio::dup2_stderr(&null),
    };
    placed.doing(|| "make the container's /dev/null a standard file")
}

fn is_null(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
        && status.st_rdev == rustix::fs::makedev(1, 3)
}

/// A directory outside the container's root is no place to start in (CVE-2024-21626): the kernel then answers with
/// `(unreachable)`, or with nothing at all.
fn check_cwd() -> Result<()> {
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.to_bytes().starts_with(b"/") => Ok(()),
        Ok(_) | Err(Errno::NOENT) => Err(Failure::new(
            Kind::Invalid,
            "current working directory is outside of container mount namespace root -- possible container breakout detected",
        )),
        Err(errno) => Err(Failure::system("ask for the working directory", errno)),
    }
}

fn set_parent_death_signal(signal: i32) -> Result<()> {
    let Some(signal) = rustix::process::Signal::from_named_raw(signal) else { return Ok(()) };
    rustix::process::set_parent_process_death_signal(Some(signal)).doing(|| "set the parent-death signal")
}

/// The environment with a home directory, each name once.
fn environment(mut entries: Vec<String>, identity: &Identity) -> Vec<String> {
    let names_home = |entry: &String| entry.starts_with("HOME=");
    if !entries.iter().any(|entry| names_home(entry) && entry.len() > "HOME=".len()) {
        entries.retain(|entry| !names_home(entry));
        entries.push(format!(
            "HOME={}",
            identity.home.as_deref().filter(|home| !home.is_empty()).unwrap_or("/")
        ));
    }
    entries
}

/// The path of a command, as execvp(3) finds it: with a slash it is a path, else the first of PATH that can be run.
fn find(name: &str, environment: &[String]) -> Result<String> {
    if name.contains('/') {
        return check_executable(name).map(|()| name.to_owned()).map_err(|errno| not_runnable(name, errno));
    }
    let search = environment.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let mut denied = false;
    for directory in search.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let path = format!("{directory}/{name}");
        match check_executable(&path) {
            Ok(()) => return Ok(path),
            // Of a file; a directory that cannot be searched has nothing to offer.
            Err(Errno::ACCESS) => denied |= rustix::fs::stat(&path).is_ok(),
            Err(_) => {}
        }
    }
    let why = if denied { "permission denied" } else { "executable file not found in $PATH" };
    Err(Failure::new(Kind::NotFound, format!("exec: {name:?}: {why}")))
}

fn check_executable(path: &str) -> rustix::io::Result<()> {
    let status = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

fn not_runnable(name: &str, errno: Errno) -> Failure {
    let what = match errno {
        Errno::NOENT | Errno::NOTDIR => format!("exec: {name:?}: stat {name}"),
        _ => format!("exec: {name:?}"),
    };
    Failure { kind: Kind::NotFound, ..Failure::system(what, errno) }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Failure::invalid(format!("{text:?} contains a NUL byte")))
}

impl Program {
    /// Loads the seccomp filter already where it has a listener, which the runtime is to get, or where there are hooks to run first,
    /// for those are programs of the image.
    pub(crate) fn filter(
        &mut self,
        outlet: &mut Outlet<'_>,
        hooks: bool,
        proof: &SingleThreaded,
    ) -> Result<()> {
        if hooks || self.last.has_listener() { self.last.load(outlet, proof) } else { Ok(()) }
    }

    /// Becomes the program, or its PID 1.
    pub(crate) fn execute(mut self, outlet: &mut Outlet<'_>, proof: &SingleThreaded) -> Result<Infallible> {
        if self.reaper
            && let reaper::Side::Reaper(program) = reaper::start(proof)?
        {
            reaper::run(program);
        }
        self.last.settle()?;
        pass_on(self.inherit)?;
        let confined = self.ruleset.is_some();
        self.ruleset.enforce()?;
        outlet.report(&Report::Executing, None)?;
        self.last.load(outlet, proof)?;
        let errno = corten_sys::exec::execve(&self.path, &self.arguments, &self.environment);
        let failure =
            Failure { kind: Kind::NotFound, ..Failure::system(format!("exec {:?}", self.name), errno) };
        Err(match errno {
            Errno::ACCESS if confined => {
                failure.hint("a Landlock rule must allow to execute it, and its interpreter")
            }
            _ => failure,
        })
    }
}

/// Of what is closed at the execve, the program is to inherit these after the standard files.
pub(crate) fn pass_on(count: u32) -> Result<()> {
    for number in 3..3 + count {
        corten_sys::fd::keep_across_exec(number.cast_signed())
            .doing(|| format!("pass on file descriptor {number}"))?;
    }
    Ok(())
}
