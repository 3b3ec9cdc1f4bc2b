//! The conversation between the runtime and the new process, over a stream socket.
//!
//! Each message is a frame: its length as four bytes, little end first, and its body in JSON. The two sides are of the
//! same build, which the first frame proves, so the format needs no versions inside.
//!
//! ```text
//! runtime                         stage 1            stage 2 (init)
//!   Hello, descriptors, Task ----->
//!   <------ Cloned{pid} + pidfd --
//!   <---------- Network + socket --  (only where there are interfaces to make; ends)
//!   id maps, v1 cgroups, interfaces
//!   Continue  ------------------------------------->  mounts
//!   <--------------------------- Prepared  (only where the runtime has hooks to run)
//!   Continue  ------------------------------------->
//!   <--------------------------- Terminal + descriptor  (only where there is one)
//!   state saved
//!   Continue  ------------------------------------->
//!   <--------------------------- Helper + pidfd  (only where a seccomp filter has a listener, here or at the end)
//!   <--------------------------- Listener + descriptor, from the helper
//!   Continue  ------------------------------------->
//!   <--------------------------- Waiting   (only where there is a gate)
//!   <--------------------------- Executing, and the end of the stream: the user's program runs
//! ```
//!
//! Where the task is a program of the host's, stage 1 says `Opened` for each directory that is asked
//! for, and `Executing`, and becomes it. Where it is a root to seal, stage 1 says `Prepared` when that is done; where it is a
//! network namespace, `Opened` with a netlink socket there comes before.
//!
//! `Warning` can come at any time, and `Failed` instead of anything. A stream that ends early ends init.

use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::payload::Task;
use crate::{Doing, Failure, Kind, Result, Stage};

/// The name that marks the re-executed copy, as its `argv[0]`.
pub const ARGV0: &str = "corten-init";

/// Proof that both sides are of one build.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    magic: [u8; 8],
    build: String,
}

impl Hello {
    /// What this build says.
    pub fn ours() -> Self {
        let build = concat!("corten-", env!("CARGO_PKG_VERSION"));
        Self { magic: *b"corten\0\x01", build: build.to_owned() }
    }
}

/// Descriptors that come along, the next in the order of their slots.
#[derive(Debug, Serialize, Deserialize)]
struct Handed {
    /// How many are still to come.
    left: usize,
}

/// What the runtime says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The step that was waited for is done.
    Continue,
}

/// What the new process says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// Stage 1 has made stage 2; its pidfd comes along.
    Cloned {
        /// The process id, as the runtime's pid namespace has it.
        pid: i32,
    },
    /// A netlink socket in the container's network namespace comes along, with the privileges of who started stage 1.
    Network,
    /// The root file system is prepared; the runtime's hooks can run.
    Prepared,
    /// The terminal's descriptor comes along.
    Terminal,
    /// A helper is there, whose pidfd comes along, to send the listener of the seccomp filter, which is loaded next.
    Helper,
    /// The listener of the seccomp filter comes along; the filter is loaded.
    Listener,
    /// The descriptor of a directory or the socket that the runtime asked for comes along.
    Opened,
    /// Init waits at the start gate; the stream ends now.
    Waiting,
    /// The user's program is executed next: if the stream ends now, it runs.
    Executing,
    /// Something that a person should know, and that stops nothing.
    Warning(String),
    /// The end: what failed, and where.
    Failed(Stage, Failure),
}

/// One end of the conversation.
#[derive(Debug)]
pub struct Channel {
    socket: UnixStream,
    /// Whether it keeps to read(2) and write(2).
    plain: bool,
}

/// As many descriptors as come with one message; the kernel allows 253 (unix(7)).
const MOST: usize = 64;

/// More than any message needs, and little enough to allocate.
const LARGEST: usize = 64 << 20;

/// As much of a message as memory is taken for at once: more than most messages have.
const PIECE: usize = 1 << 20;

