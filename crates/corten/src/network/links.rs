//! What is asked of the kernel: links, addresses, routes.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::message::*;
use super::plan::{Pair, Path};
use super::socket::{Refusal, Socket};
use crate::config::Prefix;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// The family of what is asked of a bridge.
const AF_BRIDGE: u8 = 7;

/// That an interface is up (netdevice(7)).
const IFF_UP: u32 = 1;

/// Flags of addresses (linux/if_addr.h).
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_HOMEADDRESS: u32 = 0x10;
const IFA_F_TENTATIVE: u32 = 0x40;
const IFA_F_PERMANENT: u32 = 0x80;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFA_F_MCAUTOJOIN: u32 = 0x400;

/// How far addresses and routes reach (rtnetlink(7)).
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;

/// What the kernel did, or why it refused.
pub(super) type Asked<T> = Result<T, Refusal>;

/// A network device.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// Whether it is up.
    pub(super) up: bool,
    /// The device that it is a part of, such as its bridge; 0 for none.
    pub(super) master: u32,
    /// Its hardware address.
    pub(super) address: Vec<u8>,
    /// What kind of virtual device it is: `veth`, `bridge`.
    pub(super) kind: String,
}

/// An address of a device, with all that the kernel tells of it.
#[derive(Clone, Debug)]
pub(super) struct Address {
    family: u8,
    length: u8,
    scope: u8,
    flags: u32,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// `struct ifinfomsg`: the fixed part of messages of links.
fn ifinfomsg(family: u8, index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..].copy_from_slice(&change.to_ne_bytes());
    bytes
}

/// `struct ifaddrmsg`: the fixed part of messages of addresses.
fn ifaddrmsg(family: u8, length: u8, scope: u8, index: u32) -> [u8; 8] {
    let [a, b, c, d] = index.to_ne_bytes();
    [family, length, 0, scope, a, b, c, d]
}

