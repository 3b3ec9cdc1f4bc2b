//! `corten spec`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use corten::oci::{IdMapping, Mount, Namespace, Spec as Document, default_spec};

use crate::error::{Doing, Error, Result};

/// Write a config.json to start from
#[derive(Debug, clap::Args)]
pub struct Spec {
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIRECTORY", default_value = ".", hide_default_value = true)]
    bundle: PathBuf,
    /// For a container of an ordinary user
    #[arg(long)]
    rootless: bool,
}

/// Runs the command.
pub fn run(arguments: &Spec) -> Result<i32> {
    let path = arguments.bundle.join("config.json");
    let mut document = default_spec();
    if arguments.rootless {
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        document = rootless(document, user, group);
    }
    let text = super::pretty(&document, b"\t")?;
    let mut file =
        File::options().write(true).create_new(true).open(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Error::usage("File config.json exists. Remove it first".to_owned())
            }
            _ => Error::System { what: format!("write {}", path.display()), source },
        })?;
    writeln!(file, "{text}").doing(|| format!("write {}", path.display()))?;
    Ok(0)
}

/// What an ordinary user may have: a user namespace, the caller's network, and nothing that needs root on the host.
fn rootless(mut document: Document, user: u32, group: u32) -> Document {
    let mapping = |host| vec![IdMapping { container_id: 0, host_id: host, size: 1 }];
    let linux = document.linux.get_or_insert_default();
    linux.namespaces.retain(|namespace| !["network", "user"].contains(&namespace.typ.as_str()));
    linux.namespaces.push(Namespace { typ: "user".to_owned(), path: None });
    linux.uid_mappings = mapping(user);
    linux.gid_mappings = mapping(group);
    linux.resources = None;
    // A sysfs of one's own needs a network namespace of one's own.
    document.mounts.retain(|mount| !mount.destination.starts_with("/sys"));
    for mount in &mut document.mounts {
        mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
    }
    document.mounts.push(Mount {
        destination: "/sys".to_owned(),
        typ: Some("none".to_owned()),
        source: Some("/sys".to_owned()),
        options: ["rbind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec(),
        ..Mount::default()
    });
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_user_gets_a_user_namespace_and_no_limits() {
        let document = rootless(default_spec(), 1000, 100);
        let linux = document.linux.unwrap();
        let kinds: Vec<_> = linux.namespaces.iter().map(|namespace| namespace.typ.as_str()).collect();
        assert!(kinds.contains(&"user") && !kinds.contains(&"network"), "{kinds:?}");
        assert_eq!((linux.uid_mappings[0].host_id, linux.gid_mappings[0].host_id), (1000, 100));
        assert!(linux.resources.is_none());
        assert!(document.mounts.iter().all(|mount| !mount.options.contains(&"gid=5".to_owned())));
        assert_eq!(document.mounts.iter().filter(|mount| mount.destination.starts_with("/sys")).count(), 1);
    }
}
