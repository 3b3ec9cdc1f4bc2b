//! What is to be done for the interfaces and routes of a configuration, and in which order.

use std::net::IpAddr;

use crate::config::{Config, NetworkKind, Prefix, hardware_address, is_name_template};
use crate::store::HostEnd;
use crate::{Network, Route, oci};

/// Everything, part by part in the order in which it is done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether the loopback interface comes up now, and not later by init.
    pub(super) loopback: bool,
    /// Devices to move whose names are known.
    pub(super) devices: Vec<Device>,
    /// Pairs to make.
    pub(super) pairs: Vec<Pair>,
    /// Devices to move that get the numbers which are left.
    pub(super) numbered: Vec<Device>,
    /// Routes to make.
    pub(super) routes: Vec<Path>,
}

/// A device of the host to move.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// Its name on the host.
    pub(super) host: String,
    /// What it is called inside.
    pub(super) target: Target,
}

/// What a device is called inside.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// As outside.
    Same,
    /// Otherwise.
    Name(String),
    /// By the kernel, after this pattern.
    Template(String),
}

/// A veth pair to make.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) host: HostEnd,
    pub(super) name: String,
    pub(super) hardware_address: Option<[u8; 6]>,
    pub(super) bridge: Option<String>,
    pub(super) hairpin: bool,
    pub(super) mtu: Option<u32>,
    pub(super) txqueuelen: Option<u32>,
    pub(super) addresses: Vec<Prefix>,
}

/// A route to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Whether it is one of IPv6.
    pub(super) ipv6: bool,
    /// Where it leads; `None` is everywhere.
    pub(super) destination: Option<Prefix>,
    pub(super) source: Option<IpAddr>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) interface: Option<String>,
}

/// Plans a configuration, with an end on the host for each of its veth pairs.
pub(super) fn plan(config: &Config, ends: Vec<HostEnd>) -> Plan {
    let pairs = config.networks().iter().filter(|network| network.kind == NetworkKind::Veth);
    let mut routes: Vec<Path> = config.routes().iter().map(path).collect();
    // A gateway must be reached before it is named: first what leads out of an interface directly.
    let gateways: Vec<Path> = pairs.clone().flat_map(default_routes).collect();
    let direct = routes.iter().filter(|route| route.gateway.is_none()).cloned().collect::<Vec<_>>();
    routes.retain(|route| route.gateway.is_some());
    let devices = config.net_devices().iter().map(device);
    let (numbered, devices) = devices.partition(|device| matches!(device.target, Target::Template(_)));
    Plan {
        loopback: config.networks().iter().any(|network| network.kind == NetworkKind::Loopback),
        devices,
        numbered,
        pairs: pairs.zip(ends).map(|(network, end)| pair(network, end)).collect(),
        routes: [direct, gateways, routes].concat(),
    }
}

fn device((host, oci::NetDevice { name }): (&String, &oci::NetDevice)) -> Device {
    let target = match name.as_deref() {
        None | Some("") => Target::Same,
        Some(name) if is_name_template(name) => Target::Template(name.to_owned()),
        Some(name) => Target::Name(name.to_owned()),
    };
    Device { host: host.clone(), target }
}

fn pair(network: &Network, host: HostEnd) -> Pair {
    let Network {
        kind: _,
        name,
        bridge,
        mac_address,
        address,
        gateway: _,
        ipv6_address,
        ipv6_gateway: _,
        mtu,
        txqueuelen,
        host_interface_name: _,
        hairpin_mode,
    } = network;
    Pair {
        host,
        name: name.clone(),
        hardware_address: hardware_address(mac_address),
        bridge: Some(bridge.clone()).filter(|bridge| !bridge.is_empty()),
        hairpin: *hairpin_mode,
        mtu: Some(*mtu).filter(|mtu| *mtu != 0),
        txqueuelen: Some(*txqueuelen).filter(|length| *length != 0),
        addresses: [address, ipv6_address].into_iter().filter_map(|text| Prefix::parse(text)).collect(),
    }
}

