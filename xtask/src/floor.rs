//! What the kernel charges: only the calls that a container needs, with no configuration, state or supervision.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use corten_sys::namespace::{Namespaces, join_process};
use corten_sys::thread::SingleThreaded;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, unmount,
};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};

use crate::kernel::fork_into;

/// `floor run ROOTFS COUNT` or `floor exec PID COUNT`: prints the seconds of each as a JSON list.
pub fn floor(work: &[&str]) -> Result<(), String> {
    let number = |text: &str| text.parse::<i32>().map_err(|error| format!("{text}: {error}"));
    let seconds = match *work {
        ["run", rootfs, count] => repeat(number(count)?, |single, turn| run(single, Path::new(rootfs), turn)),
        ["exec", pid, count] => {
            let pid = Pid::from_raw(number(pid)?).ok_or("not a process id")?;
            repeat(number(count)?, |single, _| exec(single, pid))
        }
        _ => return Err("usage: floor run ROOTFS COUNT | floor exec PID COUNT".to_owned()),
    };
    println!("{}", serde_json::json!(seconds.map_err(|error| format!("floor: {error}"))?));
    Ok(())
}

fn repeat(count: i32, work: impl Fn(&SingleThreaded, i32) -> io::Result<()>) -> io::Result<Vec<f64>> {
    let single = SingleThreaded::verify()?.ok_or_else(|| io::Error::other("more than one thread"))?;
    let timed = |turn| {
        let start = Instant::now();
        work(&single, turn).map(|()| start.elapsed().as_secs_f64())
    };
    (0..count).map(timed).collect()
}

/// One container that runs `/bin/true`, its cgroup made and removed.
fn run(single: &SingleThreaded, rootfs: &Path, turn: i32) -> io::Result<()> {
    let name = format!("corten-bench-floor-{}-{turn}", std::process::id());
    let hierarchies = hierarchies()?;
    let groups: Vec<PathBuf> = hierarchies.iter().map(|root| root.join(&name)).collect();
    for (root, group) in hierarchies.iter().zip(&groups) {
        fs::create_dir(group)?;
        // A v1 cpuset holds no process before it has CPUs and memory nodes.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if root.ends_with("cpuset") {
                fs::write(group.join(file), fs::read(root.join(file))?)?;
            }
        }
    }
    let mut new = Namespaces::MOUNT | Namespaces::PID | Namespaces::UTS | Namespaces::IPC | Namespaces::NET;
    new |= Namespaces::CGROUP;
    let unified = match groups.as_slice() {
        [group] if group.with_file_name("cgroup.controllers").exists() => Some(fs::File::open(group)?),
        _ => None,
    };
    let child = match fork_into(single, new, unified.as_ref().map(|group| group.as_fd()))? {
        Some(child) => child,
        None => leave(enter(rootfs, if unified.is_some() { &[] } else { &groups })),
    };
    let ended = ended_well(child);
    for group in &groups {
        fs::remove_dir(group)?;
    }
    ended
}

/// The roots of the cgroup hierarchies that have controllers; of the v2 hierarchy where it is alone.
fn hierarchies() -> io::Result<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let kept = path.is_dir() && !path.is_symlink();
        if kept && path.join("cgroup.procs").exists() && !path.join("cgroup.controllers").exists() {
            found.push(path);
        }
    }
    Ok(found)
}

/// In the new process: joins the v1 groups, mounts what the default bundle mounts, changes the root, runs the program.
fn enter(rootfs: &Path, groups: &[PathBuf]) -> io::Result<()> {
    for group in groups {
        fs::write(group.join("cgroup.procs"), "0")?;
    }
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    mount_bind_recursive(rootfs, rootfs)?;
    rustix::process::chdir(rootfs)?;
    let (none, nosuid) = (MountFlags::empty(), MountFlags::NOSUID);
    let locked = nosuid | MountFlags::NOEXEC | MountFlags::NODEV;
    mount("proc", "proc", "proc", none, None)?;
    mount("tmpfs", "dev", "tmpfs", nosuid, Some(c"mode=755,size=65536k"))?;
    for directory in ["dev/pts", "dev/shm", "dev/mqueue"] {
        fs::create_dir(directory)?;
    }
    let terminals = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
    mount("devpts", "dev/pts", "devpts", nosuid | MountFlags::NOEXEC, Some(terminals))?;
    mount("shm", "dev/shm", "tmpfs", locked, Some(c"mode=1777,size=65536k"))?;
    mount("mqueue", "dev/mqueue", "mqueue", locked, None)?;
    mount("sysfs", "sys", "sysfs", locked | MountFlags::RDONLY, None)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Err(Command::new("/bin/true").exec())
}

/// `/bin/true` in the namespaces of a running container.
fn exec(single: &SingleThreaded, pid: Pid) -> io::Result<()> {
    let kinds = Namespaces::MOUNT | Namespaces::PID | Namespaces::UTS | Namespaces::IPC | Namespaces::NET;
    let joined = || {
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        join_process(single, pidfd.as_fd(), kinds)?;
        match fork_into(single, Namespaces::empty(), None)? {
            Some(child) => ended_well(child),
            None => leave(Err(Command::new("/bin/true").exec())),
        }
    };
    match fork_into(single, Namespaces::empty(), None)? {
        Some(child) => ended_well(child),
        None => leave(joined()),
    }
}

/// The end of a copy of this process.
fn leave(done: io::Result<()>) -> ! {
    if let Err(error) = &done {
        eprintln!("floor: {error}");
    }
    std::process::exit(i32::from(done.is_err()))
}

fn ended_well(child: Pid) -> io::Result<()> {
    match waitpid(Some(child), WaitOptions::empty())? {
        Some((_, status)) if status.exit_status() == Some(0) => Ok(()),
        other => Err(io::Error::other(format!("the program ended badly: {other:?}"))),
    }
}
