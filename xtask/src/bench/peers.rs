//! The runtimes to compare with: where they are, and fetching the newest.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    if peers().exists() {
        fs::remove_dir_all(peers()).map_err(|error| format!("target/peers: {error}"))?;
    }
    for directory in ["apt/lists/partial", "apt/archives/partial", "root", "tools"] {
        fs::create_dir_all(peers().join(directory)).map_err(|error| format!("target/peers: {error}"))?;
    }
    let peers = fs::canonicalize(peers()).map_err(|error| format!("target/peers: {error}"))?;
    let apt = peers.join("apt");
    let write = |name: &str, text: String| {
        fs::write(apt.join(name), text).map_err(|error| format!("{name}: {error}"))
    };
    let mirror = crate::debian::mirror().ok_or("the machine's apt sources name no Debian mirror")?;
    let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
    write("sources.list", format!("deb [signed-by={key}] {mirror} sid main\n"))?;
    write("status", String::new())?;
    write("apt.conf", configuration(&apt))?;
    let own = |arguments: &[&str]| {
        run(Command::new("apt-get").arg("-qq").args(arguments).env("APT_CONFIG", apt.join("apt.conf")))
    };
    own(&["update"])?;
    own(&["install", "--yes", "--download-only", "crun", "runc"])?;
    unpack(&apt.join("archives"), &peers.join("root"))?;
    // The machine's own patchelf, or the one of its own Debian.
    run(Command::new("apt-get").args(["-qq", "download", "patchelf"]).current_dir(peers.join("tools")))?;
    unpack(&peers.join("tools"), &peers.join("tools"))?;
    relocate(&peers)
}

fn configuration(apt: &Path) -> String {
    let apt = apt.display();
    format!(
        "Dir::State::Lists \"{apt}/lists\";\nDir::State::status \"{apt}/status\";\nDir::Cache \"{apt}\";\n\
         Dir::Cache::archives \"{apt}/archives\";\nDir::Etc::SourceList \"{apt}/sources.list\";\n\
         Dir::Etc::SourceParts \"/dev/null\";\nDir::Etc::Preferences \"/dev/null\";\n\
         Dir::Etc::PreferencesParts \"/dev/null\";\nDebug::NoLocking \"1\";\nAPT::Sandbox::User \"root\";\n\
         APT::Install-Recommends \"0\";\n"
    )
}

fn unpack(packages: &Path, root: &Path) -> Result<(), String> {
    for entry in fs::read_dir(packages).into_iter().flatten().flatten() {
        if entry.path().extension() == Some(OsStr::new("deb")) {
            run(Command::new("dpkg").arg("--extract").arg(entry.path()).arg(root))?;
        }
    }
    Ok(())
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

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
