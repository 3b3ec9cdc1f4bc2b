//! A runtime in the benchmark, with its bundles and its own state directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use corten_testkit::{Bundle, Rootfs};

use super::table::Sample;
use crate::kernel;

/// A runtime, a container of which stays running for `exec`.
pub struct Contestant {
    /// Its name.
    pub name: String,
    program: PathBuf,
    short: Bundle,
    long: Bundle,
    containers: Vec<String>,
}

impl Contestant {
    /// Tries the runtime, and starts the container that stays.
    pub fn new(name: &str, program: &Path) -> Result<Contestant, String> {
        let bundle = |kind: &str, arguments: &[&str]| -> std::io::Result<Bundle> {
            let rootfs = Rootfs::busybox()?;
            let path = format!("/corten-bench-{}-{name}-{kind}", std::process::id());
            Bundle::new(rootfs, |spec| {
                let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
                spec.process.get_or_insert_default().args = arguments;
                spec.linux.get_or_insert_default().cgroups_path = Some(path);
            })
        };
        let short = bundle("short", &["/bin/echo", "works"]).map_err(|error| error.to_string())?;
        let mut long = bundle("long", &["/bin/sleep", "100000"]).map_err(|error| error.to_string())?;
        // For CRIU: not every machine has the programs that lock a network.
        let config = long.path().join("criu.conf");
        long.spec.annotations.insert("org.criu.config".to_owned(), text(&config));
        fs::write(config, "network-lock skip\n")
            .and_then(|()| long.write())
            .map_err(|error| error.to_string())?;
        let mut contestant = Contestant {
            name: name.to_owned(),
            program: program.to_owned(),
            short,
            long,
            containers: Vec::new(),
        };
        contestant.try_it()?;
        contestant.start_long()?;
        Ok(contestant)
    }

    /// A runtime that does nothing would win: it must have run the program.
    fn try_it(&mut self) -> Result<(), String> {
        let id = format!("{}-try", self.short.id());
        self.containers.push(id.clone());
        let output = self
            .command(&["run", "--bundle", &text(self.short.path()), &id])
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() || output.stdout != b"works\n" {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("it does not run a container: {} {}", output.status, stderr.trim_end()));
        }
        self.short.spec.process.get_or_insert_default().args = vec!["/bin/true".to_owned()];
        self.short.write().map_err(|error| error.to_string())
    }

    fn start_long(&mut self) -> Result<(), String> {
        let id = self.long.id().to_owned();
        self.containers.push(id.clone());
        // With nothing open that CRIU would not find inside.
        let mut create = self.command(&["create", "--bundle", &text(self.long.path()), &id]);
        let status = create.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !status.as_ref().is_ok_and(|status| status.success()) {
            return Err(format!("it does not create a container: {status:?}"));
        }
        self.timed(&["start", &id]).map(drop)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.state()).args(arguments).stdin(Stdio::null());
        command
    }

    /// One command of the runtime.
    fn timed(&self, arguments: &[&str]) -> Result<Sample, String> {
        self.time(self.command(arguments))
            .map_err(|error| format!("{} {} failed: {error}", self.name, arguments[0]))
    }

    /// A process that does nothing: what starting one costs anyway, and the memory that each is charged with for what
    /// it had of the benchmark before its execve(2).
    pub fn plain(&self) -> Result<Sample, String> {
        let mut command = Command::new(self.rootfs().join("bin/true"));
        command.stdin(Stdio::null());
        self.time(command)
    }

    /// One process from its start to its end.
    fn time(&self, mut command: Command) -> Result<Sample, String> {
        let complaints = self.long.path().join("stderr");
        let failed = |error: std::io::Error| error.to_string();
        let stderr = File::create(&complaints).map_err(failed)?;
        command.stdout(Stdio::null()).stderr(stderr);
        let start = Instant::now();
        let child = command.spawn().map_err(failed)?;
        let ended = kernel::wait(child.id()).map_err(failed)?;
        let seconds = start.elapsed().as_secs_f64();
        if !ended.success {
            return Err(fs::read_to_string(&complaints).unwrap_or_default().trim_end().to_owned());
        }
        Ok(Sample { seconds, peak: Some(ended.peak) })
    }

    /// `run` of `/bin/true`.
    pub fn run(&self) -> Result<Sample, String> {
        self.timed(&["run", "--bundle", &text(self.short.path()), self.short.id()])
    }

    /// `create`, `start` and `delete --force`, one after the other.
    pub fn create(&mut self) -> Result<Sample, String> {
        let id = self.short.id().to_owned();
        if !self.containers.contains(&id) {
            self.containers.push(id.clone());
        }
        let steps: [&[&str]; 3] = [
            &["create", "--bundle", &text(self.short.path()), &id],
            &["start", &id],
            &["delete", "--force", &id],
        ];
        let mut sum = Sample { seconds: 0.0, peak: None };
        for step in steps {
            let sample = self.timed(step)?;
            sum = Sample { seconds: sum.seconds + sample.seconds, peak: sum.peak.max(sample.peak) };
        }
        Ok(sum)
    }

    /// `exec` of `/bin/true` in the container that stays.
    pub fn exec(&self) -> Result<Sample, String> {
        self.timed(&["exec", self.long.id(), "/bin/true"])
    }

    /// `checkpoint` of the container that stays, which runs on.
    pub fn checkpoint(&self) -> Result<Sample, String> {
        self.dump(&["--leave-running"])
    }

    /// `restore --detach` of the container that stays, after a checkpoint that ended it.
    pub fn restore(&self) -> Result<Sample, String> {
        self.dump(&[])?;
        let (bundle, images) = (text(self.long.path()), text(&self.images()));
        self.timed(&["restore", "--detach", "--bundle", &bundle, "--image-path", &images, self.long.id()])
    }

    fn dump(&self, options: &[&str]) -> Result<Sample, String> {
        let images = self.images();
        let _ = fs::remove_dir_all(&images);
        let images = text(&images);
        self.timed(&[&["checkpoint", "--image-path", &images], options, &[self.long.id()]].concat())
    }

    fn images(&self) -> PathBuf {
        self.long.path().join("images")
    }

    /// The process id of the container that stays.
    pub fn pid(&self) -> Option<i32> {
        let output = self.command(&["state", self.long.id()]).output().ok()?;
        let state: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        state["pid"].as_i64()?.try_into().ok()
    }

    /// What the benchmark's program of library calls is to do in the place of this runtime's command.
    pub fn by_library(&self, work: &str) -> [String; 3] {
        let object = if work == "exec" { self.long.id().to_owned() } else { text(self.short.path()) };
        [work.to_owned(), object, text(&self.state())]
    }

    /// The state directory.
    fn state(&self) -> PathBuf {
        self.long.path().join("state")
    }

    /// The root file system, for the floor.
    pub fn rootfs(&self) -> &Path {
        self.short.rootfs().path()
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        for id in &self.containers {
            // Most are gone already, which some runtimes call an error.
            let _ =
                self.command(&["delete", "--force", id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
