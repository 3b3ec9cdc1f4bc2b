//! The state of a container, as hooks and `state` see it (specification: `runtime.md#state`).

use serde::{Deserialize, Serialize};

use crate::Map;

/// The state of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the specification that the state follows.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// `creating`, `created`, `running`, `paused` or `stopped`.
    pub status: String,
    /// Process id of init as the host sees it; absent when stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// The configuration's annotations.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String>,
}
