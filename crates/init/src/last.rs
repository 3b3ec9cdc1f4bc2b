//! The last steps that restrain this process, each taken once: the labels of security modules, which are in force from the execve
//! on, resource limits, and the seccomp filter.
//!
//! The filter is the user's program's, and may forbid anything; so what comes after it is little. With no_new_privs that is the execve
//! alone (and whatever startContainer hooks are; and the wait at the gate, where there is a listener). Without no_new_privs the filter
//! must be loaded as long as there are privileges: after it come the change of user and capabilities, the working directory, the search
//! for the command, the gate, and startContainer hooks, as in runc. From the filter on messages go by read(2) and write(2).
//!
//! The *listener* of a filter is a descriptor that this process gets when it loads the filter; what it calls from then on may wait for
//! whoever listens. So it cannot send it to the runtime itself, for that is a sendmsg(2). A helper does that: a copy of this process that
//! shares its descriptors and not its filter, and is told of the number by a write(2), which no filter with a listener may ask about
//! (in Corten as in runc). It needs no privilege over this process, as pidfd_getfd(2) does.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd, RawFd};

use corten_sys::clone::Clone;
use corten_sys::limits::{self, Limit};
use corten_sys::seccomp::{self, Program};
use corten_sys::thread::SingleThreaded;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::outlet::Outlet;
use crate::payload::{Labels, Rlimit, Seccomp};
use crate::proc::Proc;
use crate::protocol::{Channel, Report};
use crate::{Doing, Failure, Kind, Result, Stage, lsm};

/// The last steps.
#[derive(Debug)]
pub(crate) struct Last {
    settled: Option<Settled>,
    filter: Option<Seccomp>,
}

/// What comes before the filter.
#[derive(Debug)]
struct Settled {
    labels: Labels,
    proc: Proc,
    rlimits: Vec<Rlimit>,
}

impl Last {
    pub(crate) fn new(labels: Labels, proc: Proc, rlimits: Vec<Rlimit>, filter: Option<Seccomp>) -> Self {
        Self { settled: Some(Settled { labels, proc, rlimits }), filter }
    }

    /// Whether there is a filter to be loaded whose listener the runtime is to get.
    pub(crate) fn has_listener(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.listener)
    }

    /// What has to be done before the filter, which may forbid it.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let Some(Settled { labels, proc, rlimits }) = self.settled.take() else { return Ok(()) };
        // Before the limits: it takes descriptors.
        lsm::label_next_exec(&proc, &labels)?;
        corten_sys::fd::close_on_exec_from(3).doing(|| "close the runtime's file descriptors")?;
        for limit in &rlimits {
            limits::set(limit.resource, Limit { soft: limit.soft, hard: limit.hard }).doing(|| {
                format!("set resource limit {} to {}:{}", limit.resource, limit.soft, limit.hard)
            })?;
        }
        Ok(())
    }

    /// Loads the filter, where there is one.
    pub(crate) fn load(&mut self, outlet: &mut Outlet<'_>, proof: &SingleThreaded) -> Result<()> {
        let Some(Seccomp { program, flags, listener }) = self.filter.take() else { return Ok(()) };
        self.settle()?;
        let program = Program::new(&program);
        match outlet {
            Outlet::Runtime(channel) if listener => load_listening(channel, &program, flags, proof),
            _ if listener => Err(Failure::new(Kind::Protocol, "nobody takes the seccomp listener")),
            _ => {
                program.load(flags).map_err(|errno| refused(errno, flags))?;
                outlet.speak_plainly();
                Ok(())
            }
        }
    }
}

/// What the kernel's refusal of a filter means to a person.
fn refused(errno: Errno, flags: u32) -> Failure {
    let failure = Failure::system("load the seccomp filter", errno);
    match errno {
        Errno::ACCESS => failure
            .hint("without process.noNewPrivileges it needs CAP_SYS_ADMIN in the program's user namespace"),
        Errno::INVAL if !seccomp::knows_flags(flags) => {
            failure.hint("this kernel lacks one of linux.seccomp.flags")
        }
        Errno::NOSYS | Errno::INVAL => {
            failure.hint("this kernel may have been built without seccomp filters")
        }
        Errno::BUSY => {
            failure.hint("this process has a filter with a listener already, of the runtime's caller")
        }
        _ => failure,
    }
}

/// Loads a filter, and waits until the runtime has its listener.
fn load_listening(
    channel: &mut Channel,
    program: &Program,
    flags: u32,
    proof: &SingleThreaded,
) -> Result<()> {
    let (told, tell) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe")?;
    // Closing is a system call, and ends the helper's wait: what is left open is closed by the execve, or by the end.
    let (told, tell) = (ManuallyDrop::new(told), ManuallyDrop::new(tell));
    let this = rustix::process::getpid();
    let doing = || "start a helper, which sends the seccomp listener";
    let helper = match corten_sys::clone::fork_sharing_fds(proof).doing(doing)? {
        Clone::Copy => help(channel, &told, this),
        Clone::Original { pid, pidfd } => {
            channel.send(&Report::Helper, Some(pidfd.as_fd()))?;
            Pid::from_raw(pid)
        }
    };
    let listener = program.load_listening(flags).map_err(|errno| refused(errno, flags))?;
    // The helper's from here on, which closes it for both: a call would wait in vain if the runtime's were closed and this were not.
    let number = listener.into_raw_fd().to_ne_bytes();
    channel.speak_plainly();
    rustix::io::write(&*tell, &number).doing(|| "tell of the seccomp listener")?;
    channel.wait_for_continue()?;
    if let Some(helper) = helper {
        // It has ended. Where the filter forbids this, PID 1 of the container collects it.
        let _ = rustix::process::waitid(WaitId::Pid(helper), WaitIdOptions::EXITED);
    }
    Ok(())
}

/// The helper: sends the listener when the filter is loaded, or ends with its parent.
fn help(channel: &mut Channel, told: &OwnedFd, parent: Pid) -> ! {
    let followed = rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .doing(|| "end with the parent")
        .and_then(|()| match rustix::process::getppid() == Some(parent) {
            true => send_listener(channel, told),
            false => Ok(()),
        });
    if let Err(failure) = followed {
        drop(channel.send(&Report::Failed(Stage::Init, failure), None));
    }
    corten_sys::exec::exit(0)
}

fn send_listener(channel: &mut Channel, told: &OwnedFd) -> Result<()> {
    let mut number = [0; size_of::<RawFd>()];
    let doing = || "take the seccomp listener";
    let count = rustix::io::retry_on_intr(|| rustix::io::read(told, &mut number)).doing(doing)?;
    if count != number.len() {
        return Err(Failure::new(Kind::Protocol, "the number of the seccomp listener is incomplete"));
    }
    let listener = corten_sys::fd::inherited(RawFd::from_ne_bytes(number)).doing(doing)?;
    channel.send(&Report::Listener, Some(listener.as_fd()))
}
