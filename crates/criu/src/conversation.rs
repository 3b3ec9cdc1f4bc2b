//! One request and its answer, with the steps between, over a socket of whole messages (unix(7), `SOCK_SEQPACKET`).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use prost::Message;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown, socketpair,
};

use crate::rpc::{Kind, Notified, Request, Response};
use crate::{Error, Result, Step};

/// This side of a conversation with one `criu swrk`.
///
/// CRIU takes the descriptors that a request names by number out of the process that made the pair, so that process must
/// have them open until the answer.
#[derive(Debug)]
pub struct Conversation {
    socket: OwnedFd,
    /// CRIU's process, where it is known (pidfd_open(2)).
    process: Option<OwnedFd>,
}

/// What happens before the answer.
#[derive(Debug)]
pub enum Event {
    /// CRIU has come to a step and waits.
    Step {
        /// Which.
        step: Step,
        /// The first process, where CRIU tells it.
        pid: Option<i32>,
        /// The descriptor that came along.
        fd: Option<OwnedFd>,
    },
    /// Nothing has happened for a while.
    Quiet,
}

/// No message of CRIU's is as large.
const LARGEST: usize = 1 << 16;

impl Conversation {
    /// This end and CRIU's, both close-on-exec.
    pub fn pair() -> Result<(Self, OwnedFd)> {
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (socket, theirs) =
            pair.map_err(|errno| Error::Socket { doing: "make the socket for criu", errno })?;
        Ok((Self { socket, process: None }, theirs))
    }

    /// The same with the process that CRIU is (pidfd_open(2)). When it ends without an answer, that is [`Error::Ended`], even
    /// while other processes, which it has started, hold its end of the socket.
    pub fn with(self, process: OwnedFd) -> Self {
        Self { process: Some(process), ..self }
    }

    /// Asks for something, and waits for the answer. `on` is told of each event before it; where it fails at a step, CRIU
    /// undoes what it has done. With an interval, it is also told when nothing happens for so long.
    ///
    /// An answer that says no is [`Error::Failed`].
    pub fn ask<E: From<Error>>(
        &self,
        request: &Request,
        interval: Option<Duration>,
        mut on: impl FnMut(Event) -> std::result::Result<(), E>,
    ) -> std::result::Result<Response, E> {
        self.send(request)?;
        let mut refused = None;
        let answer = loop {
            if !self.readable(interval)? {
                on(Event::Quiet)?;
                continue;
            }
            let (response, fd) = self.receive()?;
            if response.kind() != Kind::Notify {
                break response;
            }
            let Notified { script, pid } = response.notified.unwrap_or_default();
            let step = Step::from(script.as_deref().unwrap_or_default());
            let answered = on(Event::Step { step, pid, fd });
            let success = answered.is_ok();
            refused = refused.or(answered.err());
            let go_on =
                Request { kind: Kind::Notify.into(), notify_success: Some(success), ..Request::default() };
            self.send(&go_on)?;
        };
        if let Some(error) = refused {
            return Err(error);
        }
        if !answer.success {
            let errno = answer.errno.filter(|errno| *errno > 0).map(Errno::from_raw_os_error);
            return Err(Error::Failed { errno, message: answer.message }.into());
        }
        Ok(answer)
    }

