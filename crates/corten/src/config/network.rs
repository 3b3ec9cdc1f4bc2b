//! Network interfaces and routes that a library user asks for; the OCI specification has neither.

use serde::{Deserialize, Serialize};

/// A network interface of the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// What kind of interface.
    pub kind: NetworkKind,
    /// Name inside the container.
    pub name: String,
    /// Bridge on the host.
    pub bridge: String,
    /// Hardware address.
    pub mac_address: String,
    /// IPv4 address and prefix, `10.0.0.2/24`. The loopback interface always has 127.0.0.1/8, whatever stands here.
    pub address: String,
    /// IPv4 gateway.
    pub gateway: String,
    /// IPv6 address and prefix.
    pub ipv6_address: String,
    /// IPv6 gateway.
    pub ipv6_gateway: String,
    /// Largest packet in bytes; 0 keeps the kernel's default.
    pub mtu: u32,
    /// Length of the transmit queue; 0 keeps the kernel's default.
    pub txqueuelen: u32,
    /// Name of the other end on the host.
    pub host_interface_name: String,
    /// Whether the bridge sends packets back to the port they came from.
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
    /// A pair of virtual Ethernet devices, one end on the host: veth(4).
    Veth,
}

/// A route of the container's network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// Destination and prefix; empty for the default route.
    pub destination: String,
    /// Source address.
    pub source: String,
    /// Gateway.
    pub gateway: String,
    /// Interface.
    pub interface_name: String,
}
