//! `corten delete`.

use corten::{Error, Id, Runtime};

use crate::error::Result;

/// Remove what is left of a container that has stopped
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// Kill what runs; a container that is not there is no error
    #[arg(short, long)]
    force: bool,
}

/// Runs the command.
pub fn run(runtime: &Runtime, arguments: &Delete) -> Result<i32> {
    let id = Id::try_from(arguments.id.as_str())?;
    match arguments.force {
        true => runtime.purge(&id)?,
        false => runtime.load(&id)?.destroy().map_err(Error::from)?,
    }
    Ok(0)
}
