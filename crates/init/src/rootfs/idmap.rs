//! Id-mapped mounts: files of one owner that the container sees as another's (specification: `config.md#mounts`).
//!
//! The runtime makes such a mount, for only who rules the file system may map it; stage 1 maps it, for that takes a user
//! namespace, and a process of its own to make one; init attaches it.

use std::path::PathBuf;

use corten_oci::{IdMapping, Mount};
use serde::{Deserialize, Serialize};

use crate::inherited::Slot;
use crate::{Failure, Result};

/// How owners are mapped.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mapping {
    /// From ids of the file system, `containerID`, to ids of the host, `hostID`.
    Ids {
        /// Users.
        users: Vec<IdMapping>,
        /// Groups.
        groups: Vec<IdMapping>,
    },
    /// As in a user namespace that is there.
    Namespace(Slot),
}

/// A mount to map, for stage 1.
#[derive(Debug, Serialize, Deserialize)]
pub struct IdMapped {
    /// Where it is going to be, for messages.
    pub destination: PathBuf,
    /// The mount; it stays in its slot for init.
    pub mount: Slot,
    /// How.
    pub mapping: Mapping,
    /// Whether the mounts below are mapped as well.
    pub recursive: bool,
}

/// What a mount's options say of it: `idmap`, `ridmap`, and behind `=` a mapping in crun's form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) recursive: bool,
    pub(super) text: Option<String>,
}

/// The mapping of one mount, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Idmap {
    pub(super) recursive: bool,
    pub(super) source: Source,
}

/// Where a mapping comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Ids { users: Vec<IdMapping>, groups: Vec<IdMapping> },
    Namespace(PathBuf),
}

/// What a container's user namespace says, where there is one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Container<'a> {
    /// Its user id mappings.
    pub users: &'a [IdMapping],
    /// Its group id mappings.
    pub groups: &'a [IdMapping],
    /// Its path, where it is joined.
    pub path: Option<&'a std::path::Path>,
}

impl Wish {
    /// Reads an option; `None` where it is another one.
    pub(super) fn parse(option: &str) -> Option<Self> {
        let (name, text) = match option.split_once('=') {
            Some((name, text)) => (name, Some(text.to_owned())),
            None => (option, None),
        };
        matches!(name, "idmap" | "ridmap").then(|| Self { recursive: name == "ridmap", text })
    }
}

/// Decides how a mount's owners are mapped; `None` where they are not.
pub(super) fn decide(mount: &Mount, wish: Option<&Wish>, container: Container<'_>) -> Result<Option<Idmap>> {
    let at = &mount.destination;
    let wrong = |why: &str| Failure::invalid(format!("mounts: the id-mapped mount at {at}: {why}"));
    let own = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
    let recursive = wish.is_some_and(|wish| wish.recursive);
    let (users, groups) = match wish.and_then(|wish| wish.text.as_deref()) {
        _ if !own && wish.is_none() => return Ok(None),
        Some(_) if own => return Err(wrong("its mapping is given twice, in the option and in the mount")),
        Some(text) => parse(text, container).map_err(|why| wrong(&why))?,
        None if own => (mount.uid_mappings.clone(), mount.gid_mappings.clone()),
        None => match container.path {
            Some(path) if container.users.is_empty() => {
                return Ok(Some(Idmap { recursive, source: Source::Namespace(path.to_owned()) }));
            }
            _ if container.users.is_empty() || container.groups.is_empty() => {
                return Err(wrong(
                    "without mappings it takes those of the container's user namespace, which has none",
                ));
            }
            _ => (container.users.to_vec(), container.groups.to_vec()),
        },
    };
    if users.is_empty() || groups.is_empty() {
        return Err(wrong("id-mapped mounts must have both uid and gid mappings"));
    }
    Ok(Some(Idmap { recursive, source: Source::Ids { users, groups } }))
}

type Mappings = (Vec<IdMapping>, Vec<IdMapping>);

