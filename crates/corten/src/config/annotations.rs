//! Annotations of an OCI document that are more than words: those of crun that engines set, `run.oci.…`, and one of ours.

use std::path::PathBuf;

use super::landlock::{self, Landlock};
use crate::{Error, Result, oci};

/// What a document's annotations ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// `run.oci.keep_original_groups`: podman sets it for `--group-add keep-groups`.
    pub(super) keep_original_groups: bool,
    /// `run.oci.hooks.stdout`.
    pub(super) hook_stdout: Option<PathBuf>,
    /// `run.oci.hooks.stderr`.
    pub(super) hook_stderr: Option<PathBuf>,
    /// `run.oci.mount_context_type`: which mount option takes the label of mounts.
    pub(super) mount_context_type: Option<String>,
    /// What is asked for about the seccomp profile.
    pub(super) seccomp: OfSeccomp,
    /// `org.corten.process.landlock`: what the specification has no field for yet.
    pub(super) landlock: Option<Landlock>,
}

/// What the annotations say of the seccomp profile.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OfSeccomp {
    /// `run.oci.seccomp.receiver`: the agent's socket, where the profile names none.
    receiver: Option<PathBuf>,
    /// `run.oci.seccomp_fail_unknown_syscall`.
    fail_unknown: bool,
}

impl OfSeccomp {
    /// The profile with what is asked for.
    pub(super) fn apply(&self, mut profile: oci::Seccomp) -> Result<oci::Seccomp> {
        let unknown = corten_seccomp::unknown_calls(&profile);
        if self.fail_unknown && !unknown.is_empty() {
            return Err(Error::invalid(format!(
                "linux.seccomp: unknown system calls, and the annotation {FAIL_UNKNOWN} is set: {}",
                unknown.join(", ")
            )));
        }
        // A profile that asks nobody needs no agent.
        if let Some(receiver) = &self.receiver
            && corten_seccomp::notifies(&profile)
        {
            let named = profile.listener_path.take().filter(|path| !path.is_empty());
            profile.listener_path = named.or_else(|| Some(receiver.display().to_string()));
        }
        Ok(profile)
    }
}

const FAIL_UNKNOWN: &str = "run.oci.seccomp_fail_unknown_syscall";

/// What would make a weaker or another container if it were not heeded, and is for programs, hierarchies or objects that
/// corten does not have: see ARCHITECTURE.md.
const LACKING: [&str; 7] = [
    "run.oci.handler",
    "run.oci.systemd.force_cgroup_v1",
    "run.oci.systemd.subgroup",
    "run.oci.delegate-cgroup",
    "run.oci.seccomp.plugins",
    "run.oci.seccomp_bpf_data",
    "run.oci.timens_offset",
];

/// Reads the annotations; an empty value is none.
pub(super) fn read(annotations: &oci::Map<String>) -> Result<Asked> {
    let value = |name: &str| annotations.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if let Some(name) = LACKING.into_iter().find(|name| value(name).is_some()) {
        return Err(Error::unsupported(format!(
            "the annotation {name} is not supported by this version of corten"
        )));
    }
    let path = |name: &str| match value(name).map(PathBuf::from) {
        Some(path) if !path.is_absolute() => {
            Err(Error::invalid(format!("the annotation {name} is not an absolute path: {}", path.display())))
        }
        path => Ok(path),
    };
    let flag = |name: &str| match value(name) {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(Error::invalid(format!("the annotation {name} is neither 1 nor 0: {other:?}"))),
    };
    Ok(Asked {
        keep_original_groups: flag("run.oci.keep_original_groups")?,
        hook_stdout: path("run.oci.hooks.stdout")?,
        hook_stderr: path("run.oci.hooks.stderr")?,
        mount_context_type: value("run.oci.mount_context_type").map(str::to_owned),
        seccomp: OfSeccomp { receiver: path("run.oci.seccomp.receiver")?, fail_unknown: flag(FAIL_UNKNOWN)? },
        landlock: value(landlock::ANNOTATION).map(Landlock::from_annotation).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<Asked> {
        read(&oci::Map::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn what_engines_set_is_read() {
        for (value, kept) in [("1", true), ("true", true), ("0", false), ("", false)] {
            assert_eq!(one("run.oci.keep_original_groups", value).unwrap().keep_original_groups, kept);
        }
        let asked = one("run.oci.hooks.stderr", "/var/log/hooks").unwrap();
        assert_eq!(asked, Asked { hook_stderr: Some("/var/log/hooks".into()), ..Asked::default() });
        assert_eq!(one("org.example.run.oci.handler", "x").unwrap(), Asked::default());
    }

    #[test]
    fn a_profile_gets_its_agent_and_no_unknown_calls() {
        let profile = |action: &str, name: &str| oci::Seccomp {
            default_action: "SCMP_ACT_ALLOW".to_owned(),
            syscalls: vec![oci::SyscallRule {
                names: vec!["mkdir".to_owned(), name.to_owned()],
                action: action.to_owned(),
                ..oci::SyscallRule::default()
            }],
            ..oci::Seccomp::default()
        };
        let asked = one("run.oci.seccomp.receiver", "/run/agent").unwrap().seccomp;
        let path = |profile: oci::Seccomp| asked.apply(profile).unwrap().listener_path;
        assert_eq!(path(profile("SCMP_ACT_NOTIFY", "chmod")).as_deref(), Some("/run/agent"));
        assert_eq!(path(profile("SCMP_ACT_LOG", "chmod")), None);
        let named =
            oci::Seccomp { listener_path: Some("/own".to_owned()), ..profile("SCMP_ACT_NOTIFY", "chmod") };
        assert_eq!(path(named).as_deref(), Some("/own"));
        let strict = one(FAIL_UNKNOWN, "1").unwrap().seccomp;
        assert!(strict.apply(profile("SCMP_ACT_LOG", "chmod")).is_ok());
        let error = strict.apply(profile("SCMP_ACT_LOG", "no_such")).unwrap_err().to_string();
        assert!(error.contains("no_such") && error.contains(FAIL_UNKNOWN), "{error}");
        assert!(OfSeccomp::default().apply(profile("SCMP_ACT_LOG", "no_such")).is_ok());
    }

    #[test]
    fn what_makes_no_sense_or_is_not_there_is_named() {
        for (name, value) in [
            ("run.oci.keep_original_groups", "yes"),
            ("run.oci.hooks.stdout", "log"),
            ("run.oci.seccomp.receiver", "socket"),
            (FAIL_UNKNOWN, "maybe"),
        ] {
            assert!(one(name, value).unwrap_err().to_string().contains(name));
        }
        for name in LACKING {
            let error = one(name, "x").unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
            assert!(error.to_string().contains(name));
        }
    }
}
