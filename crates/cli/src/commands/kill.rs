//! `corten kill`.

use corten::{ErrorKind, Id, Runtime, Signal};

use crate::error::Result;

/// Send a signal to a container's first process
#[derive(Debug, clap::Args)]
pub struct Kill {
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// The signal: TERM, SIGTERM or 15; with 0 none is sent, and the exit status tells whether the program is there
    #[arg(default_value = "SIGTERM")]
    signal: String,
    /// Send it to all processes of the container
    #[arg(short, long, hide = true)]
    all: bool,
}

/// Runs the command.
pub fn run(runtime: &Runtime, arguments: &Kill) -> Result<i32> {
    let container = runtime.load(&Id::try_from(arguments.id.as_str())?)?;
    if arguments.signal.parse() == Ok(0) {
        // Nothing is sent; whether it could be is what is asked.
        return Ok(container.pidfd().map(|_| 0)?);
    }
    let signal = Signal::try_from(arguments.signal.as_str())?;
    if !arguments.all {
        container.signal(signal)?;
        return Ok(0);
    }
    match container.signal_all(signal) {
        // Engines send it to be sure that all is over.
        Err(error) if error.kind() == ErrorKind::NotRunning => Ok(0),
        sent => Ok(sent.map(|()| 0)?),
    }
}
