//! One small deed, and how it went.

use std::ffi::c_int;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode};
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::{keep, kernel, network, observe};

/// Runs the action; returns the exit status.
pub fn perform(action: &str, arguments: &[String]) -> c_int {
    let text: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ("exit", [status]) = (action, &text[..]) {
        return status.parse().unwrap_or(255);
    }
    match act(action, &text) {
        Ok(Value::Null) => say(&json!({ "ok": true })),
        Ok(value) => say(&json!({ "ok": true, "value": value })),
        Err(error) => {
            let errno = error.raw_os_error();
            say(&json!({ "error": name(errno), "errno": errno, "message": error.to_string() }));
            return 1;
        }
    }
    0
}

fn say(value: &Value) {
    let mut stdout = io::stdout();
    // A reader that is gone is no reason to end otherwise than without it.
    let _ = writeln!(stdout, "{value}").and_then(|()| stdout.flush());
}

fn act(action: &str, arguments: &[&str]) -> io::Result<Value> {
    match (action, arguments) {
        ("touch", [path]) => OpenOptions::new().append(true).create(true).open(path).map(|_| Value::Null),
        ("read", [path]) => fs::read(path).map(|bytes| json!(String::from_utf8_lossy(&bytes))),
        ("write", [path, data]) => {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)?
                .write_all(data.as_bytes())?;
            Ok(Value::Null)
        }
        ("open", [path, mode]) => open(path, mode),
        ("stat", [path]) => stat(path),
        ("chmod", [path]) => fs::metadata(path)
            .and_then(|it| fs::set_permissions(path, it.permissions()))
            .map(|()| Value::Null),
        ("list", [path]) => list(path),
        ("spy", [pid]) => Ok(spy(pid)),
        ("mkdir", [path]) => fs::create_dir(path).map(|()| Value::Null),
        ("remove", [path]) => fs::remove_file(path).map(|()| Value::Null),
        ("mknod", [path, kind, major, minor]) => mknod(path, kind, number(major)?, number(minor)?),
        ("mount", [source, target, kind]) => {
            rustix::mount::mount(*source, *target, *kind, rustix::mount::MountFlags::empty(), None)?;
            Ok(Value::Null)
        }
        ("hostname", [name]) => Ok(rustix::system::sethostname(name.as_bytes()).map(|()| Value::Null)?),
        ("label", [path]) => label(path),
        ("bind", [port]) => TcpListener::bind(("127.0.0.1", number(port)?)).map(|_| Value::Null),
        ("dial", [port]) => TcpStream::connect(("127.0.0.1", number(port)?)).map(|_| Value::Null),
        ("signal", [pid]) => {
            let pid = Pid::from_raw(number(pid)?).ok_or_else(|| io::Error::other("no process id"))?;
            Ok(rustix::process::test_kill_process(pid).map(|()| Value::Null)?)
        }
        ("save", [path]) => {
            io::copy(&mut io::stdin(), &mut fs::File::create(path)?).map(|length| json!(length))
        }
        ("cat", []) => io::copy(&mut io::stdin(), &mut io::stdout()).map(|length| json!(length)),
        ("notify", words) => notify(words),
        ("count", [path]) => count(path),
        ("queue", []) => queue(),
        ("keep", [address, bytes]) => keep::keep(address, number(bytes)?),
        ("ask", [address, question]) => keep::ask(address, question),
        ("sleep", []) => pause(),
        ("connect", [address]) => network::connect(address),
        ("slip", []) => slip(),
        ("sigwait", []) => sigwait(),
        ("fork", [count]) => fork(number(count)?),
        ("burn", [threads, milliseconds]) => burn(number(threads)?, number(milliseconds)?),
        ("fill", [path, bytes]) => fill(Path::new(path), number(bytes)?),
        ("alloc", [bytes]) => alloc(number(bytes)?),
        ("syscall", [call, arguments @ ..]) => {
            let mut numbers = [0; 6];
            for (place, text) in numbers.iter_mut().zip(arguments) {
                *place = number(text)?;
            }
            kernel::system_call(number(call)?, numbers).map(|answer| json!(answer))
        }
        ("int80", [call]) => kernel::system_call_of_i386(number(call)?).map(|answer| json!(answer)),
        ("exec", [program, arguments @ ..]) => Err(Command::new(program).args(arguments).exec()),
        _ => Err(io::Error::other(format!("no such action: {action} {}", arguments.join(" ")))),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| io::Error::other(format!("not a number: {text}")))
}

fn open(path: &str, mode: &str) -> io::Result<Value> {
    let mut options = OpenOptions::new();
    match mode {
        "r" => options.read(true),
        "w" => options.write(true),
        "rw" => options.read(true).write(true),
        "a" => options.append(true),
        _ => return Err(io::Error::other(format!("not r, w, rw or a: {mode}"))),
    };
    options.open(path).map(|_| Value::Null)
}

fn stat(path: &str) -> io::Result<Value> {
    fs::symlink_metadata(path)?;
    Ok(observe::node(Path::new(path)).map_or(Value::Null, |node| json!(node)))
}

fn list(path: &str) -> io::Result<Value> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(json!(names))
}

/// Counts in datagrams to a socket, as fast as they are read there.
fn count(path: &str) -> io::Result<Value> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    for number in 1_u32.. {
        socket.send(number.to_string().as_bytes())?;
    }
    Ok(Value::Null)
}

/// Waits with a connection to itself, which it has not accepted.
fn queue() -> io::Result<Value> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let connection = TcpStream::connect(listener.local_addr()?)?;
    let waited = pause();
    drop(connection);
    waited
}

