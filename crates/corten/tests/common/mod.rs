//! What the container tests of this crate share.
#![allow(dead_code, reason = "each test program uses a part")]

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use corten::{
    Checkpoint, Child, Config, Container, Error, ErrorKind, ExitStatus, Id, Launcher, NetworkLock, Process,
    ProcessBuilder, Runtime, SpecOptions, Stdio, oci,
};
use corten_testkit::{Bundle, Failed, Report, Requirement, Rootfs, Scratch, Suite};

pub static LAUNCHER: OnceLock<Launcher> = OnceLock::new();

pub type Outcome = Result<(), Failed>;
pub type Case = (&'static str, fn() -> Outcome);

/// A bundle, and a runtime with a state directory of its own.
pub struct Stage {
    pub bundle: Bundle,
    pub runtime: Runtime,
    _state: Scratch,
}

impl Stage {
    pub fn new(edit: impl FnOnce(&mut oci::Spec)) -> Self {
        let bundle = Bundle::new(Rootfs::new().unwrap(), edit).unwrap();
        let state = Scratch::new().unwrap();
        let launcher = LAUNCHER.get().unwrap().clone();
        let runtime = Runtime::open(state.path().join("state"), launcher).unwrap();
        Self { bundle, runtime, _state: state }
    }

    pub fn id(&self) -> Id {
        Id::try_from(self.bundle.id()).unwrap()
    }

    pub fn config(&self) -> Config {
        Config::from_spec(&self.bundle.spec, self.bundle.path(), SpecOptions::default()).unwrap()
    }

    pub fn container(&self) -> Container {
        self.runtime.create(&self.id(), self.config()).unwrap()
    }

    pub fn process(&self) -> ProcessBuilder {
        Process::from_spec(self.bundle.spec.process.as_ref().unwrap()).unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A case that failed half-way.
        self.runtime.purge(&self.id()).unwrap();
    }
}

/// A probe that acts: `probe(["exit", "3"])`.
pub fn probe(arguments: &[&str]) -> ProcessBuilder {
    Process::builder("/bin/probe").args(arguments.iter().copied())
}

/// Runs a process with its output in memory.
pub fn output(
    start: impl FnOnce(Process) -> corten::Result<Child>,
    process: ProcessBuilder,
) -> (ExitStatus, String) {
    let file: File = tempfile();
    let copy = || -> OwnedFd { file.try_clone().unwrap().into() };
    let null: OwnedFd = File::open("/dev/null").unwrap().into();
    let stdio = Stdio::Fds { stdin: null, stdout: copy(), stderr: copy() };
    let child = start(process.stdio(stdio).build().unwrap()).unwrap();
    let status = child.wait().unwrap();
    let (mut file, mut text) = (file, String::new());
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    (status, text)
}

pub fn tempfile() -> File {
    rustix::fs::memfd_create("corten-test-output", rustix::fs::MemfdFlags::CLOEXEC).unwrap().into()
}

pub fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Saves a container and ends it, and gives the directory of the images. Connections are not the matter.
pub fn checkpoint(stage: &Stage, container: &Container) -> PathBuf {
    let images = stage.bundle.path().join("images");
    container.checkpoint(Checkpoint::new(&images).network_lock(NetworkLock::Skip)).unwrap();
    images
}

/// Runs the probe as the container's init with this configuration, and gives what it saw.
pub fn report(edit: impl FnOnce(&mut oci::Spec)) -> Report {
    let stage = Stage::new(edit);
    let container = stage.container();
    let (status, text) = output(|process| container.run(process), stage.process());
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    container.destroy().map_err(Error::from).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Why a container with this configuration does not start; nothing of it is left.
pub fn refusal(edit: impl FnOnce(&mut oci::Spec)) -> Error {
    let stage = Stage::new(edit);
    let options = SpecOptions::default();
    let config = match Config::from_spec(&stage.bundle.spec, stage.bundle.path(), options) {
        Ok(config) => config,
        Err(error) => return error,
    };
    let container = match stage.runtime.create(&stage.id(), config) {
        Ok(container) => container,
        Err(error) => return error,
    };
    let document = stage.bundle.spec.process.as_ref().unwrap();
    let process = Process::from_spec(document).and_then(ProcessBuilder::build);
    let error = process.and_then(|process| container.run(process)).unwrap_err();
    container.destroy().map_err(Error::from).unwrap();
    assert!(stage.runtime.list().unwrap().is_empty());
    error
}

/// A suite, in a program that is ready to start containers.
pub fn suite() -> Suite {
    let hook = corten::init();
    drop(LAUNCHER.set(Launcher::self_exe(hook)));
    Suite::new()
}

/// Runs the cases of a test program, all of which need root.
pub fn run(cases: &[Case]) -> ExitCode {
    let add = |suite: Suite, (name, case): &Case| suite.needs(&[Requirement::Root], name, *case);
    cases.iter().fold(suite(), add).run()
}
