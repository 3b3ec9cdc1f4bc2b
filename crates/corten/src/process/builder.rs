//! Building a process.

use std::os::fd::OwnedFd;

use super::{Process, Stdio, SubCgroup, User};
use crate::config::{Attributes, validate_attributes};
use crate::oci::{self, ConsoleSize};
use crate::{Error, Landlock, Result};

/// Builds a [`Process`].
#[derive(Debug, Default)]
#[must_use]
pub struct ProcessBuilder {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: String,
    pub(super) user: User,
    pub(super) additional_gids: Vec<u32>,
    pub(super) additional_groups: Vec<String>,
    pub(super) attributes: Attributes,
    pub(super) terminal: bool,
    pub(super) console_size: Option<ConsoleSize>,
    pub(super) console_socket: Option<OwnedFd>,
    pub(super) stdio: Stdio,
    pub(super) preserve_fds: Vec<OwnedFd>,
    pub(super) listen_fds: u32,
    pub(super) init_reaper: bool,
    pub(super) sub_cgroups: Vec<SubCgroup>,
}

impl ProcessBuilder {
    /// One more argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// More arguments.
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// One more variable of the environment, which is empty at first; of a key given twice the last counts.
    ///
    /// Where `HOME` is missing, the program gets the one of its user in the container's `/etc/passwd`.
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// More variables of the environment; see [`ProcessBuilder::env`].
    pub fn envs<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.env.extend(variables.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// An environment without any variable.
    pub fn clear_env(mut self) -> Self {
        self.env.clear();
        self
    }

    /// Working directory: an absolute path inside the container, `/` by default, which is made where it is missing.
    pub fn cwd(mut self, path: impl Into<String>) -> Self {
        self.cwd = path.into();
        self
    }

    /// Who runs it: `"daemon"`, `"1000:1000"`, a [`User`]; by default user and group 0 of the container.
    pub fn user(mut self, user: impl Into<User>) -> Self {
        self.user = user.into();
        self
    }

    /// Further group ids.
    pub fn additional_gids(mut self, gids: impl IntoIterator<Item = u32>) -> Self {
        self.additional_gids = gids.into_iter().collect();
        self
    }

    /// Further groups by name, resolved inside the container.
    pub fn additional_groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.additional_groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// File mode creation mask; by default the container's.
    pub fn umask(mut self, umask: u32) -> Self {
        self.attributes.umask = Some(umask);
        self
    }

    /// Capability sets (capabilities(7)); by default the container's.
    pub fn capabilities(mut self, capabilities: oci::Capabilities) -> Self {
        self.attributes.capabilities = Some(capabilities);
        self
    }

    /// One more resource limit, each type once (getrlimit(2)); with none, the container's.
    pub fn rlimit(mut self, rlimit: oci::Rlimit) -> Self {
        self.attributes.rlimits.push(rlimit);
        self
    }

    /// Resource limits in place of those so far; see [`ProcessBuilder::rlimit`].
    pub fn rlimits(mut self, rlimits: Vec<oci::Rlimit>) -> Self {
        self.attributes.rlimits = rlimits;
        self
    }

    /// Whether execve(2) may no longer grant privileges; by default as the container has it.
    pub fn no_new_privileges(mut self, yes: bool) -> Self {
        self.attributes.no_new_privileges = Some(yes);
        self
    }

    /// Adjustment of the out-of-memory killer's badness, -1000 to 1000 (proc(5)); by default the container's.
    pub fn oom_score_adj(mut self, adjustment: i32) -> Self {
        self.attributes.oom_score_adj = Some(adjustment);
        self
    }

    /// AppArmor profile, in force from the execve(2) on; by default the container's.
    pub fn apparmor_profile(mut self, profile: impl Into<String>) -> Self {
        self.attributes.apparmor_profile = Some(profile.into());
        self
    }

    /// SELinux label of the program, in force from the execve(2) on, and of its session keyring; by default the container's.
    pub fn selinux_label(mut self, label: impl Into<String>) -> Self {
        self.attributes.label = Some(label.into());
        self
    }

    /// What it may no longer do, in place of what the container's programs may not. It needs
    /// [`no_new_privileges`](Self::no_new_privileges), or CAP_SYS_ADMIN in its effective set.
    pub fn landlock(mut self, landlock: Landlock) -> Self {
        self.attributes.landlock = Some(landlock);
        self
    }

    /// Scheduling policy; by default the container's. See [`ConfigBuilder::scheduler`](crate::ConfigBuilder::scheduler).
    pub fn scheduler(mut self, scheduler: oci::Scheduler) -> Self {
        self.attributes.scheduler = Some(scheduler);
        self
    }

    /// I/O priority (ioprio_set(2)); by default the container's.
    pub fn io_priority(mut self, priority: oci::IoPriority) -> Self {
        self.attributes.io_priority = Some(priority);
        self
    }

    /// The CPUs of a program that joins a running container; by default what the container says. See
    /// [`ConfigBuilder::exec_cpu_affinity`](crate::ConfigBuilder::exec_cpu_affinity).
    pub fn cpu_affinity(mut self, affinity: oci::CpuAffinity) -> Self {
        self.attributes.cpu_affinity = Some(affinity);
        self
    }

    /// A pseudo-terminal as standard input, output and error, of this size if one is given.
    ///
    /// The other end is taken from the running program's handle, or sent to the
    /// [console socket](ProcessBuilder::console_socket).
    pub fn terminal(mut self, size: impl Into<Option<ConsoleSize>>) -> Self {
        self.terminal = true;
        self.console_size = size.into();
        self
    }

    /// A connected Unix stream socket that the other end of the terminal is sent to.
    pub fn console_socket(mut self, socket: OwnedFd) -> Self {
        self.console_socket = Some(socket);
        self
    }

    /// Where standard input, output and error go; by default `/dev/null`. Not with a terminal, which is all three.
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.stdio = stdio;
        self
    }