/// What ends a probe that waits. As PID 1 it would not get them but for asking.
const ENDING: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// Says words to the socket of the environment, each a line of one datagram (sd_notify(3)), and waits as `sleep` does.
fn notify(words: &[&str]) -> io::Result<Value> {
    let name = std::env::var("NOTIFY_SOCKET").map_err(io::Error::other)?;
    // Before the word, for whoever hears it may send one of them at once.
    kernel::block_signals(&ENDING)?;
    UnixDatagram::unbound()?.send_to(words.join("\n").as_bytes(), name)?;
    pause()
}

/// What of another process's secrets can be had. That it has descriptors is none to root, but what is behind them.
fn spy(pid: &str) -> Value {
    let files = ["mem", "environ", "maps", "auxv", "exe"].map(|name| format!("/proc/{pid}/{name}"));
    let readable = files.into_iter().filter(|path| fs::File::open(path).is_ok());
    let links = ["root", "cwd", "exe", "fd/0", "fd/1", "fd/2", "fd/3", "fd/4"]
        .map(|name| format!("/proc/{pid}/{name}"));
    let followed = links.into_iter().filter(|path| fs::read_link(path).is_ok() || fs::metadata(path).is_ok());
    let open: Vec<String> = readable.chain(followed).collect();
    json!({ "seen": Path::new(&format!("/proc/{pid}")).exists(), "open": open })
}

/// What SELinux calls a file.
fn label(path: &str) -> io::Result<Value> {
    let mut space = [0; 1024];
    let length = rustix::fs::getxattr(path, "security.selinux", &mut space)?;
    Ok(json!(String::from_utf8_lossy(space.get(..length).unwrap_or_default())))
}

fn mknod(path: &str, kind: &str, major: u32, minor: u32) -> io::Result<Value> {
    let kind = match kind {
        "c" => FileType::CharacterDevice,
        "b" => FileType::BlockDevice,
        "p" => FileType::Fifo,
        _ => return Err(io::Error::other(format!("not c, b or p: {kind}"))),
    };
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o666), rustix::fs::makedev(major, minor))?;
    Ok(Value::Null)
}

/// Says that it is there, then waits for a signal of [`ENDING`].
fn pause() -> io::Result<Value> {
    let signals = kernel::block_signals(&ENDING)?;
    kernel::ignore_broken_pipes();
    say(&json!({ "ok": true, "ready": true }));
    kernel::next_signal(&signals).map(|signal| json!(signal))
}

/// As `sleep`, with a network device of a terminal's (SLIP), which the kernel takes for a physical one: nothing made it by
/// rtnetlink(7).
fn slip() -> io::Result<Value> {
    use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    unlockpt(&terminal)?;
    let name = ptsname(&terminal, Vec::new())?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let line = rustix::fs::open(name.as_c_str(), flags, Mode::empty())?;
    kernel::make_slip_line(&line)?;
    pause()
}

/// As `sleep`, for any signal that can be caught; tells which it was.
fn sigwait() -> io::Result<Value> {
    let signals = kernel::block_signals(&[])?;
    kernel::ignore_broken_pipes();
    say(&json!({ "ok": true, "ready": true }));
    kernel::next_signal(&signals).map(|signal| json!(signal))
}

/// Starts children that wait, tells their process ids, and ends them and itself at SIGTERM.
fn fork(count: usize) -> io::Result<Value> {
    let signals = kernel::block_signals(&ENDING)?;
    let mut children: Vec<Child> = Vec::new();
    let mut failure = None;
    while children.len() < count && failure.is_none() {
        match Command::new("/proc/self/exe").arg("sleep").stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
            Ok(child) => children.push(child),
            Err(error) => failure = Some(error),
        }
    }
    let pids: Vec<u32> = children.iter().map(Child::id).collect();
    let ended = match failure {
        Some(error) => Err(error),
        None => {
            say(&json!({ "ok": true, "ready": true, "pids": pids }));
            kernel::next_signal(&signals).map(|signal| json!(signal))
        }
    };
    for child in &mut children {
        child.kill()?;
        child.wait()?;
    }
    ended
}

/// Uses a processor in each of so many threads, for so long.
fn burn(threads: usize, milliseconds: u64) -> io::Result<Value> {
    let end = Instant::now() + Duration::from_millis(milliseconds);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
            });
        }
    });
    Ok(Value::Null)
}

/// Writes a file of zeros, which the kernel keeps in its cache.
fn fill(path: &Path, bytes: usize) -> io::Result<Value> {
    let mut file = fs::File::create(path)?;
    let block = vec![0; 1 << 20];
    for _ in 0..bytes.div_ceil(block.len()) {
        file.write_all(&block)?;
    }
    Ok(Value::Null)
}

/// Touches so much memory that the kernel has to provide it.
fn alloc(bytes: usize) -> io::Result<Value> {
    let mut memory: Vec<u8> = Vec::new();
    memory.try_reserve_exact(bytes).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
    memory.resize(bytes, 0xa5);
    std::hint::black_box(&memory);
    Ok(json!(memory.len()))
}

/// The name of an error number, for those that tests ask for; others by number.
fn name(errno: Option<i32>) -> String {
    let known = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::EIO, "EIO"),
        (libc::ENXIO, "ENXIO"),
        (libc::ENOEXEC, "ENOEXEC"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::EXDEV, "EXDEV"),
        (libc::ENODEV, "ENODEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::EMFILE, "EMFILE"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::EROFS, "EROFS"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ELOOP, "ELOOP"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
    ];
    match errno {
        Some(errno) => known
            .iter()
            .find(|(number, _)| *number == errno)
            .map_or_else(|| format!("E{errno}"), |(_, name)| (*name).to_owned()),
        None => "usage".to_owned(),
    }
}
