//! What a case needs of the machine it runs on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::report::Mount;
use crate::rootfs;

/// Something that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The tests run as root.
    Root,
    /// The tests run as anyone but root.
    OrdinaryUser,
    /// A static busybox at `/bin/busybox` or `/usr/bin/busybox`.
    Busybox,
    /// A program of this name on the search path.
    Program(&'static str),
    /// A capability in the effective set, by name.
    Capability(&'static str),
    /// A cgroup v1 hierarchy with this controller.
    CgroupV1(&'static str),
    /// This controller in the cgroup v2 hierarchy.
    CgroupV2(&'static str),
    /// A file system type that the kernel knows.
    Filesystem(&'static str),
    /// A file or directory, such as `/sys/kernel/security/apparmor`.
    Path(&'static str),
    /// A block device that can have this scheduler, such as `bfq`.
    IoScheduler(&'static str),
    /// A part of the kernel that is loaded when it is used, such as `slip`.
    Module(&'static str),
    /// Leave to make user namespaces.
    UserNamespaces,
    /// Landlock, of this version of the interface or a newer one.
    Landlock(u32),
    /// A CRIU that can save and restore on this kernel, and has these features, such as `mem_dirty_track`.
    Criu(&'static [&'static str]),
}

/// Why these requirements are not met; `None` if they are. The text is the same on every run.
pub fn missing(requirements: &[Requirement]) -> Option<String> {
    requirements.iter().find_map(|requirement| requirement.missing())
}

impl Requirement {
    fn missing(&self) -> Option<String> {
        let root = rustix::process::geteuid().is_root();
        let (met, reason) = match self {
            Requirement::Root => (root, "needs root".to_owned()),
            Requirement::OrdinaryUser => (!root, "needs an ordinary user".to_owned()),
            Requirement::Busybox => (rootfs::busybox().is_some(), "needs a static busybox".to_owned()),
            Requirement::Program(name) => (on_path(name), format!("needs the program {name}")),
            Requirement::Capability(name) => (capable(name), format!("needs {name}")),
            Requirement::CgroupV1(name) => (cgroup_v1(name), format!("needs the v1 controller {name}")),
            Requirement::CgroupV2(name) => (cgroup_v2(name), format!("needs the v2 controller {name}")),
            Requirement::Filesystem(name) => (filesystem(name), format!("needs the file system {name}")),
            Requirement::Path(path) => (Path::new(path).exists(), format!("needs {path}")),
            Requirement::IoScheduler(name) => (io_scheduler(name), format!("needs the I/O scheduler {name}")),
            Requirement::Landlock(abi) => (landlock(*abi), format!("needs Landlock ABI {abi}")),
            Requirement::Module(name) => (module(name), format!("needs the kernel module {name}")),
            Requirement::Criu(features) => (
                criu(&[]) && features.iter().all(|feature| criu(&["--feature", feature])),
                format!(
                    "needs a CRIU that fits this kernel{}",
                    features.iter().map(|f| format!(", {f}")).collect::<String>()
                ),
            ),
            Requirement::UserNamespaces => (user_namespaces(), "needs user namespaces".to_owned()),
        };
        (!met).then_some(reason)
    }
}

fn on_path(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).exists()))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn capable(name: &str) -> bool {
    let status = read("/proc/self/status");
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:\t"));
    let bits = bits.and_then(|bits| u64::from_str_radix(bits, 16).ok()).unwrap_or_default();
    crate::CAPABILITIES.iter().position(|known| *known == name).is_some_and(|bit| bits & (1 << bit) != 0)
}

fn cgroup_v1(controller: &str) -> bool {
    let mounts = Mount::parse(&read("/proc/self/mountinfo"));
    mounts
        .iter()
        .any(|mount| mount.fstype == "cgroup" && mount.super_options.iter().any(|name| name == controller))
}

fn cgroup_v2(controller: &str) -> bool {
    let mounts = Mount::parse(&read("/proc/self/mountinfo"));
    mounts.iter().filter(|mount| mount.fstype == "cgroup2").any(|mount| {
        let controllers = read(&format!("{}/cgroup.controllers", mount.mountpoint));
        controllers.split_whitespace().any(|name| name == controller)
    })
}

fn filesystem(name: &str) -> bool {
    read("/proc/filesystems").lines().any(|line| line.split_whitespace().last() == Some(name))
}

fn io_scheduler(name: &str) -> bool {
    let schedulers = |device: fs::DirEntry| {
        read(&device.path().join("queue/scheduler").to_string_lossy()).replace(['[', ']'], "")
    };
    let mut devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices.any(|device| schedulers(device).split_whitespace().any(|known| known == name))
}

fn landlock(abi: u32) -> bool {
    corten_sys::landlock::abi().is_ok_and(|have| have >= abi)
}

/// Whether it is loaded, or there to be loaded: a line `kernel/drivers/net/slip/slip.ko.xz: …` of `modules.dep`.
fn module(name: &str) -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let list = read(&format!("/lib/modules/{release}/modules.dep"));
    let named = |line: &str| {
        let file = line.split(':').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        file.split('.').next() == Some(name)
    };
    Path::new("/sys/module").join(name).exists() || list.lines().any(named)
}

fn criu(options: &[&str]) -> bool {
    let mut check = Command::new("criu");
    check.arg("check").args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    check.status().is_ok_and(|status| status.success())
}

fn user_namespaces() -> bool {
    let forbidden = |path: &str, value: &str| read(path).trim() == value;
    let root = rustix::process::geteuid().is_root();
    Path::new("/proc/self/ns/user").exists()
        && !forbidden("/proc/sys/user/max_user_namespaces", "0")
        && (root
            || !(forbidden("/proc/sys/kernel/unprivileged_userns_clone", "0")
                || forbidden("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_missing_with_its_reason() {
        let missing = missing(&[Requirement::Path("/"), Requirement::Program("corten-no-such-program")]);
        assert_eq!(missing.unwrap(), "needs the program corten-no-such-program");
    }

    #[test]
    fn what_every_machine_has_is_not_missing() {
        let needs =
            [Requirement::Filesystem("tmpfs"), Requirement::Program("sh"), Requirement::Path("/proc")];
        assert_eq!(missing(&needs), None);
    }

    #[test]
    fn one_is_root_or_not() {
        let [root, user] =
            [Requirement::Root, Requirement::OrdinaryUser].map(|need| need.missing().is_some());
        assert_ne!(root, user);
    }
}
