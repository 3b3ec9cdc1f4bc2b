//! What a throw-away container sees of the machine's own root, and how it is put together.
//!
//! Every directory of the root is the lower layer of an overlay whose upper layer is a tmpfs: it can be changed at will,
//! and the change is gone with the container. One overlay of `/` would not do: it would show none of the file
//! systems mounted below, and an ordinary user may not take a directory with mounts below it as a layer (they are
//! locked together, mount_namespaces(7)). So a directory with mounts below is gone through, and its entries are layers.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use corten::oci::Mount;

/// Where the upper layers are, inside the container; the container cannot read it.
pub const CHANGES: &str = "/.changes";

/// Fresh in every container: what the kernel shows, and where sockets of the host would be.
const FRESH: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/tmp"];

/// File systems without files of their own, and those that overlayfs takes for no layer (overlayfs.rst, "Upper and
/// Lower"). A directory where one is mounted is empty in the container.
const NO_LAYER: [&str; 22] = [
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "exfat",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "securityfs",
    "sysfs",
    "tracefs",
    "vfat",
];

/// A part of the view.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// A directory that is copied on write.
    Layer(PathBuf),
    /// Something that cannot be a layer, and is shown read-only.
    ReadOnly(PathBuf),
    /// A symbolic link.
    Link(PathBuf),
    /// A directory of its own.
    Directory(PathBuf),
}

/// What an entry of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Directory,
    File,
    Link,
    Other,
}

/// The parts of the view of a root with these mounts (mount point and type), parents first. `list` gives what a directory holds.
pub fn parts(mounts: &BTreeMap<PathBuf, String>, list: &dyn Fn(&Path) -> Vec<(PathBuf, Kind)>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut directories = vec![PathBuf::from("/")];
    while let Some(directory) = directories.pop() {
        for (path, kind) in list(&directory) {
            let empty = mounts.get(&path).is_some_and(|kind| NO_LAYER.contains(&kind.as_str()));
            let fresh = FRESH.iter().any(|fresh| path == Path::new(fresh));
            let divided = mounts.keys().any(|point| *point != path && point.starts_with(&path));
            match kind {
                Kind::Directory if empty || fresh => parts.push(Part::Directory(path)),
                Kind::Directory if divided => {
                    directories.push(path.clone());
                    parts.push(Part::Directory(path));
                }
                Kind::Directory if is_plain(&path) => parts.push(Part::Layer(path)),
                Kind::Directory | Kind::File => parts.push(Part::ReadOnly(path)),
                Kind::Link => parts.push(Part::Link(path)),
                // A device or a socket of the host.
                Kind::Other => {}
            }
        }
    }
    parts
}

/// Whether a directory of the host's is in the view.
pub fn shows(directory: &Path) -> bool {
    !FRESH.iter().any(|fresh| directory.starts_with(fresh))
}

/// Whether a path can stand among the options of an overlay.
fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|path| !path.contains([',', ':', '\\', '"']))
}

/// The entries of a directory; none where it cannot be read.
pub fn list(directory: &Path) -> Vec<(PathBuf, Kind)> {
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let kind = match entry.file_type().ok()? {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_file() => Kind::File,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        Some((entry.path(), kind))
    };
    let mut entries: Vec<_> = fs::read_dir(directory).into_iter().flatten().filter_map(entry).collect();
    entries.sort();
    entries
}

/// Mount points and their types from the text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)); of several at one place
/// the last, which is on top.
pub fn mounts(mountinfo: &str) -> BTreeMap<PathBuf, String> {
    let mount = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        Some((PathBuf::from(unescape(point)), file_system.split(' ').next()?.to_owned()))
    };
    mountinfo.lines().filter_map(mount).collect()
}

/// Blanks, tabs, newlines and backslashes are in octal there.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

/// Makes what the mounts need inside an empty directory that becomes the root, and gives the mounts. `user`: the
/// container has a user namespace.
pub fn build(root: &Path, parts: &[Part], user: bool) -> io::Result<Vec<Mount>> {
    let changes = inside(root, Path::new(CHANGES));
    directory(&changes, 0o700)?;
    let mut mounts = vec![mount("tmpfs", "tmpfs", CHANGES, vec!["mode=0700".into(), "tmpcopyup".into()])];
    for (number, part) in parts.iter().enumerate() {
        match part {
            Part::Directory(path) => like(path, &inside(root, path), user)?,
            Part::Link(path) => symlink(fs::read_link(path)?, inside(root, path))?,
            Part::ReadOnly(path) => {
                let options = ["rbind", "ro", "nosuid", "nodev"].map(str::to_owned).to_vec();
                mounts.push(mount("bind", path, path, options));
            }
            Part::Layer(path) => {
                let [upper, work] = ["upper", "work"].map(|kind| changes.join(format!("{number}-{kind}")));
                like(path, &inside(root, path), user)?;
                like(path, &upper, user)?;
                directory(&work, 0o700)?;
                let mut options = vec![
                    "nodev".to_owned(),
                    format!("lowerdir={}", path.display()),
                    format!("upperdir={}", upper.display()),
                    format!("workdir={}", work.display()),
                ];
                // The other attributes of overlayfs are for root on the host only.
                options.extend(user.then(|| "userxattr".to_owned()));
                mounts.push(mount("overlay", "overlay", path, options));
            }
        }
    }
    Ok(mounts)
}

