//! Running the machine: QEMU without hardware help, what it shares with the outside, and the word that lets it go on.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::host_program;

/// What the machine is booted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Cgroup v2 alone, AppArmor: the saved state.
    V2,
    /// Cgroup v1 hierarchies, by systemd.
    V1,
    /// As V2 with SELinux, which permits everything.
    Selinux,
}

impl Host {
    pub fn parse(name: &str) -> Option<Self> {
        [("v2", Self::V2), ("v1", Self::V1), ("selinux", Self::Selinux)]
            .into_iter()
            .find_map(|(known, host)| (known == name).then_some(host))
    }

    /// What it adds to the kernel's command line.
    fn parameters(self) -> &'static str {
        match self {
            Self::V2 => "cgroup_no_v1=all",
            Self::V1 => "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 systemd.unified_cgroup_hierarchy=0",
            Self::Selinux => "cgroup_no_v1=all security=selinux selinux=1 enforcing=0",
        }
    }
}

const PARAMETERS: &str = "root=/dev/vda rootfstype=ext4 rw console=ttyS0 quiet panic=-1 mitigations=off \
    random.trust_cpu=on systemd.show_status=no";

/// How long a boot may take.
const BOOT: Duration = Duration::from_secs(600);

/// How long a command may take inside: the tests of the engines take about two hours.
const COMMAND: Duration = Duration::from_secs(4 * 3600);

/// A machine that was made.
pub struct Machine {
    directory: PathBuf,
    host: Host,
}

impl Machine {
    pub fn new(directory: PathBuf, host: Host) -> Self {
        Self { directory, host }
    }

    /// What a saved state depends on.
    pub fn fingerprint() -> String {
        let version = Command::new("qemu-system-x86_64").arg("--version").output();
        let version =
            version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        [PARAMETERS, Host::V2.parameters(), &hardware().join(" "), &version].join("\n")
    }

    /// Boots it, and saves its state once all of it has started.
    pub fn save(&self) -> Result<(), String> {
        let disk = self.directory.join("base.qcow2");
        host_program(
            Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2", "-b", "root.img", "-F", "raw"])
                .arg(&disk),
        )?;
        let session = Session::new(&self.directory)?;
        let mut command = self.command(&session, Path::new("/tmp"), &disk, Disk::Kept);
        command.arg("-chardev").arg(format!("file,id=out,path={}", session.path.join("out").display()));
        command.args(["-monitor", "stdio"]);
        command.stdin(session.monitor.try_clone().map_err(text)?).stdout(Stdio::null());
        let mut machine = Running::start(&mut command)?;
        let mut ready = [0; 6];
        match machine.wait_or(&session.answer, BOOT)? {
            Some(()) => (&session.answer).read_exact(&mut ready).map_err(text)?,
            None => return Err(format!("the machine did not boot; its console:\n{}", session.console())),
        }
        let state = self.directory.join("state");
        let save = format!("migrate \"exec:cat > '{}'\"", state.display());
        let orders = ["migrate_set_parameter max-bandwidth 10G", &save, "quit", ""].join("\n");
        (&session.monitor).write_all(orders.as_bytes()).map_err(text)?;
        machine.wait(BOOT)?;
        match fs::metadata(&state) {
            Ok(status) if status.len() > 0 => Ok(()),
            _ => Err("QEMU did not save the machine's state".to_owned()),
        }
    }

    /// Runs a shell script inside, with `share` at its own path, and gives its exit status. Its output is ours.
    pub fn run(&self, share: &Path, user: &str, script: &str) -> Result<u8, String> {
        let session = Session::new(&self.directory)?;
        session.order(share, user, script)?;
        let saved = self.host == Host::V2;
        let disk = self.directory.join(if saved { "base.qcow2" } else { "root.img" });
        let mut command = self.command(&session, share, &disk, Disk::Dropped);
        command.args(["-chardev", "stdio,id=out,signal=on"]);
        if saved {
            command.arg("-incoming").arg(format!("exec:cat '{}'", self.directory.join("state").display()));
        }
        // At the end of its input the port would close.
        command.stdin(session.monitor.try_clone().map_err(text)?);
        (&session.word).write_all(b"go\n").map_err(text)?;
        Running::start(&mut command)?.wait(COMMAND)?;
        let status = fs::read_to_string(session.path.join("status")).ok();
        let status = status.and_then(|text| text.trim().parse().ok());
        status.ok_or_else(|| {
            format!("the machine ended without an exit status; its console:\n{}", session.console())
        })
    }

