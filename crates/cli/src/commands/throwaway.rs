//! `corten try`: a throw-away container on a copy-on-write view of the machine's own root.

mod scratch;
mod view;

use corten::config::{default_device_rules, default_devices};
use corten::oci::{Capabilities, DeviceRule, IdMapping, Mount, Resources};
use corten::{
    Cgroup, Config, ErrorKind, Id, Launcher, Namespace, Namespaces, Process, Runtime, Signal, Stdio,
};
use rustix::termios::isatty;

use crate::error::{Doing, Error, Result};
use crate::foreground::{self, Signals};
use scratch::Scratch;

/// Run a command in a throw-away container on a copy-on-write view of this machine.
///
/// The container sees the directories of this machine and may change them: every change is gone with the container.
/// It has a /run and a /tmp of its own, no network but loopback, and no socket of this machine in reach. It
/// needs no image, no bundle, no setup and no root.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The exit status is the command's; 127 where there is no such command, 126 where it cannot be run, and 125 \
where the container cannot be made."
)]
pub struct Try {
    /// Set an environment variable; without a value, pass this one on
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Working directory in the container [default: the present one if the container has it, else /]
    #[arg(short = 'C', long, value_name = "DIRECTORY")]
    cwd: Option<String>,
    /// The command and its arguments [default: a shell]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What the container cannot be told by this machine's environment but by these.
const ENVIRONMENT: [&str; 9] =
    ["COLORTERM", "HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "USER"];

/// Where there is none in the environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What root may do in the container. Nothing of this reaches beyond its namespaces.
const CAPABILITIES: [&str; 13] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Kernel files that tell of the machine, or act on it.
const MASKED: [&str; 9] = [
    view::CHANGES,
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/scsi",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Runs the command; its exit status.
pub fn run(launcher: Launcher, arguments: &Try) -> Result<i32> {
    let signals = Signals::hold()?;
    scratch::sweep(&launcher);
    let scratch = Scratch::new().doing(|| "make a directory for the container".to_owned())?;
    let state = scratch.directory("state").doing(|| "make the state directory".to_owned())?;
    let runtime = Runtime::open(state, launcher)?;
    let id = Id::try_from(scratch.name())?;
    let container = runtime.create(&id, config(&scratch)?)?;
    let lived = arguments.process().and_then(|process| {
        let mut child = container.run(process)?;
        foreground::attend(&signals, &mut child, None)
    });
    runtime.purge(&id)?;
    Ok(lived?.code())
}

/// The exit status of a failure, as shells and engines have it.
pub fn exit_status(error: &Error) -> i32 {
    match error {
        Error::Container(error) if error.kind() == ErrorKind::CommandNotFound => match error.raw_os_error() {
            Some(_) if !error.to_string().contains("no such file") => 126,
            _ => 127,
        },
        _ => 125,
    }
}

impl Try {
    fn process(&self) -> Result<Process> {
        let variable = |name: &str| std::env::var(name).ok();
        let shell = || vec![variable("SHELL").unwrap_or_else(|| "/bin/sh".to_owned())];
        let command = if self.command.is_empty() { shell() } else { self.command.clone() };
        let mut words = command.into_iter();
        let mut builder = Process::builder(words.next().unwrap_or_default())
            .args(words)
            .env("PATH", PATH)
            .envs(ENVIRONMENT.iter().filter_map(|name| Some((*name, variable(name)?))))
            .cwd(self.cwd.clone().unwrap_or_else(present_directory))
            .init_reaper(true);
        for entry in &self.env {
            let (name, value) = match entry.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => (entry.as_str(), variable(entry).unwrap_or_default()),
            };
            builder = builder.env(name, value);
        }
        let [stdin, stdout] = [rustix::stdio::stdin(), rustix::stdio::stdout()].map(isatty);
        builder = match stdin && stdout {
            true => builder.terminal(foreground::terminal_size()),
            false => builder.stdio(Stdio::Inherit),
        };
        Ok(builder.build()?)
    }
}

/// The caller's directory, where the container has it too.
fn present_directory() -> String {
    let here = std::env::current_dir().ok().filter(|here| view::shows(here));
    here.and_then(|here| here.to_str().map(str::to_owned)).unwrap_or_else(|| "/".to_owned())
}

/// The container of one command.
fn config(scratch: &Scratch) -> Result<Config> {
    let user = rustix::process::geteuid();
    let doing = || "put together a view of this machine".to_owned();
    let root = scratch.directory("root").doing(doing)?;
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").doing(doing)?;
    let parts = view::parts(&view::mounts(&mountinfo), &view::list);
    let mut mounts = view::build(&root, &parts, !user.is_root()).doing(doing)?;
    mounts.extend(fresh_mounts(user.is_root()));
    let mut namespaces: Namespaces = Namespace::ALL
        .into_iter()
        .filter(|kind| !matches!(kind, Namespace::User | Namespace::Time))
        .collect();
    let capabilities = names(&CAPABILITIES);
    let mut builder = Config::builder(&root)
        .hostname("corten")
        .mounts(mounts)
        .devices(default_devices())
        .mask_paths(names(&MASKED))
        .readonly_paths(names(&READ_ONLY))
        .capabilities(Capabilities {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            permitted: capabilities,
            ..Capabilities::default()
        })
        .no_new_privileges(true)
        .parent_death_signal(Signal::KILL.as_raw());
    if user.is_root() {
        let nothing = DeviceRule { allow: false, access: Some("rwm".to_owned()), ..DeviceRule::default() };
        let devices = std::iter::once(nothing).chain(default_device_rules()).collect();
        let resources = Resources { devices, ..Resources::default() };
        builder = builder.cgroup(Cgroup { resources, ..Cgroup::default() });
    } else {
        let itself = |host: u32| vec![IdMapping { container_id: 0, host_id: host, size: 1 }];
        namespaces.add(Namespace::User);
        builder = builder
            .uid_mappings(itself(user.as_raw()))
            .gid_mappings(itself(rustix::process::getegid().as_raw()))
            .cgroup(Cgroup { managed: false, ..Cgroup::default() })
            .rootless_euid(true);
    }
    Ok(builder.namespaces(namespaces).build()?)
}

/// Mounts that have nothing of the machine's files.
fn fresh_mounts(root: bool) -> Vec<Mount> {
    let mount = |typ, destination, options: &str| {
        view::mount(typ, typ, destination, options.split(',').map(str::to_owned).collect())
    };
    // An ordinary user has no other group to give the terminals to.
    let terminals = if root { ",gid=5" } else { "" };
    let mut mounts = vec![
        mount("proc", "/proc", "nosuid,nodev,noexec"),
        mount("sysfs", "/sys", "nosuid,nodev,noexec,ro"),
        mount("tmpfs", "/dev", "nosuid,strictatime,mode=755,size=65536k"),
        mount("devpts", "/dev/pts", &format!("nosuid,noexec,newinstance,ptmxmode=0666,mode=0620{terminals}")),
        mount("tmpfs", "/dev/shm", "nosuid,nodev,noexec,mode=1777,size=65536k"),
        mount("mqueue", "/dev/mqueue", "nosuid,nodev,noexec"),
        mount("tmpfs", "/run", "nosuid,nodev,mode=755"),
        mount("tmpfs", "/tmp", "nosuid,nodev,mode=1777"),
    ];
    if root {
        mounts.push(mount("cgroup", "/sys/fs/cgroup", "nosuid,nodev,noexec,ro"));
    }
    mounts
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
