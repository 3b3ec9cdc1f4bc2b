//! What the security modules of this machine can do: asked before a start, so that a program never runs with less than it
//! was to have.

use std::fs;
use std::path::Path;

use corten_init::payload::Landlock as Order;
use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;

use crate::config::Attributes;
use crate::config::landlock::{FS, NET, Right, SCOPED};
use crate::oci::Capabilities;
use crate::{Error, Landlock, Result};

/// Refuses a profile that cannot be applied here, as far as that is to be seen from outside.
pub(crate) fn check_apparmor(profile: &str) -> Result<()> {
    if !apparmor_is_active() {
        return Err(Error::unsupported(format!(
            "unable to apply apparmor profile {profile:?}: apparmor: config provided but apparmor not supported (this \
             machine has no AppArmor, or it is off)"
        )));
    }
    // Only root of the host may read the list; where it cannot be read, the kernel says it later.
    let Ok(loaded) = fs::read_to_string("/sys/kernel/security/apparmor/profiles") else { return Ok(()) };
    if is_loaded(profile, &loaded) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "unable to apply apparmor profile {profile:?}: it is not loaded (apparmor_parser(8) loads one; \
         /sys/kernel/security/apparmor/profiles lists them)"
    )))
}

/// Whether AppArmor is there and on.
pub(crate) fn apparmor_is_active() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
}

/// Whether a profile is among the lines `NAME (MODE)`. Of stacks and other namespaces the list says nothing.
fn is_loaded(profile: &str, list: &str) -> bool {
    let listed = |line: &str| line.rsplit_once(" (").is_some_and(|(name, _)| name == profile);
    profile == "unconfined"
        || profile.starts_with([':', '&'])
        || profile.contains("//&")
        || list.lines().any(listed)
}

/// Refuses a label where SELinux is not active, or has no policy that would give it a meaning.
pub(crate) fn check_selinux(label: &str) -> Result<()> {
    if selinux_is_active() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "selinux label is specified in config, but selinux is disabled or not supported: {label:?}"
    )))
}

/// Its file system is mounted, for writing too (that of a container is not), and a policy has named this process.
pub(crate) fn selinux_is_active() -> bool {
    const SELINUX_MAGIC: i64 = 0xf97c_ff8c;
    let place = Path::new("/sys/fs/selinux");
    let mounted = rustix::fs::statfs(place).is_ok_and(|status| status.f_type == SELINUX_MAGIC);
    let writable =
        rustix::fs::statvfs(place).is_ok_and(|status| !status.f_flag.contains(StatVfsMountFlags::RDONLY));
    let label = fs::read_to_string("/proc/thread-self/attr/current").unwrap_or_default();
    mounted && writable && !matches!(label.trim_end_matches(['\0', '\n']), "" | "kernel")
}

/// The ruleset of a program for this machine's kernel; what is left out is warned of.
pub(crate) fn landlock(attributes: &Attributes) -> Result<Option<Order>> {
    let Some(landlock) = &attributes.landlock else { return Ok(None) };
    if !may_restrict_itself(attributes) {
        return Err(Error::invalid(
            "landlock needs noNewPrivileges, or CAP_SYS_ADMIN in the effective set of the program",
        ));
    }
    let abi = landlock_abi().map_err(|errno| Error::io("ask for the version of Landlock", errno))?;
    let (order, left_out) = order(landlock, abi);
    if left_out.is_empty() {
        return Ok(order);
    }
    let have = match abi {
        0 => "this kernel has no Landlock, or it is off".to_owned(),
        abi => format!("this kernel has ABI {abi}"),
    };
    let message = format!("landlock: {have}, and no {}", left_out.join(", "));
    if landlock.best_effort {
        tracing::warn!("{message}: not restricted");
        return Ok(order);
    }
    Err(Error::unsupported(format!("{message} (\"disableBestEffort\": false does without)")))
}

/// The version of Landlock's interface (landlock(7)); 0 where there is none, or it is off.
pub(crate) fn landlock_abi() -> rustix::io::Result<u32> {
    match corten_sys::landlock::abi() {
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => Ok(0),
        answer => answer,
    }
}

/// Whether the kernel will let the program's last steps put a ruleset in force, as far as that is known.
fn may_restrict_itself(attributes: &Attributes) -> bool {
    let able = |sets: &Capabilities| sets.effective.iter().any(|name| name == "CAP_SYS_ADMIN");
    attributes.no_new_privileges.unwrap_or(false) || attributes.capabilities.as_ref().is_none_or(able)
}

