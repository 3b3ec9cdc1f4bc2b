//! `corten state`, and the form in which `list` shows containers as well.

use std::path::PathBuf;

use corten::{Container, Id, Runtime, oci};
use serde::Serialize;

use crate::error::Result;
use crate::owner;

/// Print what a container is doing, as JSON
#[derive(Debug, clap::Args)]
pub struct State {
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

/// A container as runc shows it: what the OCI specification asks for, and more.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    oci_version: &'static str,
    pub id: String,
    /// 0 where there is none.
    pub pid: i32,
    pub status: String,
    pub bundle: PathBuf,
    rootfs: PathBuf,
    pub created: String,
    #[serde(skip_serializing_if = "oci::Map::is_empty")]
    annotations: oci::Map<String>,
    pub owner: String,
}

impl Shown {
    /// What a container is doing now.
    pub fn of(container: &Container) -> Result<Self> {
        let state = container.state()?;
        Ok(Self {
            oci_version: oci::VERSION,
            id: state.id,
            pid: state.pid.unwrap_or(0),
            status: state.status.to_string(),
            bundle: state.bundle,
            rootfs: state.rootfs,
            created: state.created,
            annotations: state.annotations,
            owner: owner::name(state.owner),
        })
    }
}

/// Runs the command.
pub fn run(runtime: &Runtime, arguments: &State) -> Result<i32> {
    let container = runtime.load(&Id::try_from(arguments.id.as_str())?)?;
    super::print_json(&Shown::of(&container)?, b"  ")?;
    Ok(0)
}
