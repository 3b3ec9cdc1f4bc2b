//! What the tests of the command line share.
#![allow(dead_code, reason = "each test program uses a part")]

mod typed;

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
        let Ok(entries) = std::fs::read_dir(self.state()) else { return };
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

/// Runs the cases of a test program, all of which need root.
pub fn run(cases: &[Case]) -> std::process::ExitCode {
    // Built before the first case, whose deadline is short.
    corten();
    let add = |suite: Suite, (name, case): &Case| {
        let needs: &[Requirement] = match name.contains("busybox") {
            true => &[Requirement::Root, Requirement::Busybox],
            false => &[Requirement::Root],
        };
        suite.needs(needs, name, *case)
    };
    cases.iter().fold(Suite::new(), add).run()
}

pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
