//! Staying with a container's program until it ends: signals, and a terminal where it has one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corten::oci::ConsoleSize;
use corten::{Child, ExitStatus, Id, Runtime, Signal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{Winsize, tcgetwinsize};

use crate::error::{Doing, Result};
use crate::notify_socket::Notify;
use crate::raw::Raw;

/// Signals are held back from the moment that this exists, so that none is lost before there is a container to get it.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Holds back every signal.
    pub fn hold() -> Result<Self> {
        corten_sys::signal::block_all().doing(|| "block signals".to_owned())?;
        Ok(Self(corten_sys::signal::fd().doing(|| "make a signal descriptor".to_owned())?))
    }

    /// The next one that has arrived.
    pub fn take(&self) -> Result<Option<i32>> {
        corten_sys::signal::take(&self.0).doing(|| "read the signal descriptor".to_owned())
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The size of the caller's terminal: that of the first standard file that is one; `None` where none is.
pub fn terminal_size() -> Option<ConsoleSize> {
    window().map(|size| ConsoleSize { height: size.ws_row, width: size.ws_col })
}

fn window() -> Option<Winsize> {
    let files = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    files.into_iter().find_map(|file| tcgetwinsize(file).ok())
}

/// The exit status of the command, by how the container's program has ended. The container is deleted, unless it is to stay; after
/// a failure it always is.
pub fn leave(runtime: &Runtime, id: &Id, lived: Result<ExitStatus>, stays: bool) -> Result<i32> {
    if !(stays && lived.is_ok()) {
        runtime.purge(id)?;
    }
    lived.map(|status| status.code())
}

/// Stays with a program until it ends: forwards signals, and carries what is typed and printed between the caller's
/// terminal and its own. Somebody may want to know when it is ready.
pub fn attend(signals: &Signals, child: &mut Child, notify: Option<&mut Notify>) -> Result<ExitStatus> {
    let Some(master) = child.take_terminal() else { return forward(signals, child, notify) };
    rustix::io::ioctl_fionbio(&master, true).doing(|| "prepare the terminal".to_owned())?;
    let raw = Raw::enter()?;
    let mut terminal = Terminal { master, input: Flow::default(), output: Flow::default() };
    terminal.resize();
    let status = terminal.attend(signals, child, notify);
    drop(raw);
    status
}

/// Without a terminal, signals are all there is to do.
fn forward(signals: &Signals, child: &Child, mut notify: Option<&mut Notify>) -> Result<ExitStatus> {
    loop {
        let mut ready = events(signals, child, notify.as_deref());
        wait(&mut ready)?;
        let ended = !ready[0].revents().is_empty();
        drop(ready);
        notify.iter_mut().for_each(|notify| notify.hear(child.pid()));
        pass_signals(signals, child, || {})?;
        if ended {
            return Ok(child.wait()?);
        }
    }
}

/// What always is waited for: the program's end, signals, and word from the container.
fn events<'a>(signals: &'a Signals, child: &'a Child, notify: Option<&'a Notify>) -> Vec<PollFd<'a>> {
    let mut events = vec![PollFd::new(child, PollFlags::IN), PollFd::new(&signals.0, PollFlags::IN)];
    events.extend(notify.map(|notify| PollFd::new(notify, PollFlags::IN)));
    events
}

/// Takes the signals that have arrived: those that are about this process stay here, and the others are the program's.
fn pass_signals(signals: &Signals, child: &Child, mut resized: impl FnMut()) -> Result<()> {
    const CHLD: i32 = 17;
    const URG: i32 = 23;
    const WINCH: i32 = 28;
    while let Some(number) = signals.take()? {
        match number {
            CHLD | URG => {}
            WINCH => resized(),
            // It has ended meanwhile: then there is nobody to tell.
            _ => drop(Signal::from_raw(number).map(|signal| child.signal(signal))),
        }
    }
    Ok(())
}

