//! What the tests of the command line share.
#![allow(dead_code, reason = "each test program uses a part")]

pub mod keeping;
mod typed;

use std::fs;
use std::path::{Path, PathBuf};

use corten_testkit::{Bundle, Failed, Output, Requirement, Rootfs, Run, Snapshot, Suite, Watch};

pub use corten_testkit::corten;
#[allow(unused_imports, reason = "each test program uses a part")]
pub use typed::Typed;

pub type Outcome = Result<(), Failed>;
pub type Case = (&'static str, fn() -> Outcome);

/// A bundle and a state directory of its own, and what there was before.
pub struct Stage {
    pub bundle: Bundle,
    before: Snapshot,
}

impl Stage {
    pub fn new(edit: impl FnOnce(&mut corten_oci::Spec)) -> Self {
        Self::with(Rootfs::new().unwrap(), edit)
    }

    pub fn busybox(edit: impl FnOnce(&mut corten_oci::Spec)) -> Self {
        Self::with(Rootfs::busybox().unwrap(), edit)
    }

    /// A container that waits, in a bundle for whoever runs the tests: an ordinary user's is that of `corten spec --rootless`.
    pub fn waiting(edit: impl FnOnce(&mut corten_oci::Spec)) -> Self {
        let mut stage = Self::new(|_| {});
        if !is_root() {
            fs::remove_file(stage.bundle.path().join("config.json")).unwrap();
            stage.does(&["spec", "--rootless"]);
            let text = fs::read(stage.bundle.path().join("config.json")).unwrap();
            stage.bundle.spec = serde_json::from_slice(&text).unwrap();
        }
        let process = stage.bundle.spec.process.as_mut().unwrap();
        process.terminal = false;
        process.args = vec!["/bin/probe".to_owned(), "sleep".to_owned()];
        edit(&mut stage.bundle.spec);
        stage.bundle.write().unwrap();
        stage
    }

    fn with(rootfs: Rootfs, edit: impl FnOnce(&mut corten_oci::Spec)) -> Self {
        let bundle = Bundle::new(rootfs, edit).unwrap();
        let state = Some(bundle.path().join("state"));
        let watch = Watch { marker: bundle.id().to_owned(), state, process: false };
        Self { before: Snapshot::take(watch), bundle }
    }

    pub fn id(&self) -> &str {
        self.bundle.id()
    }

    pub fn state(&self) -> PathBuf {
        self.bundle.path().join("state")
    }

    /// `corten --root STATE ARGUMENTS`, in the bundle's directory.
    pub fn corten(&self, arguments: &[&str]) -> Run {
        Run::new(corten()).arg("--root").arg(self.state()).args(arguments).current_dir(self.bundle.path())
    }

    /// Runs it, and it must succeed.
    pub fn does(&self, arguments: &[&str]) -> Output {
        self.corten(arguments).output().unwrap().success().unwrap()
    }

    /// Runs it, and it must fail with this status; its standard error. Nothing must be left.
    pub fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.corten(arguments).output().unwrap().code(code).unwrap();
        self.nothing_is_left();
        output.stderr
    }

    #[track_caller]
    pub fn nothing_is_left(&self) {
        self.before.assert_unchanged();
    }

    pub fn status(&self) -> String {
        let state: serde_json::Value = self.does(&["state", self.id()]).json().unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    /// A path in the root file system.
    pub fn inside(&self, path: &str) -> PathBuf {
        self.bundle.rootfs().path().join(path)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let Ok(entries) = fs::read_dir(self.state()) else { return };
        for entry in entries.flatten() {
            let id = entry.file_name().into_string().unwrap();
            self.corten(&["delete", "--force", &id]).output().unwrap();
        }
    }
}

/// Waits until a condition holds that no descriptor tells of; fails after ten seconds of patience.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + corten_testkit::patience(10);
    while !holds() {
        assert!(std::time::Instant::now() < end, "{what} in vain");
        std::thread::yield_now();
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Sets limits, and leaves the rules about devices.
pub fn limit(spec: &mut corten_oci::Spec, resources: corten_oci::Resources) {
    let old = spec.linux.as_mut().unwrap().resources.get_or_insert_default();
    *old = corten_oci::Resources { devices: old.devices.clone(), ..resources };
}

/// Whether this is a host with cgroup v2 alone.
pub fn v2() -> bool {
    exists(Path::new("/sys/fs/cgroup/cgroup.controllers"))
}

/// The group of a process, below the root of v2 or of systemd's hierarchy of v1.
pub fn group_of(pid: i64) -> String {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let group = |prefix: &str| groups.lines().find_map(|line| line.split_once(prefix));
    group(":name=systemd:").or_else(|| group("0::")).unwrap().1.to_owned()
}

/// A file of a group of v2.
pub fn file(group: &str, name: &str) -> String {
    fs::read_to_string(format!("/sys/fs/cgroup{group}/{name}")).unwrap().trim().to_owned()
}

/// Runs the cases of a test program, all of which need root.
pub fn run(cases: &[Case]) -> std::process::ExitCode {
    suite(cases).run()
}

/// The cases of a test program, all of which need root.
pub fn suite(cases: &[Case]) -> Suite {
    // Built before the first case, whose deadline is short.
    corten();
    let add = |suite: Suite, (name, case): &Case| {
        let needs: &[Requirement] = match name.contains("busybox") {
            true => &[Requirement::Root, Requirement::Busybox],
            false => &[Requirement::Root],
        };
        suite.needs(needs, name, *case)
    };
    cases.iter().fold(Suite::new(), add)
}

pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// One descriptor, and what came with it.
pub fn receive(connection: &std::os::unix::net::UnixStream) -> (Vec<u8>, std::os::fd::OwnedFd) {
    use std::os::fd::AsFd;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = [0; 4096];
    let mut buffers = [std::io::IoSliceMut::new(&mut buffer)];
    let bytes =
        recvmsg(connection.as_fd(), &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap().bytes;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    (buffer[..bytes].to_vec(), fd.unwrap())
}