    /// Further descriptors, which the program has as 3, 4, …
    pub fn preserve_fds(mut self, fds: Vec<OwnedFd>) -> Self {
        self.preserve_fds = fds;
        self
    }

    /// How many of the [further descriptors](ProcessBuilder::preserve_fds), from the first on, are sockets to listen on:
    /// the program is told with `LISTEN_FDS` and `LISTEN_PID` (sd_listen_fds(3)).
    pub fn listen_fds(mut self, count: u32) -> Self {
        self.listen_fds = count;
        self
    }

    /// Whether a small process 1 stands before the program, which reaps orphans and forwards signals.
    /// The program's AppArmor profile, SELinux label and Landlock ruleset are not that process's.
    pub fn init_reaper(mut self, yes: bool) -> Self {
        self.init_reaper = yes;
        self
    }

    /// A control group below the container's to run in, by its path from there; for a program that joins a running
    /// container. `/` is the container's own.
    ///
    /// Without this it is the container's own, but on cgroup v2 that of the first program, where the container has enabled
    /// controllers for the groups below its own, which can then have no processes.
    pub fn sub_cgroup(mut self, path: impl Into<String>) -> Self {
        self.sub_cgroups = vec![SubCgroup { controllers: Vec::new(), path: path.into() }];
        self
    }

    /// The same in the hierarchies of these controllers of cgroup v1 alone, each controller once; the path goes on from
    /// that of [`ProcessBuilder::sub_cgroup`], if there is one.
    pub fn sub_cgroup_of(
        mut self,
        controllers: impl IntoIterator<Item = impl Into<String>>,
        path: impl Into<String>,
    ) -> Self {
        let controllers = controllers.into_iter().map(Into::into).collect();
        self.sub_cgroups.push(SubCgroup { controllers, path: path.into() });
        self
    }

