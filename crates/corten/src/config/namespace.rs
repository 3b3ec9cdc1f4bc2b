//! Which namespaces a container has (namespaces(7)).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// User and group ids, capabilities: user_namespaces(7).
    User,
    /// System V IPC and POSIX message queues: ipc_namespaces(7).
    Ipc,
    /// Host name and NIS domain name: uts_namespaces(7).
    Uts,
    /// Network devices, addresses, ports: network_namespaces(7).
    #[serde(rename = "network")]
    Net,
    /// Process ids: pid_namespaces(7).
    Pid,
    /// Mount points: mount_namespaces(7).
    Mount,
    /// The root of the control group hierarchy: cgroup_namespaces(7).
    Cgroup,
    /// The monotonic and the boot-time clock: time_namespaces(7).
    Time,
}

impl Namespace {
    /// Every kind.
    pub const ALL: [Self; 8] =
        [Self::User, Self::Ipc, Self::Uts, Self::Net, Self::Pid, Self::Mount, Self::Cgroup, Self::Time];

    /// Its name in the OCI specification: `network`, `mount`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Net => "network",
            Self::Pid => "pid",
            Self::Mount => "mount",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// Its file under `/proc/PID/ns`: `net`, `mnt`.
    pub fn proc_name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Mount => "mnt",
            other => other.as_str(),
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<&str> for Namespace {
    type Error = Error;

    /// Takes the names of the OCI specification.
    fn try_from(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        known.ok_or_else(|| Error::invalid(format!("invalid namespace type {name:?}")))
    }
}

/// The namespaces of a container, each kind at most once; of a kind that is not among them it has the caller's.
///
/// ```
/// use corten::{Namespace, Namespaces};
///
/// let mut namespaces: Namespaces = [Namespace::Mount, Namespace::Pid].into_iter().collect();
/// namespaces.join(Namespace::Net, "/run/netns/blue");
/// assert!(namespaces.is_new(Namespace::Pid));
/// assert_eq!(namespaces.path_of(Namespace::Net), Some("/run/netns/blue".as_ref()));
/// assert!(!namespaces.contains(Namespace::User));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Namespaces(BTreeMap<Namespace, Option<PathBuf>>);

impl Namespaces {
    /// A new namespace of this kind.
    pub fn add(&mut self, kind: Namespace) {
        self.0.insert(kind, None);
    }

    /// The namespace of this kind behind a path, such as `/proc/PID/ns/net` or a bind mount of it.
    pub fn join(&mut self, kind: Namespace, path: impl Into<PathBuf>) {
        self.0.insert(kind, Some(path.into()));
    }

    /// The caller's namespace of this kind.
    pub fn remove(&mut self, kind: Namespace) {
        self.0.remove(&kind);
    }

    /// Whether the container has a namespace of this kind that may differ from the caller's: a new one, or one by path.
    pub fn contains(&self, kind: Namespace) -> bool {
        self.0.contains_key(&kind)
    }

    /// Whether the container gets a new namespace of this kind.
    pub fn is_new(&self, kind: Namespace) -> bool {
        self.0.get(&kind).is_some_and(Option::is_none)
    }

    /// The path of the namespace to join, if it is one by path.
    pub fn path_of(&self, kind: Namespace) -> Option<&Path> {
        self.0.get(&kind)?.as_deref()
    }

    /// Each kind with the path to join, if it has one.
    pub fn iter(&self) -> impl Iterator<Item = (Namespace, Option<&Path>)> {
        self.0.iter().map(|(kind, path)| (*kind, path.as_deref()))
    }
}

impl FromIterator<Namespace> for Namespaces {
    fn from_iter<I: IntoIterator<Item = Namespace>>(kinds: I) -> Self {
        Self(kinds.into_iter().map(|kind| (kind, None)).collect())
    }
}

impl<const N: usize> From<[Namespace; N]> for Namespaces {
    fn from(kinds: [Namespace; N]) -> Self {
        kinds.into_iter().collect()
    }
}
