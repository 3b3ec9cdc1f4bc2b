//! Where an engine works: a directory of its own, with its programs first on the search path.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corten_testkit::{Scratch, corten, patience};

use super::compare::{NEVER, plain};

/// A root file system of busybox in `box`.
const BOX: &str = "mkdir -p box/bin box/etc box/tmp && cp $(command -v busybox) box/bin/busybox && \
    for n in $(busybox --list); do test -e box/bin/$n || ln -s busybox box/bin/$n; done; \
    echo root:x:0:0:root:/:/bin/sh >box/etc/passwd";

pub struct Place {
    scratch: Scratch,
    environment: Vec<(&'static str, String)>,
}

impl Place {
    /// With a root file system in `box`.
    pub fn new() -> Self {
        let place = Self { scratch: Scratch::new().unwrap(), environment: Vec::new() };
        fs::create_dir(place.path("bin")).unwrap();
        place.must(BOX);
        // Waits until a command of the shell succeeds.
        let limit = patience(60).as_secs();
        let until = format!(
            "timeout {limit} sh -c \"until {{ $1; }} >/dev/null 2>&1; do :; done\" || echo \"$1 {NEVER}\""
        );
        place.program("await", &until);
        place
    }

    /// A name that nothing else on the machine has.
    pub fn name(&self) -> &str {
        self.scratch.name()
    }

    /// The control group of all its engine's containers, where systemd has none for them.
    pub fn group(&self) -> String {
        format!("/corten-engines-{}", self.name())
    }

    /// Removes the control groups below that, and itself.
    pub fn remove_groups(&self) {
        self.says(&format!(
            "find /sys/fs/cgroup -depth -type d -path '*{}*' -exec rmdir {{}} +",
            self.group()
        ));
    }

    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The path of something in it.
    pub fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// What steps find in their environment.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.environment.push((name, value));
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A program that steps find before all others: a script of the shell.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.path(&format!("bin/{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn shell(&self, script: &str) -> Command {
        let path = format!("{}:{}", self.path("bin"), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec 2>&1; {script}")]).current_dir(self.directory()).env("PATH", path);
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }

    /// What a script of the shell shows, and its status.
    pub fn shows(&self, script: &str) -> String {
        let output = self.shell(script).output().unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        writeln!(text, "status {}", output.status.code().unwrap_or(-1)).unwrap();
        text
    }

    /// The same without what differs from one run to the next.
    pub fn says(&self, script: &str) -> String {
        plain(&self.shows(script).replace(&self.path(""), "HERE/"))
    }

    /// Runs a script that must succeed.
    pub fn must(&self, script: &str) {
        let said = self.says(script);
        assert!(said.ends_with("status 0\n"), "{script}\n{said}");
    }

    /// Starts a service, which answers at a socket in the place once it is ready. What it says is in `NAME.log`.
    pub fn service(&self, name: &str, script: &str, socket: &str) -> Service {
        let log = fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        let child = self.shell(&format!("exec {script}")).stdout(log).spawn().unwrap();
        let mut service = Service(child);
        let deadline = Instant::now() + patience(60);
        while UnixStream::connect(self.path(socket)).is_err() {
            let ended = service.0.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
                panic!("{name} does not answer ({ended:?}):\n{log}");
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        service
    }
}

/// A program in the background, which is asked to end and waited for.
pub struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// Whether systemd makes the control groups.
pub fn by_systemd() -> bool {
    Path::new("/run/systemd/system").exists()
}

/// The program of a runtime: the one that was built, or one on the search path.
pub fn runtime(name: &str) -> PathBuf {
    if name == "corten" {
        return corten().to_owned();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.exists()).unwrap()
}
