//! Running a program with a deadline.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::de::DeserializeOwned;

/// So many seconds, times `CORTEN_TEST_PATIENCE`: an emulated machine is slow.
pub fn patience(seconds: u64) -> Duration {
    let factor = std::env::var("CORTEN_TEST_PATIENCE").ok().and_then(|factor| factor.parse().ok());
    Duration::from_secs(seconds.saturating_mul(factor.unwrap_or(1)))
}

/// So many rounds of something that is done often, and a fifth of them where the machine is emulated: what they would show
/// beyond that, they show on a real one.
pub fn rounds(count: usize) -> usize {
    if std::env::var_os("CORTEN_TEST_PATIENCE").is_some() { count.div_ceil(5) } else { count }
}

/// A program to run to its end.
#[derive(Debug)]
pub struct Run {
    command: Command,
    stdin: Vec<u8>,
    deadline: Duration,
}

/// How it went.
#[derive(Debug)]
pub struct Output {
    /// The exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output, as text.
    pub stdout: String,
    /// What it wrote to standard error, as text.
    pub stderr: String,
    /// What it was at when it was killed at the deadline, if it was (proc_pid_syscall(5), proc_pid_fd(5)).
    last_seen: Option<String>,
}

impl Run {
    /// A program, with nothing on its standard input and 30 seconds of [`patience`] to end.
    pub fn new(program: impl AsRef<OsStr>) -> Run {
        Run { command: Command::new(program), stdin: Vec::new(), deadline: patience(30) }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Run {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Run {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) -> Run {
        self.command.env(name, value.into());
        self
    }

    /// Sets the working directory.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Run {
        self.command.current_dir(directory);
        self
    }

    /// What it reads from its standard input: at most what a pipe holds, 64 KiB.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Run {
        self.stdin = bytes.into();
        self
    }

    /// How long it may run before it is killed.
    pub fn deadline(mut self, deadline: Duration) -> Run {
        self.deadline = deadline;
        self
    }

    /// Runs it. Output is read until the program ends, not until nobody holds the pipes any more: a container that it
    /// leaves running has them still.
    pub fn output(mut self) -> io::Result<Output> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn()?;
        let outcome = self.attend(&mut child);
        if outcome.is_err() {
            // Already gone, or killed now: either way it can be waited for.
            let _ = child.kill();
        }
        let status = child.wait()?;
        let (stdout, stderr, last_seen) = outcome?;
        Ok(Output { status, stdout, stderr, last_seen })
    }

    fn attend(&self, child: &mut Child) -> io::Result<(String, String, Option<String>)> {
        let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(&self.stdin) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        let stdout = child.stdout.take().map(OwnedFd::from).map(Stream::new).transpose()?;
        let stderr = child.stderr.take().map(OwnedFd::from).map(Stream::new).transpose()?;
        let mut streams: Vec<Stream> = [stdout, stderr].into_iter().flatten().collect();
        let end = Instant::now() + self.deadline;
        let mut last_seen = None;
        loop {
            let left =
                if last_seen.is_some() { None } else { Some(end.saturating_duration_since(Instant::now())) };
            let ended = wait(pidfd.as_fd(), &streams, left)?;
            for stream in &mut streams {
                stream.drain()?;
            }
            if ended {
                break;
            }
            if last_seen.is_none() && Instant::now() >= end {
                last_seen = Some(seen(child.id()));
                pidfd_send_signal(&pidfd, Signal::KILL)?;
            }
        }
        let mut texts = streams.into_iter().map(|stream| String::from_utf8_lossy(&stream.bytes).into_owned());
        Ok((texts.next().unwrap_or_default(), texts.next().unwrap_or_default(), last_seen))
    }
}

/// The system call that a process is in, and the files that it has open.
fn seen(pid: u32) -> String {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let mut text = format!("in system call {}", call.trim_end());
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let file = fs::read_link(entry.path()).unwrap_or_default();
        text.push_str(&format!("\n  fd {} {}", entry.file_name().display(), file.display()));
    }
    text
}

/// Waits for something to read, the end of the process, or the end of the time left; whether the process has ended.
fn wait(pidfd: BorrowedFd<'_>, streams: &[Stream], left: Option<Duration>) -> io::Result<bool> {
    let mut polled = vec![PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    let open = streams.iter().filter(|stream| stream.open);
    polled.extend(open.map(|stream| PollFd::new(&stream.file, PollFlags::IN)));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut polled, left.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!polled[0].revents().is_empty()),
        Err(errno) => Err(errno.into()),
    }
}

/// The reading end of a pipe, and what came through it.
struct Stream {
    file: File,
    bytes: Vec<u8>,
    open: bool,
}

impl Stream {
    fn new(fd: OwnedFd) -> io::Result<Stream> {
        rustix::fs::fcntl_setfl(&fd, OFlags::NONBLOCK)?;
        Ok(Stream { file: File::from(fd), bytes: Vec::new(), open: true })
    }

    fn drain(&mut self) -> io::Result<()> {
        match self.file.read_to_end(&mut self.bytes) {
            Ok(_) => self.open = false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Output {
    /// Whether it was killed at the deadline.
    pub fn timed_out(&self) -> bool {
        self.last_seen.is_some()
    }

    /// This output if the program ended with status 0, else an error that shows all of it.
    pub fn success(self) -> Result<Output, String> {
        if self.status.success() && !self.timed_out() { Ok(self) } else { Err(self.describe()) }
    }

    /// This output if the program ended with that status, else an error that shows all of it.
    pub fn code(self, code: i32) -> Result<Output, String> {
        if self.status.code() == Some(code) && !self.timed_out() { Ok(self) } else { Err(self.describe()) }
    }

    /// Standard output as a JSON document: a [`Report`](crate::Report), say.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_str(&self.stdout).map_err(|error| format!("{error}: {}", self.describe()))
    }

    /// All of it for a person.
    pub fn describe(&self) -> String {
        let late =
            self.last_seen.as_ref().map_or_else(String::new, |seen| format!(" at the deadline, {seen}"));
        format!("{}{late}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn output_status_and_input_are_passed() {
        let output = Run::new("sh").args(["-c", "cat; echo no >&2; exit 3"]).stdin("yes").output().unwrap();
        let output = output.code(3).unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("yes", "no\n"));
        assert!(output.success().is_err());
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_at_its_deadline() {
        let output = Run::new("sleep").arg("1000").deadline(Duration::from_millis(50)).output().unwrap();
        assert!(output.timed_out());
        let failure = output.success().unwrap_err();
        assert!(failure.contains(" at the deadline, in system call "), "{failure}");
        assert!(failure.contains("\n  fd 0 pipe:["), "{failure}");
    }

    #[test]
    fn what_stays_behind_with_the_pipes_is_not_waited_for() {
        let (reader, writer) = io::pipe().unwrap();
        // It has the pipes, and ends when this test closes the one that it reads.
        let script =
            format!("read line </proc/{}/fd/{} & echo started", std::process::id(), reader.as_raw_fd());
        let run = Run::new("sh").args(["-c", &script]);
        let output = run.deadline(Duration::from_secs(10)).output().unwrap();
        assert_eq!(output.success().unwrap().stdout, "started\n");
        drop(writer);
    }

    #[test]
    fn more_output_than_a_pipe_holds_arrives() {
        let output = Run::new("head").args(["-c", "300000", "/dev/zero"]).output().unwrap();
        assert_eq!(output.success().unwrap().stdout.len(), 300_000);
    }
}
