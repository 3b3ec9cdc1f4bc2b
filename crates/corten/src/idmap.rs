//! Writing the id mappings of a new user namespace (user_namespaces(7)).

use std::path::PathBuf;
use std::process::Command;

use corten_init::namespaces::map_lines;
use rustix::io::Errno;

use crate::oci::IdMapping;
use crate::{Config, Error, ErrorKind, Namespace, Result};

/// How the mappings of a configuration are written by this caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing is to be written: no new user namespace.
    None,
    /// By this process, which may map any id.
    Direct,
    /// By this process, which may map its own ids only, and must deny setgroups(2) for that.
    OwnId,
    /// By newuidmap(1) and newgidmap(1), which know what /etc/subuid and /etc/subgid grant.
    Helpers,
}

/// Chooses the way: a person who is not root can map more than their own id only through the helpers.
pub(crate) fn way(config: &Config) -> Way {
    if !config.namespaces().is_new(Namespace::User) {
        return Way::None;
    }
    let (euid, egid) = (rustix::process::geteuid(), rustix::process::getegid());
    if may_map_any() {
        return Way::Direct;
    }
    let only =
        |mappings: &[IdMapping], own: u32| matches!(mappings, [one] if one.size == 1 && one.host_id == own);
    if only(config.uid_mappings(), euid.as_raw()) && only(config.gid_mappings(), egid.as_raw()) {
        return Way::OwnId;
    }
    Way::Helpers
}

/// Whether this process may write any mapping: that takes CAP_SETUID and CAP_SETGID in its own user namespace.
fn may_map_any() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Writes the mappings of the process `pid`, which waits for them.
pub(crate) fn write(pid: i32, config: &Config) -> Result<()> {
    match way(config) {
        Way::None => Ok(()),
        Way::Direct => write_files(pid, config, false),
        Way::OwnId => write_files(pid, config, true),
        Way::Helpers => {
            helper("newuidmap", "/etc/subuid", pid, config.uid_mappings())?;
            helper("newgidmap", "/etc/subgid", pid, config.gid_mappings())
        }
    }
}

fn write_files(pid: i32, config: &Config, deny_setgroups: bool) -> Result<()> {
    if deny_setgroups {
        put(pid, "setgroups", "deny")?;
    }
    put(pid, "uid_map", &map_lines(config.uid_mappings()))?;
    put(pid, "gid_map", &map_lines(config.gid_mappings()))
}

fn put(pid: i32, file: &str, text: &str) -> Result<()> {
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    std::fs::write(&path, text).map_err(|error| {
        let doing = format!("write {:?} to {}", text.trim_end(), path.display());
        match Errno::from_io_error(&error) {
            Some(Errno::INVAL) => {
                Error::invalid(format!("{doing}: the kernel does not accept these id mappings"))
            }
            _ => Error::io(doing, error),
        }
    })
}

fn helper(program: &str, grants: &str, pid: i32, mappings: &[IdMapping]) -> Result<()> {
    let numbers = mappings.iter().flat_map(|m| [m.container_id, m.host_id, m.size]);
    let output = Command::new(program).arg(pid.to_string()).args(numbers.map(|n| n.to_string())).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "{program} does not map these ids: {} ({grants} says which a user may map)",
                String::from_utf8_lossy(&output.stderr).trim()
            ),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::unsupported(format!(
            "to map ids other than one's own, an ordinary user needs {program}, which is not installed (package uidmap)"
        ))),
        Err(error) => Err(Error::io(format!("run {program}"), error)),
    }
}
