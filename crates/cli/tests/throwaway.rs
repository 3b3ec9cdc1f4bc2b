//! `corten try`, as root and as an ordinary user, with and without a terminal.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use common::{Outcome, Typed, corten, eventually};
use corten_testkit::{Requirement, Run, Scratch, Suite, install};
use rustix::process::{Pid, Signal, kill_process};

const USER: [&str; 4] = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];

/// A directory for temporary files that anybody may use, with the program in it.
struct Place(Scratch);

impl Place {
    fn new() -> Self {
        let scratch = Scratch::new().unwrap();
        let temporary = scratch.path().join("tmp");
        fs::create_dir(&temporary).unwrap();
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777)).unwrap();
        install(corten(), &scratch.path().join("corten")).unwrap();
        Self(scratch)
    }

    fn temporary(&self) -> std::path::PathBuf {
        self.0.path().join("tmp")
    }

    /// `corten try ARGUMENTS` as root, or as somebody else.
    fn arguments(&self, user: bool, arguments: &[&str]) -> Vec<String> {
        let program = self.0.path().join("corten");
        let before = if user { [&["setpriv"], &USER[..]].concat() } else { vec!["env"] };
        let own = [program.to_str().unwrap(), "try"];
        before.iter().chain(&own).chain(arguments).map(|word| (*word).to_owned()).collect()
    }

    fn tries(&self, user: bool, arguments: &[&str]) -> Run {
        let words = self.arguments(user, arguments);
        let run = Run::new(&words[0]).args(&words[1..]).current_dir("/").env("TMPDIR", self.temporary());
        run.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/nonexistent")
    }

    fn nothing_is_left(&self) {
        let left: Vec<_> =
            fs::read_dir(self.temporary()).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn says_hello(user: bool) -> Outcome {
    let place = Place::new();
    let output = place
        .tries(user, &["--", "sh", "-c", "echo hello from $(hostname), pid $$; pwd"])
        .output()?
        .success()?;
    assert_eq!(output.stdout, "hello from corten, pid 2\n/\n");
    assert_eq!(output.stderr, "");
    place.nothing_is_left();
    Ok(())
}

fn statuses_pass_through(user: bool) -> Outcome {
    let place = Place::new();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        place.tries(user, &["sh", "-c", script]).output()?.code(code)?;
    }
    let missing = place.tries(user, &["no-such-program"]).output()?.code(127)?;
    assert!(missing.stderr.contains("executable file not found in $PATH"), "{}", missing.stderr);
    place.tries(user, &["/etc/passwd"]).output()?.code(126)?;
    place
        .tries(user, &["--cwd", "/nowhere/at/all", "--env", "A=1", "sh", "-c", "test $A = 1"])
        .output()?
        .success()?;
    place.nothing_is_left();
    Ok(())
}

/// Changes stay inside, and the sockets of the machine stay outside.
fn is_apart(user: bool) -> Outcome {
    let place = Place::new();
    let name = place.0.name().to_owned();
    let socket = Path::new("/run").join(&name);
    let _listener = UnixListener::bind(&socket)?;
    let script = format!(
        "echo changed > /usr/{name} && cat /usr/{name} && rmdir /srv 2>/dev/null; ls -A /run /tmp | grep -c {name}; \
         ls /.changes 2>/dev/null; head -1 /proc/net/unix; grep -c . /proc/net/unix; ls /sys/class/net"
    );
    let output = place.tries(user, &["sh", "-c", &script]).output();
    fs::remove_file(&socket)?;
    let output = output?.success()?;
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!((lines[0], lines[1]), ("changed", "0"), "{}", output.describe());
    assert_eq!(lines.last(), Some(&"lo"), "{}", output.describe());
    assert_eq!(lines[lines.len() - 2], "1", "only the head of the table: {}", output.describe());
    assert!(!Path::new("/usr").join(&name).exists() && Path::new("/srv").exists());
    place.nothing_is_left();
    Ok(())
}

fn signals_are_forwarded(user: bool) -> Outcome {
    let place = Place::new();
    let words = place.arguments(
        user,
        &["sh", "-c", "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done"],
    );
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .current_dir("/")
        .env("TMPDIR", place.temporary())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap()?, "ready");
    kill_process(Pid::from_child(&child), Signal::TERM)?;
    assert_eq!(lines.next().unwrap()?, "caught");
    assert_eq!(child.wait()?.code(), Some(9));
    place.nothing_is_left();
    Ok(())
}

fn a_terminal_works(user: bool) -> Outcome {
    let place = Place::new();
    let script = "trap 'echo interrupted; exit 9' INT; trap 'echo size $(stty size)' WINCH; tty; \
                  echo size $(stty size); echo ready; while :; do sleep 0.05; done";
    let mut typed = Typed::new(&place.arguments(user, &["sh", "-c", script]), &place.temporary());
    typed.until("/dev/pts/0");
    typed.until("size 30 100");
    typed.until("ready");
    typed.resize(40, 120);
    typed.until("size 40 120");
    typed.types(b"\x03");
    typed.until("interrupted");
    assert_eq!(typed.child.wait()?.code(), Some(9));
    assert!(typed.is_usual());
    place.nothing_is_left();
    Ok(())
}

/// Killed, it takes its container along; what it cannot clear is cleared by the next one.
fn a_killed_one_leaves_nothing(user: bool) -> Outcome {
    let place = Place::new();
    let mark = format!("sleep 1000 # {}", place.0.name());
    let words = place.arguments(user, &["sh", "-c", &format!("echo ready; {mark}; true")]);
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .current_dir("/")
        .env("TMPDIR", place.temporary())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap()?, "ready");
    assert!(runs(place.0.name()));
    child.kill()?;
    child.wait()?;
    eventually("wait for the end of the container", || !runs(place.0.name()));
    assert_eq!(fs::read_dir(place.temporary())?.count(), 1);
    place.tries(user, &["true"]).output()?.success()?;
    place.nothing_is_left();
    Ok(())
}

/// Whether there is a process with this among its arguments.
fn runs(mark: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| {
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(mark) && line.starts_with("sh\0")
    })
}

fn main() -> ExitCode {
    corten();
    type Case = (&'static str, fn(bool) -> Outcome);
    let cases: [Case; 6] = [
        ("says_hello", says_hello),
        ("statuses_pass_through", statuses_pass_through),
        ("is_apart", is_apart),
        ("signals_are_forwarded", signals_are_forwarded),
        ("a_terminal_works", a_terminal_works),
        ("a_killed_one_leaves_nothing", a_killed_one_leaves_nothing),
    ];
    let root = [Requirement::Root];
    let user = [Requirement::Root, Requirement::UserNamespaces, Requirement::Program("setpriv")];
    let add = |suite: Suite, (name, case): &Case| {
        let case = *case;
        suite.needs(&root, &format!("{name}_as_root"), move || case(false)).needs(
            &user,
            &format!("{name}_as_a_user"),
            move || case(true),
        )
    };
    cases.iter().fold(Suite::new(), add).run()
}
