//! The Debian package: deb(5), deb-control(5).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{VERSION, put, run, write};

/// Makes the package of what is in `tree`; `None` where dpkg-deb is not installed.
pub fn package(dist: &Path, tree: &Path, when: &str) -> Result<Option<PathBuf>, String> {
    let Some(architecture) = architecture() else { return Ok(None) };
    let root = dist.join("debian");
    put(&tree.join("corten"), &root.join("usr/bin/corten"), 0o755)?;
    let share = root.join("usr/share");
    for page in fs::read_dir(tree.join("man")).map_err(|error| format!("man: {error}"))?.flatten() {
        compress(&page.path(), &share.join("man/man8"))?;
    }
    let completions = [
        ("corten", "bash-completion/completions/corten"),
        ("_corten", "zsh/vendor-completions/_corten"),
        ("corten.fish", "fish/vendor_completions.d/corten.fish"),
    ];
    for (name, place) in completions {
        put(&tree.join("completions").join(name), &share.join(place), 0o644)?;
    }
    let documents = share.join("doc/corten");
    put(&tree.join("README.md"), &documents.join("README.md"), 0o644)?;
    put(&tree.join("LICENSE"), &documents.join("copyright"), 0o644)?;
    let changelog = root.join("changelog");
    put(&tree.join("CHANGELOG.md"), &changelog, 0o644)?;
    compress(&changelog, &documents)?;
    fs::remove_file(changelog).map_err(|error| format!("changelog: {error}"))?;
    write(&root.join("DEBIAN/control"), control(&architecture, size(&root)).as_bytes())?;
    directories(&root)?;
    let package = dist.join(format!("corten_{VERSION}_{architecture}.deb"));
    let build = Command::new("dpkg-deb")
        .env("SOURCE_DATE_EPOCH", when)
        .args(["--root-owner-group", "--build"])
        .args([&root, &package])
        .output()
        .map_err(|error| format!("dpkg-deb: {error}"))?;
    if !build.status.success() {
        return Err(format!("dpkg-deb: {}\n{}", build.status, String::from_utf8_lossy(&build.stderr)));
    }
    fs::remove_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    Ok(Some(package))
}

/// What Debian calls this machine's processors; `None` where dpkg is not there.
fn architecture() -> Option<String> {
    let output = Command::new("dpkg").arg("--print-architecture").output().ok()?;
    Command::new("dpkg-deb").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|name| !name.is_empty())
}

/// The program is static: it depends on nothing, and what helps it is recommended.
fn control(architecture: &str, kilobytes: u64) -> String {
    format!(
        "Package: corten\nVersion: {VERSION}\nArchitecture: {architecture}\n\
         Maintainer: Corten maintainers <maintainers@corten.invalid>\nInstalled-Size: {kilobytes}\n\
         Recommends: uidmap\nSuggests: criu (>= 3.11), podman, containerd\nSection: admin\nPriority: optional\n\
         Homepage: https://github.com/corten-containers/corten\n\
         Description: OCI container runtime that takes the place of runc\n \
         Corten runs containers from OCI bundles, for podman, containerd, docker and\n \
         Kubernetes, or from its own command line.\n"
    )
}

/// In kilobytes, as dpkg counts.
fn size(root: &Path) -> u64 {
    let mut left = vec![root.to_owned()];
    let mut sum = 0;
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(status) if status.is_dir() => left.push(entry.path()),
                Ok(status) => sum += status.len().div_ceil(1024),
                Err(_) => {}
            }
        }
    }
    sum
}

/// Directories are as open as Debian's, whatever the mask of who builds.
fn directories(root: &Path) -> Result<(), String> {
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        left.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()));
    }
    Ok(())
}

/// A file with `.gz` in a directory, without name and date in it.
fn compress(file: &Path, directory: &Path) -> Result<(), String> {
    let name = file.file_name().unwrap_or_default();
    let copy = directory.join(name);
    put(file, &copy, 0o644)?;
    run(Command::new("gzip").args(["-9", "--no-name", "--force"]).arg(&copy))
}
