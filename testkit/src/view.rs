//! What the machine does not have itself, shown to a process in a namespace of its own: other arrangements of cgroups, and a
//! network that nobody else is in.

use std::io;
use std::path::Path;

use corten_sys::namespace::{Namespaces, unshare};
use corten_sys::thread::SingleThreaded;
use libtest_mimic::Failed;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use crate::report::Mount;
use crate::{Run, binaries, patience};

/// What a process sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The cgroup v2 hierarchy, alone.
    V2,
    /// The cgroup v1 hierarchies, without a v2 hierarchy.
    V1,
    /// A network of its own, with nothing but a loopback interface that is up.
    Net,
}

const VARIABLE: &str = "CORTEN_TEST_VIEW";
const CGROUPS: &str = "/sys/fs/cgroup";

impl View {
    fn name(self) -> &'static str {
        match self {
            View::V2 => "v2",
            View::V1 => "v1",
            View::Net => "net",
        }
    }

    /// Why this machine cannot show it, if it cannot.
    pub fn missing(self) -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("needs root".to_owned());
        }
        (self == View::V1 && !mounted("cgroup")).then(|| "needs cgroup v1 hierarchies".to_owned())
    }

    /// Moves this process, which must have one thread, into a namespace of its own that shows it.
    pub fn enter(self) -> io::Result<()> {
        let single =
            SingleThreaded::verify()?.ok_or_else(|| io::Error::other("there are threads already"))?;
        if self == View::Net {
            unshare(&single, Namespaces::NET)?;
            return Ok(corten_sys::network::loopback_up()?);
        }
        unshare(&single, Namespaces::MOUNT)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        match self {
            View::V2 => {
                unmount(CGROUPS, UnmountFlags::DETACH)?;
                mount("cgroup2", CGROUPS, "cgroup2", MountFlags::empty(), None)?;
            }
            View::V1 if mounted("cgroup2") => {
                unmount(Path::new(CGROUPS).join("unified"), UnmountFlags::DETACH)?
            }
            View::V1 | View::Net => {}
        }
        Ok(())
    }
}

fn mounted(fstype: &str) -> bool {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Mount::parse(&text).iter().any(|mount| mount.fstype == fstype)
}

/// Whether this process is one that was started to see something else.
pub(crate) fn entered() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Changes what this process sees, if it was started for that.
pub(crate) fn enter() -> io::Result<()> {
    let Some(name) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let view = [View::V2, View::V1, View::Net].into_iter().find(|view| name == view.name());
    let view = view.ok_or_else(|| io::Error::other("no such view"))?;
    view.enter()
}

/// Runs the one case of this test program in a process that sees `view`.
pub(crate) fn run_alone(view: View, name: &str) -> Result<(), Failed> {
    let output = Run::new("/proc/self/exe")
        .args(["--exact", name])
        .env(VARIABLE, view.name())
        .env("CORTEN_PROBE", binaries::probe())
        .deadline(patience(300))
        .output()?;
    let text = output.describe();
    let output = output.success()?;
    // A name that no case has would be a success of none.
    if output.stdout.contains("test result: ok. 1 passed") { Ok(()) } else { Err(text.into()) }
}
