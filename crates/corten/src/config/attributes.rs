//! What a program may do: what a container gives to all of its programs, and each program can have otherwise.

use serde::{Deserialize, Serialize};

use super::landlock::Landlock;
use super::names::{capability_mask, rlimit_resource};
use super::scheduling;
use crate::{Error, Result, oci};

/// Limits and privileges of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attributes {
    pub(crate) umask: Option<u32>,
    pub(crate) capabilities: Option<oci::Capabilities>,
    pub(crate) rlimits: Vec<oci::Rlimit>,
    pub(crate) no_new_privileges: Option<bool>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) apparmor_profile: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) landlock: Option<Landlock>,
    pub(crate) scheduler: Option<oci::Scheduler>,
    pub(crate) io_priority: Option<oci::IoPriority>,
    pub(crate) cpu_affinity: Option<oci::CpuAffinity>,
}

impl Attributes {
    /// The attributes among the fields of `process`; `Process::from_spec` takes the others.
    pub(crate) fn from_spec(process: &oci::Process) -> Self {
        let oci::Process {
            terminal: _,
            console_size: _,
            user,
            args: _,
            env: _,
            cwd: _,
            capabilities,
            rlimits,
            no_new_privileges,
            apparmor_profile,
            oom_score_adj,
            scheduler,
            selinux_label,
            io_priority,
            exec_cpu_affinity,
        } = process;
        let oci::User { uid: _, gid: _, umask, additional_gids: _, username: _ } = user;
        Self {
            umask: *umask,
            capabilities: capabilities.clone(),
            rlimits: rlimits.clone(),
            no_new_privileges: Some(*no_new_privileges),
            oom_score_adj: *oom_score_adj,
            apparmor_profile: non_empty(apparmor_profile),
            label: non_empty(selinux_label),
            landlock: None,
            scheduler: scheduler.clone(),
            io_priority: io_priority.clone(),
            cpu_affinity: exec_cpu_affinity.clone(),
        }
    }

    /// These attributes, and for each that is not set, the one of `base`.
    pub(crate) fn over(&self, base: &Self) -> Self {
        let own = self.clone();
        Self {
            umask: own.umask.or(base.umask),
            capabilities: own.capabilities.or_else(|| base.capabilities.clone()),
            rlimits: if own.rlimits.is_empty() { base.rlimits.clone() } else { own.rlimits },
            no_new_privileges: own.no_new_privileges.or(base.no_new_privileges),
            oom_score_adj: own.oom_score_adj.or(base.oom_score_adj),
            apparmor_profile: own.apparmor_profile.or_else(|| base.apparmor_profile.clone()),
            label: own.label.or_else(|| base.label.clone()),
            landlock: own.landlock.or_else(|| base.landlock.clone()),
            scheduler: own.scheduler.or_else(|| base.scheduler.clone()),
            io_priority: own.io_priority.or_else(|| base.io_priority.clone()),
            cpu_affinity: own.cpu_affinity.or_else(|| base.cpu_affinity.clone()),
        }
    }

    /// Refuses what cannot be.
    pub(super) fn validate(&self) -> Result<()> {
        if self.umask.is_some_and(|umask| umask > 0o777) {
            return Err(Error::invalid("umask has more than the nine permission bits"));
        }
        if self.oom_score_adj.is_some_and(|adj| !(-1000..=1000).contains(&adj)) {
            return Err(Error::invalid("oomScoreAdj is not between -1000 and 1000"));
        }
        for (index, rlimit) in self.rlimits.iter().enumerate() {
            let oci::Rlimit { typ, hard, soft } = rlimit;
            if rlimit_resource(typ).is_none() {
                return Err(Error::invalid(format!("invalid rlimit type: {typ}")));
            }
            if self.rlimits[..index].iter().any(|earlier| earlier.typ == *typ) {
                return Err(Error::invalid(format!("duplicate rlimit type: {typ}")));
            }
            if soft > hard {
                return Err(Error::invalid(format!("soft {typ} {soft} is above the hard limit {hard}")));
            }
        }
        self.scheduler.as_ref().map(scheduling::scheduler).transpose()?;
        self.io_priority.as_ref().map(scheduling::io_priority).transpose()?;
        self.cpu_affinity.as_ref().map(scheduling::cpus).transpose()?;
        let texts = [("apparmorProfile", &self.apparmor_profile), ("selinuxLabel", &self.label)];
        for (field, text) in texts {
            if text.as_ref().is_some_and(|text| text.is_empty() || text.contains(['\0', '\n'])) {
                return Err(Error::invalid(format!(
                    "{field} is empty, or has a character that no label has"
                )));
            }
        }
        self.landlock.as_ref().map_or(Ok(()), Landlock::validate)
    }

    /// What is ignored, one sentence each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let nice = self.scheduler.as_ref().and_then(scheduling::ignored_nice);
        self.unknown_capabilities().into_iter().chain(nice).collect()
    }

    /// The specification demands that unknown capabilities are ignored.
    fn unknown_capabilities(&self) -> Option<String> {
        let capabilities = self.capabilities.as_ref()?;
        let oci::Capabilities { bounding, effective, inheritable, permitted, ambient } = capabilities;
        let mut unknown: Vec<String> = Vec::new();
        for set in [bounding, effective, inheritable, permitted, ambient] {
            unknown.extend(capability_mask(set).1);
        }
        unknown.sort_unstable();
        unknown.dedup();
        let some = !unknown.is_empty();
        some.then(|| format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" ")))
    }
}

/// Go programs leave out an empty string or write it; it means the same.
pub(super) fn non_empty(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}