/// A change of a link.
fn change(index: u32) -> Message {
    Message::new(RTM_NEWLINK, NLM_F_ACK, &ifinfomsg(0, index, 0, 0))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

impl Link {
    fn read(body: &[u8]) -> Option<Self> {
        let attributes = body.get(16..)?;
        let kind = attribute(attributes, IFLA_LINKINFO).and_then(|info| attribute(info, IFLA_INFO_KIND));
        Some(Self {
            index: number(body, 4)?,
            name: text(attribute(attributes, IFLA_IFNAME)?),
            up: number(body, 8)? & IFF_UP != 0,
            master: attribute(attributes, IFLA_MASTER).and_then(|master| number(master, 0)).unwrap_or(0),
            address: attribute(attributes, IFLA_ADDRESS).unwrap_or_default().to_vec(),
            kind: kind.map(text).unwrap_or_default(),
        })
    }
}

impl Address {
    fn read(body: &[u8]) -> Option<(u32, Self)> {
        let attributes = body.get(8..)?;
        let [family, length, flags, scope] = *body.first_chunk()?;
        let all = attribute(attributes, IFA_FLAGS).and_then(|flags| number(flags, 0));
        let address = Self {
            family,
            length,
            scope,
            flags: all.unwrap_or_else(|| flags.into()),
            attributes: self::attributes(attributes).map(|(kind, value)| (kind, value.to_vec())).collect(),
        };
        Some((number(body, 4)?, address))
    }

    /// Whether it goes with its device (specification: `config-linux.md#network-devices`): it was set by somebody, and
    /// for use beyond the link.
    fn is_kept(&self) -> bool {
        self.flags & IFA_F_PERMANENT != 0 && self.scope == RT_SCOPE_UNIVERSE
    }

    /// The request that gives it to a device once more, whose name was `old`.
    fn request(&self, link: &Link, old: &str) -> Message {
        let kept = IFA_F_HOMEADDRESS | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN;
        // It was found to be nobody else's on this link.
        let unique = self.family == AF_INET6 && self.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == 0;
        let flags = self.flags & kept | if unique { IFA_F_NODAD } else { 0 };
        let fixed = ifaddrmsg(self.family, self.length, self.scope, link.index);
        let request = Message::new(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &fixed);
        let request = self.attributes.iter().fold(request, |request, (kind, value)| match *kind {
            IFA_FLAGS => request,
            IFA_LABEL => match label(&text(value), old, &link.name) {
                Some(label) => request.with_text(IFA_LABEL, &label),
                None => request,
            },
            kind => request.with(kind, value),
        });
        request.with(IFA_FLAGS, &flags.to_ne_bytes())
    }
}

/// A label such as `eth0:1` after the device got another name; `None` for one that says no more than the name.
fn label(label: &str, old: &str, new: &str) -> Option<String> {
    let label = match label.strip_prefix(old) {
        Some("") => return None,
        Some(rest) => format!("{new}{rest}"),
        None => label.to_owned(),
    };
    // A label is as long as a name can be.
    (label.len() < 16).then_some(label)
}

impl Socket {
    /// The link of this name, if there is one.
    pub(super) fn find(&mut self, name: &str) -> Asked<Option<Link>> {
        let request = Message::new(RTM_GETLINK, NLM_F_ACK, &[0; 16]).with_text(IFLA_IFNAME, name);
        self.link(&request)
    }

    /// The link of this number, if there is one.
    pub(super) fn find_index(&mut self, index: u32) -> Asked<Option<Link>> {
        self.link(&Message::new(RTM_GETLINK, NLM_F_ACK, &ifinfomsg(0, index, 0, 0)))
    }

    fn link(&mut self, request: &Message) -> Asked<Option<Link>> {
        match self.ask(request) {
            Ok(bodies) => Ok(bodies.iter().find_map(|body| Link::read(body))),
            Err(refusal) if refusal.errno == Errno::NODEV => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Brings a link up.
    pub(super) fn set_up(&mut self, index: u32) -> Asked<()> {
        let request = Message::new(RTM_NEWLINK, NLM_F_ACK, &ifinfomsg(0, index, IFF_UP, IFF_UP));
        self.ask(&request).map(drop)
    }

    /// Makes a link a part of another, such as a bridge.
    pub(super) fn set_master(&mut self, index: u32, master: u32) -> Asked<()> {
        self.ask(&change(index).with(IFLA_MASTER, &master.to_ne_bytes())).map(drop)
    }

    /// Lets a bridge send packets back to the port that they came from.
    pub(super) fn set_hairpin(&mut self, index: u32) -> Asked<()> {
        let request = Message::new(RTM_SETLINK, NLM_F_ACK, &ifinfomsg(AF_BRIDGE, index, 0, 0));
        self.ask(&request.with_nested(IFLA_PROTINFO, &[], |port| port.with(IFLA_BRPORT_MODE, &[1]))).map(drop)
    }

    /// Gives a link another name, or one after a pattern.
    pub(super) fn rename(&mut self, index: u32, name: &str) -> Asked<()> {
        self.ask(&change(index).with_text(IFLA_IFNAME, name)).map(drop)
    }

    /// Moves a link into the network namespace of a process, and gives it this name there.
    pub(super) fn move_to_process(&mut self, index: u32, name: &str, pid: i32) -> Asked<()> {
        self.ask(&change(index).with_text(IFLA_IFNAME, name).with(IFLA_NET_NS_PID, &pid.to_ne_bytes()))
            .map(drop)
    }

    /// Moves a link into a network namespace, and gives it this name there.
    pub(super) fn move_to(&mut self, index: u32, name: &str, namespace: BorrowedFd<'_>) -> Asked<()> {
        let fd = namespace.as_raw_fd().to_ne_bytes();
        self.ask(&change(index).with_text(IFLA_IFNAME, name).with(IFLA_NET_NS_FD, &fd)).map(drop)
    }

    /// Removes a link; one that has gone by itself is fine as well.
    pub(super) fn remove(&mut self, index: u32) -> Asked<()> {
        match self.ask(&Message::new(RTM_DELLINK, NLM_F_ACK, &ifinfomsg(0, index, 0, 0))) {
            Err(refusal) if refusal.errno != Errno::NODEV => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Gives the end on the host of a veth pair, which somebody else has made, what [`make_pair`](Self::make_pair) would have.
    pub(super) fn set_end(&mut self, index: u32, pair: &Pair) -> Asked<()> {
        let request = change(index)
            .with(IFLA_ADDRESS, &pair.host.address)
            .with_some(IFLA_MTU, pair.mtu.map(u32::to_ne_bytes))
            .with_some(IFLA_TXQLEN, pair.txqueuelen.map(u32::to_ne_bytes));
        self.ask(&request).map(drop)
    }

    /// Sets how many packets may wait to be sent.
    pub(super) fn set_queue(&mut self, index: u32, length: u32) -> Asked<()> {
        self.ask(&change(index).with(IFLA_TXQLEN, &length.to_ne_bytes())).map(drop)
    }

    /// Makes a veth pair, one end in the network namespace of a process.
    pub(super) fn make_pair(&mut self, pair: &Pair, pid: i32) -> Asked<()> {
        let both = |end: Message| {
            end.with_some(IFLA_MTU, pair.mtu.map(u32::to_ne_bytes))
                .with_some(IFLA_TXQLEN, pair.txqueuelen.map(u32::to_ne_bytes))
        };
        let host = Message::new(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &[0; 16])
            .with_text(IFLA_IFNAME, &pair.host.name)
            .with(IFLA_ADDRESS, &pair.host.address);
        let peer = |peer: Message| {
            both(peer.with_text(IFLA_IFNAME, &pair.name))
                .with_some(IFLA_ADDRESS, pair.hardware_address)
                .with(IFLA_NET_NS_PID, &pid.to_ne_bytes())
        };
        let request = both(host).with_nested(IFLA_LINKINFO, &[], |info| {
            info.with_text(IFLA_INFO_KIND, "veth")
                .with_nested(IFLA_INFO_DATA, &[], |data| data.with_nested(VETH_INFO_PEER, &[0; 16], peer))
        });
        self.ask(&request).map(drop)
    }

    /// The addresses of a link that go with it.
    pub(super) fn kept_addresses(&mut self, index: u32) -> Asked<Vec<Address>> {
        let bodies = self.ask(&Message::new(RTM_GETADDR, NLM_F_DUMP, &[0; 8]))?;
        let all = bodies.iter().filter_map(|body| Address::read(body));
        Ok(all
            .filter(|(of, address)| *of == index && address.is_kept())
            .map(|(_, address)| address)
            .collect())
    }

    /// Gives a link an address that it had when its name was `old`; one that it still has is fine as well.
    pub(super) fn give_back(&mut self, link: &Link, old: &str, address: &Address) -> Asked<()> {
        match self.ask(&address.request(link, old)) {
            Err(refusal) if refusal.errno != Errno::EXIST => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Gives a new link an address, at once: nobody else is asked whether they have it, as duplicate address detection of
    /// IPv6 would for a second (RFC 4862, section 5.4).
    pub(super) fn add_address(&mut self, index: u32, prefix: Prefix) -> Asked<()> {
        let family = if prefix.address.is_ipv4() { AF_INET } else { AF_INET6 };
        let fixed = ifaddrmsg(family, prefix.length, RT_SCOPE_UNIVERSE, index);
        let bytes = octets(prefix.address);
        let request = Message::new(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &fixed)
            .with(IFA_LOCAL, &bytes)
            .with(IFA_ADDRESS, &bytes)
            .with_some(IFA_BROADCAST, prefix.broadcast().map(|address| address.octets()))
            .with_some(IFA_FLAGS, prefix.address.is_ipv6().then_some(IFA_F_NODAD.to_ne_bytes()));
        self.ask(&request).map(drop)
    }

    /// Makes a route through this link, or through that which leads to its gateway.
    pub(super) fn add_route(&mut self, path: &Path, link: Option<u32>) -> Asked<()> {
        const RT_TABLE_MAIN: u8 = 254;
        const RTPROT_STATIC: u8 = 4;
        const RTN_UNICAST: u8 = 1;
        let family = if path.ipv6 { AF_INET6 } else { AF_INET };
        let length = path.destination.map_or(0, |destination| destination.length);
        let scope = if path.gateway.is_none() && !path.ipv6 { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
        let fixed = [family, length, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0, 0, 0, 0];
        let request = Message::new(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &fixed)
            .with_some(RTA_DST, path.destination.map(|destination| octets(destination.address)))
            .with_some(RTA_PREFSRC, path.source.map(octets))
            .with_some(RTA_GATEWAY, path.gateway.map(octets))
            .with_some(RTA_OIF, link.map(u32::to_ne_bytes));
        self.ask(&request).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_the_name() {
        assert_eq!(label("eth0", "eth0", "net1"), None);
        assert_eq!(label("eth0:1", "eth0", "net1"), Some("net1:1".to_owned()));
        assert_eq!(label("other", "eth0", "net1"), Some("other".to_owned()));
        assert_eq!(label("eth0:12345", "eth0", "abcdefghijk"), None, "longer than a name can be");
    }

    #[test]
    fn only_lasting_addresses_for_all_the_world_are_kept() {
        let address =
            |flags, scope| Address { family: AF_INET, length: 24, scope, flags, attributes: Vec::new() };
        assert!(address(IFA_F_PERMANENT, RT_SCOPE_UNIVERSE).is_kept());
        assert!(!address(IFA_F_PERMANENT, RT_SCOPE_LINK).is_kept());
        assert!(!address(0, RT_SCOPE_UNIVERSE).is_kept());
    }
}
