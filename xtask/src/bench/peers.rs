//! The runtimes to compare with: where they are, and fetching the newest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{Apt, run, unpack};

/// A peer's program: at the place that the environment names, else fetched, else on the search path.
pub fn find(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(format!("CORTEN_BENCH_{}", name.to_uppercase())).map(PathBuf::from);
    let named = named.map(|path| if path.is_dir() { path.join(name) } else { path });
    let fetched = ["usr/bin", "usr/sbin"].map(|directory| peers().join("root").join(directory).join(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|directory| directory.join(name));
    named.into_iter().chain(fetched).chain(installed).find(|path| path.is_file())
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers")
}

/// Fetches crun and runc of Debian's unstable with the libraries they need, by an apt root of our own. Nothing is
/// installed over the system's: the programs are told where their own loader and libraries are.
pub fn fetch() -> Result<(), String> {
    let apt = Apt::new(&peers(), "sid")?;
    apt.run(&["update"])?;
    apt.run(&["install", "--yes", "--download-only", "crun", "runc"])?;
    let peers = fs::canonicalize(peers()).map_err(|error| format!("target/peers: {error}"))?;
    unpack(&apt.archives(), &peers.join("root"))?;
    fs::create_dir_all(peers.join("tools")).map_err(|error| format!("target/peers: {error}"))?;
    // The machine's own patchelf, or the one of its own Debian.
    run(Command::new("apt-get").args(["-qq", "download", "patchelf"]).current_dir(peers.join("tools")))?;
    unpack(&peers.join("tools"), &peers.join("tools"))?;
    relocate(&peers)
}

/// Tells the programs to use the loader and the libraries that came with them.
fn relocate(peers: &Path) -> Result<(), String> {
    let libraries = peers.join("root/usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let loader = fs::read_dir(&libraries)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux")))
        .ok_or("the peers came without a loader")?;
    for name in ["crun", "runc"] {
        let program = find_in(&peers.join("root/usr"), name).ok_or_else(|| format!("{name} did not come"))?;
        run(Command::new(peers.join("tools/usr/bin/patchelf"))
            .arg("--set-interpreter")
            .arg(&loader)
            .args(["--force-rpath", "--set-rpath"])
            .arg(&libraries)
            .arg(&program))?;
        run(Command::new(&program).arg("--version"))?;
    }
    Ok(())
}

fn find_in(root: &Path, name: &str) -> Option<PathBuf> {
    let candidates = ["bin", "sbin"].map(|directory| root.join(directory).join(name));
    candidates.into_iter().find(|path| path.is_file() && !path.is_symlink())
}
