//! The runtime's side of the protocol with the new process.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use corten_init::Failure;
use corten_init::payload::{HostProgram, Payload, Seal, Task};
use corten_init::protocol::{Channel, Order, Report};
use corten_sys::spawn::Spawned;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::{Descriptors, Launcher};
use crate::child::Started;
use crate::error::ErrorStage;
use crate::{Error, ErrorKind, Result};

/// A conversation with a new process that has not executed the user's program yet.
///
/// Dropping it before [`Conversation::finish`] kills and collects the process.
#[derive(Debug)]
pub(crate) struct Conversation {
    channel: Channel,
    pid: i32,
    pidfd: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    listener: Option<OwnedFd>,
    /// Whether it has said that it executes the user's program next.
    executing: bool,
    opened: Vec<OwnedFd>,
}

/// What the new process waits for, or has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The root file system is prepared, and the runtime's hooks can run.
    Prepared,
    /// Its seccomp filter is loaded, and its listener has come.
    Listening,
    /// It waits at the start gate.
    Waiting,
    /// It runs the user's program.
    Executed,
}

/// Stage 1, which gets ready while the runtime decides what to ask of it.
///
/// Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Ready {
    channel: Option<Channel>,
    stage1: Spawned,
}

impl Ready {
    /// Starts stage 1.
    pub(crate) fn start(launcher: &Launcher) -> Result<Self> {
        let (channel, theirs) = Channel::pair()?;
        let stage1 = launcher.start(theirs.as_fd())?;
        Ok(Self { channel: Some(channel), stage1 })
    }

    /// The process id of stage 1.
    pub(crate) fn pid(&self) -> i32 {
        self.stage1.pid
    }

    /// Hands over the payload, and returns when stage 2 exists.
    pub(crate) fn order(mut self, fds: Descriptors, payload: Payload) -> Result<Conversation> {
        let Some(mut channel) = self.channel.take() else { return Err(silence()) };
        let said = channel.send_task(&Task::Container(Box::new(payload)), &fds.0);
        drop(fds);
        // A refusal of the copy explains a broken socket, so it is listened to first.
        let cloned = match speaks(&channel, &self.stage1.pidfd)? {
            true => listen(&mut channel, ErrorStage::Bootstrap),
            false => Ok(None),
        };
        wait(&self.stage1.pidfd);
        match (cloned?, said) {
            (Some((Report::Cloned { pid }, Some(pidfd))), _) => {
                let (pidfd, terminal, listener, opened) = (Some(pidfd), None, None, Vec::new());
                Ok(Conversation { channel, pid, pidfd, terminal, listener, executing: false, opened })
            }
            (_, Err(failure)) => Err(Error::from_failure(failure, ErrorStage::Bootstrap)),
            _ => Err(silence()),
        }
    }
}

impl Ready {
    /// Makes stage 1 a program of the host's, and returns when it is; also the directories that were asked for.
    pub(crate) fn become_program(
        self,
        fds: Descriptors,
        program: HostProgram,
    ) -> Result<(Started, Vec<OwnedFd>)> {
        let mut conversation = self.task(fds, &Task::Program(program), &Event::Executed)?;
        let opened = std::mem::take(&mut conversation.opened);
        let (pid, pidfd) = conversation.finish()?;
        Ok((Started::new(pid, pidfd), opened))
    }

    /// Has stage 1 make mounts of a namespace read-only, its root among them if that is asked for.
    pub(crate) fn seal(self, namespace: OwnedFd, root: bool, paths: Vec<PathBuf>) -> Result<()> {
        let mut fds = Descriptors(Vec::new());
        let seal = Seal { namespace: fds.push(namespace), root, paths };
        self.task(fds, &Task::Seal(seal), &Event::Prepared).map(drop)
    }

    /// Has stage 1 open a netlink socket in a network namespace.
    pub(crate) fn network_socket(self, namespace: OwnedFd) -> Result<OwnedFd> {
        let mut fds = Descriptors(Vec::new());
        let task = Task::Network(fds.push(namespace));
        self.task(fds, &task, &Event::Prepared)?.opened.pop().ok_or_else(silence)
    }

    /// Gives stage 1 a task of its own, and returns when it has come to where it should.
    fn task(mut self, fds: Descriptors, task: &Task, until: &Event) -> Result<Conversation> {
        let Some(mut channel) = self.channel.take() else { return Err(silence()) };
        let said = channel.send_task(task, &fds.0);
        drop(fds);
        let pidfd = self.stage1.pidfd.try_clone().map_err(|error| Error::io("copy a pidfd", error))?;
        let mut conversation = Conversation {
            channel,
            pid: self.stage1.pid,
            pidfd: Some(pidfd),
            terminal: None,
            listener: None,
            executing: false,
            opened: Vec::new(),
        };
        match (conversation.next(ErrorStage::Bootstrap), said) {
            (Ok(event), _) if event == *until => Ok(conversation),
            (Err(error), Ok(())) => Err(error),
            (_, Err(failure)) => Err(Error::from_failure(failure, ErrorStage::Bootstrap)),
            (Ok(_), Ok(())) => Err(silence()),
        }
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // It ends where the stream ends before the order.
        if self.channel.take().is_some() {
            wait(&self.stage1.pidfd);
        }
    }
}

