//! The rules of network interfaces, routes, and devices of the host.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::address::{Prefix, hardware_address, is_interface_name, is_name_template};
use super::fields::Fields;
use super::namespace::Namespace;
use super::network::{Network, NetworkKind, Route};
use crate::{Error, Result, oci};

/// Whether it can be, or why not.
type Valid = std::result::Result<(), String>;

/// The smallest packet that Ethernet devices can be limited to, and the largest that a veth pair carries.
const MTU: std::ops::RangeInclusive<u32> = 68..=65_535;

/// The smallest limit that leaves IPv6 (RFC 8200, section 5).
const MTU_OF_IPV6: u32 = 1280;

/// Refuses what cannot be.
pub(super) fn validate(fields: &Fields) -> Result<()> {
    net_devices(fields)?;
    for (index, network) in fields.networks.iter().enumerate() {
        let problem = match network.kind {
            NetworkKind::Loopback => loopback(network),
            NetworkKind::Veth => veth(network, fields),
        };
        let problem = problem.err().or_else(|| repeated(network, fields.networks.get(..index)?));
        if let Some(problem) = problem {
            return Err(Error::invalid(format!("invalid network interface {:?}: {problem}", network.name)));
        }
    }
    names(fields)?;
    for route in &fields.routes {
        if let Err(problem) = self::route(route, fields) {
            return Err(Error::invalid(format!("invalid route {route:?}: {problem}")));
        }
    }
    Ok(())
}

/// Refuses what would change this host's own network by way of a namespace that is joined by path.
pub(super) fn check_host(fields: &Fields) -> Result<()> {
    let asked = !(fields.networks.is_empty() && fields.routes.is_empty() && fields.net_devices.is_empty());
    let Some(path) = fields.namespaces.path_of(Namespace::Net).filter(|_| asked) else { return Ok(()) };
    let identity = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let joined = identity(path)
        .map_err(|error| Error::io(format!("find the network namespace {}", path.display()), error))?;
    if identity(Path::new("/proc/thread-self/ns/net")).is_ok_and(|own| own == joined) {
        return Err(Error::invalid(
            "network interfaces, routes and netDevices are not allowed in the host's network namespace",
        ));
    }
    Ok(())
}

/// Devices of the host that the container gets (specification: `config-linux.md#network-devices`).
fn net_devices(fields: &Fields) -> Result<()> {
    if fields.net_devices.is_empty() {
        return Ok(());
    }
    if !fields.namespaces.contains(Namespace::Net) {
        return Err(Error::invalid("unable to move network devices without a private network namespace"));
    }
    if fields.rootless_euid || fields.rootless_cgroups {
        return Err(Error::invalid("network devices are not supported in rootless containers"));
    }
    for (host, oci::NetDevice { name }) in &fields.net_devices {
        for name in [Some(host), name.as_ref()].into_iter().flatten() {
            if !is_interface_name(name) {
                return Err(Error::invalid(format!("invalid network device name {name:?}")));
            }
        }
        let name = name.as_deref().unwrap_or_default();
        if host.contains('%') || name.strip_suffix("%d").unwrap_or(name).contains('%') {
            return Err(Error::invalid(format!(
                "invalid network device name {:?}: a % stands only in a %d at the end of a new name",
                if host.contains('%') { host } else { name }
            )));
        }
    }
    Ok(())
}

/// The loopback interface is what the kernel makes it; Go's library keeps an address and a gateway all the same.
fn loopback(network: &Network) -> Valid {
    let kept = Network {
        name: network.name.clone(),
        address: network.address.clone(),
        gateway: network.gateway.clone(),
        ..Network::loopback()
    };
    if *network != kept || !matches!(network.name.as_str(), "" | "lo") {
        return Err("a loopback interface has no settings but an address and a gateway".to_owned());
    }
    Ok(())
}