/// The ruleset for a version of the interface, if it handles anything there, and the rights that it lacks.
fn order(landlock: &Landlock, abi: u32) -> (Option<Order>, Vec<String>) {
    let Landlock { ruleset, rules, best_effort: _ } = landlock;
    let mut left_out = Vec::new();
    let mut handled = |names: &[String], rights: &[Right]| {
        let lacking = named(names, rights).filter(|(_, _, since)| *since > abi);
        left_out.extend(lacking.map(|(name, _, since)| format!("{name} (since ABI {since})")));
        bits(names, rights, abi)
    };
    let fs = handled(&ruleset.handled_access_fs, &FS);
    let net = handled(&ruleset.handled_access_net, &NET);
    let scoped = handled(&ruleset.scoped, &SCOPED);
    let paths = rules.path_beneath.iter().flat_map(|rule| {
        let allowed = bits(&rule.allowed_access, &FS, abi);
        rule.paths.iter().map(move |path| (path.clone(), allowed))
    });
    let ports = rules.net_port.iter().flat_map(|rule| {
        let allowed = bits(&rule.allowed_access, &NET, abi);
        rule.ports.iter().map(move |port| (*port, allowed))
    });
    // The kernel takes no rule that allows nothing.
    let paths = paths.filter(|(_, allowed)| *allowed != 0).collect();
    let ports = ports.filter(|(_, allowed)| *allowed != 0).collect();
    let any = fs | net | scoped != 0;
    (any.then_some(Order { fs, net, scoped, paths, ports }), left_out)
}

fn named(names: &[String], rights: &[Right]) -> impl Iterator<Item = Right> {
    rights.iter().copied().filter(|(known, _, _)| names.iter().any(|name| name == known))
}

/// The bits of these rights that a version of the interface knows.
fn bits(names: &[String], rights: &[Right], abi: u32) -> u64 {
    named(names, rights).filter(|(_, _, since)| *since <= abi).fold(0, |bits, (_, bit, _)| bits | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"ruleset":{"handledAccessFS":["execute","refer","ioctl_dev"],"handledAccessNet":["connect_tcp"],
        "scoped":["signal"]},"rules":{"pathBeneath":[{"allowedAccess":["execute","refer"],"paths":["/a","/b"]},
        {"allowedAccess":["ioctl_dev"],"paths":["/dev"]}],"netPort":[{"allowedAccess":["connect_tcp"],"ports":[80]}]}}"#;

    #[test]
    fn each_version_of_the_interface_gets_what_it_knows() {
        let policy: Landlock = serde_json::from_str(POLICY).unwrap();
        let all = order(&policy, 7);
        let rule = |path: &str, allowed| (path.to_owned(), allowed);
        let (execute, refer, ioctl) = (1, 1 << 13, 1 << 15);
        let expected = Order {
            fs: execute | refer | ioctl,
            net: 2,
            scoped: 2,
            paths: vec![rule("/a", execute | refer), rule("/b", execute | refer), rule("/dev", ioctl)],
            ports: vec![(80, 2)],
        };
        assert_eq!(all, (Some(expected), Vec::new()));
        let (first, lacking) = order(&policy, 1);
        let first = first.unwrap();
        assert_eq!((first.fs, first.net, first.scoped), (execute, 0, 0));
        assert_eq!(first.paths, [rule("/a", execute), rule("/b", execute)]);
        assert!(first.ports.is_empty());
        let expected = [
            "refer (since ABI 2)",
            "ioctl_dev (since ABI 5)",
            "connect_tcp (since ABI 4)",
            "signal (since ABI 6)",
        ];
        assert_eq!(lacking, expected);
        let (none, lacking) = order(&policy, 0);
        assert_eq!((none, lacking.len()), (None, 5));
    }

    #[test]
    fn profiles_are_found_in_the_kernels_list() {
        let list =
            "docker-default (enforce)\n/usr/bin/man//filter (complain)\nname (with) blanks (enforce)\n";
        for loaded in ["docker-default", "/usr/bin/man//filter", "name (with) blanks", "unconfined"] {
            assert!(is_loaded(loaded, list), "{loaded}");
        }
        assert!(
            is_loaded(":ns:profile", list) && is_loaded("&:ns:profile", list) && is_loaded("a//&b", list)
        );
        for missing in ["docker", "docker-default (enforce)", ""] {
            assert!(!is_loaded(missing, list), "{missing}");
        }
    }
}
