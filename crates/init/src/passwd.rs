//! Users and groups as the container's own `/etc/passwd` and `/etc/group` have them (passwd(5), group(5)).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use crate::payload::{Process, User};
use crate::{Doing, Failure, Kind, Result};

/// A user, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// Home directory, where there is an entry that names one.
    pub(crate) home: Option<String>,
}

/// Larger files than this are not read: the container made them.
const LARGEST: u64 = 1 << 20;

/// Resolves the user of a process inside the container, whose root is this process's.
pub(crate) fn resolve(process: &Process) -> Result<Identity> {
    let has_home =
        process.env.iter().any(|entry| entry.strip_prefix("HOME=").is_some_and(|home| !home.is_empty()));
    let by_name = matches!(process.user, User::Name { .. });
    let passwd = if by_name || !has_home { read("/etc/passwd")? } else { String::new() };
    let group =
        if by_name || !process.additional_groups.is_empty() { read("/etc/group")? } else { String::new() };
    identify(process, &passwd, &group)
}

fn identify(process: &Process, passwd: &str, group: &str) -> Result<Identity> {
    let mut identity = match &process.user {
        User::Ids { uid, gid } => Identity { uid: *uid, gid: *gid, groups: Vec::new(), home: None },
        User::Name { user, group: wanted } => named(user, wanted.as_deref(), passwd, group)?,
    };
    identity.home = users(passwd).find(|entry| entry.uid == identity.uid).map(|entry| entry.home.to_owned());
    identity.groups.extend(&process.additional_gids);
    for name in &process.additional_groups {
        let gid = groups(group).find(|entry| entry.name == name).map(|entry| entry.gid);
        let gid = gid.or_else(|| name.parse().ok()).ok_or_else(|| unknown("group", name, "/etc/group"))?;
        identity.groups.push(gid);
    }
    Ok(identity)
}

/// A number is a number even where a user has it for a name (CVE-2016-3697).
fn named(user: &str, wanted: Option<&str>, passwd: &str, group: &str) -> Result<Identity> {
    let number: Option<u32> = user.parse().ok();
    let entry = match number {
        Some(uid) => users(passwd).find(|entry| entry.uid == uid),
        None => Some(
            users(passwd)
                .find(|entry| entry.name == user)
                .ok_or_else(|| unknown("user", user, "/etc/passwd"))?,
        ),
    };
    let uid = entry.as_ref().map(|entry| entry.uid).or(number).unwrap_or_default();
    let mut supplementary = Vec::new();
    let gid = match wanted {
        Some(wanted) => match wanted.parse() {
            Ok(gid) => gid,
            Err(_) => groups(group)
                .find(|entry| entry.name == wanted)
                .map(|entry| entry.gid)
                .ok_or_else(|| unknown("group", wanted, "/etc/group"))?,
        },
        None => {
            let name = entry.as_ref().map(|entry| entry.name);
            let of = |entry: &Group<'_>| name.is_some_and(|name| entry.members.split(',').any(|m| m == name));
            supplementary = groups(group).filter(of).map(|entry| entry.gid).collect();
            entry.as_ref().map_or(0, |entry| entry.gid)
        }
    };
    Ok(Identity { uid, gid, groups: supplementary, home: None })
}

fn unknown(what: &str, name: &str, file: &str) -> Failure {
    Failure::new(
        Kind::Invalid,
        format!("unable to find {what} {name}: no matching entries in the container's {file}"),
    )
}

struct UserEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// The lines of a file of entries that may be one.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.contains('\0'))
}

/// An id. The largest number is none: setresuid(2) and its kin take it for "no change", so it would leave root root.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

/// Entries of a passwd(5) file; lines that are none are passed over.
fn users(text: &str) -> impl Iterator<Item = UserEntry<'_>> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (id(fields.next()?)?, id(fields.next()?)?);
        let (_comment, home) = (fields.next()?, fields.next()?);
        Some(UserEntry { name, uid, gid, home })
    })
}

/// Entries of a group(5) file; lines that are none are passed over.
fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some(Group { name, gid: id(fields.next()?)?, members: fields.next().unwrap_or_default() })
    })
}

/// Reads a file that the container may have made anything of: a FIFO must not hold us up, nor a device fill our memory.
fn read(path: &str) -> Result<String> {
    let doing = || format!("read {path}");
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let open = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match open {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(String::new()),
        other => other.doing(doing)?,
    };
    if !file.metadata().doing(doing)?.is_file() {
        return Err(Failure::new(Kind::Invalid, format!("{path} in the container is not a regular file")));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).doing(doing)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbad line\ndaemon:x:1:2:d:/usr/sbin:/bin/false\n7:x:70:71::/seven:\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:daemon,other\nwheel:x:10:daemon\n";

    fn process(user: User) -> Process {
        Process {
            args: vec![],
            env: vec![],
            cwd: "/".into(),
            user,
            additional_gids: vec![99],
            additional_groups: vec!["adm".into()],
            keep_groups: false,
            umask: 0,
            capabilities: None,
            no_new_privileges: false,
            labels: crate::payload::Labels::default(),
            landlock: None,
            parent_death_signal: 0,
            terminal: None,
            inherit: 0,
            keyring: None,
            reaper: false,
            scheduler: None,
            io_priority: None,
            memory_policy: None,
            personality: None,
            seccomp: None,
        }
    }

    fn name(user: &str, group: Option<&str>) -> User {
        User::Name { user: user.into(), group: group.map(str::to_owned) }
    }

    #[test]
    fn a_name_brings_its_group_its_further_groups_and_its_home() {
        let found = identify(&process(name("daemon", None)), PASSWD, GROUP).unwrap();
        let home = Some("/usr/sbin".to_owned());
        assert_eq!(found, Identity { uid: 1, gid: 2, groups: vec![4, 10, 99, 4], home });
    }

    #[test]
    fn a_number_is_never_taken_for_a_name() {
        let found = identify(&process(name("7", Some("wheel"))), PASSWD, GROUP).unwrap();
        assert_eq!((found.uid, found.gid, found.home), (7, 10, None));
        let found = identify(&process(User::Ids { uid: 70, gid: 5 }), PASSWD, GROUP).unwrap();
        assert_eq!((found.uid, found.gid, found.home.as_deref()), (70, 5, Some("/seven")));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_it() {
        let failure = identify(&process(name("nobody", None)), PASSWD, GROUP).unwrap_err();
        assert!(failure.what.contains("unable to find user nobody"), "{failure}");
        let failure = identify(&process(name("root", Some("cats"))), PASSWD, GROUP).unwrap_err();
        assert!(failure.what.contains("unable to find group cats"), "{failure}");
    }

    #[test]
    fn an_entry_cannot_leave_a_program_who_it_was() {
        let passwd = "evil:x:4294967295:0::/:\nhalf:x:5:4294967295::/:\nnul:x:6:6::/\0:\n";
        let group = "evil:x:4294967295:\n";
        for (user, wanted) in [("evil", None), ("half", None), ("nul", None), ("5", Some("evil"))] {
            let failure = identify(&process(name(user, wanted)), passwd, group).unwrap_err();
            assert!(failure.what.contains("unable to find"), "{failure}");
        }
    }
}
