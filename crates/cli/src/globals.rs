//! Options of all commands.

use std::path::PathBuf;

use clap::ValueEnum;

/// Options of all commands; they stand before the command.
#[derive(Debug, clap::Args)]
pub struct Globals {
    /// Directory of the containers' state [default: /run/corten, or $XDG_RUNTIME_DIR/corten without root]
    #[arg(long, value_name = "DIRECTORY")]
    pub root: Option<PathBuf>,
    /// File that log messages are appended to [default: standard error]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Form of the log messages
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Log what is done, and not only what is wrong
    #[arg(long)]
    pub debug: bool,
    /// Have systemd make the control groups; `cgroupsPath` is then SLICE:PREFIX:NAME
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Who makes the control groups
    #[arg(long, value_name = "WHO", default_value = "cgroupfs", conflicts_with = "systemd_cgroup")]
    pub cgroup_manager: CgroupManager,
    /// Whether a control group that may not be made is done without
    #[arg(long, value_name = "BOOL", default_value = "auto")]
    pub rootless: Rootless,
    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

/// Form of the log messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// `--cgroup-manager`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CgroupManager {
    /// This program, in the file system.
    Cgroupfs,
    /// systemd, as with --systemd-cgroup.
    Systemd,
    /// Nobody: containers stay in the caller's group, and have no limits and no rules about devices.
    Disabled,
}

/// `--rootless`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rootless {
    /// Where the caller is not root; or only that of a user namespace, and systemd does not make the groups.
    Auto,
    #[value(aliases = ["1", "t", "T", "TRUE", "True"])]
    True,
    #[value(aliases = ["0", "f", "F", "FALSE", "False"])]
    False,
}

impl Globals {
    /// Who makes the control groups.
    pub fn cgroup_manager(&self) -> CgroupManager {
        if self.systemd_cgroup { CgroupManager::Systemd } else { self.cgroup_manager }
    }

    /// Whether the caller is an ordinary user.
    pub fn ordinary_user(&self) -> bool {
        !rustix::process::geteuid().is_root()
    }

    /// Whether a control group that may not be made is done without.
    pub fn rootless_cgroups(&self) -> bool {
        match self.rootless {
            Rootless::Auto if self.ordinary_user() => true,
            // Who names systemd expects it to be there.
            Rootless::Auto => {
                self.cgroup_manager() != CgroupManager::Systemd && corten_sys::namespace::in_user_namespace()
            }
            Rootless::True => true,
            Rootless::False => false,
        }
    }
}