/// A mount of the OCI configuration.
pub fn mount(
    typ: &str,
    source: impl AsRef<Path>,
    destination: impl AsRef<Path>,
    options: Vec<String>,
) -> Mount {
    Mount {
        typ: Some(typ.to_owned()),
        source: Some(source.as_ref().display().to_string()),
        destination: destination.as_ref().display().to_string(),
        options,
        ..Mount::default()
    }
}

/// Where a path of the container is before its root is one.
fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().mode(mode).create(path)?;
    // Whatever the mask.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A directory with the mode of another, and with its owner where the host's owners are those of the container.
fn like(model: &Path, path: &Path, user: bool) -> io::Result<()> {
    let model = fs::metadata(model)?;
    directory(path, model.mode() & 0o7777)?;
    match user {
        true => Ok(()),
        false => chown(path, Some(model.uid()), Some(model.gid())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(mountinfo: &[(&str, &str)], tree: &[(&str, Kind)]) -> Vec<Part> {
        let mounts = mountinfo.iter().map(|(path, kind)| (PathBuf::from(path), (*kind).to_owned())).collect();
        parts(&mounts, &|directory| {
            let child = |(path, _): &&(&str, Kind)| Path::new(path).parent() == Some(directory);
            tree.iter().filter(child).map(|(path, kind)| (PathBuf::from(path), *kind)).collect()
        })
    }

    #[test]
    fn directories_are_layers_and_links_are_links() {
        let tree = [("/bin", Kind::Link), ("/usr", Kind::Directory), ("/usr/bin", Kind::Directory)];
        assert_eq!(view(&[("/", "ext4")], &tree), [Part::Link("/bin".into()), Part::Layer("/usr".into())]);
    }

    #[test]
    fn what_the_kernel_shows_and_where_sockets_are_is_fresh() {
        for path in FRESH {
            assert_eq!(view(&[("/", "ext4")], &[(path, Kind::Directory)]), [Part::Directory(path.into())]);
        }
    }

    #[test]
    fn a_directory_with_mounts_below_is_gone_through() {
        let tree = [
            ("/var", Kind::Directory),
            ("/var/lib", Kind::Directory),
            ("/var/lib/a", Kind::Directory),
            ("/var/lib/b", Kind::File),
            ("/var/cache", Kind::Directory),
        ];
        let expected = [
            Part::Directory("/var".into()),
            Part::Directory("/var/lib".into()),
            Part::Layer("/var/cache".into()),
            Part::Layer("/var/lib/a".into()),
            Part::ReadOnly("/var/lib/b".into()),
        ];
        assert_eq!(view(&[("/", "ext4"), ("/var/lib/a", "xfs")], &tree), expected);
    }

    #[test]
    fn a_mounted_directory_is_a_layer_of_its_own() {
        let tree = [("/home", Kind::Directory)];
        assert_eq!(view(&[("/", "ext4"), ("/home", "btrfs")], &tree), [Part::Layer("/home".into())]);
    }

    #[test]
    fn what_can_be_no_layer_is_empty_or_read_only_and_devices_and_sockets_are_left_out() {
        let tree = [
            ("/efi", Kind::Directory),
            ("/a,b", Kind::Directory),
            ("/file", Kind::File),
            ("/socket", Kind::Other),
        ];
        let expected =
            [Part::Directory("/efi".into()), Part::ReadOnly("/a,b".into()), Part::ReadOnly("/file".into())];
        assert_eq!(view(&[("/", "ext4"), ("/efi", "vfat")], &tree), expected);
    }

    #[test]
    fn mountinfo_is_read_with_its_escapes_and_the_topmost_mount_counts() {
        let text = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
                    2 1 0:5 / /a\\040b rw shared:1 master:2 - tmpfs tmpfs rw\n\
                    3 2 0:6 / /a\\040b rw - proc proc rw\n";
        let expected =
            [("/", "ext4"), ("/a b", "proc")].map(|(path, kind)| (PathBuf::from(path), kind.to_owned()));
        assert_eq!(mounts(text), BTreeMap::from(expected));
    }
}
