//! A seccomp agent, outside of containers: it gets the listener of a filter, and answers.

use std::ffi::c_int;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use crate::kernel;

/// `agent SOCKET NUMBER ERRNO`: waits at a new socket for one listener, or has it as standard input where the socket is `-`; tells
/// what came with it, and each call that it is asked about. The system call NUMBER fails with ERRNO, every other goes on. Where NUMBER
/// is `gone`, it ends as soon as it has the listener. It ends with the last process of the filter.
pub fn agent(arguments: &[String]) -> c_int {
    let [socket, call, errno] = arguments else { return 2 };
    match serve(socket, call, errno.parse().unwrap_or(0)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("agent: {error}");
            1
        }
    }
}

fn say(value: &Value) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{value}")?;
    stdout.flush()
}

fn serve(socket: &str, call: &str, errno: i32) -> io::Result<()> {
    let listener = match socket {
        "-" => rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?,
        path => {
            let socket = UnixListener::bind(path)?;
            say(&json!({ "ready": true }))?;
            let (connection, _) = socket.accept()?;
            let (state, mut fds) = receive(&connection)?;
            say(&json!({ "state": state, "count": fds.len() }))?;
            fds.pop().ok_or_else(|| io::Error::other("no descriptor came"))?
        }
    };
    if call == "gone" {
        return Ok(());
    }
    loop {
        let mut ready = [PollFd::new(&listener, PollFlags::IN)];
        poll(&mut ready, None)?;
        if !ready[0].revents().contains(PollFlags::IN) {
            return Ok(());
        }
        // One that was killed meanwhile asks no more.
        let Some(asked) = kernel::receive_notification(listener.as_fd())? else { continue };
        let (number, pid, arguments) = (asked.data.nr, asked.pid, asked.data.args);
        let denied = call.parse() == Ok(number);
        kernel::answer_notification(listener.as_fd(), asked.id, denied.then_some(errno))?;
        say(&json!({ "call": number, "pid": pid, "arguments": arguments, "denied": denied }))?;
    }
}

/// A document, up to the end of the stream, and the descriptors that come with its beginning.
fn receive(connection: &UnixStream) -> io::Result<(Value, Vec<OwnedFd>)> {
    let (mut text, mut fds) = (Vec::new(), Vec::new());
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [0; 4096];
        let mut parts = [io::IoSliceMut::new(&mut buffer)];
        let received = recvmsg(connection, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        if received.bytes == 0 {
            return Ok((serde_json::from_slice(&text)?, fds));
        }
        text.extend_from_slice(&buffer[..received.bytes]);
    }
}