    /// Tells CRIU that nothing more is asked of it.
    pub fn end(self) {
        // Where it has ended already, there is nobody to tell.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    fn send(&self, request: &Request) -> Result<()> {
        let bytes = request.encode_to_vec();
        let sent = rustix::io::retry_on_intr(|| {
            let mut control = SendAncillaryBuffer::default();
            sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)
        });
        match sent {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(Error::Ended),
            Err(errno) => Err(Error::Socket { doing: "send to criu", errno }),
        }
    }

    /// Waits for something to read; false when nothing came for so long.
    fn readable(&self, interval: Option<Duration>) -> Result<bool> {
        let interval = interval.and_then(|interval| Timespec::try_from(interval).ok());
        let mut ready = vec![PollFd::new(&self.socket, PollFlags::IN)];
        ready.extend(self.process.iter().map(|process| PollFd::new(process, PollFlags::IN)));
        match rustix::io::retry_on_intr(|| poll(&mut ready, interval.as_ref())) {
            Ok(0) => Ok(false),
            // What it has said before its end is heard.
            Ok(_) if ready.first().is_some_and(|socket| socket.revents().is_empty()) => Err(Error::Ended),
            Ok(_) => Ok(true),
            Err(errno) => Err(Error::Socket { doing: "wait for criu", errno }),
        }
    }

    fn receive(&self) -> Result<(Response, Option<OwnedFd>)> {
        let mut buffer = vec![0; LARGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            let mut buffers = [IoSliceMut::new(&mut buffer)];
            recvmsg(&self.socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let received = match received {
            Ok(received) => received,
            Err(Errno::CONNRESET) => return Err(Error::Ended),
            Err(errno) => return Err(Error::Socket { doing: "receive from criu", errno }),
        };
        if received.bytes == 0 {
            return Err(Error::Ended);
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(Error::Nonsense(format!("it has more than {LARGEST} bytes")));
        }
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let bytes = buffer.get(..received.bytes).unwrap_or_default();
        let response = Response::decode(bytes).map_err(|error| Error::Nonsense(error.to_string()))?;
        Ok((response, fd))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::net::{SendAncillaryMessage, recv, send};

    use super::*;
    use crate::rpc::Restored;

    fn hear(socket: &OwnedFd) -> Request {
        let mut buffer = vec![0; LARGEST];
        let (_, count) = recv(socket, buffer.as_mut_slice(), RecvFlags::empty()).unwrap();
        Request::decode(&buffer[..count]).unwrap()
    }

    fn say(socket: &OwnedFd, response: &Response) {
        send(socket, &response.encode_to_vec(), SendFlags::empty()).unwrap();
    }

    fn step(script: &str) -> Response {
        let notified = Notified { script: Some(script.to_owned()), pid: Some(7) };
        Response { kind: Kind::Notify.into(), success: true, notified: Some(notified), ..Response::default() }
    }

    /// The other side does `criu`; this one asks for a restore and fails at the step `refuses`.
    fn restore(refuses: Step, criu: impl FnOnce(OwnedFd) + Send + 'static) -> (Result<Response>, Vec<Step>) {
        let (ours, theirs) = Conversation::pair().unwrap();
        let criu = std::thread::spawn(move || criu(theirs));
        let mut steps = Vec::new();
        let request = Request { kind: Kind::Restore.into(), ..Request::default() };
        let answer = ours.ask(&request, None, |event| {
            if let Event::Step { step, fd, .. } = event {
                assert_eq!(fd.is_some(), step == Step::OrphanPtsMaster);
                steps.push(step);
            }
            if steps.last() == Some(&refuses) { Err(Error::Nonsense("refused".to_owned())) } else { Ok(()) }
        });
        criu.join().unwrap();
        (answer, steps)
    }

    #[test]
    fn steps_come_before_the_answer_with_their_descriptor() {
        let (answer, steps) = restore(Step::PreDump, |socket| {
            assert_eq!(hear(&socket).kind(), Kind::Restore);
            say(&socket, &step("setup-namespaces"));
            assert_eq!(hear(&socket).notify_success, Some(true));
            let master = std::fs::File::open("/dev/null").unwrap();
            let fds = [master.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&fds));
            let bytes = step("orphan-pts-master").encode_to_vec();
            sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::empty()).unwrap();
            assert_eq!(hear(&socket).kind(), Kind::Notify);
            let restored = Some(Restored { pid: 42 });
            say(
                &socket,
                &Response { kind: Kind::Restore.into(), success: true, restored, ..Response::default() },
            );
        });
        assert_eq!(answer.unwrap().restored.unwrap().pid, 42);
        assert_eq!(steps, [Step::SetupNamespaces, Step::OrphanPtsMaster]);
    }

    #[test]
    fn a_refused_step_is_told_and_is_the_error() {
        let (answer, _) = restore(Step::PostRestore, |socket| {
            hear(&socket);
            say(&socket, &step("post-restore"));
            assert_eq!(hear(&socket).notify_success, Some(false));
            say(&socket, &Response { kind: Kind::Restore.into(), errno: Some(1), ..Response::default() });
        });
        assert!(matches!(answer, Err(Error::Nonsense(why)) if why == "refused"));
    }

    #[test]
    fn an_answer_that_says_no_has_its_reason() {
        let (answer, _) = restore(Step::PostRestore, |socket| {
            hear(&socket);
            let message = Some("no such image".to_owned());
            say(
                &socket,
                &Response { kind: Kind::Restore.into(), errno: Some(2), message, ..Response::default() },
            );
        });
        let error = answer.unwrap_err().to_string();
        assert!(error.contains("no such image") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn an_end_or_nonsense_is_no_answer() {
        let (answer, _) = restore(Step::PreDump, |socket| drop(hear(&socket)));
        assert!(matches!(answer, Err(Error::Ended)));
        let (answer, _) = restore(Step::PreDump, |socket| {
            hear(&socket);
            send(&socket, &[0xff], SendFlags::empty()).unwrap();
        });
        assert!(matches!(answer, Err(Error::Nonsense(_))));
    }

    #[test]
    fn an_end_is_noticed_though_another_process_holds_the_socket() {
        let (ours, theirs) = Conversation::pair().unwrap();
        let mut process = std::process::Command::new("true").spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&process);
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        let request = Request { kind: Kind::Restore.into(), ..Request::default() };
        let mut steps = 0;
        say(&theirs, &step("pre-restore"));
        let answer: Result<_> = ours.with(pidfd).ask(&request, None, |_| {
            steps += 1;
            Ok(())
        });
        process.wait().unwrap();
        drop(theirs);
        assert!(matches!(answer, Err(Error::Ended)) && steps == 1, "{answer:?} after {steps} steps");
    }

    #[test]
    fn silence_is_told_of() {
        let (ours, theirs) = Conversation::pair().unwrap();
        let request = Request { kind: Kind::Dump.into(), ..Request::default() };
        let answer: Result<_> = ours.ask(&request, Some(Duration::from_millis(1)), |event| {
            assert!(matches!(event, Event::Quiet));
            Err(Error::Ended)
        });
        drop(theirs);
        assert!(matches!(answer, Err(Error::Ended)));
    }
}
