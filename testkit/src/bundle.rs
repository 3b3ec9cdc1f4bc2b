//! Bundles: a configuration beside a root file system.

use std::fs;
use std::io;
use std::path::Path;

use corten_oci::{Capabilities, DeviceRule, Linux, Mount, Namespace, Process, Resources, Rlimit, Root, Spec};

use crate::{Rootfs, Scratch};

/// A directory with a `config.json`; it goes with the guard, the root file system too.
#[derive(Debug)]
pub struct Bundle {
    rootfs: Rootfs,
    /// What `config.json` says.
    pub spec: Spec,
}

impl Bundle {
    /// Writes the [default configuration](default_spec) for this root, changed by `edit`.
    pub fn new(rootfs: Rootfs, edit: impl FnOnce(&mut Spec)) -> io::Result<Bundle> {
        let mut spec = default_spec();
        edit(&mut spec);
        let bundle = Bundle { rootfs, spec };
        bundle.write()?;
        Ok(bundle)
    }

    /// Writes `config.json` again, after a change of [`spec`](Bundle::spec).
    pub fn write(&self) -> io::Result<()> {
        fs::write(self.path().join("config.json"), serde_json::to_vec_pretty(&self.spec)?)
    }

    /// The bundle's directory.
    pub fn path(&self) -> &Path {
        self.rootfs.scratch().path()
    }

    /// A name unique on the machine, for the container and its cgroup.
    pub fn id(&self) -> &str {
        self.rootfs.scratch().name()
    }

    /// The root file system.
    pub fn rootfs(&self) -> &Rootfs {
        &self.rootfs
    }

    /// The directory that goes with the bundle.
    pub fn scratch(&self) -> &Scratch {
        self.rootfs.scratch()
    }
}

/// The configuration that `runc spec` writes, except that the program is the probe and there is no terminal.
pub fn default_spec() -> Spec {
    let capabilities = names(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    Spec {
        version: "1.2.0".to_owned(),
        root: Some(Root { path: "rootfs".to_owned(), readonly: true }),
        process: Some(Process {
            args: names(&["/bin/probe"]),
            env: names(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]),
            cwd: "/".to_owned(),
            capabilities: Some(Capabilities {
                bounding: capabilities.clone(),
                effective: capabilities.clone(),
                permitted: capabilities,
                ..Capabilities::default()
            }),
            rlimits: vec![Rlimit { typ: "RLIMIT_NOFILE".to_owned(), hard: 1024, soft: 1024 }],
            no_new_privileges: true,
            ..Process::default()
        }),
        hostname: Some("corten".to_owned()),
        mounts: mounts(),
        linux: Some(linux()),
        ..Spec::default()
    }
}

fn linux() -> Linux {
    let namespace = |kind: &str| Namespace { typ: kind.to_owned(), path: None };
    Linux {
        namespaces: ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(namespace).to_vec(),
        resources: Some(Resources {
            devices: vec![DeviceRule {
                allow: false,
                access: Some("rwm".to_owned()),
                ..DeviceRule::default()
            }],
            ..Resources::default()
        }),
        masked_paths: names(&[
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ]),
        readonly_paths: names(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
        ..Linux::default()
    }
}

fn mounts() -> Vec<Mount> {
    let mount = |destination: &str, typ: &str, source: &str, options: &[&str]| Mount {
        destination: destination.to_owned(),
        typ: Some(typ.to_owned()),
        source: Some(source.to_owned()),
        options: names(options),
        ..Mount::default()
    };
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
