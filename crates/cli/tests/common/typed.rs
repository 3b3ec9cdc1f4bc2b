//! A person at a terminal.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

use corten_testkit::patience;
use rustix::event::{PollFd, PollFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize};

/// A terminal of 30 rows and 100 columns, and a program that has it as its own.
pub struct Typed {
    master: OwnedFd,
    pub child: Child,
    pub seen: String,
}

impl Typed {
    /// Starts a program in the root directory, with a place for its temporary files.
    pub fn new(words: &[String], temporary: &Path) -> Self {
        let master =
            rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        // An ordinary user could not open /dev/tty otherwise, but has the descriptors.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).args(words).current_dir("/").env("TMPDIR", temporary);
        resize(&master, 30, 100);
        let child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        Self { master, child, seen: String::new() }
    }

    /// Reads until this was printed, which must not take long: what is printed may have no end.
    pub fn until(&mut self, wanted: &str) {
        let mut buffer = [0; 1024];
        let start = Instant::now();
        while !self.seen.contains(wanted) {
            let left = patience(30).saturating_sub(start.elapsed());
            let mut ready = [PollFd::new(&self.master, PollFlags::IN)];
            let ready = rustix::event::poll(&mut ready, Some(&left.try_into().unwrap())).unwrap();
            assert!(ready > 0 && !left.is_zero(), "{wanted:?} is not in {:?} in time", self.seen);
            match rustix::io::read(&self.master, &mut buffer) {
                Ok(count) if count > 0 => self.seen += &String::from_utf8_lossy(&buffer[..count]),
                other => panic!("{wanted:?} is not in {:?}: {other:?}", self.seen),
            }
        }
    }

    pub fn types(&self, text: &[u8]) {
        rustix::io::write(&self.master, text).unwrap();
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        resize(&self.master, rows, columns);
    }

    /// Whether the terminal is as it was: it echoes and makes signals.
    pub fn is_usual(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.master).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ISIG)
    }
}

fn resize(master: &OwnedFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size).unwrap();
}
