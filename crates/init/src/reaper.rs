//! A small PID 1: it starts the program as its child, forwards signals to it and collects every orphan.
//!
//! Without one, a program that does not expect to be PID 1 ignores the signals whose default is to end it, and leaves zombies.

use corten_sys::namespace::Namespaces;
use corten_sys::signal;
use corten_sys::thread::SingleThreaded;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::{Doing, Failure, Kind, Result};

/// Which of the two processes goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// PID 1, and the program's process id.
    Reaper(Pid),
    /// The program to be.
    Program,
}

/// Divides this process into the reaper and the program, whose group is the terminal's foreground.
pub(crate) fn start(proof: &SingleThreaded) -> Result<Side> {
    // Blocked before there is a child, so that nothing is lost between its end and the first wait.
    let mask = signal::block_all().doing(|| "block signals")?;
    match corten_sys::clone::fork(proof, Namespaces::empty()).doing(|| "start the program under its PID 1")? {
        Some(pid) => Pid::from_raw(pid)
            .map(Side::Reaper)
            .ok_or_else(|| Failure::new(Kind::Protocol, "the program has no process id")),
        None => {
            rustix::process::setpgid(None, None).doing(|| "make a process group")?;
            let terminal = rustix::stdio::stdin();
            if rustix::termios::isatty(terminal) {
                // Signals are still blocked: SIGTTOU would stop a background group that asks for the foreground.
                let _ = rustix::termios::tcsetpgrp(terminal, rustix::process::getpgrp());
            }
            signal::restore(&mask).doing(|| "unblock signals")?;
            Ok(Side::Program)
        }
    }
}

/// Looks after the program until it ends, and ends as it did: its status, or 128 and the signal's number.
pub(crate) fn run(program: Pid) -> ! {
    // The program alone keeps the runtime's socket, so that its execve, or its end, ends the stream.
    let _ = corten_sys::fd::close_from(3);
    let status = look_after(program).unwrap_or(255);
    corten_sys::exec::exit(status)
}

fn look_after(program: Pid) -> Result<i32> {
    loop {
        let number = signal::wait().doing(|| "wait for signals")?;
        match Signal::from_named_raw(number) {
            Some(Signal::CHILD) => {
                if let Some(status) = reap(program) {
                    return Ok(status);
                }
            }
            // The reaper itself is a background process of the terminal.
            Some(Signal::TTIN | Signal::TTOU) => {}
            _ => drop(signal::kill(program.as_raw_nonzero().get(), number)),
        }
    }
}

/// Collects whatever has ended; the status of the program if it is among them.
fn reap(program: Pid) -> Option<i32> {
    let mut ended = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == program => ended = Some(exit_code(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return ended,
        }
    }
}

fn exit_code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(255)
}
