//! Looking: what the kernel and the system say, without an opinion.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corten_cgroups::Layout;
use rustix::fs::{Access, CWD, access};

use crate::lsm;

/// What was found on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// As uname(2) has it.
    pub(super) kernel: String,
    /// Effective user id.
    pub(super) uid: u32,
    /// The caller's name in /etc/passwd.
    pub(super) user: Option<String>,
    /// Files of /proc/self/ns.
    pub(super) namespaces: Vec<String>,
    /// `user.max_user_namespaces`, `kernel.unprivileged_userns_clone`, `kernel.apparmor_restrict_unprivileged_userns`.
    pub(super) user_namespaces: UserNamespaces,
    pub(super) cgroups: Cgroups,
    /// Whether profiles of AppArmor, and labels of SELinux, have an effect.
    pub(super) apparmor: bool,
    pub(super) selinux: bool,
    /// Version of Landlock's interface; 0 where there is none.
    pub(super) landlock: u32,
    /// Actions of seccomp filters.
    pub(super) seccomp: Vec<String>,
    /// File systems that are compiled in or loaded.
    pub(super) file_systems: Vec<String>,
    /// `vm.memfd_noexec`.
    pub(super) memfd_noexec: Option<u32>,
    /// Whether there is pressure stall information.
    pub(super) pressure: bool,
    /// Whether the resctrl file system is mounted.
    pub(super) resctrl: bool,
    /// Whether systemd rules the machine, and where the caller's bus is.
    pub(super) systemd: bool,
    pub(super) user_bus: bool,
    /// What `criu --version` says; `None` where there is no criu.
    pub(super) criu: Option<String>,
    /// Programs that map ids for ordinary users, where they are installed.
    pub(super) id_helpers: [Option<PathBuf>; 2],
    /// Ids that /etc/subuid and /etc/subgid grant the caller.
    pub(super) granted: [u64; 2],
}

/// What may keep an ordinary user from user namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UserNamespaces {
    pub(super) most: Option<u64>,
    pub(super) unprivileged: Option<u64>,
    pub(super) apparmor: Option<u64>,
}

/// The control groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cgroups {
    /// Whether any hierarchy is mounted.
    pub(super) mounted: bool,
    /// Whether v2 is the only one.
    pub(super) unified: bool,
    pub(super) v1: Vec<String>,
    /// Controllers of v2 that are there for the caller's group.
    pub(super) v2: Vec<String>,
    /// Whether the caller may make groups below their own.
    pub(super) own_writable: bool,
}

impl Facts {
    /// Looks at this machine.
    pub(super) fn gather() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let user = user_name(uid, &text("/etc/passwd"));
        let granted = ["/etc/subuid", "/etc/subgid"]
            .map(|file| granted(&text(file), &uid.to_string(), user.as_deref()));
        Self {
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            uid,
            namespaces: names("/proc/self/ns"),
            user_namespaces: UserNamespaces {
                most: number("/proc/sys/user/max_user_namespaces"),
                unprivileged: number("/proc/sys/kernel/unprivileged_userns_clone"),
                apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            },
            cgroups: Cgroups::gather(),
            apparmor: lsm::apparmor_is_active(),
            selinux: lsm::selinux_is_active(),
            landlock: lsm::landlock_abi().unwrap_or(0),
            seccomp: list(&text("/proc/sys/kernel/seccomp/actions_avail"), ' '),
            file_systems: text("/proc/filesystems")
                .lines()
                .filter_map(|line| line.split_whitespace().last())
                .map(str::to_owned)
                .collect(),
            memfd_noexec: number("/proc/sys/vm/memfd_noexec").and_then(|number| u32::try_from(number).ok()),
            pressure: Path::new("/proc/pressure/cpu").exists(),
            resctrl: Path::new("/sys/fs/resctrl/schemata").exists(),
            systemd: Path::new("/run/systemd/system").is_dir(),
            user_bus: user_bus(),
            criu: find("criu").and_then(|criu| version(&criu)),
            id_helpers: ["newuidmap", "newgidmap"].map(find),
            granted,
            user,
        }
    }
}

impl Cgroups {
    fn gather() -> Self {
        let Ok(layout) = Layout::detect() else { return Self::default() };
        let own = layout.own_v2();
        let controllers = own.as_ref().map(|own| text(own.join("cgroup.controllers"))).unwrap_or_default();
        Self {
            mounted: true,
            unified: layout.is_unified(),
            v1: layout.v1_controllers().map(str::to_owned).collect(),
            v2: list(&controllers, ' '),
            own_writable: own.is_some_and(|own| access(own, Access::WRITE_OK).is_ok()),
        }
    }
}

/// A file's text; empty where it cannot be read.
fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &str) -> Option<u64> {
    text(path).trim().parse().ok()
}

fn list(text: &str, separator: char) -> Vec<String> {
    text.trim().split(separator).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn user_bus() -> bool {
    let in_runtime_directory = std::env::var_os("XDG_RUNTIME_DIR")
        .is_some_and(|directory| Path::new(&directory).join("bus").exists());
    in_runtime_directory || std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some()
}

/// A program on the search path.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|directory| directory.join(name));
    candidates.find(|path| {
        path.is_file()
            && rustix::fs::accessat(CWD, path, Access::EXEC_OK, rustix::fs::AtFlags::empty()).is_ok()
    })
}

/// The version that a program names after `Version:`.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let said = String::from_utf8_lossy(&output.ok()?.stdout).into_owned();
    let line = said.lines().find_map(|line| line.strip_prefix("Version:"))?;
    Some(line.trim().to_owned())
}

fn user_name(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// How many ids a file of subuid(5) grants a user, who is in it by name or by number.
fn granted(file: &str, uid: &str, user: Option<&str>) -> u64 {
    let count = |line: &str| {
        let mut fields = line.split(':');
        let who = fields.next()?;
        let count: u64 = fields.nth(1)?.trim().parse().ok()?;
        (who == uid || Some(who) == user).then_some(count)
    };
    file.lines().filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_added_up() {
        let file = "ann:100000:65536\n1000:300000:10\nbob:1:1\nnonsense\nann:x:y\n";
        assert_eq!(granted(file, "1000", Some("ann")), 65546);
        assert_eq!(granted(file, "7", None), 0);
        assert_eq!(
            user_name(1000, "root:x:0:0::/:\nann:x:1000:1000::/home/ann:/bin/sh\n").as_deref(),
            Some("ann")
        );
    }

    #[test]
    fn this_machine_has_a_kernel_and_namespaces() {
        let facts = Facts::gather();
        assert!(facts.kernel.contains('.') && facts.namespaces.contains(&"mnt".to_owned()), "{facts:?}");
    }
}
