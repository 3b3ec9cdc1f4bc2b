//! Temporary directories and root file systems.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mount::UnmountFlags;

use crate::report::Mount;

/// A temporary directory `corten-test-…`, mode 0755. It goes with the guard, and with it all that is mounted below it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one in the system's directory for temporary files.
    pub fn new() -> io::Result<Scratch> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("corten-test-{}-{number}", std::process::id());
            let path = fs::canonicalize(std::env::temp_dir())?.join(name);
            match fs::create_dir(&path) {
                // A process of another pid namespace, or one that was killed, may have had this number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
                    return Ok(Scratch(path));
                }
            }
        }
    }

    /// Its absolute path, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its name: unique on the machine, so that other things can be named after it.
    pub fn name(&self) -> &str {
        self.0.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is mounted is somebody else's: removing must not reach into it.
        if let Err(error) = unmount_below(&self.0).and_then(|()| fs::remove_dir_all(&self.0)) {
            eprintln!("corten-testkit: {} stays: {error}", self.0.display());
        }
    }
}

fn unmount_below(directory: &Path) -> io::Result<()> {
    let mounts = Mount::parse(&fs::read_to_string("/proc/self/mountinfo")?);
    let inside = |mount: &&Mount| Path::new(&mount.mountpoint).starts_with(directory);
    for mount in mounts.iter().rev().filter(inside) {
        rustix::mount::unmount(&mount.mountpoint, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    Ok(())
}

/// A small root file system for a container.
#[derive(Debug)]
pub struct Rootfs {
    scratch: Scratch,
    path: PathBuf,
}

impl Rootfs {
    /// The usual directories, users root, daemon and nobody, and the probe as `/bin/probe`.
    pub fn new() -> io::Result<Rootfs> {
        let scratch = Scratch::new()?;
        let path = scratch.path().join("rootfs");
        for directory in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"] {
            fs::create_dir_all(path.join(directory))?;
        }
        fs::set_permissions(path.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        fs::write(
            path.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\n\
             daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
             nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        )?;
        fs::write(path.join("etc/group"), "root:x:0:\ndaemon:x:1:\ntty:x:5:\nnogroup:x:65534:\n")?;
        install(crate::probe(), &path.join("bin/probe"))?;
        Ok(Rootfs { scratch, path })
    }

    /// As [`new`](Rootfs::new), with busybox as `/bin/busybox` and under the names of its programs. For a case that
    /// declares [`Requirement::Busybox`](crate::Requirement::Busybox).
    pub fn busybox() -> io::Result<Rootfs> {
        let rootfs = Rootfs::new()?;
        let busybox = busybox().ok_or_else(|| io::Error::other("no static busybox"))?;
        install(busybox, &rootfs.path.join("bin/busybox"))?;
        let list = Command::new(busybox).arg("--list").output()?;
        for name in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
            symlink("busybox", rootfs.path.join("bin").join(name))?;
        }
        Ok(rootfs)
    }

    /// The root directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that holds the root directory and goes with it: a place for a bundle, hooks, sockets.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Gives directories and data files to a user, for a container whose root is that user outside; the programs in
    /// `/bin` stay as they are.
    pub fn give_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        chown(&self.path, Some(uid), Some(gid))?;
        for directory in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"] {
            chown(self.path.join(directory), Some(uid), Some(gid))?;
        }
        for file in ["etc/passwd", "etc/group"] {
            chown(self.path.join(file), Some(uid), Some(gid))?;
        }
        Ok(())
    }
}

/// The machine's static busybox, if it has one.
pub(crate) fn busybox() -> Option<&'static Path> {
    ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(Path::new).find(|path| path.exists())
}

/// Brings a program to another place without this process ever having it open for writing: a process that another
/// thread forks meanwhile would inherit the descriptor, and for so long execve(2) of the program is ETXTBSY.
pub fn install(program: &Path, target: &Path) -> io::Result<()> {
    // A link to a program of the system would let a container write to it.
    let ours = Some(program) != busybox();
    if ours && fs::hard_link(program, target).is_ok() {
        return Ok(());
    }
    let status = Command::new("cp").arg(program).arg(target).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("cp {}: {status}", target.display())))
    }
}
