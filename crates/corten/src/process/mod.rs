//! A program to run in a container.

mod builder;

use std::os::fd::OwnedFd;

use crate::config::{self, Attributes, Config};
use crate::oci::{self, ConsoleSize};
use crate::{Error, Result};

pub use builder::ProcessBuilder;

/// A program to run in a container, checked as far as that is possible without one.
///
/// ```
/// use corten::{Process, Stdio};
///
/// let process = Process::builder("/bin/sh").args(["-c", "id"]).user("daemon").stdio(Stdio::Inherit).build()?;
/// # Ok::<(), corten::Error>(())
/// ```
#[derive(Debug)]
pub struct Process {
    pub(crate) args: Vec<String>,
    /// `KEY=value`, each key once.
    pub(crate) env: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) user: User,
    pub(crate) additional_gids: Vec<u32>,
    pub(crate) additional_groups: Vec<String>,
    /// What is set here goes before the container's; see [`Process::attributes_in`].
    pub(crate) attributes: Attributes,
    pub(crate) terminal: bool,
    pub(crate) console_size: Option<ConsoleSize>,
    pub(crate) console_socket: Option<OwnedFd>,
    pub(crate) stdio: Stdio,
    pub(crate) preserve_fds: Vec<OwnedFd>,
    pub(crate) init_reaper: bool,
    pub(crate) sub_cgroups: Vec<SubCgroup>,
}

/// A control group below the container's.
#[derive(Clone, Debug)]
pub(crate) struct SubCgroup {
    /// In whose hierarchies of cgroup v1; empty for all hierarchies.
    pub(crate) controllers: Vec<String>,
    /// Its path from the container's.
    pub(crate) path: String,
}

impl Process {
    /// A program by its path inside the container, or by a name to find in the `PATH` of its environment.
    pub fn builder(program: impl Into<String>) -> ProcessBuilder {
        ProcessBuilder { args: vec![program.into()], cwd: "/".to_owned(), ..ProcessBuilder::default() }
    }

    /// The program that an OCI document describes, to which its standard input and output are to be added.
    ///
    /// Fails with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a field that this version lacks.
    pub fn from_spec(process: &oci::Process) -> Result<ProcessBuilder> {
        let oci::Process {
            terminal,
            console_size,
            user,
            args,
            env,
            cwd,
            capabilities: _,
            rlimits: _,
            no_new_privileges: _,
            apparmor_profile: _,
            oom_score_adj: _,
            scheduler: _,
            selinux_label: _,
            io_priority: _,
            exec_cpu_affinity: _,
        } = process;
        config::refuse(&config::USER, user)?;
        let oci::User { uid, gid, umask: _, additional_gids, username: _ } = user;
        Ok(ProcessBuilder {
            args: args.clone(),
            env: env.iter().map(|entry| split(entry)).collect::<Result<_>>()?,
            cwd: cwd.clone(),
            user: User::Ids { uid: *uid, gid: *gid },
            additional_gids: additional_gids.clone(),
            attributes: Attributes::from_spec(process),
            terminal: *terminal,
            console_size: console_size.filter(|_| *terminal),
            ..ProcessBuilder::default()
        })
    }

    /// What this program may do in a container: what it sets itself, and for the rest what the container sets.
    pub(crate) fn attributes_in(&self, config: &Config) -> Attributes {
        self.attributes.over(config.attributes())
    }
}

fn split(entry: &str) -> Result<(String, String)> {
    match entry.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Error::invalid(format!("invalid environment variable {entry:?}: missing '='"))),
    }
}

/// Who runs a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// By number.
    Ids {
        /// User id inside the container.
        uid: u32,
        /// Group id inside the container.
        gid: u32,
    },
    /// By name, resolved inside the container; what consists of digits is a number.
    Name {
        /// Of `/etc/passwd`.
        user: String,
        /// Of `/etc/group`; absent means the user's own.
        group: Option<String>,
    },
}

impl Default for User {
    fn default() -> Self {
        Self::Ids { uid: 0, gid: 0 }
    }
}

impl From<(u32, u32)> for User {
    fn from((uid, gid): (u32, u32)) -> Self {
        Self::Ids { uid, gid }
    }
}

impl From<&str> for User {
    /// Takes `user`, `user:group`, `uid`, `uid:gid` and their mixtures.
    fn from(text: &str) -> Self {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        match (user.parse(), group.map(str::parse)) {
            (Ok(uid), Some(Ok(gid))) => Self::Ids { uid, gid },
            _ => Self::Name { user: user.to_owned(), group: group.map(str::to_owned) },
        }
    }
}

/// Where a program's standard input, output and error go.
#[derive(Debug, Default)]
pub enum Stdio {
    /// `/dev/null`.
    #[default]
    Null,
    /// The caller's own.
    Inherit,
    /// These descriptors; the caller's flags on them stay as they are.
    Fds {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
}

#[cfg(test)]
mod tests;