/// The routes to everywhere through an interface's gateways.
fn default_routes(network: &Network) -> impl Iterator<Item = Path> {
    let gateways = [&network.gateway, &network.ipv6_gateway];
    gateways.into_iter().filter_map(|gateway| gateway.parse().ok()).map(|gateway: IpAddr| Path {
        ipv6: gateway.is_ipv6(),
        destination: None,
        source: None,
        gateway: Some(gateway),
        interface: Some(network.name.clone()),
    })
}

fn path(route: &Route) -> Path {
    let Route { destination, source, gateway, interface_name } = route;
    let destination = Prefix::parse_host(destination);
    let source = Prefix::parse_host(source).map(|source| source.address);
    let gateway: Option<IpAddr> = gateway.parse().ok();
    let any = [destination.map(|destination| destination.address), source, gateway];
    Path {
        ipv6: any.into_iter().flatten().any(|address| address.is_ipv6()),
        destination: destination.filter(|destination| destination.length > 0),
        source,
        gateway,
        interface: Some(interface_name.clone()).filter(|name| !name.is_empty()),
    }
}

impl std::fmt::Display for Path {
    /// As ip-route(8) has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.destination {
            Some(destination) => write!(f, "{destination}")?,
            None => write!(f, "{}", if self.ipv6 { "::/0" } else { "0.0.0.0/0" })?,
        }
        self.gateway.iter().try_for_each(|gateway| write!(f, " via {gateway}"))?;
        self.interface.iter().try_for_each(|interface| write!(f, " dev {interface}"))?;
        self.source.iter().try_for_each(|source| write!(f, " src {source}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Namespace;

    fn route(destination: &str, gateway: &str) -> Route {
        Route {
            destination: destination.to_owned(),
            gateway: gateway.to_owned(),
            interface_name: "eth0".to_owned(),
            ..Route::default()
        }
    }

    #[test]
    fn gateways_come_after_the_routes_that_lead_to_them() {
        let network = Network {
            kind: NetworkKind::Veth,
            name: "eth0".to_owned(),
            bridge: "br0".to_owned(),
            address: "10.0.0.2/32".to_owned(),
            gateway: "169.254.1.1".to_owned(),
            ipv6_address: "fd00::2/64".to_owned(),
            ipv6_gateway: "fe80::1".to_owned(),
            mtu: 1400,
            ..Network::default()
        };
        let config = Config::builder("/r")
            .namespaces([Namespace::Mount, Namespace::Net])
            .networks(vec![Network::loopback(), network])
            .routes(vec![
                route("10.9.0.0/16", "169.254.1.1"),
                route("169.254.1.1", ""),
                route("", "10.9.0.1"),
            ])
            .build()
            .unwrap();
        let end = HostEnd { name: "veth0".to_owned(), address: [0xfe, 0, 0, 0, 0, 1] };
        let plan = plan(&config, vec![end.clone()]);
        let told: Vec<_> = plan.routes.iter().map(Path::to_string).collect();
        let expected = [
            "169.254.1.1/32 dev eth0",
            "0.0.0.0/0 via 169.254.1.1 dev eth0",
            "::/0 via fe80::1 dev eth0",
            "10.9.0.0/16 via 169.254.1.1 dev eth0",
            "0.0.0.0/0 via 10.9.0.1 dev eth0",
        ];
        assert_eq!(told, expected);
        let [pair] = &plan.pairs[..] else { panic!("{plan:?}") };
        assert_eq!((&pair.host, pair.bridge.as_deref(), pair.mtu), (&end, Some("br0"), Some(1400)));
        assert_eq!((pair.txqueuelen, pair.hardware_address), (None, None));
        assert_eq!(pair.addresses.len(), 2);
        assert!(plan.loopback && plan.devices.is_empty());
    }

    #[test]
    fn devices_keep_their_names_or_get_others() {
        let device = |name: Option<&str>| {
            let device = oci::NetDevice { name: name.map(str::to_owned) };
            super::device((&"eth1".to_owned(), &device)).target
        };
        assert_eq!(device(None), Target::Same);
        assert_eq!(device(Some("")), Target::Same);
        assert_eq!(device(Some("net1")), Target::Name("net1".to_owned()));
        assert_eq!(device(Some("net%d")), Target::Template("net%d".to_owned()));
    }
}