fn silence() -> Error {
    Error::new(
        ErrorKind::Protocol,
        "the re-executed copy of the program ended without a word (does it call corten::init() first, and is it of the same version?)",
    )
}

fn out_of_turn() -> Error {
    Error::new(ErrorKind::Protocol, "the new process spoke out of turn")
}

impl Conversation {
    /// The process id of stage 2.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// The netlink socket in the container's network namespace, which was asked for.
    pub(crate) fn network_socket(&mut self) -> Result<OwnedFd> {
        // Stage 1 has ended, and said it before.
        if !is_ready(&mut [PollFd::new(&self.channel, PollFlags::IN)], Some(&Timespec::default()))? {
            return Err(silence());
        }
        match listen(&mut self.channel, ErrorStage::Bootstrap)? {
            Some((Report::Network, Some(socket))) => Ok(socket),
            _ => Err(silence()),
        }
    }

    /// Lets stage 2 go on.
    pub(crate) fn proceed(&mut self) -> Result<()> {
        match self.channel.send(&Order::Continue, None) {
            Ok(()) => Ok(()),
            // It has ended: what it said is waiting to be read.
            Err(failure) if failure.is(Errno::PIPE) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Waits for the next event.
    pub(crate) fn next(&mut self, stage: ErrorStage) -> Result<Event> {
        loop {
            match listen(&mut self.channel, stage)? {
                Some((Report::Terminal, Some(master))) => self.terminal = Some(master),
                Some((Report::Opened, Some(directory))) => self.opened.push(directory),
                Some((Report::Prepared, _)) => return Ok(Event::Prepared),
                Some((Report::Waiting, _)) => return Ok(Event::Waiting),
                Some((Report::Helper, Some(helper))) => {
                    self.listener = Some(self.receive_listener(&helper, stage)?);
                    return Ok(Event::Listening);
                }
                Some((Report::Executing, _)) => self.executing = true,
                Some((Report::Warning(_) | Report::Failed(..), _)) => {}
                Some(_) => return Err(out_of_turn()),
                None if self.executing => return Ok(Event::Executed),
                None => {
                    return Err(Error::new(
                        ErrorKind::Protocol,
                        "the container's process ended unexpectedly",
                    ));
                }
            }
        }
    }

    /// Takes the seccomp listener from the process that sends it, and waits until that has ended.
    ///
    /// The new process waits for the answer, so nobody else would tell that the other has been killed.
    fn receive_listener(&mut self, helper: &OwnedFd, stage: ErrorStage) -> Result<OwnedFd> {
        let said = |timeout| {
            let mut ready = [PollFd::new(&self.channel, PollFlags::IN), PollFd::new(helper, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut ready, timeout))
                .map(|_| !ready[0].revents().is_empty())
                .map_err(|errno| Error::io("wait for the seccomp listener", errno))
        };
        // What it has said, it said before it ended.
        if !said(None)? && !said(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? {
            return Err(Error::new(
                ErrorKind::Protocol,
                "the sender of the seccomp listener ended before it",
            ));
        }
        match listen(&mut self.channel, stage)? {
            Some((Report::Listener, Some(listener))) => {
                crate::child::ended(helper, None)?;
                Ok(listener)
            }
            _ => Err(out_of_turn()),
        }
    }

    /// The listener of its seccomp filter, if it has one.
    pub(crate) fn take_listener(&mut self) -> Option<OwnedFd> {
        self.listener.take()
    }

    /// The master of its terminal, if it has one.
    pub(crate) fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// The process, which is left to itself from here on, and its pidfd.
    pub(crate) fn finish(mut self) -> Result<(i32, OwnedFd)> {
        let pidfd =
            self.pidfd.take().ok_or_else(|| Error::new(ErrorKind::Protocol, "no process was started"))?;
        Ok((self.pid, pidfd))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if let Some(pidfd) = &self.pidfd {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
            wait(pidfd);
        }
    }
}

/// Waits for a word of stage 1, or for its end without one: the stream alone does not tell of that, for stage 2 may have it open
/// already. That ends by itself, when the stream does.
fn speaks(channel: &Channel, stage1: &OwnedFd) -> Result<bool> {
    is_ready(&mut [PollFd::new(channel, PollFlags::IN), PollFd::new(stage1, PollFlags::IN)], None)?;
    is_ready(&mut [PollFd::new(channel, PollFlags::IN)], Some(&Timespec::default()))
}

/// Whether one of these is ready within the time.
fn is_ready(fds: &mut [PollFd<'_>], limit: Option<&Timespec>) -> Result<bool> {
    let ready = rustix::io::retry_on_intr(|| poll(fds, limit));
    ready.map(|count| count > 0).map_err(|errno| Error::io("wait for the new process", errno))
}

/// Collects a process that ends; one that somebody else collects is fine as well.
fn wait(pidfd: &OwnedFd) {
    while let Err(Errno::INTR) = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {}
}

/// The next report, where it is no warning and no failure.
fn listen(channel: &mut Channel, stage: ErrorStage) -> Result<Option<(Report, Option<OwnedFd>)>> {
    loop {
        match channel.receive::<Report>().map_err(|failure: Failure| Error::from_failure(failure, stage))? {
            Some((Report::Warning(text), _)) => tracing::warn!("{text}"),
            Some((Report::Failed(stage, failure), _)) => {
                return Err(Error::from_failure(failure, stage.into()));
            }
            other => return Ok(other),
        }
    }
}
