//! Messages of rtnetlink(7): a header, and attributes that can hold attributes (netlink(7)).
//!
//! The crates that know all of them make the static program 0.6 MB larger, a seventh of it, for the dozen attributes here.

/// Kinds of messages (linux/rtnetlink.h).
pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
pub(super) const RTM_GETLINK: u16 = 18;
pub(super) const RTM_SETLINK: u16 = 19;
pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_GETADDR: u16 = 22;
pub(super) const RTM_NEWROUTE: u16 = 24;

/// The end of several answers, and the only answer of what needs none (linux/netlink.h).
pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;

/// What is wanted beside an answer (linux/netlink.h).
pub(super) const NLM_F_REQUEST: u16 = 1;
pub(super) const NLM_F_ACK: u16 = 4;
pub(super) const NLM_F_DUMP_INTR: u16 = 0x10;
pub(super) const NLM_F_EXCL: u16 = 0x200;
pub(super) const NLM_F_DUMP: u16 = 0x300;
pub(super) const NLM_F_CREATE: u16 = 0x400;

/// Attributes of links (linux/if_link.h).
pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
pub(super) const IFLA_MASTER: u16 = 10;
pub(super) const IFLA_PROTINFO: u16 = 12;
pub(super) const IFLA_TXQLEN: u16 = 13;
pub(super) const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_NET_NS_PID: u16 = 19;
pub(super) const IFLA_NET_NS_FD: u16 = 28;
pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;
pub(super) const IFLA_BRPORT_MODE: u16 = 4;
pub(super) const VETH_INFO_PEER: u16 = 1;

/// Attributes of addresses (linux/if_addr.h).
pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
pub(super) const IFA_LABEL: u16 = 3;
pub(super) const IFA_BROADCAST: u16 = 4;
pub(super) const IFA_FLAGS: u16 = 8;

/// Attributes of routes (linux/rtnetlink.h).
pub(super) const RTA_DST: u16 = 1;
pub(super) const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
pub(super) const RTA_PREFSRC: u16 = 7;

/// That an attribute holds others.
const NLA_F_NESTED: u16 = 0x8000;

/// Bytes of the header of a message.
const HEADER: usize = 16;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A request of this kind, with the fixed part of it.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Self(bytes)
    }

    /// Adds an attribute.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        put(&mut self.0, kind, |bytes| bytes.extend_from_slice(value));
        self
    }

    /// Adds an attribute where there is a value.
    pub(super) fn with_some(self, kind: u16, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.with(kind, value.as_ref()),
            None => self,
        }
    }

    /// Adds an attribute that holds text.
    pub(super) fn with_text(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), b"\0"].concat())
    }

    /// Adds an attribute that begins with these bytes and holds the attributes that `fill` adds.
    pub(super) fn with_nested(mut self, kind: u16, fixed: &[u8], fill: impl FnOnce(Self) -> Self) -> Self {
        put(&mut self.0, kind | NLA_F_NESTED, |bytes| {
            bytes.extend_from_slice(fixed);
            // Everything is aligned from the start of the message on.
            *bytes = fill(Self(std::mem::take(bytes))).0;
        });
        self
    }

    /// The bytes for the kernel, with a number that its answers will have.
    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// Appends an attribute whose value `write` appends.
fn put(bytes: &mut Vec<u8>, kind: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&kind.to_ne_bytes());
    write(bytes);
    // All values come from a configuration that was checked: names, addresses and numbers.
    let length = u16::try_from(bytes.len() - start).unwrap_or(u16::MAX);
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) body: &'a [u8],
}

/// The answers in what was received; it ends at what has not their form.
pub(super) fn answers(mut bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(number(bytes, 0)?).ok()?;
        let answer = Answer {
            kind: short(bytes, 4)?,
            flags: short(bytes, 6)?,
            sequence: number(bytes, 8)?,
            body: bytes.get(HEADER..length)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(answer)
    })
}

/// Attributes by kind; it ends at what has not their form.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(short(bytes, 0)?);
        let kind = short(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of a kind.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// Text up to its NUL byte.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// Four bytes as a number.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_those_of_the_contents() {
        let message = Message::new(RTM_NEWLINK, NLM_F_ACK, &[7; 16])
            .with_text(IFLA_IFNAME, "eth0")
            .with_nested(IFLA_LINKINFO, &[], |info| {
                info.with_text(IFLA_INFO_KIND, "veth").with_nested(IFLA_INFO_DATA, &[], |data| {
                    data.with_nested(VETH_INFO_PEER, &[0; 16], |peer| {
                        peer.with(IFLA_MTU, &1500_u32.to_ne_bytes())
                    })
                })
            })
            .with_some(IFLA_TXQLEN, None::<[u8; 4]>)
            .finish(9);
        let all: Vec<_> = answers(&message).collect();
        let [only] = &all[..] else { panic!("{all:?}") };
        assert_eq!((only.kind, only.flags, only.sequence), (RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 9));
        let list = &only.body[16..];
        assert_eq!(attributes(list).map(|(kind, _)| kind).collect::<Vec<_>>(), [IFLA_IFNAME, IFLA_LINKINFO]);
        assert_eq!(attribute(list, IFLA_IFNAME).map(text).as_deref(), Some("eth0"));
        let info = attribute(list, IFLA_LINKINFO).unwrap();
        assert_eq!(attribute(info, IFLA_INFO_KIND).map(text).as_deref(), Some("veth"));
        let peer = attribute(attribute(info, IFLA_INFO_DATA).unwrap(), VETH_INFO_PEER).unwrap();
        assert_eq!(attribute(&peer[16..], IFLA_MTU).and_then(|mtu| number(mtu, 0)), Some(1500));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_taken_apart_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(answers(&bytes).count() <= bytes.len() / HEADER);
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4);
        }
    }
}
