//! Network interfaces, routes, and a connection.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use corten_testkit::Link;
use serde_json::{Value, json};

use crate::kernel;

/// Connects to `ADDRESS:PORT` and tells what the other side says, and from which address it was asked.
pub fn connect(address: &str) -> io::Result<Value> {
    let address: SocketAddr =
        address.parse().map_err(|_| io::Error::other(format!("not an address: {address}")))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(20))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(json!({ "said": said, "from": stream.local_addr()?.ip() }))
}

/// The interfaces by name.
pub fn links() -> BTreeMap<String, Link> {
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    for kernel::InterfaceAddress { name, up, address } in kernel::interface_addresses() {
        // An address with a label of its own, `eth0:1`, has that for its name.
        let name = name.split(':').next().unwrap_or_default();
        let link = links.entry(name.to_owned()).or_default();
        link.up = up;
        let of_link = matches!(address, Some((IpAddr::V6(address), _)) if address.is_unicast_link_local());
        if let Some((address, length)) = address.filter(|_| !of_link) {
            link.addresses.push(format!("{address}/{length}"));
        }
    }
    for (name, link) in &mut links {
        let read = |file: &str| {
            let text = fs::read_to_string(format!("/sys/class/net/{name}/{file}")).ok()?;
            Some(text.trim().to_owned())
        };
        link.hardware_address = read("address");
        link.mtu = read("mtu").and_then(|number| number.parse().ok());
        link.txqueuelen = read("tx_queue_len").and_then(|number| number.parse().ok());
    }
    links
}

/// The routes of both families.
pub fn routes() -> Option<Vec<String>> {
    let ipv4 = fs::read_to_string("/proc/self/net/route").ok()?;
    // A kernel can be without IPv6.
    let ipv6 = fs::read_to_string("/proc/self/net/ipv6_route").unwrap_or_default();
    Some(ipv4.lines().skip(1).filter_map(route4).chain(ipv6.lines().filter_map(route6)).collect())
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, addresses as the machine's numbers in hexadecimal.
fn route4(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [interface, destination, gateway, _, _, _, _, mask, ..] = fields[..] else { return None };
    let number = |text: &str| Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes());
    let address = |text: &str| Some(Ipv4Addr::from(number(text)?));
    let length = u32::from_be_bytes(number(mask)?).leading_ones();
    let gateway = address(gateway)?;
    let via = if gateway.is_unspecified() { String::new() } else { format!(" via {gateway}") };
    Some(format!("{}/{length}{via} dev {interface}", address(destination)?))
}

/// `destination length source length gateway metric refcount use flags device`, in hexadecimal.
fn route6(line: &str) -> Option<String> {
    /// Of this machine, for any of several, and to nowhere (linux/ipv6_route.h, linux/route.h).
    const NOT_MADE: u32 = 0x8000_0000 | 0x10_0000 | 0x200;
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [destination, length, _, _, gateway, _, _, _, flags, device] = fields[..] else { return None };
    let address = |text: &str| Some(Ipv6Addr::from(u128::from_str_radix(text, 16).ok()?));
    let (destination, gateway) = (address(destination)?, address(gateway)?);
    let made = u32::from_str_radix(flags, 16).ok()? & NOT_MADE == 0;
    if !made || destination.is_multicast() || destination.is_unicast_link_local() {
        return None;
    }
    let via = if gateway.is_unspecified() { String::new() } else { format!(" via {gateway}") };
    Some(format!("{destination}/{}{via} dev {device}", u32::from_str_radix(length, 16).ok()?))
}