fn veth(network: &Network, fields: &Fields) -> Valid {
    let Network {
        kind: _,
        name,
        bridge,
        mac_address,
        address,
        gateway,
        ipv6_address,
        ipv6_gateway,
        mtu,
        txqueuelen: _,
        host_interface_name,
        hairpin_mode,
    } = network;
    let named = |what: &str, name: &str| match is_interface_name(name) && name != "lo" && !name.contains('%')
    {
        true => Ok(()),
        false => Err(format!("{what} {name:?} is not allowed: 1 to 15 bytes, no blank, '/', ':' or '%'")),
    };
    named("the name", name)?;
    if !bridge.is_empty() {
        named("the bridge", bridge)?;
    }
    if !host_interface_name.is_empty() {
        named("the host interface name", host_interface_name)?;
    }
    if *hairpin_mode && bridge.is_empty() {
        return Err("hairpin mode is a bridge's, and there is none".to_owned());
    }
    if !mac_address.is_empty() && hardware_address(mac_address).is_none() {
        return Err(format!(
            "{mac_address:?} is not the hardware address of a device, as in 02:42:ac:11:00:02"
        ));
    }
    if *mtu != 0 && !MTU.contains(mtu) {
        return Err(format!("the MTU {mtu} is not between {} and {}", MTU.start(), MTU.end()));
    }
    if *mtu != 0 && *mtu < MTU_OF_IPV6 && !ipv6_address.is_empty() {
        return Err(format!("the MTU {mtu} is too small for IPv6, which needs {MTU_OF_IPV6}"));
    }
    if fields.rootless_euid {
        return Err("a veth pair has an end on the host, where only root makes interfaces".to_owned());
    }
    address_and_gateway(network, fields, address, gateway, IpAddr::is_ipv4)?;
    address_and_gateway(network, fields, ipv6_address, ipv6_gateway, IpAddr::is_ipv6)
}

/// An address of one family, and a gateway that it reaches.
fn address_and_gateway(
    network: &Network,
    fields: &Fields,
    address: &str,
    gateway: &str,
    of_family: fn(&IpAddr) -> bool,
) -> Valid {
    let family = if of_family(&std::net::Ipv4Addr::UNSPECIFIED.into()) { "IPv4" } else { "IPv6" };
    let own = match address {
        "" if gateway.is_empty() => return Ok(()),
        "" => return Err(format!("the gateway {gateway} needs an {family} address beside it")),
        _ => Prefix::parse(address).filter(|own| of_family(&own.address) && is_a_device(own.address)),
    };
    let own = own.filter(|own| own.length > 0).ok_or_else(|| {
        format!(
            "{address:?} is not the {family} address of a device with the length of its prefix, ADDRESS/BITS"
        )
    })?;
    if gateway.is_empty() {
        return Ok(());
    }
    let gateway = gateway
        .parse()
        .ok()
        .filter(|gateway| of_family(gateway) && is_a_device(*gateway))
        .ok_or_else(|| format!("the gateway {gateway:?} is not an {family} address"))?;
    if gateway == own.address {
        return Err(format!("the gateway {gateway} is the interface's own address"));
    }
    let leads = |route: &Route| {
        let direct = route.gateway.is_empty() && route.interface_name == network.name;
        direct && Prefix::parse_host(&route.destination).is_some_and(|network| network.contains(gateway))
    };
    let link_local = matches!(gateway, IpAddr::V6(gateway) if gateway.is_unicast_link_local());
    if link_local || own.contains(gateway) || fields.routes.iter().any(leads) {
        return Ok(());
    }
    Err(format!(
        "the gateway {gateway} cannot be reached: it is not in the network of {own}, and no route through the interface leads to it"
    ))
}

/// Whether one device can have this address.
fn is_a_device(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}

/// What two interfaces cannot have in common.
fn repeated(network: &Network, others: &[Network]) -> Option<String> {
    let Network { kind, name, mac_address, address, ipv6_address, host_interface_name, .. } = network;
    let bare = |address: &str| Prefix::parse(address).map(|prefix| prefix.address);
    others.iter().find_map(|other| {
        let same = |mine: &str, theirs: &str| !mine.is_empty() && mine.eq_ignore_ascii_case(theirs);
        let what = match () {
            () if *kind == NetworkKind::Loopback && other.kind == *kind => "its kind",
            () if *kind == NetworkKind::Loopback || other.kind == NetworkKind::Loopback => return None,
            () if name == &other.name => "its name",
            () if same(mac_address, &other.mac_address) => "its hardware address",
            () if bare(address).is_some() && bare(address) == bare(&other.address) => "its IPv4 address",
            () if bare(ipv6_address).is_some() && bare(ipv6_address) == bare(&other.ipv6_address) => {
                "its IPv6 address"
            }
            () if !host_interface_name.is_empty() && *host_interface_name == other.host_interface_name => {
                "its name on the host"
            }
            () => return None,
        };
        Some(format!("{what} is that of another as well"))
    })
}

