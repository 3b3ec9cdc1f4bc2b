//! `corten start`.

use corten::{Id, Runtime};

use crate::error::Result;

/// Let the program of a created container run
#[derive(Debug, clap::Args)]
pub struct Start {
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

/// Runs the command.
pub fn run(runtime: &Runtime, arguments: &Start) -> Result<i32> {
    runtime.load(&Id::try_from(arguments.id.as_str())?)?.release()?;
    Ok(0)
}
