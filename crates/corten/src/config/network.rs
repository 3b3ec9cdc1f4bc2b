//! Network interfaces and routes that a library user asks for; the OCI specification has neither.

use serde::{Deserialize, Serialize};

/// A network interface of the container.
///
/// What is empty or 0 is not asked for.
///
/// ```
/// use corten::{Config, Network, NetworkKind};
///
/// # fn main() -> corten::Result<()> {
/// let network = Network {
///     kind: NetworkKind::Veth,
///     name: "eth0".to_owned(),
///     bridge: "br0".to_owned(),
///     address: "10.0.0.2/24".to_owned(),
///     gateway: "10.0.0.1".to_owned(),
///     ..Network::default()
/// };
/// Config::builder("/your/path/to/rootfs").networks(vec![Network::loopback(), network]).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// What kind of interface.
    pub kind: NetworkKind,
    /// Name inside the container: 1 to 15 bytes, without blanks, `/`, `:` and `%`.
    pub name: String,
    /// Bridge on the host that the other end becomes a port of. It must be there; without one the other end stands alone.
    pub bridge: String,
    /// Hardware address of the end in the container, `02:42:ac:11:00:02`; by default a random one.
    pub mac_address: String,
    /// IPv4 address and prefix, `10.0.0.2/24`. The loopback interface always has 127.0.0.1/8, whatever stands here.
    pub address: String,
    /// IPv4 gateway, for a default route. It is in the network of the address, or a [`Route`] through this interface leads to it.
    pub gateway: String,
    /// IPv6 address and prefix. It can be used at once: whether another machine has it is not asked (RFC 4862).
    pub ipv6_address: String,
    /// IPv6 gateway, for a default route; as `gateway`, or an address of the link (`fe80::/10`).
    pub ipv6_gateway: String,
    /// Largest packet in bytes, of both ends: 68 to 65535, with IPv6 1280 at least. By default the kernel's.
    pub mtu: u32,
    /// Length of the transmit queue in packets, of both ends; by default the kernel's.
    pub txqueuelen: u32,
    /// Name of the other end on the host; by default `veth` and eight random hexadecimal digits, which
    /// [`Container::stats`](crate::Container::stats) tells.
    pub host_interface_name: String,
    /// Whether the bridge sends packets back to the port that they came from.
    pub hairpin_mode: bool,
}

impl Network {
    /// The loopback interface, brought up.
    pub fn loopback() -> Self {
        Self::default()
    }
}

/// Kinds of network interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// The loopback interface, brought up.
    #[default]
    Loopback,
    /// A pair of virtual Ethernet devices, one end on the host: veth(4). It is made when init starts, and removed when the container
    /// is destroyed or its start fails; where the container's network namespace ends before, it goes with that.
    Veth,
}

/// A route of the container's network namespace: at least a destination, a source or a gateway, all of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// Destination and prefix, `10.1.0.0/16`, or one address; empty for the default route.
    pub destination: String,
    /// Source address of packets that go this way, where their sender has chosen none; a prefix does not matter.
    pub source: String,
    /// Gateway; empty for what can be reached through the interface directly.
    pub gateway: String,
    /// Interface inside the container; may be empty where there is a gateway.
    pub interface_name: String,
}
