//! A tracer that kills one process of a container's start after a message, whichever it sends or receives, or stage 1 when it
//! has cloned init and not told of it; and counts the system calls of the runtime (ptrace(2)).
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{c_int, c_long};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::json;

/// Who a process is: known by who cloned it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Runtime,
    Stage1,
    Init,
    /// What init starts: the helper that sends a seccomp listener.
    Other,
}

struct Traced {
    role: Role,
    /// The system call that it is in.
    call: Option<u64>,
}

/// `trace ROLE COUNT PROGRAM ARGUMENT…`: prints whether one was killed (none with a count of 0), how the program ended, how many
/// system calls it made, and every process there was.
pub fn trace(arguments: &[String]) -> c_int {
    let [role, count, program, rest @ ..] = arguments else { return 2 };
    let at_clone = role == "clone";
    let role = match role.as_str() {
        "runtime" => Role::Runtime,
        "stage1" | "clone" => Role::Stage1,
        "helper" => Role::Other,
        _ => Role::Init,
    };
    let mut command = Command::new(program);
    command.args(rest);
    let traced = start(command).and_then(|(runtime, go)| {
        let mut tracer = Tracer {
            target: role,
            at_clone,
            count: count.parse().unwrap_or(0),
            runtime,
            traced: BTreeMap::new(),
            early: Vec::new(),
            killed: false,
            calls: 0,
        };
        tracer.run(go)
    });
    match traced {
        Ok(outcome) => {
            println!("{outcome}");
            0
        }
        Err(error) => {
            eprintln!("trace: {error}");
            1
        }
    }
}

/// Starts the program, which waits for a byte before it executes.
///
/// It is seized, not traced from within: then no process that it makes begins with a SIGSTOP, in which one would stay that
/// the tracer leaves behind.
fn start(mut command: Command) -> io::Result<(libc::pid_t, UnixStream)> {
    let (mut here, mut there) = UnixStream::pair()?;
    let ready = move || {
        there.write_all(&std::process::id().to_ne_bytes())?;
        there.read_exact(&mut [0])
    };
    // SAFETY: what is called between fork and exec are system calls on numbers and buffers of the stack.
    unsafe { command.pre_exec(ready) };
    // Spawning returns after the execve, so that another thread has to wait for it.
    std::thread::spawn(move || command.spawn());
    let mut pid = [0; 4];
    here.read_exact(&mut pid)?;
    Ok((u32::from_ne_bytes(pid).cast_signed(), here))
}

struct Tracer {
    target: Role,
    /// Whether it is killed when it has cloned, before it can tell of that, and not after a message.
    at_clone: bool,
    count: usize,
    runtime: libc::pid_t,
    traced: BTreeMap<libc::pid_t, Traced>,
    /// Children that have stopped before their parent told of them.
    early: Vec<libc::pid_t>,
    killed: bool,
    /// System calls of the runtime so far.
    calls: usize,
}

impl Tracer {
    /// Until the runtime has ended; what it leaves running is let go.
    fn run(&mut self, mut go: UnixStream) -> io::Result<serde_json::Value> {
        let options = libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK
            | libc::PTRACE_O_TRACECLONE;
        ptrace(libc::PTRACE_SEIZE, self.runtime, 0, options as usize)?;
        ptrace(libc::PTRACE_INTERRUPT, self.runtime, 0, 0)?;
        self.traced.insert(self.runtime, Traced { role: Role::Runtime, call: None });
        go.write_all(&[0])?;
        loop {
            let (pid, status) = wait(-1)?;
            if libc::WIFSTOPPED(status) {
                self.stopped(pid, status)?;
            } else if pid == self.runtime {
                let pids: Vec<_> = self.traced.keys().filter(|pid| **pid != self.runtime).collect();
                let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
                let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
                return Ok(json!({
                    "killed": self.killed, "code": code, "signal": signal, "calls": self.calls, "pids": pids
                }));
            }
        }
    }

    fn stopped(&mut self, pid: libc::pid_t, status: c_int) -> io::Result<()> {
        const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;
        let Some(traced) = self.traced.get(&pid) else {
            self.early.push(pid);
            return Ok(());
        };
        let role = traced.role;
        match status >> 16 {
            0 => {}
            event => {
                // The other is the stop with which a process begins.
                if event != libc::PTRACE_EVENT_STOP {
                    self.cloned(pid, role)?;
                    if self.at_clone && role == self.target {
                        self.count_down(pid);
                    }
                }
                resume(pid, 0);
                return Ok(());
            }
        }
        match libc::WSTOPSIG(status) {
            SYSCALL_STOP => {
                if self.message_done(pid)? && role == self.target && !self.at_clone {
                    self.count_down(pid);
                }
                resume(pid, 0);
            }
            signal => resume(pid, signal),
        }
        Ok(())
    }

    /// Kills the process when it is time.
    fn count_down(&mut self, pid: libc::pid_t) {
        if self.count > 0 {
            self.count -= 1;
            if self.count == 0 {
                self.killed = true;
                // SAFETY: takes numbers only; the process is a tracee, so its number is its own.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
    }

    fn cloned(&mut self, parent: libc::pid_t, role: Role) -> io::Result<()> {
        let mut child: libc::c_ulong = 0;
        ptrace(libc::PTRACE_GETEVENTMSG, parent, 0, &raw mut child as usize)?;
        let child = libc::pid_t::try_from(child).map_err(io::Error::other)?;
        let role = match role {
            Role::Runtime => Role::Stage1,
            Role::Stage1 => Role::Init,
            _ => Role::Other,
        };
        self.traced.insert(child, Traced { role, call: None });
        if let Some(index) = self.early.iter().position(|early| *early == child) {
            self.early.remove(index);
            resume(child, 0);
        }
        Ok(())
    }

    /// Whether a system call that sends or receives a message has just ended.
    fn message_done(&mut self, pid: libc::pid_t) -> io::Result<bool> {
        // SAFETY: plain numbers, for which zeros are values.
        let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::ptrace_syscall_info>();
        match ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &raw mut info as usize) {
            // It was killed meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(false),
            other => other?,
        };
        let Some(traced) = self.traced.get_mut(&pid) else { return Ok(false) };
        if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
            // SAFETY: at the entry of a system call this member of the union is set.
            traced.call = Some(unsafe { info.u.entry.nr });
            self.calls += usize::from(traced.role == Role::Runtime);
            return Ok(false);
        }
        let call = traced.call.take();
        // What the helper is told comes by a pipe.
        let told = if traced.role == Role::Other { libc::SYS_read } else { libc::SYS_recvmsg };
        Ok([libc::SYS_sendmsg, told].iter().any(|number| call == u64::try_from(*number).ok()))
    }
}

fn resume(pid: libc::pid_t, signal: c_int) {
    // One that was killed meanwhile is told of by the next wait.
    let _ = ptrace(libc::PTRACE_SYSCALL, pid, 0, signal.cast_unsigned() as usize);
}

fn wait(pid: libc::pid_t) -> io::Result<(libc::pid_t, c_int)> {
    let mut status = 0;
    // SAFETY: the status is valid for writing.
    let pid = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok((pid, status)) }
}

fn ptrace(request: libc::c_uint, pid: libc::pid_t, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: `address` and `data` are numbers, or the address of a live value that the request writes.
    let done = unsafe { libc::ptrace(request, pid, address, data) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}