/// No two interfaces of one name, in the container and on the host.
fn names(fields: &Fields) -> Result<()> {
    let devices = fields.net_devices.iter().map(|(host, device)| device.name.as_ref().unwrap_or(host));
    let devices = devices.filter(|name| !is_name_template(name)).map(String::as_str);
    let pairs = || fields.networks.iter().filter(|network| network.kind == NetworkKind::Veth);
    let mut inside: Vec<&str> = devices.chain(pairs().map(|network| network.name.as_str())).collect();
    if fields.namespaces.contains(Namespace::Net)
        && (!fields.net_devices.is_empty() || pairs().next().is_some())
    {
        inside.push("lo");
    }
    let bridges = |name: &str| pairs().any(|network| network.bridge == name);
    let outside = |name: &str| fields.net_devices.contains_key(name) || bridges(name);
    let clash = pairs().map(|network| network.host_interface_name.as_str()).find(|name| outside(name));
    if let Some(name) = clash.filter(|name| !name.is_empty()) {
        return Err(Error::invalid(format!("the host interface name {name:?} is that of another device")));
    }
    if let Some(name) = fields.net_devices.keys().find(|name| bridges(name)) {
        return Err(Error::invalid(format!("the bridge {name:?} cannot move into the container as well")));
    }
    inside.sort_unstable();
    match inside.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
        Some([name, ..]) => {
            Err(Error::invalid(format!("two network interfaces of the container have the name {name:?}")))
        }
        _ => Ok(()),
    }
}

