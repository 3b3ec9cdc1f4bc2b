//! The steps that CRIU tells of, and waits at (criu(8), `--action-script`).

/// A step of a dump or a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A dump begins.
    PreDump,
    /// A dump is complete; a failure here undoes it.
    PostDump,
    /// A restore begins.
    PreRestore,
    /// Everything is restored, and stopped still; a failure here undoes it.
    PostRestore,
    /// The processes go on next.
    PreResume,
    /// The processes go on.
    PostResume,
    /// The network is to be locked.
    NetworkLock,
    /// The network is to be unlocked.
    NetworkUnlock,
    /// The first process is there with its namespaces, and nothing else is.
    SetupNamespaces,
    /// The namespaces are configured.
    PostSetupNamespaces,
    /// The master of a terminal comes along.
    OrphanPtsMaster,
    /// The server of lazy pages takes requests.
    StatusReady,
    /// One that is not known here.
    Other(String),
}

impl From<&str> for Step {
    fn from(script: &str) -> Self {
        match script {
            "pre-dump" => Self::PreDump,
            "post-dump" => Self::PostDump,
            "pre-restore" => Self::PreRestore,
            "post-restore" => Self::PostRestore,
            "pre-resume" => Self::PreResume,
            "post-resume" => Self::PostResume,
            "network-lock" => Self::NetworkLock,
            "network-unlock" => Self::NetworkUnlock,
            "setup-namespaces" => Self::SetupNamespaces,
            "post-setup-namespaces" => Self::PostSetupNamespaces,
            "orphan-pts-master" => Self::OrphanPtsMaster,
            "status-ready" => Self::StatusReady,
            other => Self::Other(other.to_owned()),
        }
    }
}
