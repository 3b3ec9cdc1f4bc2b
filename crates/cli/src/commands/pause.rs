//! `corten pause` and `corten resume`.

use corten::{Id, Runtime};

use crate::error::Result;

/// Freeze all processes of a container
#[derive(Debug, clap::Args)]
pub struct Pause {
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

/// Let the frozen processes of a container go on
#[derive(Debug, clap::Args)]
pub struct Resume {
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

/// Runs `pause`.
pub fn pause(runtime: &Runtime, arguments: &Pause) -> Result<i32> {
    runtime.load(&Id::try_from(arguments.id.as_str())?)?.pause()?;
    Ok(0)
}

/// Runs `resume`.
pub fn resume(runtime: &Runtime, arguments: &Resume) -> Result<i32> {
    runtime.load(&Id::try_from(arguments.id.as_str())?)?.resume()?;
    Ok(0)
}
