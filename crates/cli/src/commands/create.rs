//! `corten create`.

use corten::Runtime;

use crate::announce::announce;
use crate::bundle::{Made, Options};
use crate::error::Result;
use crate::globals::Globals;
use crate::inherited::Inherited;

/// Make a container whose program waits for `start`
#[derive(Debug, clap::Args)]
pub struct Create {
    #[command(flatten)]
    pub options: Options,
}

/// Runs the command.
pub fn run(globals: &Globals, runtime: &Runtime, inherited: Inherited, arguments: &Create) -> Result<i32> {
    let options = &arguments.options;
    let Made { container, process, pidfd_socket, notify: _ } =
        options.make(globals, runtime, inherited, true)?;
    let id = container.id().clone();
    let started = || -> Result<()> {
        let created = container.start_init(process)?;
        announce((created.pid(), created.pidfd()), pidfd_socket, options.pid_file.as_deref())?;
        created.detach();
        Ok(())
    };
    if let Err(error) = started() {
        runtime.purge(&id)?;
        return Err(error);
    }
    Ok(0)
}
