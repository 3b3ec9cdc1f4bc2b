//! Addresses and names of network interfaces as text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of an interface's name, the NUL byte at its end included (netdevice(7)).
const IFNAMSIZ: usize = 16;

/// An address, or a network: `10.0.0.2/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) address: IpAddr,
    /// How many leading bits name the network.
    pub(crate) length: u8,
}

impl Prefix {
    /// Reads `ADDRESS/LENGTH`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let prefix = Self { address: address.parse().ok()?, length: length.parse().ok()? };
        let plain = length.bytes().all(|byte| byte.is_ascii_digit());
        (plain && prefix.length <= bits(prefix.address)).then_some(prefix)
    }

    /// Reads `ADDRESS/LENGTH`, or `ADDRESS` for that one address.
    pub(crate) fn parse_host(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(address) => Some(Self { address, length: bits(address) }),
            Err(_) => Self::parse(text),
        }
    }

    /// The same with all bits beyond the prefix zero.
    pub(crate) fn network(self) -> Self {
        let beyond = u32::from(bits(self.address) - self.length);
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(beyond).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(beyond).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        };
        Self { address, ..self }
    }

    /// Whether the address is in the network.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && Self { address, ..self }.network() == self.network()
    }

    /// The address that reaches all of an IPv4 network; networks of one or two addresses have none.
    pub(crate) fn broadcast(self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(address) if self.length < 31 => {
                Some(Ipv4Addr::from_bits(address.to_bits() | u32::MAX >> self.length))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// How many bits addresses of this family have.
fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Reads the hardware address of one Ethernet device: `02:42:ac:11:00:02`.
pub(crate) fn hardware_address(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+'))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    let [first, ..] = bytes;
    // An odd first byte is a group's, and no device has zeros.
    (parts.next().is_none() && first & 1 == 0 && bytes != [0; 6]).then_some(bytes)
}

/// Whether the kernel takes this for an interface's name.
pub(super) fn is_interface_name(name: &str) -> bool {
    let forbidden = |byte: u8| matches!(byte, b'/' | b':' | 0x0b) || byte.is_ascii_whitespace();
    !matches!(name, "" | "." | "..") && name.len() < IFNAMSIZ && !name.bytes().any(forbidden)
}

/// Whether the kernel makes a name of this, by a number in place of the `%d` at its end.
pub(crate) fn is_name_template(name: &str) -> bool {
    name.ends_with("%d")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        Prefix::parse(text).unwrap()
    }

    #[test]
    fn prefixes_are_read() {
        assert_eq!(prefix("10.0.0.2/24").to_string(), "10.0.0.2/24");
        assert_eq!(prefix("fd00::2/64").to_string(), "fd00::2/64");
        for wrong in
            ["", "10.0.0.2", "10.0.0.2/33", "fd00::/129", "10.0.0/8", "10.0.0.2/+8", "10.0.0.2/", "x/8"]
        {
            assert_eq!(Prefix::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Prefix::parse_host("10.0.0.2"), Some(prefix("10.0.0.2/32")));
        assert_eq!(Prefix::parse_host("fd00::2"), Some(prefix("fd00::2/128")));
    }

    #[test]
    fn networks_contain_their_addresses() {
        assert_eq!(prefix("10.1.2.3/8").network(), prefix("10.0.0.0/8"));
        assert_eq!(prefix("10.1.2.3/0").network(), prefix("0.0.0.0/0"));
        assert_eq!(prefix("10.1.2.3/32").network(), prefix("10.1.2.3/32"));
        assert_eq!(prefix("fd00::1:2/112").network(), prefix("fd00::1:0/112"));
        assert_eq!(prefix("fd00::1/0").network(), prefix("::/0"));
        assert!(prefix("10.0.0.2/24").contains("10.0.0.1".parse().unwrap()));
        assert!(!prefix("10.0.0.2/24").contains("10.0.1.1".parse().unwrap()));
        assert!(!prefix("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert_eq!(prefix("10.0.0.2/24").broadcast(), Some(Ipv4Addr::new(10, 0, 0, 255)));
        assert_eq!(prefix("10.0.0.2/1").broadcast(), Some(Ipv4Addr::new(127, 255, 255, 255)));
        assert_eq!(prefix("10.0.0.2/31").broadcast(), None);
        assert_eq!(prefix("fd00::2/64").broadcast(), None);
    }

    #[test]
    fn hardware_addresses_are_of_one_device() {
        assert_eq!(hardware_address("02:42:AC:11:00:02"), Some([2, 0x42, 0xac, 0x11, 0, 2]));
        let wrong = ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "2:42:ac:11:0:2", "02-42-ac-11-00-02"];
        for wrong in wrong.into_iter().chain(["03:00:00:00:00:01", "00:00:00:00:00:00", "02:42:ac:11:00:+2"])
        {
            assert_eq!(hardware_address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_the_kernels() {
        for name in ["eth0", "a", "enp0s31f6.4094", "abcdefghijklmno", "eth%d", "ü"] {
            assert!(is_interface_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\nb", "a\u{b}b", "abcdefghijklmnop"] {
            assert!(!is_interface_name(name), "{name:?}");
        }
    }
}
