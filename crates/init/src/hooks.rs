//! Hooks: programs that run at points of the container's life (specification: `config.md#posix-platform-hooks`).
//!
//! The runtime runs some of them, in a process with any number of threads, and init the others. A hook gets files
//! instead of pipes: one that does not read its input, writes more than anybody reads, or leaves children behind with
//! its output open keeps nobody waiting.

use std::ffi::CString;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use corten_oci::Hook;
use corten_sys::spawn::{self, Spawned};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::{Doing, Failure, Kind, Result};

/// How much of the end of a hook's error output goes into the message.
const TAIL: u64 = 4096;

/// How long a hook that was killed may take to end: a frozen one, or one in an uninterruptible wait, does not.
const GRACE: Duration = Duration::from_secs(5);

/// Where the output of hooks goes. By default nobody reads it, but for the end of a failed one's errors in its message.
#[derive(Debug, Default)]
pub struct Output {
    /// A file for the standard output.
    pub stdout: Option<OwnedFd>,
    /// A file for the standard error.
    pub stderr: Option<OwnedFd>,
}

/// Runs hooks one after the other until one fails; the message names it by its kind and its place in the list.
pub fn run_all(kind: &str, hooks: &[Hook], state: &[u8], output: &Output) -> Result<()> {
    hooks.iter().enumerate().try_for_each(|(index, hook)| {
        run(hook, state, output).map_err(|mut failure| {
            failure.what = format!("error running {kind} hook #{index}: {}", failure.what);
            failure
        })
    })
}

/// Runs a hook with the state of the container, a JSON document, as its standard input, and waits for its end.
///
/// Its environment is exactly the given one; its directory is the caller's; no other descriptor of the caller's is
/// open in it, and no signal blocked or ignored. It has a process group of its own, which is killed when its time is
/// over; what it leaves running before that is its own business.
pub fn run(hook: &Hook, state: &[u8], output: &Output) -> Result<()> {
    let Hook { path, args, env, timeout } = hook;
    let (stdin, stdout, stderr) = (memory(state)?, memory(&[])?, memory(&[])?);
    let arguments = if args.is_empty() { strings(std::slice::from_ref(path))? } else { strings(args)? };
    let program = string(path)?;
    let Spawned { pid, pidfd } = spawn::start_group(
        &program,
        &arguments,
        &strings(env)?,
        &[
            stdin.as_fd(),
            output.stdout.as_ref().map_or(stdout.as_fd(), AsFd::as_fd),
            output.stderr.as_ref().map_or(stderr.as_fd(), AsFd::as_fd),
        ],
    )
    .map_err(|errno| Failure { kind: Kind::Hook, ..Failure::system(format!("run {path}"), errno) })?;
    match finish(pidfd.as_fd(), pid, *timeout)? {
        End::Exited(0) => Ok(()),
        End::Exited(status) => Err(failed(format!("exit status {status}"), &stderr)),
        End::Signaled(signal) => Err(failed(format!("killed by signal {signal}"), &stderr)),
        End::TimedOut => Err(failed(format!("timed out after {}s", timeout.unwrap_or_default()), &stderr)),
        End::Unknown => Err(failed("exited, status unknown".to_owned(), &stderr)),
    }
}

/// How a hook ended.
enum End {
    Exited(i32),
    Signaled(i32),
    TimedOut,
    /// Another part of this process collected it, and the kernel is too old to say how it ended.
    Unknown,
}

/// Waits for the end, at most so many seconds, after which the whole process group is killed.
fn finish(pidfd: BorrowedFd<'_>, pid: i32, timeout: Option<i64>) -> Result<End> {
    let limit = timeout.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    if wait(pidfd, limit)? {
        return collect(pidfd);
    }
    // It lives, so its number is its own and its group's.
    match Pid::from_raw(pid).map(|group| kill_process_group(group, Signal::KILL)) {
        None | Some(Ok(()) | Err(Errno::SRCH)) => {}
        Some(Err(errno)) => return Err(Failure::system("kill a hook that took too long", errno)),
    }
    if wait(pidfd, Some(GRACE))? {
        collect(pidfd)?;
    }
    Ok(End::TimedOut)
}

/// Whether the process ended within the time.
fn wait(pidfd: BorrowedFd<'_>, limit: Option<Duration>) -> Result<bool> {
    // A time too long to count to is none.
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)], left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::system("wait for a hook", errno)),
        }
    }
}

/// Collects a process that has ended.
fn collect(pidfd: BorrowedFd<'_>) -> Result<End> {
    let status = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED));
    match status {
        Ok(Some(status)) => Ok(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => End::Exited(code),
            (None, Some(signal)) => End::Signaled(signal),
            (None, None) => End::Unknown,
        }),
        Ok(None) => Ok(End::Unknown),
        // The caller ignores SIGCHLD, or another thread collects every child.
        Err(Errno::CHILD) => told(pidfd),
        Err(errno) => Err(Failure::system("collect a hook", errno)),
    }
}

/// What the kernel remembers of a process that somebody else collected.
fn told(pidfd: BorrowedFd<'_>) -> Result<End> {
    let status = corten_sys::pidfd::exit_status(pidfd).doing(|| "ask how a hook ended")?;
    Ok(match status {
        None => End::Unknown,
        Some(status) if status & 0x7f == 0 => End::Exited(status >> 8 & 0xff),
        Some(status) => End::Signaled(status & 0x7f),
    })
}

fn strings(texts: &[String]) -> Result<Vec<CString>> {
    texts.iter().map(|text| string(text)).collect()
}

fn string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Failure::invalid(format!("{text:?} of a hook contains a NUL byte")))
}

