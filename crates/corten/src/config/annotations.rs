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
    /// `org.corten.process.landlock`: what the specification has no field for yet.
    pub(super) landlock: Option<Landlock>,
}

/// What would make a weaker or another container if it were not heeded.
const LACKING: [&str; 8] = [
    "run.oci.handler",
    "run.oci.systemd.force_cgroup_v1",
    "run.oci.systemd.subgroup",
    "run.oci.delegate-cgroup",
    "run.oci.seccomp.receiver",
    "run.oci.seccomp.plugins",
    "run.oci.seccomp_fail_unknown_syscall",
    "run.oci.seccomp_bpf_data",
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
    let keep = "run.oci.keep_original_groups";
    let keep_original_groups = match value(keep) {
        None | Some("0" | "false") => false,
        Some("1" | "true") => true,
        Some(other) => {
            return Err(Error::invalid(format!("the annotation {keep} is neither 1 nor 0: {other:?}")));
        }
    };
    Ok(Asked {
        keep_original_groups,
        hook_stdout: path("run.oci.hooks.stdout")?,
        hook_stderr: path("run.oci.hooks.stderr")?,
        mount_context_type: value("run.oci.mount_context_type").map(str::to_owned),
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
    fn what_makes_no_sense_or_is_not_there_is_named() {
        for (name, value) in [("run.oci.keep_original_groups", "yes"), ("run.oci.hooks.stdout", "log")] {
            assert!(one(name, value).unwrap_err().to_string().contains(name));
        }
        for name in LACKING {
            let error = one(name, "x").unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
            assert!(error.to_string().contains(name));
        }
    }
}
