//! Gathers the report.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use corten_testkit::{
    CAPABILITIES, Capabilities, CapabilitySet, Ids, Limit, Mount, Node, Report, Signals, Window,
};
use rustix::process::{Resource, getrlimit};

use crate::network;

/// Looks at everything.
pub fn observe<'a>(sysctls: impl Iterator<Item = &'a str>) -> Report {
    let uname = rustix::system::uname();
    let status = Status(text("/proc/self/status"));
    let stat = text("/proc/self/stat");
    let terminals = standard().map(rustix::termios::isatty);
    Report {
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        ppid: rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get()),
        // Not by their system calls: rustix knows no 0, which is a leader in another pid namespace.
        pgid: stat_field(stat.as_deref(), 5).unwrap_or(0),
        sid: stat_field(stat.as_deref(), 6).unwrap_or(0),
        uids: status.ids("Uid", rustix::process::getuid().as_raw(), rustix::process::geteuid().as_raw()),
        gids: status.ids("Gid", rustix::process::getgid().as_raw(), rustix::process::getegid().as_raw()),
        groups: rustix::process::getgroups()
            .unwrap_or_default()
            .into_iter()
            .map(rustix::process::Gid::as_raw)
            .collect(),
        uid_map: lines("/proc/self/uid_map"),
        gid_map: lines("/proc/self/gid_map"),
        setgroups: text("/proc/self/setgroups").map(|value| value.trim().to_owned()),
        hostname: uname.nodename().to_string_lossy().into_owned(),
        domainname: uname.domainname().to_string_lossy().into_owned(),
        cwd: std::env::current_dir().ok().map(|path| path.to_string_lossy().into_owned()),
        umask: umask(),
        args: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        env: environment(),
        executable: link("/proc/self/exe"),
        namespaces: namespaces(),
        time_offsets: time_offsets(),
        capabilities: status.capabilities(),
        no_new_privs: status.number("NoNewPrivs").map(|value| value != 0),
        seccomp: status.number("Seccomp"),
        seccomp_filters: status.number("Seccomp_filters"),
        rlimits: rlimits(),
        oom_score_adj: text("/proc/self/oom_score_adj").and_then(|value| value.trim().parse().ok()),
        session_keyring: crate::kernel::session_keyring(),
        session_keyring_label: crate::kernel::session_keyring_label(),
        mounts: text("/proc/self/mountinfo").map(|lines| Mount::parse(&lines)),
        cgroups: lines("/proc/self/cgroup"),
        fds: fds(),
        devices: devices(),
        signals: status.signals(),
        terminals,
        window: window(terminals),
        sysctls: sysctls.map(sysctl).collect(),
        loopback_up: loopback_up().unwrap_or(false),
        interfaces: interfaces(),
        links: network::links(),
        routes: network::routes(),
        personality: text("/proc/self/personality")
            .and_then(|value| u32::from_str_radix(value.trim(), 16).ok()),
        scheduling: crate::kernel::scheduling(),
        io_priority: crate::kernel::io_priority(),
        memory_policy: crate::kernel::memory_policy(),
        cpus: status.field("Cpus_allowed_list").map(str::to_owned),
        label: text("/proc/self/attr/current")
            .map(|value| value.trim_end_matches(['\0', '\n']).to_owned())
            .filter(|value| !value.is_empty()),
    }
}

fn text(path: &str) -> Option<String> {
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn lines(path: &str) -> Option<Vec<String>> {
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text(path).map(|text| text.lines().map(squeeze).collect())
}

fn link(path: impl AsRef<Path>) -> Option<String> {
    fs::read_link(path).ok().map(|target| target.to_string_lossy().into_owned())
}

/// The lines `Name:\tvalue` of `/proc/self/status`.
struct Status(Option<String>);

impl Status {
    fn field(&self, name: &str) -> Option<&str> {
        let line = self.0.as_ref()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim())
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.field(name)?.parse().ok()
    }

    fn ids(&self, name: &str, real: u32, effective: u32) -> Ids {
        let field = |index| self.field(name)?.split_whitespace().nth(index)?.parse().ok();
        Ids { real, effective, saved: field(2), filesystem: field(3) }
    }

    fn bits(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.field(name)?, 16).ok()
    }

    fn capabilities(&self) -> Option<Capabilities> {
        let set = |name| {
            let bits = self.bits(name)?;
            let name = |bit: usize| match CAPABILITIES.get(bit) {
                Some(name) => (*name).to_owned(),
                None => format!("CAP_{bit}"),
            };
            let names = (0..64).filter(|bit| bits & (1 << bit) != 0).map(name).collect();
            Some(CapabilitySet { hex: format!("{bits:016x}"), names })
        };
        Some(Capabilities {
            inheritable: set("CapInh")?,
            permitted: set("CapPrm")?,
            effective: set("CapEff")?,
            bounding: set("CapBnd")?,
            ambient: set("CapAmb")?,
        })
    }

    fn signals(&self) -> Option<Signals> {
        let set = |name| {
            let bits = self.bits(name)?;
            Some((1..=64).filter(|signal| bits & (1 << (signal - 1)) != 0).collect())
        };
        Some(Signals { blocked: set("SigBlk")?, ignored: set("SigIgn")?, caught: set("SigCgt")? })
    }
}

