//! `corten start`.

use std::os::fd::AsFd;

use corten::{Id, Runtime};

use crate::error::Result;
use crate::notify_socket::{self, Notify};

/// Let the program of a created container run
#[derive(Debug, clap::Args)]
pub struct Start {
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

/// Runs the command.
pub fn run(runtime: &Runtime, arguments: &Start) -> Result<i32> {
    let id = Id::try_from(arguments.id.as_str())?;
    let container = runtime.load(&id)?;
    // It is there where `create` was told of it too.
    let directory = notify_socket::directory(runtime, &id).filter(|directory| directory.is_dir());
    let notify = directory.as_deref().map(Notify::bind).transpose()?;
    let Some(notify) = notify else {
        container.release()?;
        return Ok(0);
    };
    let (init, pidfd) = (container.oci_state()?.pid, container.pidfd());
    container.release()?;
    if let (Some(pid), Ok(pidfd)) = (init, pidfd) {
        notify.wait(pidfd.as_fd(), pid)?;
    }
    Ok(0)
}
