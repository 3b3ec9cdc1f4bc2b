//! A program that holds what can be lost: a count in memory, memory with a known content, connections. It tells of them and
//! of what it sees whoever asks over a socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::{kernel, observe};

/// What is kept.
struct Kept {
    /// Grows while the program runs.
    count: u64,
    /// How often the first sixteenth of the memory was written anew.
    writes: u64,
    memory: Vec<u64>,
}

impl Kept {
    fn new(bytes: usize) -> Kept {
        let memory = (0..bytes / size_of::<u64>()).map(|index| word(index, 0)).collect();
        Kept { count: 0, writes: 0, memory }
    }

    fn part(&self) -> usize {
        self.memory.len() / 16
    }

    fn write(&mut self) {
        self.writes += 1;
        let (part, writes) = (self.part(), self.writes);
        for (index, kept) in self.memory.iter_mut().take(part).enumerate() {
            *kept = word(index, writes);
        }
    }

    fn intact(&self) -> bool {
        let expected = |index| word(index, if index < self.part() { self.writes } else { 0 });
        self.memory.iter().enumerate().all(|(index, kept)| *kept == expected(index))
    }

    fn answer(&mut self, question: &str) -> Value {
        match question {
            "write" => self.write(),
            "report" => return json!({ "count": self.count, "report": observe::observe([].into_iter()) }),
            _ => {}
        }
        json!({ "count": self.count, "writes": self.writes, "intact": self.intact() })
    }
}

/// A word that no other place has, and that does not compress.
fn word(index: usize, writes: u64) -> u64 {
    let mut word = (index as u64).wrapping_add(writes << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word ^= word >> 29;
    word.wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Serves questions at a TCP port of this machine, or a Unix socket, for ever.
pub fn keep(address: &str, bytes: usize) -> io::Result<Value> {
    let mut kept = Kept::new(bytes);
    let listener = match address.parse() {
        Ok(port) => Listener::Tcp(TcpListener::bind((Ipv4Addr::LOCALHOST, port))?),
        Err(_) => Listener::Unix(UnixListener::bind(address)?),
    };
    kernel::ignore_broken_pipes();
    let mut connections: Vec<OwnedFd> = Vec::new();
    let tick = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    loop {
        kept.count += 1;
        let sockets = std::iter::once(PollFd::new(&listener, PollFlags::IN));
        let mut sockets: Vec<_> =
            sockets.chain(connections.iter().map(|socket| PollFd::new(socket, PollFlags::IN))).collect();
        poll(&mut sockets, Some(&tick)).or_else(|errno| match errno {
            rustix::io::Errno::INTR => Ok(0),
            other => Err(other),
        })?;
        let ready: Vec<bool> = sockets.iter().map(|socket| !socket.revents().is_empty()).collect();
        let mut index = 0;
        connections.retain(|socket| {
            index += 1;
            !ready[index] || serve(socket, &mut kept).is_ok()
        });
        if ready[0] {
            connections.push(listener.accept()?);
        }
    }
}

/// Where questions come from.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => Ok(listener.accept()?.0.into()),
            Self::Unix(listener) => Ok(listener.accept()?.0.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Answers one question; an error where nobody asks any more.
fn serve(socket: &OwnedFd, kept: &mut Kept) -> io::Result<()> {
    let mut socket = std::fs::File::from(socket.try_clone()?);
    let mut question = Vec::new();
    let mut byte = [0];
    loop {
        socket.read_exact(&mut byte)?;
        match byte {
            [b'\n'] => return writeln!(socket, "{}", kept.answer(&String::from_utf8_lossy(&question))),
            [byte] => question.push(byte),
        }
    }
}

/// Asks such a program one question.
pub fn ask(address: &str, question: &str) -> io::Result<Value> {
    let socket: OwnedFd = match address.parse::<u16>() {
        Ok(port) => TcpStream::connect((Ipv4Addr::LOCALHOST, port))?.into(),
        Err(_) => UnixStream::connect(address)?.into(),
    };
    let mut socket = std::fs::File::from(socket);
    writeln!(socket, "{question}")?;
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