fn wait(ready: &mut [PollFd<'_>]) -> Result<()> {
    rustix::io::retry_on_intr(|| poll(ready, None)).map(drop).doing(|| "wait for events".to_owned())
}

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
struct Flow {
    pending: Vec<u8>,
    /// Whether there will be no more.
    ended: bool,
}

impl Flow {
    /// As much as a pipe takes without blocking once it is writable (pipe(7)).
    const CHUNK: usize = 4096;

    /// Reads once; only while nothing is pending.
    fn fill(&mut self, from: BorrowedFd<'_>) {
        let mut buffer = [0; Self::CHUNK];
        match rustix::io::read(from, &mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.pending.extend(buffer.iter().take(count)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The last program has closed its terminal (EIO), or this one is in the background.
            Err(_) => self.ended = true,
        }
    }

    /// Writes once.
    fn drain(&mut self, to: BorrowedFd<'_>) {
        match rustix::io::write(to, &self.pending) {
            Ok(count) => drop(self.pending.drain(..count)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Nobody is there to take it.
            Err(_) => {
                self.pending.clear();
                self.ended = true;
            }
        }
    }

    fn wants(&self) -> bool {
        self.pending.is_empty() && !self.ended
    }
}

/// The program's terminal.
struct Terminal {
    master: OwnedFd,
    /// From the caller to the program.
    input: Flow,
    /// From the program to the caller.
    output: Flow,
}

impl Terminal {
    fn attend(
        &mut self,
        signals: &Signals,
        child: &Child,
        mut notify: Option<&mut Notify>,
    ) -> Result<ExitStatus> {
        loop {
            let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
            let flag = |wanted: bool, flag: PollFlags| if wanted { flag } else { PollFlags::empty() };
            let master = flag(self.output.wants(), PollFlags::IN)
                | flag(!self.input.pending.is_empty(), PollFlags::OUT);
            // What is wanted of nothing is left out: a closed end would be reported for ever.
            let wanted = [
                (self.master.as_fd(), master),
                (stdin, flag(self.input.wants(), PollFlags::IN)),
                (stdout, flag(!self.output.pending.is_empty(), PollFlags::OUT)),
            ];
            let mut ready = events(signals, child, notify.as_deref());
            let always = ready.len();
            ready.extend(
                wanted
                    .iter()
                    .filter(|(_, flags)| !flags.is_empty())
                    .map(|(fd, flags)| PollFd::new(fd, *flags)),
            );
            wait(&mut ready)?;
            let mut seen = ready.iter().skip(always).map(PollFd::revents);
            let [master, stdin_ready, stdout_ready] = wanted.map(|(_, flags)| match flags.is_empty() {
                true => PollFlags::empty(),
                false => seen.next().unwrap_or(PollFlags::empty()),
            });
            let ended = !ready[0].revents().is_empty();
            drop(ready);
            notify.iter_mut().for_each(|notify| notify.hear(child.pid()));
            pass_signals(signals, child, || self.resize())?;
            if master.contains(PollFlags::OUT) {
                self.input.drain(self.master.as_fd());
            }
            if self.output.wants() && !(master - PollFlags::OUT).is_empty() {
                self.output.fill(self.master.as_fd());
            }
            if !stdin_ready.is_empty() {
                self.input.fill(stdin);
            }
            if !stdout_ready.is_empty() {
                self.output.drain(stdout);
            }
            if ended {
                self.finish(stdout);
                return Ok(child.wait()?);
            }
        }
    }

    /// Prints what the program has left in its terminal.
    fn finish(&mut self, stdout: BorrowedFd<'_>) {
        loop {
            while !self.output.pending.is_empty() {
                self.output.drain(stdout);
            }
            if self.output.ended {
                return;
            }
            self.output.fill(self.master.as_fd());
            if self.output.pending.is_empty() {
                return;
            }
        }
    }

    /// Gives the program's terminal the size of the caller's.
    fn resize(&self) {
        if let Some(size) = window() {
            let _ = rustix::termios::tcsetwinsize(&self.master, size);
        }
    }
}
