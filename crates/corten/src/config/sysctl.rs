//! Kernel parameters: their names, and which of them belong to a namespace (sysctl.d(5), namespaces(7)).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::fields::Fields;
use super::namespace::Namespace;
use crate::{Error, Result};

/// Those of the IPC namespace beside `fs/mqueue`.
const IPC: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// The path of a parameter below `/proc/sys`.
///
/// The first separator tells which it is: in `net.ipv4.conf.eth0/1.forwarding` a slash stands for a dot, in
/// `net/ipv4/conf/eth0.1/forwarding` a dot is a dot.
pub(crate) fn sysctl_path(name: &str) -> Result<String> {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path = match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('.') => name.chars().map(swap).collect(),
        _ => name.to_owned(),
    };
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::invalid(format!("invalid sysctl name {name:?}")));
    }
    Ok(path)
}

/// Refuses what would change the host.
pub(super) fn validate(fields: &Fields) -> Result<()> {
    fields.sysctl.keys().try_for_each(|name| {
        let path = sysctl_path(name)?;
        if path == "kernel/hostname" {
            return Err(Error::invalid(format!(
                "sysctl {name:?} is not allowed: hostname is a field of its own"
            )));
        }
        let Some(kind) = namespace_of(&path) else {
            return Err(Error::invalid(format!("sysctl {name:?} is not in a separate kernel namespace")));
        };
        if !fields.namespaces.contains(kind) {
            return Err(Error::invalid(format!(
                "sysctl {name:?} is not allowed without a {kind} namespace of the container's own"
            )));
        }
        Ok(())
    })
}

/// Refuses what would change the host by way of a namespace that is joined by path, and is the caller's own.
pub(super) fn check_host(fields: &Fields) -> Result<()> {
    for name in fields.sysctl.keys() {
        let Some(kind) = namespace_of(&sysctl_path(name)?) else { continue };
        let Some(path) = fields.namespaces.path_of(kind) else { continue };
        let identity = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
        let own = identity(&Path::new("/proc/thread-self/ns").join(kind.proc_name()));
        let joined = identity(path);
        let joined = joined
            .map_err(|error| Error::io(format!("find the {kind} namespace {}", path.display()), error))?;
        if own.is_ok_and(|own| own == joined) {
            return Err(Error::invalid(format!(
                "sysctl {name:?} is not allowed in the host's {kind} namespace"
            )));
        }
    }
    Ok(())
}

/// The kind of namespace that a parameter belongs to.
fn namespace_of(path: &str) -> Option<Namespace> {
    let (first, rest) = path.split_once('/')?;
    match first {
        "net" => Some(Namespace::Net),
        "user" => Some(Namespace::User),
        "fs" if rest.starts_with("mqueue/") => Some(Namespace::Ipc),
        "kernel" if IPC.contains(&rest) => Some(Namespace::Ipc),
        "kernel" if rest == "domainname" => Some(Namespace::Uts),
        _ => None,
    }
}
