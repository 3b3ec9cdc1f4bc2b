//! `cargo xtask dist`: what is handed out: a tarball and a Debian package of the program, its manual pages and completions.

mod debian;
mod pages;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use corten_testkit::{Target, build_commit};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How `cargo xtask dist` is used.
pub const USAGE: &str = "\
usage: cargo xtask dist

dist            makes target/dist/corten-VERSION-ARCHITECTURE.tar.gz and, where dpkg-deb is installed, a Debian package: the
                program, a manual page for each command, and completions for bash, zsh and fish
";

/// Makes both.
pub fn dist() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dist = root.join("target/dist");
    let _ = fs::remove_dir_all(&dist);
    let (when, commit) = (newest(&root, "%ct")?, newest(&root, "%H")?);
    let program = build_commit("corten-cli", Target::Bin("corten"), true, Some(&commit))?;
    let name = format!("corten-{VERSION}-{}", std::env::consts::ARCH);
    let tree = dist.join(&name);
    put(&program, &tree.join("corten"), 0o755)?;
    for document in ["LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md"] {
        put(&root.join(document), &tree.join(document), 0o644)?;
    }
    pages::manual(&tree.join("man"))?;
    pages::completions(&tree.join("completions"))?;
    let tarball = dist.join(format!("{name}.tar.gz"));
    run(Command::new("tar")
        .args(["--create", "--gzip", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .arg(format!("--mtime=@{when}"))
        .arg("--directory")
        .arg(&dist)
        .arg("--file")
        .arg(&tarball)
        .arg(&name))?;
    println!("{}", shown(&tarball));
    match debian::package(&dist, &tree, &when)? {
        Some(package) => println!("{}", shown(&package)),
        None => println!("no Debian package: dpkg-deb is not installed"),
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// What git tells of the newest commit: when it was made, in seconds (what is made of it twice is the same), or its name.
fn newest(root: &Path, format: &str) -> Result<String, String> {
    let output = Command::new("git")
        .args(["log", "-1", &format!("--format={format}")])
        .current_dir(root)
        .output()
        .map_err(|error| format!("git: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if text.is_empty() { Err("git tells nothing of the newest commit".to_owned()) } else { Ok(text) }
}

/// Copies a file to its place, whose directories are made.
fn put(from: &Path, to: &Path, mode: u32) -> Result<(), String> {
    let doing = |error: std::io::Error| format!("{}: {error}", to.display());
    directory_of(to)?;
    fs::copy(from, to).map_err(doing)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(doing)
}

/// Writes a file to its place, whose directories are made.
fn write(to: &Path, bytes: &[u8]) -> Result<(), String> {
    directory_of(to)?;
    fs::write(to, bytes).map_err(|error| format!("{}: {error}", to.display()))
}

fn directory_of(path: &Path) -> Result<(), String> {
    let directory: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
