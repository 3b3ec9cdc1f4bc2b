//! `corten features`.

use crate::error::Result;

/// Print what this runtime can do, as JSON
#[derive(Debug, clap::Args)]
pub struct Features {}

/// Runs the command.
pub fn run(_: &Features) -> Result<i32> {
    super::print_json(&corten::features(), b"    ")?;
    Ok(0)
}