fn route(route: &Route, fields: &Fields) -> Valid {
    let Route { destination, source, gateway, interface_name } = route;
    let read = |what: &str, text: &str| match text {
        "" => Ok(None),
        _ => {
            Prefix::parse_host(text).map(Some).ok_or_else(|| format!("the {what} {text:?} is not an address"))
        }
    };
    let (destination, source) = (read("destination", destination)?, read("source", source)?);
    if let Some(wrong) = destination.filter(|destination| *destination != destination.network()) {
        let network = wrong.network();
        return Err(format!("the destination {wrong} has bits beyond its prefix: is {network} meant?"));
    }
    let gateway: Option<IpAddr> = match gateway.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| format!("the gateway {text:?} is not an address"))?),
    };
    let addresses = [destination.map(|p| p.address), source.map(|p| p.address), gateway];
    let mut families = addresses.into_iter().flatten().map(|address| address.is_ipv4());
    let Some(family) = families.next() else {
        return Err("it needs a destination, a source or a gateway".to_owned());
    };
    if families.any(|other| other != family) {
        return Err("its addresses are not of one family".to_owned());
    }
    if interface_name.is_empty() {
        return match gateway {
            Some(_) => Ok(()),
            None => Err("it needs an interface or a gateway".to_owned()),
        };
    }
    if !is_interface_name(interface_name) {
        return Err(format!("{interface_name:?} is not the name of an interface"));
    }
    let device = |(host, device): (&String, &oci::NetDevice)| {
        let name = device.name.as_ref().unwrap_or(host);
        name == interface_name || is_name_template(name)
    };
    let known = interface_name == "lo"
        || fields.networks.iter().any(|network| network.name == *interface_name)
        || fields.net_devices.iter().any(device);
    match known || !fields.namespaces.is_new(Namespace::Net) {
        true => Ok(()),
        false => Err(format!("the container has no interface {interface_name:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    /// A change of an interface, and words of what is wrong with it then.
    type Wrong = (fn(&mut Network), &'static str);

    fn eth0() -> Network {
        Network {
            kind: NetworkKind::Veth,
            name: "eth0".to_owned(),
            address: "10.0.0.2/24".to_owned(),
            ..Network::default()
        }
    }

    /// What is wrong with these interfaces and routes; empty for nothing.
    fn problem(networks: &[Network], routes: &[Route]) -> String {
        let builder = Config::builder("/r").networks(networks.to_vec()).routes(routes.to_vec());
        builder.build().err().map(|error| error.to_string()).unwrap_or_default()
    }

    /// What is wrong with devices, in a new network namespace or in the caller's.
    fn device_problem(devices: &[(&str, Option<&str>)], namespaces: &[Namespace], rootless: bool) -> String {
        let device = |(host, name): &(&str, Option<&str>)| {
            ((*host).to_owned(), oci::NetDevice { name: name.map(str::to_owned) })
        };
        let namespaces: super::super::Namespaces = namespaces.iter().copied().collect();
        let builder = Config::builder("/r").namespaces(namespaces).rootless_cgroups(rootless);
        let config = builder.net_devices(devices.iter().map(device).collect()).build();
        config.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn devices_have_names_that_an_interface_can_have() {
        const NET: [Namespace; 2] = [Namespace::Mount, Namespace::Net];
        let good: [&[(&str, Option<&str>)]; 3] = [
            &[("eth0", None), ("eth1", Some("eth2"))],
            &[("eth0", Some("net%d")), ("eth1", Some("net%d"))],
            &[("eth0", Some("eth1")), ("eth1", Some("eth0"))],
        ];
        for devices in good {
            assert_eq!(device_problem(devices, &NET, false), "", "{devices:?}");
        }
        for name in ["", ".", "..", "a/b", "a:b", "a b", "sixteen-bytes-16"] {
            let words = format!("invalid network device name {name:?}");
            assert_eq!(device_problem(&[("eth0", Some(name))], &NET, false), words);
            assert_eq!(device_problem(&[(name, None)], &NET, false), words);
        }
        for (host, name) in
            [("eth%d", None), ("eth0", Some("e%dx")), ("eth0", Some("e%s")), ("eth0", Some("%d%d"))]
        {
            assert!(
                device_problem(&[(host, name)], &NET, false).contains("a % stands only"),
                "{host} {name:?}"
            );
        }
        let same = device_problem(&[("eth0", Some("x")), ("eth1", Some("x"))], &NET, false);
        assert!(same.contains("have the name \"x\""), "{same}");
        assert!(device_problem(&[("eth0", Some("lo"))], &NET, false).contains("have the name \"lo\""));
        assert!(device_problem(good[0], &NET, true).contains("not supported in rootless containers"));
        assert!(
            device_problem(good[0], &[Namespace::Mount], false)
                .contains("without a private network namespace")
        );
    }

    #[test]
    fn interfaces_are_checked() {
        let changed = |change: fn(&mut Network)| {
            let mut network = eth0();
            change(&mut network);
            problem(&[network], &[])
        };
        assert_eq!(problem(&[Network::loopback(), eth0()], &[]), "");
        let wrong: [Wrong; 18] = [
            (|n| n.name.clear(), "the name \"\" is not allowed"),
            (|n| n.name = "lo".to_owned(), "the name \"lo\" is not allowed"),
            (|n| n.name = "eth%d".to_owned(), "the name \"eth%d\" is not allowed"),
            (|n| n.bridge = "a/b".to_owned(), "the bridge \"a/b\" is not allowed"),
            (|n| n.host_interface_name = "a b".to_owned(), "the host interface name \"a b\" is not allowed"),
            (|n| n.hairpin_mode = true, "hairpin mode is a bridge's"),
            (|n| n.mac_address = "01:00:00:00:00:01".to_owned(), "is not the hardware address of a device"),
            (|n| n.mtu = 67, "the MTU 67 is not between 68 and 65535"),
            (|n| n.mtu = 65_536, "the MTU 65536 is not between"),
            (|n| (n.mtu, n.ipv6_address) = (1279, "fd00::2/64".to_owned()), "too small for IPv6"),
            (|n| n.address = "10.0.0.2".to_owned(), "\"10.0.0.2\" is not the IPv4 address of a device"),
            (|n| n.address = "224.0.0.1/24".to_owned(), "is not the IPv4 address of a device"),
            (|n| n.address = "10.0.0.2/0".to_owned(), "is not the IPv4 address of a device"),
            (|n| n.address = "fd00::2/64".to_owned(), "is not the IPv4 address of a device"),
            (|n| n.ipv6_address = "10.0.0.2/24".to_owned(), "is not the IPv6 address of a device"),
            (
                |n| n.ipv6_gateway = "fd00::1".to_owned(),
                "the gateway fd00::1 needs an IPv6 address beside it",
            ),
            (|n| n.gateway = "10.0.1.1".to_owned(), "the gateway 10.0.1.1 cannot be reached"),
            (|n| n.gateway = "10.0.0.2".to_owned(), "is the interface's own address"),
        ];
        for (change, words) in wrong {
            let problem = changed(change);
            assert!(problem.contains(words), "{problem:?} has no {words:?}");
        }
        assert_eq!(
            changed(|n| (n.ipv6_address, n.ipv6_gateway) = ("fd00::2/64".into(), "fe80::1".into())),
            ""
        );
        let far = Network { gateway: "169.254.1.1".to_owned(), ..eth0() };
        let leads = Route {
            destination: "169.254.1.1".to_owned(),
            interface_name: "eth0".to_owned(),
            ..Route::default()
        };
        assert_eq!(problem(std::slice::from_ref(&far), &[leads]), "");
        assert!(problem(&[far], &[]).contains("no route through the interface leads to it"));
        let rootless = Config::builder("/r").namespaces([Namespace::Mount, Namespace::Net, Namespace::User]);
        let ids = vec![oci::IdMapping { container_id: 0, host_id: 1, size: 1 }];
        let rootless = rootless.uid_mappings(ids.clone()).gid_mappings(ids).rootless_euid(true);
        let error = rootless.networks(vec![eth0()]).build().unwrap_err();
        assert!(error.to_string().contains("where only root makes interfaces"), "{error}");
    }

    #[test]
    fn no_two_interfaces_are_one() {
        let second = Network { name: "eth1".to_owned(), address: "10.0.0.3/24".to_owned(), ..eth0() };
        let both = |change: fn(&mut Network)| {
            let (mut first, mut second) = (eth0(), second.clone());
            change(&mut first);
            change(&mut second);
            problem(&[first, second], &[])
        };
        assert_eq!(both(|_| {}), "");
        let wrong: [Wrong; 5] = [
            (|n| n.name = "x".to_owned(), "its name is that of another"),
            (|n| n.address = "10.0.0.9/24".to_owned(), "its IPv4 address is that of another"),
            (|n| n.ipv6_address = "fd00::9/64".to_owned(), "its IPv6 address is that of another"),
            (|n| n.mac_address = "02:00:00:00:00:0A".to_owned(), "its hardware address is that of another"),
            (|n| n.host_interface_name = "x".to_owned(), "its name on the host is that of another"),
        ];
        for (change, words) in wrong {
            let problem = both(change);
            assert!(problem.contains(words), "{problem:?} has no {words:?}");
        }
        assert!(
            problem(&[Network::loopback(), Network::loopback()], &[]).contains("its kind is that of another")
        );
        let clash = |device: &str, name: Option<&str>| {
            let devices = [(device.to_owned(), oci::NetDevice { name: name.map(str::to_owned) })];
            let host =
                Network { bridge: "br0".to_owned(), host_interface_name: "host0".to_owned(), ..eth0() };
            let config =
                Config::builder("/r").networks(vec![host]).net_devices(devices.into_iter().collect());
            config.build().unwrap_err().to_string()
        };
        assert!(
            clash("x", Some("eth0"))
                .contains("two network interfaces of the container have the name \"eth0\"")
        );
        assert!(clash("host0", None).contains("the host interface name \"host0\" is that of another device"));
        assert!(clash("br0", None).contains("the bridge \"br0\" cannot move"));
    }

    #[test]
    fn routes_are_checked() {
        let route = |destination: &str, source: &str, gateway: &str, interface: &str| {
            let [destination, source, gateway, interface_name] =
                [destination, source, gateway, interface].map(str::to_owned);
            problem(&[eth0()], &[Route { destination, source, gateway, interface_name }])
        };
        for (destination, gateway, interface) in [
            ("10.1.0.0/16", "", "eth0"),
            ("", "10.0.0.1", ""),
            ("::/0", "", "lo"),
            ("fd00::1", "fe80::1", "eth0"),
        ] {
            assert_eq!(route(destination, "", gateway, interface), "", "{destination} {gateway} {interface}");
        }
        assert_eq!(route("", "10.0.0.2/24", "10.0.0.1", "eth0"), "");
        let wrong = [
            (["", "", "", "eth0"], "it needs a destination, a source or a gateway"),
            (["10.1.0.0/16", "", "", ""], "it needs an interface or a gateway"),
            (["x", "", "", "eth0"], "the destination \"x\" is not an address"),
            (["10.1.0.1/16", "", "", "eth0"], "is 10.1.0.0/16 meant?"),
            (["", "x", "", "eth0"], "the source \"x\" is not an address"),
            (["", "", "10.0.0.1/24", "eth0"], "the gateway \"10.0.0.1/24\" is not an address"),
            (["10.1.0.0/16", "", "fe80::1", "eth0"], "its addresses are not of one family"),
            (["10.1.0.0/16", "", "", "a/b"], "\"a/b\" is not the name of an interface"),
            (["10.1.0.0/16", "", "", "eth1"], "the container has no interface \"eth1\""),
        ];
        for ([destination, source, gateway, interface], words) in wrong {
            let problem = route(destination, source, gateway, interface);
            assert!(problem.contains(words), "{problem:?} has no {words:?}");
        }
    }
}
