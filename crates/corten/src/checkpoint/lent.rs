//! Directories of images, which the container's root may use as long as a restore takes: CRIU opens some images as root of the
//! container's user namespace, who is nobody outside.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::{Error, Result};

/// To be passed through.
const SEARCH: u32 = 0o010;

/// To be opened as well.
const READ: u32 = 0o050;

/// A directory whose group and mode are put back.
#[derive(Debug)]
pub(super) struct Lent {
    directory: File,
    gid: u32,
    mode: u32,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Err(error) = hand_over(&self.directory, self.gid, self.mode) {
            tracing::warn!("put the group and the mode of a directory of images back: {error}");
        }
    }
}

/// A directory that a group must have rights on.
struct Wanted {
    path: PathBuf,
    directory: File,
    rights: u32,
}

/// Lets a group, the container's root, into the directory of images, and into those of the pre-dumps that they build on.
pub(super) fn lend(images: &Path, gid: u32) -> Result<Vec<Lent>> {
    // By device and inode: each once, and every restore takes them in the same order, so that none waits for another in vain.
    let mut wanted = BTreeMap::<_, Wanted>::new();
    let mut place = images.to_owned();
    let mut rights = SEARCH;
    while want(&mut wanted, &place, rights)? {
        let link = place.join("parent");
        if !link.is_dir() {
            break;
        }
        let target = std::fs::read_link(&link).unwrap_or_else(|_| PathBuf::from("parent"));
        for passed in passed(&place, &target) {
            want(&mut wanted, &passed, SEARCH)?;
        }
        place = link.canonicalize().map_err(|error| Error::io(format!("open {}", link.display()), error))?;
        rights = READ;
    }
    wanted.into_values().filter_map(|wanted| give(wanted, gid).transpose()).collect()
}

/// Adds a directory; whether it had not these rights already.
fn want(all: &mut BTreeMap<(u64, u64), Wanted>, path: &Path, rights: u32) -> Result<bool> {
    let doing = |error| Error::io(format!("open {} to the container's root", path.display()), error);
    let directory = File::open(path).map_err(doing)?;
    let status = directory.metadata().map_err(doing)?;
    let new = || Wanted { path: path.to_owned(), directory, rights: 0 };
    let wanted = all.entry((status.dev(), status.ino())).or_insert_with(new);
    let before = wanted.rights;
    wanted.rights |= rights;
    Ok(wanted.rights != before)
}

/// The directories that a link at this place leads through, to where it ends.
fn passed(place: &Path, target: &Path) -> Vec<PathBuf> {
    let mut passed = vec![place.to_owned()];
    for component in target.components() {
        let mut next = passed.last().cloned().unwrap_or_default();
        match component {
            Component::RootDir => next = PathBuf::from("/"),
            Component::ParentDir => drop(next.pop()),
            Component::Normal(name) => next.push(name),
            Component::CurDir | Component::Prefix(_) => {}
        }
        passed.push(next);
    }
    passed.pop();
    passed
}

/// Gives the group its rights, where not everybody has them.
fn give(Wanted { path, directory, rights }: Wanted, gid: u32) -> Result<Option<Lent>> {
    let doing = |error| Error::io(format!("open {} to the container's root", path.display()), error);
    let is_open = |mode: u32| mode & (rights >> 3) == rights >> 3;
    if is_open(directory.metadata().map_err(doing)?.mode()) {
        return Ok(None);
    }
    // Another restore of these images would take what it is lent for what it was.
    let lock = || rustix::fs::flock(&directory, FlockOperation::LockExclusive);
    rustix::io::retry_on_intr(lock).map_err(|errno| doing(errno.into()))?;
    let status = directory.metadata().map_err(doing)?;
    let lent = Lent { directory, gid: status.gid(), mode: status.mode() & 0o7777 };
    hand_over(&lent.directory, gid, (lent.mode & !0o070) | rights).map_err(doing)?;
    Ok(Some(lent))
}

/// Gives a directory a group and a mode. They come one after the other: no other group gets in meanwhile.
fn hand_over(directory: &File, gid: u32, mode: u32) -> std::io::Result<()> {
    directory.set_permissions(Permissions::from_mode(mode & !0o070))?;
    std::os::unix::fs::fchown(directory, None, Some(gid))?;
    directory.set_permissions(Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_leads_through_directories() {
        let through = |target: &str| {
            let passed = passed(Path::new("/a/b"), Path::new(target));
            passed.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(through("../c"), ["/a/b", "/a"]);
        assert_eq!(through("../../x/c"), ["/a/b", "/a", "/", "/x"]);
        assert_eq!(through("/x/c"), ["/a/b", "/", "/x"]);
        assert_eq!(through("parent"), ["/a/b"]);
    }

    #[test]
    fn what_is_lent_is_put_back() {
        let place = std::env::temp_dir().join(format!("corten-test-lent-{}", std::process::id()));
        let modes = || {
            let mode = |name: &str| std::fs::metadata(place.join(name)).unwrap().mode() & 0o7777;
            ["", "0", "1", "2"].map(mode)
        };
        for name in ["0", "1", "2"] {
            std::fs::create_dir_all(place.join(name)).unwrap();
            std::fs::set_permissions(place.join(name), Permissions::from_mode(0o700)).unwrap();
        }
        std::fs::set_permissions(&place, Permissions::from_mode(0o700)).unwrap();
        symlink("../1", place.join("2/parent")).unwrap();
        symlink("../0", place.join("1/parent")).unwrap();
        // The last one is its own parent: it is lent once all the same.
        symlink(".", place.join("0/parent")).unwrap();
        let lent = lend(&place.join("2"), rustix::process::getegid().as_raw()).unwrap();
        assert_eq!(modes(), [0o710, 0o750, 0o750, 0o710]);
        drop(lent);
        assert_eq!(modes(), [0o700; 4]);
        std::fs::set_permissions(place.join("1"), Permissions::from_mode(0o711)).unwrap();
        let lent = lend(&place.join("1"), rustix::process::getegid().as_raw()).unwrap();
        assert_eq!(modes(), [0o710, 0o750, 0o711, 0o700], "everybody may search it already");
        drop(lent);
        std::fs::remove_dir_all(place).unwrap();
    }
}