    /// QEMU, all but where the output goes.
    fn command(&self, session: &Session, share: &Path, disk: &Path, fate: Disk) -> Command {
        let (format, snapshot) = match (disk.extension(), fate) {
            (Some(extension), Disk::Kept) if extension == "qcow2" => ("qcow2", "off"),
            (Some(extension), Disk::Dropped) if extension == "qcow2" => ("qcow2", "on"),
            _ => ("raw", "on"),
        };
        let mut command = Command::new("qemu-system-x86_64");
        command.args(hardware());
        command.arg("-kernel").arg(self.directory.join("kernel"));
        command.arg("-initrd").arg(self.directory.join("initrd"));
        command.arg("-append").arg(format!("{PARAMETERS} {}", self.host.parameters()));
        let shared = |id: &str, path: &Path| {
            format!("local,id={id},path={},security_model=none,multidevs=remap", path.display())
        };
        command.arg("-fsdev").arg(shared("ctl", &session.path));
        command.arg("-fsdev").arg(shared("share", share));
        command.args(["-device", "virtio-9p-pci,fsdev=ctl,mount_tag=ctl"]);
        command.args(["-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]);
        command.arg("-serial").arg(format!("file:{}", session.path.join("console").display()));
        command.arg("-chardev").arg(format!("pipe,id=ctl,path={}", session.path.join("word").display()));
        let drive = format!(
            "file={},format={format},if=none,id=root,snapshot={snapshot},cache=unsafe",
            disk.display()
        );
        command.arg("-drive").arg(drive);
        command
    }
}

/// What becomes of what the machine writes to its disk.
#[derive(Clone, Copy)]
enum Disk {
    Kept,
    Dropped,
}

/// What is the same when the state is saved and when the machine goes on.
fn hardware() -> Vec<&'static str> {
    let text = "-accel tcg,thread=multi,tb-size=1024 -cpu max,-svm,-la57 -M q35,sata=off,usb=off -smp 2 -m 4G -nodefaults \
        -no-user-config -display none -no-reboot -device virtio-blk-pci,drive=root -device virtio-rng-pci \
        -device virtio-serial-pci -device virtserialport,chardev=out,name=out -device virtserialport,chardev=ctl,name=ctl";
    text.split_whitespace().collect()
}

fn text(error: std::io::Error) -> String {
    format!("the conversation with the machine: {error}")
}

/// The directory that is shared for one run, and the pipes to QEMU. It goes with the run.
struct Session {
    path: PathBuf,
    /// What the machine hears.
    word: File,
    /// What it answers.
    answer: File,
    /// What QEMU's monitor hears.
    monitor: File,
}

impl Session {
    fn new(directory: &Path) -> Result<Self, String> {
        let path = directory.join(format!("session-{}", std::process::id()));
        // One of a run that was killed, whose number has come round.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(text)?;
        // Both ends, so that neither opening waits and neither end is over before the other.
        let pipe = |name: &str| -> Result<File, String> {
            let path = path.join(name);
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0)
                .map_err(|errno| text(errno.into()))?;
            OpenOptions::new().read(true).write(true).open(&path).map_err(text)
        };
        let (word, answer, monitor) = (pipe("word.in")?, pipe("word.out")?, pipe("monitor")?);
        Ok(Self { path, word, answer, monitor })
    }

    /// Writes what the machine is to do.
    fn order(&self, share: &Path, user: &str, script: &str) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut seed = [0; 64];
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed)).map_err(text)?;
        let share = share.display().to_string();
        let (now, script) = (now.to_string(), format!("#!/bin/bash\n{script}"));
        let files = [
            ("share", share.as_bytes()),
            ("user", user.as_bytes()),
            ("now", now.as_bytes()),
            ("seed", &seed),
            ("command", script.as_bytes()),
        ];
        files.into_iter().try_for_each(|(name, bytes)| fs::write(self.path.join(name), bytes).map_err(text))
    }

    /// The end of what the machine's kernel and systemd said.
    fn console(&self) -> String {
        let console = fs::read(self.path.join("console")).unwrap_or_default();
        String::from_utf8_lossy(&console[console.len().saturating_sub(4000)..]).into_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A running QEMU, which ends with us.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self, String> {
        command.spawn().map(Self).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => super::not_installed("qemu-system-x86_64"),
            _ => format!("qemu-system-x86_64: {error}"),
        })
    }

    /// Waits for its end.
    fn wait(&mut self, limit: Duration) -> Result<(), String> {
        let pidfd = self.pidfd()?;
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        within(&mut ended, limit)?;
        self.0.wait().map(drop).map_err(text)
    }

    /// Waits until there is something to read; `None` if it ends before.
    fn wait_or(&self, file: &File, limit: Duration) -> Result<Option<()>, String> {
        let pidfd = self.pidfd()?;
        let mut either = [PollFd::new(file, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
        within(&mut either, limit)?;
        Ok((!either[0].revents().is_empty()).then_some(()))
    }

    fn pidfd(&self) -> Result<OwnedFd, String> {
        pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty()).map_err(|errno| text(errno.into()))
    }
}

fn within(fds: &mut [PollFd<'_>], limit: Duration) -> Result<(), String> {
    let limit = Timespec::try_from(limit).map_err(|error| error.to_string())?;
    match rustix::io::retry_on_intr(|| poll(fds, Some(&limit))) {
        Ok(0) => Err(format!("the machine took more than {} s", limit.tv_sec)),
        Ok(_) => Ok(()),
        Err(errno) => Err(text(errno.into())),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
