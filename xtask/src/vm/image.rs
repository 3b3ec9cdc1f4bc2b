//! Making the machine: a file system of Debian packages, its kernel, and the state it has once it has booted.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::host_program;
use super::machine::{Host, Machine};

/// What the machine at hand needs for it.
pub const HOST_PACKAGES: &str = "qemu-system-x86 qemu-utils mmdebstrap zstd e2fsprogs";

const SUITE: &str = "trixie";

const PACKAGES: &str = "systemd-sysv dbus dbus-user-session libpam-systemd systemd-container polkitd kmod udev iproute2 \
    iputils-ping procps psmisc uidmap sudo libcap2-bin attr e2fsprogs apparmor checkpolicy nftables iptables strace bpftool jq bats \
    busybox-static less file xz-utils runc crun criu libcriu2 containerd containernetworking-plugins conmon podman \
    netavark aardvark-dns passt fuse-overlayfs catatonit docker.io docker-cli docker-compose initramfs-tools zstd util-linux";

const SETUP: &str = include_str!("guest/setup");
const SERVICE: &str = include_str!("guest/vmrun.service");
const PROGRAM: &str = include_str!("guest/vmrun");

/// Everything that makes a machine another one.
fn recipe() -> String {
    [SUITE, PACKAGES, SETUP, SERVICE, PROGRAM, &Machine::fingerprint()].join("\n")
}

/// Whether the machine is there and was made by this recipe.
pub fn is_current(directory: &Path) -> bool {
    fs::read_to_string(directory.join("recipe")).is_ok_and(|text| text == recipe())
}

/// Makes the machine: `root.img`, `kernel`, `initrd`, and `state`, from which it goes on.
pub fn build(directory: &Path) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can make the machine's file system".to_owned());
    }
    let doing = |error: std::io::Error| format!("{}: {error}", directory.display());
    fs::create_dir_all(directory).map_err(doing)?;
    for file in ["recipe", "state", "base.qcow2", "root.img"] {
        let _ = fs::remove_file(directory.join(file));
    }
    let root = Tree(directory.join("root"));
    if root.0.exists() {
        fs::remove_dir_all(&root.0).map_err(doing)?;
    }
    eprintln!("vm: packages");
    install(&root.0)?;
    write(&root.0, "etc/systemd/system/vmrun.service", SERVICE, 0o644)?;
    write(&root.0, "usr/local/sbin/vmrun", PROGRAM, 0o755)?;
    write(&root.0, "usr/local/sbin/vmsetup", SETUP, 0o755)?;
    host_program(Command::new("chroot").arg(&root.0).arg("/usr/local/sbin/vmsetup"))?;
    boot_files(&root.0, directory)?;
    for gone in ["boot", "var/cache/apt", "var/lib/apt/lists"] {
        empty(&root.0.join(gone)).map_err(doing)?;
    }
    eprintln!("vm: file system");
    host_program(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-L", "root", "-d"])
            .arg(&root.0)
            .arg(directory.join("root.img"))
            .arg("8G"),
    )?;
    drop(root);
    eprintln!("vm: first boot");
    Machine::new(directory.to_owned(), Host::V2).save()?;
    fs::write(directory.join("recipe"), recipe()).map_err(doing)
}

/// The unpacked file system, which goes when the image is made or has failed.
struct Tree(PathBuf);

impl Drop for Tree {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!("vm: {} stays: {error}", self.0.display());
        }
    }
}

fn install(root: &Path) -> Result<(), String> {
    let mirror = crate::debian::mirror().ok_or("the machine's apt sources name no Debian mirror")?;
    let excluded =
        ["man", "doc", "locale", "info"].map(|name| format!("--dpkgopt=path-exclude=/usr/share/{name}/*"));
    // Only what the machine needs to reach its root; the rest is loaded from there.
    let modules = r#"--customize-hook=printf '%s\n' ext4 virtio_pci virtio_blk virtio_console >"$1/etc/initramfs-tools/modules"; sed -i 's/^MODULES=.*/MODULES=list/' "$1/etc/initramfs-tools/initramfs.conf""#;
    let kernel =
        r#"--customize-hook=chroot "$1" apt-get -qq install --yes --no-install-recommends linux-image-amd64"#;
    host_program(
        Command::new("mmdebstrap")
            .args(["--quiet", "--variant=apt", "--format=directory", "--components=main"])
            .args([
                "--aptopt=Acquire::Check-Valid-Until \"false\"",
                "--aptopt=Apt::Install-Recommends \"false\"",
            ])
            .args(excluded)
            .arg(format!("--include={}", PACKAGES.split_whitespace().collect::<Vec<_>>().join(",")))
            .args([modules, kernel, SUITE])
            .arg(root)
            .arg(format!("deb {mirror} {SUITE} main"))
            .stdin(Stdio::null()),
    )
}

fn write(root: &Path, name: &str, text: &str, mode: u32) -> Result<(), String> {
    let path = root.join(name);
    fs::write(&path, text)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn empty(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

/// Takes the kernel and its initrd out of the image: QEMU loads them itself.
fn boot_files(root: &Path, directory: &Path) -> Result<(), String> {
    let newest = |prefix: &str| -> Result<PathBuf, String> {
        let entries =
            fs::read_dir(root.join("boot")).into_iter().flatten().flatten().map(|entry| entry.path());
        let named =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
        entries.filter(named).max().ok_or_else(|| format!("the image has no /boot/{prefix}*"))
    };
    fs::copy(newest("initrd.img-")?, directory.join("initrd")).map_err(|error| format!("initrd: {error}"))?;
    let compressed = fs::read(newest("vmlinuz-")?).map_err(|error| format!("kernel: {error}"))?;
    fs::write(directory.join("kernel"), uncompressed(&compressed)?)
        .map_err(|error| format!("kernel: {error}"))
}

/// The kernel proper out of its self-extracting file: the emulated machine would take long to extract it.
fn uncompressed(file: &[u8]) -> Result<Vec<u8>, String> {
    const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
    let start = file
        .windows(ZSTD.len())
        .position(|bytes| bytes == ZSTD)
        .ok_or("the kernel is not compressed by zstd")?;
    let mut zstd = Command::new("zstd")
        .args(["--decompress", "--stdout", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("zstd: {error}"))?;
    let stdin = zstd.stdin.take();
    let output = std::thread::scope(|scope| {
        // What follows the kernel in the file is no frame of zstd, which ends there with an error.
        scope.spawn(move || stdin.map(|mut stdin| drop(stdin.write_all(&file[start..]))));
        zstd.wait_with_output()
    });
    let kernel = output.map_err(|error| format!("zstd: {error}"))?.stdout;
    if kernel.starts_with(b"\x7fELF") {
        Ok(kernel)
    } else {
        Err("the kernel's file holds no ELF kernel".to_owned())
    }
}
