//! Devices of cgroup v1: `devices.allow`, `devices.deny`, `devices.list` (kernel: admin-guide/cgroup-v1/devices.rst).

use std::collections::BTreeMap;

use super::rules::{Access, Devices, Kind, Policy};
use crate::dir::Dir;
use crate::error::{Error, Result};

const ALLOW: &str = "devices.allow";
const DENY: &str = "devices.deny";
const LIST: &str = "devices.list";

/// Makes a policy hold for a group.
pub(crate) fn set(dir: &Dir, policy: &Policy) -> Result<()> {
    let list = dir.read(LIST)?;
    let present =
        parse(&list).ok_or_else(|| Error::Content { path: dir.path().join(LIST), content: list.clone() })?;
    for (file, value) in steps(present.as_ref(), policy) {
        dir.write(file, &value)?;
    }
    Ok(())
}

/// The writes from a present policy to a new one, such that nothing that both allow is refused in between, and nothing that both
/// refuse is allowed. The kernel does not show the exceptions to "yes": `None` stands for a policy of that kind.
fn steps(present: Option<&Policy>, wanted: &Policy) -> Vec<(&'static str, String)> {
    let line = |(devices, access): (&Devices, &Access)| format!("{devices} {access}");
    if wanted.allow {
        let all = (ALLOW, "a".to_owned());
        return std::iter::once(all).chain(wanted.exceptions.iter().map(|rule| (DENY, line(rule)))).collect();
    }
    let none = Policy::default();
    let (reset, present) = match present {
        Some(present) => (None, present),
        None => (Some((DENY, "a".to_owned())), &none),
    };
    let less = |from: &Policy, taken: &Policy| -> BTreeMap<Devices, Access> {
        let taken = |devices| taken.exceptions.get(devices).map_or(0, |access| access.0);
        let rest =
            from.exceptions.iter().map(|(devices, access)| (*devices, Access(access.0 & !taken(devices))));
        rest.filter(|(_, access)| access.0 != 0).collect()
    };
    let (new, old) = (less(wanted, present), less(present, wanted));
    reset
        .into_iter()
        .chain(new.iter().map(|rule| (ALLOW, line(rule))))
        .chain(old.iter().map(|rule| (DENY, line(rule))))
        .collect()
}

/// Reads `devices.list`: `Some(None)` for "all devices, with exceptions that are not shown"; `None` where it makes no sense.
fn parse(list: &str) -> Option<Option<Policy>> {
    let mut policy = Policy::default();
    for line in list.lines() {
        let mut words = line.split_whitespace();
        let (kind, numbers, access) = (words.next()?, words.next()?, words.next()?);
        let kind = match kind {
            "a" => return Some(None),
            "b" => Kind::Block,
            "c" => Kind::Character,
            _ => return None,
        };
        let (major, minor) = numbers.split_once(':')?;
        let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
        let devices = Devices { kind, major: number(major)?, minor: number(minor)? };
        let bits = [('r', Access::READ), ('w', Access::WRITE), ('m', Access::MKNOD)];
        let bits =
            bits.iter().filter(|(letter, _)| access.contains(*letter)).fold(0, |all, (_, bit)| all | bit.0);
        policy.exceptions.entry(devices).or_default().0 |= bits;
    }
    Some(Some(policy))
}

#[cfg(test)]
mod tests {
    use super::super::rules::tests::rule;
    use super::*;

    fn writes(list: &str, wanted: &Policy) -> Vec<String> {
        let present = parse(list).unwrap();
        steps(present.as_ref(), wanted).iter().map(|(file, value)| format!("{file} {value}")).collect()
    }

    #[test]
    fn a_fresh_group_is_closed_first() {
        let wanted = Policy::of(&[rule(true, "c", 1, 3, "rwm"), rule(true, "b", -1, -1, "m")]).unwrap();
        assert_eq!(
            writes("a *:* rwm\n", &wanted),
            ["devices.deny a", "devices.allow b *:* m", "devices.allow c 1:3 rwm"]
        );
    }

    #[test]
    fn a_change_touches_only_what_changes() {
        let wanted = Policy::of(&[rule(true, "c", 1, 3, "r"), rule(true, "c", 1, 5, "rw")]).unwrap();
        assert_eq!(
            writes("c 1:3 rwm\nc 1:5 rw\nb 8:0 r\n", &wanted),
            ["devices.deny b 8:0 r", "devices.deny c 1:3 wm"]
        );
        assert!(writes("c 1:3 r\nc 1:5 rw\n", &wanted).is_empty());
    }

    #[test]
    fn all_devices_but_some() {
        let wanted = Policy::of(&[rule(true, "a", -1, -1, "rwm"), rule(false, "c", 1, -1, "w")]).unwrap();
        assert_eq!(writes("c 1:3 r\n", &wanted), ["devices.allow a", "devices.deny c 1:* w"]);
    }

    #[test]
    fn what_makes_no_sense_is_not_read() {
        assert!(parse("x 1:3 rwm\n").is_none());
        assert!(parse("c 1 rwm\n").is_none());
        assert!(parse("").unwrap().is_some());
    }
}