/// A field of `/proc/self/stat`, numbered as in proc_pid_stat(5); the second, the name, may hold anything.
fn stat_field<T: std::str::FromStr>(stat: Option<&str>, number: usize) -> Option<T> {
    let (_, after) = stat?.rsplit_once(") ")?;
    after.split(' ').nth(number - 3)?.trim().parse().ok()
}

/// There is no call that only reads it; nothing else runs in this process that could be affected.
fn umask() -> u32 {
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    mask.bits()
}

fn environment() -> Vec<String> {
    let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| format!("{}={}", text(&name), text(&value))).collect()
}

fn entries(path: &str) -> Option<Vec<fs::DirEntry>> {
    fs::read_dir(path).ok().map(|entries| entries.flatten().collect())
}

fn namespaces() -> Option<BTreeMap<String, String>> {
    let pair = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, link(entry.path())?));
    Some(entries("/proc/self/ns")?.into_iter().filter_map(pair).collect())
}

fn time_offsets() -> Option<BTreeMap<String, String>> {
    let pair = |line: String| line.split_once(' ').map(|(clock, rest)| (clock.to_owned(), rest.to_owned()));
    Some(lines("/proc/self/timens_offsets")?.into_iter().filter_map(pair).collect())
}

fn rlimits() -> BTreeMap<String, Limit> {
    [
        ("RLIMIT_AS", Resource::As),
        ("RLIMIT_CORE", Resource::Core),
        ("RLIMIT_CPU", Resource::Cpu),
        ("RLIMIT_DATA", Resource::Data),
        ("RLIMIT_FSIZE", Resource::Fsize),
        ("RLIMIT_LOCKS", Resource::Locks),
        ("RLIMIT_MEMLOCK", Resource::Memlock),
        ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
        ("RLIMIT_NICE", Resource::Nice),
        ("RLIMIT_NOFILE", Resource::Nofile),
        ("RLIMIT_NPROC", Resource::Nproc),
        ("RLIMIT_RSS", Resource::Rss),
        ("RLIMIT_RTPRIO", Resource::Rtprio),
        ("RLIMIT_RTTIME", Resource::Rttime),
        ("RLIMIT_SIGPENDING", Resource::Sigpending),
        ("RLIMIT_STACK", Resource::Stack),
    ]
    .into_iter()
    .map(|(name, resource)| {
        let limit = getrlimit(resource);
        (name.to_owned(), Limit { soft: limit.current, hard: limit.maximum })
    })
    .collect()
}

/// The descriptor with which the directory is read is in the list too: it is the one that points to the directory.
fn fds() -> Option<BTreeMap<i32, String>> {
    let own = format!("/proc/{}/fd", rustix::process::getpid().as_raw_nonzero());
    let pair = |entry: fs::DirEntry| Some((entry.file_name().to_str()?.parse().ok()?, link(entry.path())?));
    let entries = fs::read_dir("/proc/self/fd").ok()?.flatten();
    Some(entries.filter_map(pair).filter(|(_, target)| *target != own).collect())
}

fn devices() -> Option<BTreeMap<String, Node>> {
    let mut nodes = BTreeMap::new();
    for entry in entries("/dev")? {
        let path = entry.path().to_string_lossy().into_owned();
        let Some(node) = node(&entry.path()) else { continue };
        if node.kind == "directory" {
            for entry in entries(&path).unwrap_or_default() {
                if let Some(node) = self::node(&entry.path()) {
                    nodes.insert(entry.path().to_string_lossy().into_owned(), node);
                }
            }
        }
        nodes.insert(path, node);
    }
    Some(nodes)
}

/// What a path is, symbolic links not followed.
pub fn node(path: &Path) -> Option<Node> {
    let data = fs::symlink_metadata(path).ok()?;
    let kind = data.file_type();
    let kind = match () {
        () if kind.is_char_device() => "character",
        () if kind.is_block_device() => "block",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () if kind.is_dir() => "directory",
        () if kind.is_symlink() => "symlink",
        () => "file",
    };
    Some(Node {
        kind: kind.to_owned(),
        major: rustix::fs::major(data.rdev()),
        minor: rustix::fs::minor(data.rdev()),
        mode: data.mode() & 0o7777,
        uid: data.uid(),
        gid: data.gid(),
        target: link(path),
    })
}

fn standard() -> [BorrowedFd<'static>; 3] {
    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
}

fn window(terminals: [bool; 3]) -> Option<Window> {
    let (fd, _) = standard().into_iter().zip(terminals).find(|(_, terminal)| *terminal)?;
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    Some(Window { rows: size.ws_row, columns: size.ws_col })
}

/// Dots and slashes are one in a kernel parameter's name, except that a name with slashes keeps its dots (sysctl(8)).
fn sysctl(name: &str) -> (String, Option<String>) {
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    let value = text(&format!("/proc/sys/{path}")).map(|value| value.trim_end().to_owned());
    (name.to_owned(), value)
}

fn loopback_up() -> std::io::Result<bool> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.send_to(b"?", socket.local_addr()?)?;
    Ok(socket.recv(&mut [0; 8])? == 1)
}

fn interfaces() -> Option<Vec<String>> {
    let name = |line: &str| line.split_once(':').map(|(name, _)| name.trim().to_owned());
    text("/proc/self/net/dev").map(|text| text.lines().filter_map(name).collect())
}