/// A file in memory with this content, to be read from its beginning.
fn memory(content: &[u8]) -> Result<File> {
    let doing = || "make a file in memory for a hook";
    let mut file = File::from(rustix::fs::memfd_create("corten-hook", MemfdFlags::CLOEXEC).doing(doing)?);
    file.write_all(content).and_then(|()| file.rewind()).doing(doing)?;
    Ok(file)
}

/// The failure of a hook, with the end of what it wrote to its standard error.
fn failed(how: String, errors: &File) -> Failure {
    let mut tail = vec![0; TAIL as usize];
    let length = errors.metadata().map_or(0, |metadata| metadata.len());
    let read = errors.read_at(&mut tail, length.saturating_sub(TAIL)).unwrap_or(0);
    let text = String::from_utf8_lossy(&tail[..read]);
    match text.trim() {
        "" => Failure::new(Kind::Hook, how),
        text => Failure::new(Kind::Hook, format!("{how}, stderr: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;

    use super::*;

    fn run(hook: &Hook, state: &[u8]) -> Result<()> {
        super::run(hook, state, &Output::default())
    }

    fn sh(script: &str) -> Hook {
        let args = ["hook", "-c", script].map(String::from).to_vec();
        Hook { path: "/bin/sh".to_owned(), args, env: Vec::new(), timeout: None }
    }

    fn failure(hook: &Hook) -> String {
        let failure = run(hook, b"{}").unwrap_err();
        assert_eq!(failure.kind, Kind::Hook);
        failure.to_string()
    }

    /// What a hook prints, by way of a failure's message.
    fn output(hook: &Hook, state: &[u8]) -> String {
        let text = run(hook, state).unwrap_err().to_string();
        text.strip_prefix("exit status 9, stderr: ").unwrap_or_else(|| panic!("{text}")).to_owned()
    }

    #[test]
    fn a_hook_that_succeeds_is_no_news() {
        run(&sh("cat; echo nothing to say >&2"), b"{}").unwrap();
    }

    #[test]
    fn a_hook_reads_the_state() {
        assert_eq!(output(&sh("cat >&2; exit 9"), br#"{"id":"x"}"#), r#"{"id":"x"}"#);
    }

    #[test]
    fn a_failure_has_its_status_and_the_end_of_its_errors() {
        assert_eq!(failure(&sh("echo out; exit 3")), "exit status 3");
        assert_eq!(failure(&sh("echo bad >&2; exit 1")), "exit status 1, stderr: bad");
        assert_eq!(failure(&sh("kill -TERM $$")), "killed by signal 15");
        let long = failure(&sh("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1"));
        assert!(long.len() < 5000 && long.ends_with("line 1999"), "{long}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let hook = Hook { path: "/nonexistent/hook".to_owned(), ..Hook::default() };
        assert_eq!(failure(&hook), "run /nonexistent/hook: no such file or directory");
    }

    #[test]
    fn the_list_stops_at_the_first_failure_and_names_it() {
        let hooks = [sh("exit 0"), sh("exit 1"), sh("exit 2")];
        let failure = run_all("prestart", &hooks, b"{}", &Output::default()).unwrap_err();
        assert_eq!(failure.to_string(), "error running prestart hook #1: exit status 1");
    }

    #[test]
    fn time_is_up_for_the_whole_group() {
        let (mut read, write) = std::io::pipe().unwrap();
        // Both the hook and its child hold the pipe's write end: it ends when both are dead.
        let held = format!("exec 7>/proc/{}/fd/{}", std::process::id(), write.as_raw_fd());
        let script = format!("{held}; trap '' TERM; sleep 600 & sleep 600");
        let hook = Hook { timeout: Some(1), ..sh(&script) };
        let began = Instant::now();
        assert_eq!(failure(&hook), "timed out after 1s");
        assert!((1.0..4.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
        drop(write);
        assert_eq!(read.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn children_that_hold_its_output_delay_nothing() {
        let (read, write) = std::io::pipe().unwrap();
        let script = format!("cat </proc/{}/fd/{} & exit 0", std::process::id(), read.as_raw_fd());
        run(&sh(&script), b"{}").unwrap();
        // The child lives until now, with the hook's output open.
        drop(write);
    }

    #[test]
    fn a_state_larger_than_a_pipe_needs_no_reader() {
        let state = vec![b'x'; 4 << 20];
        run(&sh("exit 0"), &state).unwrap();
        assert_eq!(output(&sh("wc -c >&2; exit 9"), &state).trim(), (4 << 20).to_string());
    }

    #[test]
    fn the_environment_is_exactly_the_given_one() {
        let env = ["B=2", "A=one=1", "B=3"].map(String::from).to_vec();
        let hook = Hook { env, ..sh("tr '\\0' ' ' </proc/$$/environ >&2; exit 9") };
        assert_eq!(output(&hook, b""), "B=2 A=one=1 B=3");
        assert_eq!(output(&Hook { env: Vec::new(), ..sh("wc -c </proc/$$/environ >&2; exit 9") }, b""), "0");
    }

    #[test]
    fn the_name_is_the_first_argument() {
        let hook = sh("tr '\\0' ' ' </proc/$$/cmdline | head -c 7 >&2; exit 9");
        assert_eq!(output(&hook, b""), "hook -c");
    }

    #[test]
    fn nothing_of_the_callers_is_left_in_it() {
        // The last one is the directory that is listed.
        assert_eq!(output(&sh("ls /proc/self/fd >&2; exit 9"), b""), "0\n1\n2\n3");
        let signals =
            output(&sh("grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2 | sort -u >&2; exit 9"), b"");
        assert_eq!(signals, "0000000000000000");
    }
}
