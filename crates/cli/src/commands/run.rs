//! `corten run`.

use std::os::fd::AsFd;

use corten::{Child, ExitStatus, Runtime};

use crate::announce::announce;
use crate::bundle::{Made, Options};
use crate::error::Result;
use crate::foreground::{self, Signals};
use crate::globals::Globals;
use crate::inherited::Inherited;
use crate::notify_socket::Notify;

/// Make a container and run its program
///
/// The exit status is the program's, or 128 and the number of the signal that ended it; the container is deleted then.
#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    pub options: Options,
    /// Return when the program runs
    #[arg(short, long)]
    detach: bool,
    /// Leave the container's state when its program has ended
    #[arg(long)]
    keep: bool,
    /// For runc's sake: this command waits for its own child alone, and never adopts other processes
    #[arg(long)]
    no_subreaper: bool,
}

/// Runs the command.
pub fn run(globals: &Globals, runtime: &Runtime, inherited: Inherited, arguments: &Run) -> Result<i32> {
    let options = &arguments.options;
    let signals = if arguments.detach { None } else { Some(Signals::hold()?) };
    let Made { container, process, pidfd_socket, notify } =
        options.make(globals, runtime, inherited, arguments.detach)?;
    let id = container.id().clone();
    let lived = || -> Result<ExitStatus> {
        let mut notify = notify.as_deref().map(Notify::bind).transpose()?;
        let mut child: Child = container.run(process)?;
        announce((child.pid(), child.as_fd()), pidfd_socket, options.pid_file.as_deref())?;
        match &signals {
            Some(signals) => foreground::attend(signals, &mut child, notify.as_mut()),
            None => {
                notify.map_or(Ok(()), |notify| notify.wait(child.as_fd(), child.pid()))?;
                Ok(ExitStatus::Exited(0))
            }
        }
    };
    // Of one that goes on, the status is 0 so far.
    foreground::leave(runtime, &id, lived(), arguments.detach || arguments.keep)
}