impl Channel {
    /// The runtime's end and the new process's end, both close-on-exec.
    pub fn pair() -> Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair().doing(|| "make the sync socket")?;
        Ok((Self { socket: ours, plain: false }, theirs.into()))
    }

    /// This end of a conversation, from its descriptor.
    pub fn new(fd: OwnedFd) -> Self {
        Self { socket: fd.into(), plain: false }
    }

    /// From here on messages go by read(2) and write(2) alone, without descriptors: a seccomp filter may allow no more.
    pub fn speak_plainly(&mut self) {
        self.plain = true;
    }

    /// Says who we are, hands over the descriptors, and gives the order.
    pub fn send_task(&mut self, task: &Task, fds: &[OwnedFd]) -> Result<()> {
        self.send(&Hello::ours(), None)?;
        let mut left = fds.len();
        for fds in fds.chunks(MOST) {
            left -= fds.len();
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            self.send_with(&Handed { left }, &fds)?;
        }
        self.send(task, None)
    }

    /// Takes the descriptors to their slots, and gives the order; `None` where the other side is no runtime of this build.
    pub fn receive_task(mut self) -> Result<Option<(Self, Task)>> {
        match self.receive::<Hello>() {
            Ok(Some((hello, _))) if hello == Hello::ours() => {}
            _ => return Ok(None),
        }
        let unexpected = || Failure::new(Kind::Protocol, "the runtime ended before it said what to do");
        let mut handed = Vec::new();
        let mut before = None;
        loop {
            let (Handed { left }, fds) = self.receive_with()?.ok_or_else(unexpected)?;
            if before.is_some_and(|before| left >= before) {
                return Err(Failure::new(Kind::Protocol, "descriptors come without an end"));
            }
            handed.extend(fds);
            if left == 0 {
                break;
            }
            before = Some(left);
        }
        let count = i32::try_from(handed.len()).unwrap_or(i32::MAX);
        let doing = || "take the runtime's file descriptors";
        let moved = Self::new(rustix::io::fcntl_dupfd_cloexec(&self, count).doing(doing)?);
        drop(self);
        corten_sys::fd::place(handed).doing(doing)?;
        let mut channel = moved;
        let (task, _) = channel.receive()?.ok_or_else(unexpected)?;
        Ok(Some((channel, task)))
    }

    /// Sends a message, and with it a descriptor.
    pub fn send<T: Serialize>(&mut self, message: &T, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        self.send_with(message, fd.as_slice())
    }

    fn send_with<T: Serialize>(&mut self, message: &T, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let frame = frame(message)?;
        if self.plain {
            return self.write(&frame);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let sent = rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(&self.socket, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL)
        })
        .doing(|| "send on the sync socket")?;
        self.send_rest(frame.get(sent..).unwrap_or_default())
    }

    /// A large frame does not fit into the socket at once.
    fn send_rest(&mut self, mut rest: &[u8]) -> Result<()> {
        while !rest.is_empty() {
            let sent =
                rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, rest, SendFlags::NOSIGNAL))
                    .doing(|| "send on the sync socket")?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends this process by SIGPIPE where the other side is gone.
    fn write(&self, mut rest: &[u8]) -> Result<()> {
        while !rest.is_empty() {
            let sent = rustix::io::retry_on_intr(|| rustix::io::write(&self.socket, rest))
                .doing(|| "write to the sync socket")?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// The next message and the descriptor that came with it; `None` at the end of the stream.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Option<OwnedFd>)>> {
        let received = self.receive_with()?;
        Ok(received.map(|(message, mut fds)| (message, fds.pop())))
    }

    fn receive_with<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Vec<OwnedFd>)>> {
        let mut length = [0; 4];
        let (count, fds) = self.receive_some(&mut length)?;
        if count == 0 {
            return Ok(None);
        }
        self.receive_rest(length.get_mut(count..).unwrap_or_default())?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LARGEST {
            return Err(Failure::new(
                Kind::Protocol,
                format!("a message of {length} bytes on the sync socket"),
            ));
        }
        let body = self.receive_body(length)?;
        let message = serde_json::from_slice(&body).map_err(|error| {
            Failure::new(Kind::Protocol, format!("read a message of the sync socket: {error}"))
        })?;
        Ok(Some((message, fds)))
    }

    fn receive_some(&mut self, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
        if self.plain {
            return Ok((self.read(buffer)?, Vec::new()));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            let mut buffers = [IoSliceMut::new(buffer)];
            rustix::net::recvmsg(&self.socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let bytes = match received {
            Ok(received) => received.bytes,
            // The other side ended with messages of ours unread.
            Err(rustix::io::Errno::CONNRESET) => 0,
            Err(errno) => return Err(Failure::system("receive on the sync socket", errno)),
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        Ok((bytes, fds))
    }

    /// The body of a frame. A length is a claim: no more memory is taken than has come, but for one piece.
    fn receive_body(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while body.len() < length {
            let have = body.len();
            body.resize(length.min(have + PIECE), 0);
            self.receive_rest(&mut body[have..])?;
        }
        Ok(body)
    }

    fn receive_rest(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer)? {
                0 => return Err(Failure::new(Kind::Protocol, "the sync socket ended within a message")),
                count => buffer = buffer.get_mut(count..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.socket, &mut *buffer)) {
            // The other side ended with messages of ours unread.
            Err(rustix::io::Errno::CONNRESET) => Ok(0),
            read => read.doing(|| "read from the sync socket"),
        }
    }

    /// Waits for the runtime's word to go on.
    pub fn wait_for_continue(&mut self) -> Result<()> {
        match self.receive()? {
            Some((Order::Continue, _)) => Ok(()),
            None => Err(Failure::new(Kind::Protocol, "the runtime ended before the container was started")),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A message with its length before it.
fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>> {
    let unfit =
        |why: String| Failure::new(Kind::Protocol, format!("write a message for the sync socket: {why}"));
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).map_err(|error| unfit(error.to_string()))?;
    let length = frame.len() - 4;
    if length > LARGEST {
        return Err(unfit(format!("it has {length} bytes")));
    }
    let length = u32::try_from(length).map_err(|_| unfit(format!("it has {length} bytes")))?;
    (&mut frame[..4]).write_all(&length.to_le_bytes()).doing(|| "write a message's length")?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_in_order_with_their_descriptors() {
        let (mut ours, theirs) = Channel::pair().unwrap();
        let mut theirs = Channel::new(theirs);
        let null = std::fs::File::open("/dev/null").unwrap();
        theirs.send(&Report::Cloned { pid: 7 }, Some(null.as_fd())).unwrap();
        theirs.send(&Report::Waiting, None).unwrap();
        drop(theirs);
        assert!(matches!(ours.receive().unwrap(), Some((Report::Cloned { pid: 7 }, Some(_)))));
        assert!(matches!(ours.receive().unwrap(), Some((Report::Waiting, None))));
        assert!(ours.receive::<Report>().unwrap().is_none());
    }

    #[test]
    fn a_message_larger_than_the_socket_arrives() {
        let (mut ours, theirs) = Channel::pair().unwrap();
        let text = "x".repeat(3 << 20);
        let sender = std::thread::spawn(move || {
            Channel::new(theirs).send(&Report::Warning(text), None).unwrap();
        });
        let Some((Report::Warning(text), None)) = ours.receive().unwrap() else { panic!("no warning") };
        assert_eq!(text.len(), 3 << 20);
        sender.join().unwrap();
    }

    #[test]
    fn plain_messages_are_understood() {
        let (mut ours, theirs) = Channel::pair().unwrap();
        let mut theirs = Channel::new(theirs);
        theirs.speak_plainly();
        theirs.send(&Report::Executing, None).unwrap();
        assert!(matches!(ours.receive().unwrap(), Some((Report::Executing, None))));
        ours.send(&Order::Continue, None).unwrap();
        theirs.wait_for_continue().unwrap();
        drop(ours);
        assert_eq!(theirs.wait_for_continue().unwrap_err().kind, Kind::Protocol);
    }

    #[test]
    fn descriptors_come_to_an_end() {
        let (mut ours, theirs) = Channel::pair().unwrap();
        ours.send(&Hello::ours(), None).unwrap();
        for left in [3, 2, 2] {
            ours.send(&Handed { left }, None).unwrap();
        }
        let failure = Channel::new(theirs).receive_task().unwrap_err();
        assert_eq!(failure.kind, Kind::Protocol, "{failure}");
        assert!(failure.what.contains("without an end"), "{failure}");
    }

    #[test]
    fn an_absurd_length_is_refused() {
        let (mut ours, theirs) = Channel::pair().unwrap();
        rustix::io::write(&theirs, &u32::MAX.to_le_bytes()).unwrap();
        assert_eq!(ours.receive::<Order>().unwrap_err().kind, Kind::Protocol);
    }
}
