//! Devices that every container has and may use (specification: `config-linux.md#default-devices`).

use crate::oci::{Device, DeviceRule};

/// Path and minor number of the default devices; the major number of all but `/dev/tty` is 1.
const DEVICES: [(&str, i64, i64); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Devices that are no node in every container, but may be used: pseudo-terminals, `/dev/ptmx`, `/dev/net/tun`.
const USABLE: [(i64, Option<i64>); 3] = [(136, None), (5, Some(2)), (10, Some(200))];

/// The device nodes that the specification gives to every container, readable and writable for everybody.
pub fn default_devices() -> Vec<Device> {
    let device = |(path, major, minor): (&str, i64, i64)| Device {
        typ: "c".to_owned(),
        path: path.to_owned(),
        major: Some(major),
        minor: Some(minor),
        file_mode: Some(0o666),
        uid: Some(0),
        gid: Some(0),
    };
    DEVICES.into_iter().map(device).collect()
}

/// The device rules that come after the user's: any node can be made, and the default devices, pseudo-terminals and
/// `/dev/net/tun` can be used.
pub fn default_device_rules() -> Vec<DeviceRule> {
    let rule = |typ: &str, major: Option<i64>, minor: Option<i64>, access: &str| DeviceRule {
        allow: true,
        typ: Some(typ.to_owned()),
        major,
        minor,
        access: Some(access.to_owned()),
    };
    let any_node = [rule("c", None, None, "m"), rule("b", None, None, "m")];
    let nodes = DEVICES.map(|(_, major, minor)| rule("c", Some(major), Some(minor), "rwm"));
    let usable = USABLE.map(|(major, minor)| rule("c", Some(major), minor, "rwm"));
    any_node.into_iter().chain(nodes).chain(usable).collect()
}