/// Reads `uids=FROM-TO-SIZE#…;gids=…`. With `@` before a range, TO is an id of the container and not of the host.
fn parse(text: &str, container: Container<'_>) -> std::result::Result<Mappings, String> {
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (list, own, ranges) = match part.split_once('=') {
            Some(("uids", ranges)) => (&mut users, container.users, ranges),
            Some(("gids", ranges)) => (&mut groups, container.groups, ranges),
            _ => return Err(format!("{part:?} is neither uids=… nor gids=…")),
        };
        for range in ranges.split('#') {
            list.push(parse_range(range, own)?);
        }
    }
    Ok((users, groups))
}

fn parse_range(text: &str, container: &[IdMapping]) -> std::result::Result<IdMapping, String> {
    let malformed = || format!("{text:?} is no range such as 0-100000-65536");
    let (relative, numbers) = match text.strip_prefix('@') {
        Some(numbers) => (true, numbers),
        None => (false, text),
    };
    let numbers: Vec<u32> =
        numbers.split('-').map(str::parse).collect::<std::result::Result<_, _>>().map_err(|_| malformed())?;
    let [container_id, host_id, size] = numbers[..] else { return Err(malformed()) };
    let mapping = IdMapping { container_id, host_id, size };
    if !relative {
        return Ok(mapping);
    }
    let outside = container.iter().find_map(|range| {
        let offset = host_id.checked_sub(range.container_id)?;
        (offset.checked_add(size)? <= range.size).then_some(range.host_id.checked_add(offset)?)
    });
    match outside {
        Some(host_id) => Ok(IdMapping { host_id, ..mapping }),
        None => Err(format!("{text:?} is not within one range of the container's user namespace")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    fn decided(mount: &Mount, option: Option<&str>, container: Container<'_>) -> Result<Option<Idmap>> {
        let wish = option.map(|option| Wish::parse(option).unwrap());
        decide(mount, wish.as_ref(), container)
    }

    fn ids(users: &[IdMapping], groups: &[IdMapping], recursive: bool) -> Option<Idmap> {
        Some(Idmap { recursive, source: Source::Ids { users: users.to_vec(), groups: groups.to_vec() } })
    }

    #[test]
    fn the_mapping_is_the_mounts_own_or_the_containers() {
        let (users, groups) = ([range(0, 1000, 1)], [range(0, 2000, 1)]);
        let container = Container { users: &users, groups: &groups, path: None };
        let plain = Mount { destination: "/d".to_owned(), ..Mount::default() };
        assert_eq!(decided(&plain, None, container).unwrap(), None);
        assert_eq!(decided(&plain, Some("ridmap"), container).unwrap(), ids(&users, &groups, true));
        let (other, none) = ([range(5, 6, 7)], Container::default());
        let own = Mount { uid_mappings: other.to_vec(), gid_mappings: other.to_vec(), ..plain.clone() };
        assert_eq!(decided(&own, None, container).unwrap(), ids(&other, &other, false));
        assert!(decided(&plain, Some("idmap"), none).unwrap_err().to_string().contains("has none"));
        let half = Mount { gid_mappings: Vec::new(), ..own.clone() };
        assert!(decided(&half, None, none).unwrap_err().to_string().contains("both"));
        assert!(decided(&own, Some("idmap=uids=0-1-1"), none).is_err());
        let joined = Container { path: Some("/ns".as_ref()), ..none };
        let expected = Some(Idmap { recursive: false, source: Source::Namespace("/ns".into()) });
        assert_eq!(decided(&plain, Some("idmap"), joined).unwrap(), expected);
    }

    #[test]
    fn a_mapping_in_the_option() {
        let own = [range(0, 0, 1), range(1, 2, 1000)];
        let container = Container { users: &own, groups: &own, path: None };
        let text = "uids=0-1-10#10-11-10;gids=@1-3-10";
        let expected = (vec![range(0, 1, 10), range(10, 11, 10)], vec![range(1, 4, 10)]);
        assert_eq!(parse(text, container).unwrap(), expected);
        for wrong in ["uids=0-1", "uids=a-b-c", "pids=0-0-1", "uids=0-1-1-1", "uids=", "gids=@0-0-5"] {
            assert!(parse(wrong, container).is_err(), "{wrong}");
        }
    }
}
