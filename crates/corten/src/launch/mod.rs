//! Starting the re-executed copy and leading the conversation with it.

mod conversation;
mod seal;

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use corten_init::inherited::Slot;
use corten_sys::spawn::{Spawn, Spawned};

pub(crate) use conversation::{Conversation, Event, Ready};

use crate::{Error, Result};

/// This very program, whatever its path names by now.
const SELF: &str = "/proc/self/exe";

/// Proof that [`init`](crate::init) was called, and that this is not the re-executed copy.
#[derive(Debug)]
#[must_use = "Launcher::self_exe takes it"]
pub struct InitHook(());

/// Runs the new process of a container where this process is one, and otherwise returns at once.
///
/// Call it first in `main`, before anything that can start a thread: a container is started by executing this very
/// program again, and in that copy the call never returns. It reads nothing but the program's first argument.
pub fn init() -> InitHook {
    corten_init::enter_if_copy();
    InitHook(())
}

/// Starts the new process of a container: this program again, or an installed helper.
///
/// Clones share one sealed program.
#[derive(Clone, Debug)]
pub struct Launcher {
    program: PathBuf,
    sealed: Arc<Mutex<Option<Arc<OwnedFd>>>>,
}

impl Launcher {
    /// Starts containers by executing this program again, through a read-only overlay or from a sealed copy in memory, so that
    /// no container can write to it (CVE-2019-5736). It is made at the first start and kept.
    pub fn self_exe(hook: InitHook) -> Self {
        let InitHook(()) = hook;
        Self::of(SELF)
    }

    /// Starts containers through another program that calls [`init`](crate::init), such as an installed `corten` of the same version: for plugins
    /// and programs without a `main` of their own.
    pub fn helper(path: impl AsRef<Path>) -> Self {
        Self::of(path)
    }

    fn of(path: impl AsRef<Path>) -> Self {
        Self { program: path.as_ref().to_owned(), sealed: Arc::default() }
    }

    /// The sealed program, made on first use.
    fn sealed(&self) -> Result<Arc<OwnedFd>> {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(copy) = &*sealed {
            return Ok(Arc::clone(copy));
        }
        let copy = Arc::new(seal::seal(&self.program)?);
        *sealed = Some(Arc::clone(&copy));
        Ok(copy)
    }

    /// Starts stage 1 with its end of the sync socket, and nothing else.
    fn start(&self, socket: BorrowedFd<'_>) -> Result<Spawned> {
        const STANDARD: usize = 3;
        let program = self.sealed()?;
        let fds = [socket; STANDARD + 1];
        let arguments = [corten_init::protocol::ARGV0, "init", &STANDARD.to_string()]
            .map(|argument| CString::new(argument).unwrap_or_default());
        // A dynamically linked program may need it to start; nothing else of the caller's environment is passed on.
        let environment: Vec<_> = std::env::var("LD_LIBRARY_PATH")
            .ok()
            .and_then(|path| CString::new(format!("LD_LIBRARY_PATH={path}")).ok())
            .into_iter()
            .collect();
        Spawn { program: program.as_fd(), arguments: &arguments, environment: &environment, fds: &fds }
            .start()
            .map_err(|errno| Error::io(format!("start the copy of {}", self.program.display()), errno))
    }
}

/// The descriptors of the new process, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Descriptors(Vec<OwnedFd>);

impl Descriptors {
    /// Standard input, output and error, then those that the user's program inherits from 3 on.
    pub(crate) fn new(stdio: [OwnedFd; 3], inherited: Vec<OwnedFd>) -> Self {
        Self(stdio.into_iter().chain(inherited).collect())
    }

    /// Standard input, output and error.
    pub(crate) fn standard(&self) -> &[OwnedFd] {
        self.0.get(..3).unwrap_or_default()
    }

    /// Adds one for the new process itself, and tells where it will find it.
    pub(crate) fn push(&mut self, fd: OwnedFd) -> Slot {
        self.0.push(fd);
        // A process has fewer descriptors than an i32 can number.
        Slot(i32::try_from(self.0.len() - 1).unwrap_or(i32::MAX))
    }
}
