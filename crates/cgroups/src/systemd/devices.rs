//! Device rules as properties, for cgroup v1: where systemd is made to look at a unit again it writes its own to the files.
//!
//! On v2 the program that [`Group::apply`](crate::Group::apply) attaches stays beside systemd's, which has none to attach.

use super::bus::Properties;
use crate::devices::{Devices, Kind, Policy};

/// The properties for a policy. What systemd has no words for is left out, and refused until the files are written again.
pub(super) fn of(policy: &Policy) -> Properties {
    let empty: Vec<(String, String)> = Vec::new();
    let list: Vec<(String, String)> = match policy.allow {
        // Without a list it allows everything.
        true => Vec::new(),
        false => policy
            .exceptions
            .iter()
            .filter_map(|(devices, access)| Some((name(devices)?, access.to_string())))
            .collect(),
    };
    let kind = if policy.allow { "auto" } else { "strict" };
    let mut properties: Properties =
        vec![("DevicePolicy".to_owned(), kind.into()), ("DeviceAllow".to_owned(), empty.into())];
    if !list.is_empty() {
        properties.push(("DeviceAllow".to_owned(), list.into()));
    }
    properties
}

/// Devices as systemd names them (systemd.resource-control(5), `DeviceAllow=`).
fn name(devices: &Devices) -> Option<String> {
    let kind = if devices.kind == Kind::Block { "block" } else { "char" };
    match (devices.major, devices.minor) {
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (Some(major), None) => Some(format!("{kind}-{major}")),
        (None, None) => Some(format!("{kind}-*")),
        (None, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_oci::DeviceRule;

    #[test]
    fn each_form() {
        let rule = |major, minor| DeviceRule {
            allow: true,
            typ: Some("c".into()),
            major,
            minor,
            access: Some("rw".into()),
        };
        let rules = [rule(Some(1), Some(3)), rule(Some(136), None), rule(None, Some(7)), rule(None, None)];
        let properties = of(&Policy::of(&rules).unwrap());
        let expected: Vec<(String, String)> =
            ["char-*", "/dev/char/1:3", "char-136"].map(|name| (name.to_owned(), "rw".to_owned())).into();
        assert_eq!(properties[0].1, "strict".into());
        assert_eq!(properties[2].1, expected.into());
        let all = of(&Policy::of(&[DeviceRule { allow: true, ..DeviceRule::default() }]).unwrap());
        assert_eq!((all.len(), &all[0].1), (2, &"auto".into()));
    }
}
