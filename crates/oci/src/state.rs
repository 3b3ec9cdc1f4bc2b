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

/// The name of the listener among the descriptors of a [`ContainerProcessState`].
pub const SECCOMP_FD_NAME: &str = "seccompFd";

/// What a seccomp agent is told of a process (specification: `config-linux.md#containerprocessstate`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerProcessState {
    /// Version of the specification that it follows.
    pub oci_version: String,
    /// Names of the descriptors that come along, in their order.
    #[serde(default)]
    pub fds: Vec<String>,
    /// Process id, as the runtime sees it.
    pub pid: i32,
    /// What the profile has for the agent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// The state of the container.
    pub state: State,
}
