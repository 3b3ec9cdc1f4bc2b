//! One file a command.

use serde::Serialize;

use crate::error::{Error, Result};

pub mod check;
pub mod checkpoint;
pub mod create;
pub mod delete;
pub mod events;
pub mod exec;
pub mod features;
pub mod kill;
pub mod list;
pub mod pause;
pub mod ps;
pub mod restore;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;
pub mod throwaway;
pub mod top;
pub mod update;

/// JSON on one line.
fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|source| Error::Json { what: "write JSON".to_owned(), source })
}

/// JSON for people, indented.
fn pretty(value: &impl Serialize, indent: &[u8]) -> Result<String> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
        .map_err(|source| Error::Json { what: "write JSON".to_owned(), source })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn print_json(value: &impl Serialize, indent: &[u8]) -> Result<()> {
    println!("{}", pretty(value, indent)?);
    Ok(())
}
