//! `corten list`.

use clap::ValueEnum;
use corten::Runtime;

use super::state::Shown;
use crate::error::{Doing, Result};
use crate::globals::Globals;
use crate::table;

/// Print the containers under the state directory
#[derive(Debug, clap::Args)]
pub struct List {
    /// Form of the list
    #[arg(short, long, default_value = "table")]
    format: Format,
    /// Print the names only
    #[arg(short, long)]
    quiet: bool,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

/// Runs the command.
pub fn run(globals: &Globals, runtime: &Runtime, arguments: &List) -> Result<i32> {
    // The default one is made by the first container; one that was named by mistake is told.
    if globals.root.is_some() {
        let root = runtime.root();
        std::fs::read_dir(root).doing(|| format!("open {}", root.display()))?;
    }
    let entries = runtime.list()?;
    if arguments.quiet {
        entries.iter().for_each(|entry| println!("{}", entry.id));
        return Ok(0);
    }
    let mut shown = Vec::new();
    for entry in entries {
        match entry.container.map_err(Into::into).and_then(|container| Shown::of(&container)) {
            Ok(container) => shown.push(container),
            // One that is broken does not hide the others.
            Err(error) => tracing::error!("load container {}: {error}", entry.id),
        }
    }
    match arguments.format {
        Format::Json if shown.is_empty() => println!("null"),
        Format::Json => println!("{}", super::to_json(&shown)?),
        Format::Table => table::print(&rows(&shown)),
    }
    Ok(0)
}

fn rows(shown: &[Shown]) -> Vec<Vec<String>> {
    let heads = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned).to_vec();
    let row = |shown: &Shown| {
        vec![
            shown.id.clone(),
            shown.pid.to_string(),
            shown.status.clone(),
            shown.bundle.display().to_string(),
            shown.created.clone(),
            shown.owner.clone(),
        ]
    };
    std::iter::once(heads).chain(shown.iter().map(row)).collect()
}
