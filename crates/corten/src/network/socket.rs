//! The conversation with the kernel, one request after the other.

use std::os::fd::OwnedFd;

use corten_init::Failure;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, recvfrom, sendto};

use super::message::{Message, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, answers, attribute, number, text};
use crate::Error;
use crate::error::ErrorStage;

/// A socket of rtnetlink(7) in one network namespace.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

/// Why the kernel refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) errno: Errno,
    /// In its own words.
    said: Option<String>,
}

/// More than the kernel puts into one datagram.
const DATAGRAM: usize = 1 << 16;

/// How often a list is asked for that changes while it is told.
const ATTEMPTS: u32 = 32;

/// Where the kernel is.
const KERNEL: u32 = 0;

impl Socket {
    /// A socket in this thread's network namespace.
    pub(super) fn open() -> Result<Self, Error> {
        let fd = corten_sys::network::route_socket();
        fd.map(Self::of).map_err(|errno| Error::io("open a netlink socket", errno))
    }

    /// A socket in the network namespace that it was made in.
    pub(super) fn of(fd: OwnedFd) -> Self {
        Self { fd, sequence: 0 }
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Asks, and gives the bodies of the answers.
    pub(super) fn ask(&mut self, message: &Message) -> Result<Vec<Vec<u8>>, Refusal> {
        for _ in 0..ATTEMPTS {
            if let Some(bodies) = self.ask_once(message)? {
                return Ok(bodies);
            }
        }
        Err(Refusal::from(Errno::AGAIN))
    }

    /// `None` where what was asked for has changed meanwhile.
    fn ask_once(&mut self, message: &Message) -> Result<Option<Vec<Vec<u8>>>, Refusal> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = message.clone().finish(self.sequence);
        let kernel = SocketAddrNetlink::new(KERNEL, 0);
        rustix::io::retry_on_intr(|| sendto(&self.fd, &request, SendFlags::empty(), &kernel))?;
        let mut bodies = Vec::new();
        let mut consistent = true;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let (_, length, sender) =
                rustix::io::retry_on_intr(|| recvfrom(&self.fd, &mut buffer[..], RecvFlags::TRUNC))?;
            if !is_kernel(sender) {
                continue;
            }
            let datagram = buffer.get(..length).ok_or(Errno::MSGSIZE)?;
            for answer in answers(datagram).filter(|answer| answer.sequence == self.sequence) {
                consistent &= answer.flags & NLM_F_DUMP_INTR == 0;
                match answer.kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        return match Refusal::read(answer.kind, answer.body) {
                            Some(refusal) => Err(refusal),
                            None => Ok(consistent.then_some(bodies)),
                        };
                    }
                    _ => bodies.push(answer.body.to_vec()),
                }
            }
        }
    }
}

/// Whether it was the kernel that sent: whoever is root in that network namespace can send as well.
fn is_kernel(sender: Option<SocketAddrAny>) -> bool {
    let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
    sender.is_some_and(|sender| sender.pid() == KERNEL)
}

impl Refusal {
    /// What the last answer says; `None` for "done".
    fn read(kind: u16, body: &[u8]) -> Option<Self> {
        /// The request's header, repeated in a refusal.
        const HEADER: usize = 16;
        const NLMSGERR_ATTR_MSG: u16 = 1;
        let code = number(body, 0).unwrap_or(0).cast_signed();
        if code == 0 {
            return None;
        }
        let details = body.get(4 + if kind == NLMSG_ERROR { HEADER } else { 0 }..).unwrap_or_default();
        let errno = Errno::from_raw_os_error(code.checked_neg().unwrap_or(code));
        let said = attribute(details, NLMSGERR_ATTR_MSG).map(text);
        Some(Self { errno, said: said.map(|said| said.trim_end_matches('.').to_owned()) })
    }

    /// The error of an operation.
    pub(super) fn doing(self, what: impl Into<String>) -> Error {
        self.doing_with(what, None)
    }

    /// The error of an operation, with advice.
    pub(super) fn doing_with(self, what: impl Into<String>, advice: Option<&str>) -> Error {
        let privilege =
            (self.errno == Errno::PERM).then_some("it takes CAP_NET_ADMIN over the network namespace");
        let hints: Vec<&str> = [self.said.as_deref(), advice, privilege].into_iter().flatten().collect();
        let failure = Failure::system(what, self.errno);
        let failure = if hints.is_empty() { failure } else { failure.hint(hints.join("; ")) };
        Error::from_failure(failure, ErrorStage::Host)
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, said: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_kernels_words() {
        let mut body = (-22_i32).to_ne_bytes().to_vec();
        body.extend_from_slice(&[0; 16]);
        body.extend_from_slice(&[8, 0, 1, 0, b'N', b'o', b'.', 0]);
        let error = Refusal::read(NLMSG_ERROR, &body).unwrap().doing_with("do it", Some("try another"));
        assert_eq!(error.to_string(), "do it: invalid argument (No; try another)");
        assert_eq!(error.raw_os_error(), Some(22));
        assert!(Refusal::read(NLMSG_ERROR, &[0; 20]).is_none());
        assert!(Refusal::read(NLMSG_DONE, &[]).is_none());
    }

    #[test]
    fn only_the_kernel_is_heard() {
        assert!(is_kernel(Some(SocketAddrNetlink::new(KERNEL, 0).into())));
        assert!(!is_kernel(Some(SocketAddrNetlink::new(std::process::id(), 0).into())));
        assert!(!is_kernel(Some(rustix::net::SocketAddrUnix::new_unnamed().into())));
        assert!(!is_kernel(None));
    }

    #[test]
    fn the_kernel_answers() {
        let mut socket = Socket::open().unwrap();
        let links =
            Message::new(super::super::message::RTM_GETLINK, super::super::message::NLM_F_DUMP, &[0; 16]);
        for _ in 0..2 {
            assert!(!socket.ask(&links).unwrap().is_empty(), "there is lo at least");
        }
    }
}