    /// Checks everything that can be known without the container.
    ///
    /// Fails with [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) where fields are wrong or contradict
    /// each other, and with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where this version lacks something.
    pub fn build(self) -> Result<Process> {
        self.validate()?;
        validate_attributes(&self.attributes)?;
        Ok(Process {
            env: self.environment()?,
            args: self.args,
            cwd: self.cwd,
            user: self.user,
            additional_gids: self.additional_gids,
            additional_groups: self.additional_groups,
            attributes: self.attributes,
            terminal: self.terminal,
            console_size: self.console_size,
            console_socket: self.console_socket,
            stdio: self.stdio,
            preserve_fds: self.preserve_fds,
            init_reaper: self.init_reaper,
            sub_cgroups: self.sub_cgroups,
        })
    }

    fn validate(&self) -> Result<()> {
        let below = self.sub_cgroups.iter().map(|group| &group.path);
        let names = self.additional_groups.iter().chain(below);
        let mut texts: Vec<&String> = self.args.iter().chain([&self.cwd]).chain(names).collect();
        if let User::Name { user, group } = &self.user {
            if user.is_empty() || group.as_ref().is_some_and(String::is_empty) {
                return Err(Error::invalid("the name of a user or a group is empty"));
            }
            texts.push(user);
            texts.extend(group);
        }
        if let Some(text) = texts.into_iter().find(|text| text.contains('\0')) {
            return Err(Error::invalid(format!("{text:?} contains a NUL byte")));
        }
        self.ids()?;
        if !self.cwd.starts_with('/') && !self.cwd.is_empty() {
            return Err(Error::invalid(format!("cwd must be an absolute path, not {:?}", self.cwd)));
        }
        let own_stdio = !matches!(self.stdio, Stdio::Null);
        let listening = usize::try_from(self.listen_fds).unwrap_or(usize::MAX);
        let upwards = |group: &SubCgroup| group.path.split('/').any(|part| part == "..");
        let problem = match () {
            () if self.args.first().is_none_or(String::is_empty) => "args must not be empty",
            () if self.cwd.is_empty() => "cwd must not be empty",
            () if self.terminal && own_stdio => "a terminal is standard input, output and error already",
            () if self.console_socket.is_some() && !self.terminal => "a console socket needs a terminal",
            () if listening > self.preserve_fds.len() => {
                "there are fewer descriptors than sockets to listen on"
            }
            () if listening > 0 && self.init_reaper => "only process 1 can be told of sockets to listen on",
            () if self.sub_cgroups.iter().any(upwards) => "the cgroup is not below the container's",
            () => return Ok(()),
        };
        Err(Error::invalid(problem))
    }

    /// The largest number is no id: setresuid(2) and its kin take it for "no change", so it would leave root root.
    fn ids(&self) -> Result<()> {
        let user = match &self.user {
            User::Ids { uid, gid } => vec![Some(*uid), Some(*gid)],
            User::Name { user, group } => {
                vec![user.parse().ok(), group.as_ref().and_then(|group| group.parse().ok())]
            }
        };
        let groups = self.additional_groups.iter().filter_map(|group| group.parse().ok());
        let mut ids = user.into_iter().flatten().chain(self.additional_gids.iter().copied()).chain(groups);
        match ids.find(|id| *id == u32::MAX) {
            Some(id) => Err(Error::invalid(format!("{id} is not the id of a user or a group"))),
            None => Ok(()),
        }
    }

    /// The environment as execve(2) takes it; of a key given twice the last counts.
    fn environment(&self) -> Result<Vec<String>> {
        let listen = [("LISTEN_FDS", self.listen_fds.to_string()), ("LISTEN_PID", "1".to_owned())];
        let listen = listen.into_iter().filter(|_| self.listen_fds > 0);
        let listen = listen.map(|(key, value)| (key.to_owned(), value));
        let mut variables = oci::Map::new();
        for (key, value) in self.env.iter().cloned().chain(listen) {
            if key.is_empty() || key.contains('=') || key.contains('\0') || value.contains('\0') {
                return Err(Error::invalid(format!("invalid environment variable {key:?}={value:?}")));
            }
            variables.insert(key, value);
        }
        Ok(variables.into_iter().map(|(key, value)| format!("{key}={value}")).collect())
    }
}
