//! The configuration that the documentation of Go's libcontainer shows, each field of it, through Corten's builder; then
//! the life of the container.
//!
//! ```text
//! cargo run --example libcontainer -- ROOTFS [COMMAND [ARGUMENT...]]
//! ```
//!
//! as root, with a root file system whose files the user 1000 can read, such as an unpacked busybox.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use corten::config::{default_device_rules, default_devices};
use corten::oci::{Capabilities, Cpu, IdMapping, Memory, Mount, Pids, Resources, Rlimit};
use corten::{Cgroup, Config, Id, Launcher, Namespace, Network, Process, Result, Runtime, Signal, Stdio};

fn main() -> Result<()> {
    // First: in the re-executed copy of this program, which becomes the container's init, it never returns.
    let hook = corten::init();
    let mut arguments = std::env::args().skip(1);
    let Some(rootfs) = arguments.next() else {
        eprintln!("usage: libcontainer ROOTFS [COMMAND [ARGUMENT...]]");
        std::process::exit(2);
    };
    let command: Vec<String> = arguments.collect();
    let state =
        std::env::var_os("CORTEN_STATE").map_or_else(|| PathBuf::from("/run/corten-example"), PathBuf::from);

    let runtime = Runtime::open(state, Launcher::self_exe(hook))?;
    let container = runtime.create(&Id::try_from("container-id")?, config(Path::new(&rootfs))?)?;
    let code = match live(&container, Path::new(&rootfs), &command) {
        Ok(code) => code,
        Err(error) => {
            runtime.purge(container.id())?;
            return Err(error);
        }
    };
    container.destroy()?;
    std::process::exit(code);
}

/// Every field of the example in the documentation of Go's libcontainer.
fn config(rootfs: &Path) -> Result<Config> {
    let mapping = vec![IdMapping { container_id: 0, host_id: 1000, size: 65536 }];
    Config::builder(rootfs)
        .capabilities(capabilities())
        .namespaces([
            Namespace::Mount,
            Namespace::Uts,
            Namespace::Ipc,
            Namespace::Pid,
            Namespace::User,
            Namespace::Net,
            Namespace::Cgroup,
        ])
        .cgroup(Cgroup {
            name: Some("test-container".to_owned()),
            parent: Some("system".to_owned()),
            // No swappiness: the kernel's default.
            resources: Resources { devices: default_device_rules(), ..Resources::default() },
            ..Cgroup::default()
        })
        .mask_paths(strings(&["/proc/kcore", "/sys/firmware"]))
        .readonly_paths(strings(&["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"]))
        .devices(default_devices())
        .hostname("testing")
        .mounts(mounts())
        .uid_mappings(mapping.clone())
        .gid_mappings(mapping)
        .networks(vec![Network {
            address: "127.0.0.1/0".to_owned(),
            gateway: "localhost".to_owned(),
            ..Network::loopback()
        }])
        .rlimits(vec![Rlimit { typ: "RLIMIT_NOFILE".to_owned(), hard: 1025, soft: 1025 }])
        .build()
}

/// Fourteen capabilities in four sets. As none is inheritable, the kernel refuses the ambient ones: a warning.
fn capabilities() -> Capabilities {
    let names = strings(&[
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ]);
    Capabilities {
        bounding: names.clone(),
        effective: names.clone(),
        inheritable: Vec::new(),
        permitted: names.clone(),
        ambient: names,
    }
}

fn mounts() -> Vec<Mount> {
    let mount = |typ: &str, source: &str, destination: &str, options: &[&str]| Mount {
        typ: Some(typ.to_owned()),
        source: Some(source.to_owned()),
        destination: destination.to_owned(),
        options: strings(options),
        ..Mount::default()
    };
    let devpts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    vec![
        mount("proc", "proc", "/proc", &["noexec", "nosuid", "nodev"]),
        mount("tmpfs", "tmpfs", "/dev", &["nosuid", "strictatime", "mode=755"]),
        mount("devpts", "devpts", "/dev/pts", &devpts),
        mount("tmpfs", "shm", "/dev/shm", &["noexec", "nosuid", "nodev", "mode=1777", "size=65536k"]),
        mount("mqueue", "mqueue", "/dev/mqueue", &["noexec", "nosuid", "nodev"]),
        mount("sysfs", "sysfs", "/sys", &["noexec", "nosuid", "nodev", "ro"]),
    ]
}

/// Runs the command, and shows what else a container can do while a second program sleeps in it.
fn live(container: &corten::Container, rootfs: &Path, command: &[String]) -> Result<i32> {
    let process = match command.split_first() {
        Some((program, arguments)) => Process::builder(program).args(arguments),
        None => Process::builder(shell(rootfs)),
    };
    let process = process.env("PATH", "/bin:/usr/bin").user("daemon").stdio(Stdio::Inherit).build()?;
    let child = container.start_init(process)?;
    eprintln!("status: {}, init: {}", container.status()?, child.pid());

    container.update(&Resources {
        memory: Some(Memory { limit: Some(256 << 20), ..Memory::default() }),
        cpu: Some(Cpu { shares: Some(512), ..Cpu::default() }),
        pids: Some(Pids { limit: Some(100) }),
        ..Resources::default()
    })?;
    container.pause()?;
    eprintln!("status: {}, processes: {:?}", container.status()?, container.processes()?);
    let stats = container.stats()?.cgroup;
    eprintln!("processes: {:?}, memory: {:?}", stats.pids, stats.memory.map(|memory| memory.usage));
    container.resume()?;
    container.signal(Signal::CONT)?;
    let state = container.state()?;
    eprintln!("state: {} since {}, root {}", state.id, state.created, state.rootfs.display());
    eprintln!("cgroups: {:?}", state.cgroup_paths);

    // The user's program runs from here on, and the exit status is its.
    let status = child.release()?.wait()?;
    eprintln!("status: {}, {status:?}", container.status()?);
    Ok(status.code())
}

/// The shell that the root file system has.
fn shell(rootfs: &Path) -> &'static str {
    if rootfs.join("bin/bash").exists() { "/bin/bash" } else { "/bin/sh" }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}
