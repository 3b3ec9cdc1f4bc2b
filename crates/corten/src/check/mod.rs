//! What this machine can do for containers, and what to do about the rest.

mod facts;
mod judge;

use serde::Serialize;

use facts::Facts;

/// One thing that containers may need, and how this machine stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it belongs to: `kernel`, `namespaces`, `cgroups`, `security`, `user`, `tools`.
    pub area: &'static str,
    /// What it is: `memory limits`, `user namespaces`.
    pub name: String,
    /// How this machine stands.
    pub verdict: Verdict,
    /// What was found: a version, a list, a setting.
    pub detail: String,
    /// What to do, where something is missing and something can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// How a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is there.
    Yes,
    /// It is not there, and only containers that ask for it miss it.
    No,
    /// Without it no container can be started by this caller.
    Needed,
}

/// Looks at this machine as the caller sees it: another user, or root, may find it otherwise.
///
/// It reads files of /proc and /sys and asks `criu` for its version; nothing is changed and no container is started. What
/// cannot be read counts as absent.
///
/// ```
/// let findings = corten::check::check();
/// assert!(findings.iter().any(|finding| finding.area == "kernel"));
/// ```
pub fn check() -> Vec<Finding> {
    judge::judge(&Facts::gather())
}
