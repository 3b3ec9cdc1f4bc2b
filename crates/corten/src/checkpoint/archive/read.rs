//! Out of the archive, which may be made by anybody: nothing is made but plain files that the manifest names, in one
//! directory and in directories `parent` below it, and none of them was there before.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use tar::{Entry, EntryType};

use super::frames::Decompress;
use super::manifest::{CONFIG, IMAGES, Image, MANIFEST, MOST_PARENTS, Manifest, PARENT, VERSION};
use crate::checkpoint::dump::DESCRIPTORS;
use crate::{Config, Error, Result};

/// The longest manifest and the longest configuration that are read, in bytes.
const LONGEST: u64 = 16 << 20;

/// The longest name of an image, in bytes.
const LONGEST_NAME: usize = 90;

/// Takes an archive's files out, into a directory that is made for them.
pub(super) fn unpack(from: impl Read, into: &Path) -> Result<(Manifest, Config)> {
    let directory = Made::new(into)?;
    let mut archive = tar::Archive::new(Decompress::new(from));
    // Raw: no entry has an effect on another, and none is kept in memory.
    let mut entries = archive.entries().map_err(broken)?.raw(true);
    let manifest: Manifest = document(entries.next(), MANIFEST)?;
    check(&manifest)?;
    let config: Config = document(entries.next(), CONFIG)?;
    for Image { name, size } in &manifest.images {
        let entry = next(entries.next(), &format!("{IMAGES}{name}"))?;
        directory.write(name, entry, *size)?;
    }
    if entries.next().is_some() {
        return Err(Error::invalid("the archive has more files than its manifest names"));
    }
    directory.keep();
    Ok((manifest, config))
}

fn broken(error: io::Error) -> Error {
    Error::invalid(format!("this is no archive of a checkpoint, or it is damaged: {error}"))
}

/// Refuses what another version has made, and names that are more than names.
fn check(manifest: &Manifest) -> Result<()> {
    if manifest.version != VERSION {
        return Err(Error::unsupported(format!(
            "the archive has version {}, and this program knows version {VERSION}",
            manifest.version
        )));
    }
    let plain = |path: &str| {
        let (parents, name) = split(path);
        parents <= MOST_PARENTS
            && name.len() <= LONGEST_NAME
            && (name.ends_with(".img") || path == DESCRIPTORS)
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match manifest.images.iter().find(|image| !plain(&image.name)) {
        Some(image) => Err(Error::invalid(format!(
            "the archive has a file {:?}, which is no image of criu's",
            image.name
        ))),
        None => Ok(()),
    }
}

/// How many pre-dumps back an image is, and its name there.
fn split(path: &str) -> (usize, &str) {
    let name = path.trim_start_matches(PARENT);
    ((path.len() - name.len()) / PARENT.len(), name)
}

/// The next entry, which must be a plain file of this name.
fn next<'a, R: Read>(entry: Option<io::Result<Entry<'a, R>>>, name: &str) -> Result<Entry<'a, R>> {
    let Some(entry) = entry else {
        return Err(Error::invalid(format!("the archive ends before {name}")));
    };
    let entry = entry.map_err(broken)?;
    if entry.header().entry_type() != EntryType::Regular || entry.path_bytes() != name.as_bytes() {
        return Err(Error::invalid(format!(
            "the archive has {:?} in the place of the file {name}",
            String::from_utf8_lossy(&entry.path_bytes())
        )));
    }
    Ok(entry)
}

/// A document at its place.
fn document<T: DeserializeOwned, R: Read>(entry: Option<io::Result<Entry<'_, R>>>, name: &str) -> Result<T> {
    let entry = next(entry, name)?;
    let mut text = Vec::new();
    entry.take(LONGEST + 1).read_to_end(&mut text).map_err(broken)?;
    if text.len() as u64 > LONGEST {
        return Err(Error::invalid(format!("the archive's {name} is longer than {LONGEST} bytes")));
    }
    serde_json::from_slice(&text).map_err(|error| Error::invalid(format!("the archive's {name}: {error}")))
}

/// A directory of this archive's own, which goes with what is in it unless it is kept.
struct Made<'a> {
    path: &'a Path,
    directory: Option<OwnedFd>,
}

impl<'a> Made<'a> {
    fn new(path: &'a Path) -> Result<Self> {
        let doing =
            |what: &str, errno: Errno| Error::io(format!("{what} the directory {}", path.display()), errno);
        rustix::fs::mkdirat(CWD, path, Mode::RWXU).map_err(|errno| doing("make", errno))?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| doing("open", errno))?;
        Ok(Self { path, directory: Some(directory) })
    }

    fn keep(mut self) {
        self.directory = None;
    }

    fn write(&self, path: &str, mut from: impl Read, size: u64) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let doing = |error: io::Error| Error::io(format!("write {}", self.path.join(path).display()), error);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let (parents, _) = split(path);
        for parents in 1..=parents {
            match rustix::fs::mkdirat(directory, PARENT.repeat(parents), Mode::RWXU) {
                Err(errno) if errno != Errno::EXIST => return Err(doing(errno.into())),
                _ => {}
            }
        }
        // As CRIU makes its own: the container's root may have to read them, and is let into their directory then.
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = rustix::fs::openat2(directory, path, flags, mode, resolve);
        let mut file = File::from(file.map_err(|errno| doing(errno.into()))?);
        rustix::fs::fchmod(&file, mode).map_err(|errno| doing(errno.into()))?;
        let mut block = vec![0; 1 << 20];
        let mut written = 0;
        loop {
            let count = from.read(&mut block).map_err(broken)?;
            if count == 0 {
                break;
            }
            written += count as u64;
            io::Write::write_all(&mut file, block.get(..count).unwrap_or_default()).map_err(doing)?;
        }
        if written == size {
            return Ok(());
        }
        Err(Error::invalid(format!("the archive's {path} has {written} bytes, and {size} belong to it")))
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let Some(directory) = self.directory.take() else { return };
        remove_files(directory.as_fd());
        let _ = rustix::fs::unlinkat(CWD, self.path, AtFlags::REMOVEDIR);
    }
}

/// Removes the files of a directory that has nothing else but another such directory.
fn remove_files(directory: BorrowedFd<'_>) {
    for entry in rustix::fs::Dir::read_from(directory).into_iter().flatten().flatten() {
        if entry.file_type() != FileType::Directory {
            let _ = rustix::fs::unlinkat(directory, entry.file_name(), AtFlags::empty());
        }
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = PARENT.trim_end_matches('/');
    if let Ok(parent) = rustix::fs::openat(directory, name, flags, Mode::empty()) {
        remove_files(parent.as_fd());
        let _ = rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::{Value, json};
    use tar::{Builder, Header};

    use super::super::frames::Compress;
    use super::*;

    /// A directory for one test.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path =
                std::env::temp_dir().join(format!("corten-test-archive-{}-{number}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn manifest(images: &Value) -> Value {
        json!({
            "version": 1, "id": "one", "terminal": false, "images": images,
            "machine": {
                "architecture": "x86_64", "page_size": 4096, "kernel": "6.12", "criu": "4.1", "cgroups": "v2",
                "processor": ["avx"],
            },
        })
    }

    fn config() -> Vec<u8> {
        serde_json::to_vec(&Config::builder("/root").build().unwrap()).unwrap()
    }

    /// An archive with these entries; names are written as they are.
    fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut archive = Builder::new(Compress::new(Vec::new()));
        for (name, kind, data) in entries {
            let mut header = Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            if *kind == EntryType::Symlink {
                header.set_link_name("/etc").unwrap();
            }
            header.set_size(data.len() as u64);
            header.set_cksum();
            archive.append(&header, *data).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    /// An archive whose manifest names `images`, with these entries after the two documents.
    fn with(images: &Value, entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let (manifest, config) = (manifest(images).to_string(), config());
        let documents = [
            (MANIFEST, EntryType::Regular, manifest.as_bytes()),
            (CONFIG, EntryType::Regular, config.as_slice()),
        ];
        archive(&[&documents, entries].concat())
    }

    const FILE: EntryType = EntryType::Regular;

    #[test]
    fn what_is_in_it_comes_out() {
        let place = Place::new();
        let into = place.0.join("images");
        let images = json!([{ "name": "core-1.img", "size": 3 }, { "name": "descriptors.json", "size": 2 }]);
        let bytes =
            with(&images, &[("images/core-1.img", FILE, b"abc"), ("images/descriptors.json", FILE, b"[]")]);
        let (manifest, config) = unpack(bytes.as_slice(), &into).unwrap();
        assert_eq!((manifest.id.as_str(), config.rootfs()), ("one", Path::new("/root")));
        assert_eq!(std::fs::read(into.join("core-1.img")).unwrap(), b"abc");
        let again = unpack(bytes.as_slice(), &into).unwrap_err().to_string();
        assert!(again.contains("make the directory"), "{again}");
        assert_eq!(std::fs::read(into.join("core-1.img")).unwrap(), b"abc", "what was there is still there");
    }

    #[test]
    fn pre_dumps_come_out_below() {
        let place = Place::new();
        let into = place.0.join("images");
        let names = ["a.img", "parent/a.img", "parent/parent/parent/a.img"];
        let images = names.map(|name| json!({ "name": name, "size": name.len() }));
        let entries = names.map(|name| (format!("images/{name}"), FILE, name.as_bytes()));
        let entries: Vec<_> =
            entries.iter().map(|(path, kind, data)| (path.as_str(), *kind, *data)).collect();
        unpack(with(&json!(images), &entries).as_slice(), &into).unwrap();
        for name in names {
            assert_eq!(std::fs::read_to_string(into.join(name)).unwrap(), name);
        }
        // One that ends early leaves none of them.
        let into = place.0.join("half");
        unpack(with(&json!(images), &entries[..2]).as_slice(), &into).unwrap_err();
        assert_eq!(place.names(), ["images"]);
        let manifest = super::super::write::images(&place.0.join("images")).unwrap();
        let written: Vec<_> = manifest.iter().map(|image| (image.name.as_str(), image.size)).collect();
        assert_eq!(written, names.map(|name| (name, name.len() as u64)));
        // One that is not there any more is missed.
        std::os::unix::fs::symlink("gone", place.0.join("images/parent/parent/parent/parent")).unwrap();
        let error = super::super::write::images(&place.0.join("images")).unwrap_err().to_string();
        assert!(error.contains("leads to no directory"), "{error}");
        std::fs::remove_file(place.0.join("images/parent/parent/parent/parent")).unwrap();
        // One that is its own parent has no end.
        std::os::unix::fs::symlink(".", place.0.join("images/parent/parent/parent/parent")).unwrap();
        let error = super::super::write::images(&place.0.join("images")).unwrap_err().to_string();
        assert!(error.contains("more than 20 pre-dumps"), "{error}");
    }

    #[test]
    fn what_leads_elsewhere_or_is_no_image_is_refused() {
        let one = |name: &str| json!([{ "name": name, "size": 1 }]);
        let image = &("images/a.img", FILE, &b"x"[..]);
        let mut cases = vec![
            (with(&one("a.img"), &[("images/a.img", EntryType::Symlink, b"")]), "in the place of"),
            (with(&one("a.img"), &[("images/a.img", EntryType::Link, b"")]), "in the place of"),
            (with(&one("a.img"), &[("images/a.img", EntryType::Fifo, b"")]), "in the place of"),
            (with(&one("a.img"), &[("images/a.img", EntryType::Char, b"")]), "in the place of"),
            (
                with(&one("a.img"), &[("images/a.img", EntryType::GNULongName, b"x"), *image]),
                "in the place of",
            ),
            (with(&one("a.img"), &[("images/a.img", EntryType::XHeader, b"x"), *image]), "in the place of"),
            (with(&one("a.img"), &[("/images/a.img", FILE, b"x")]), "in the place of"),
            (with(&one("a.img"), &[("images/../a.img", FILE, b"x")]), "in the place of"),
            (with(&one("a.img"), &[("images/b.img", FILE, b"x")]), "in the place of"),
            (with(&one("a.img"), &[("images/a.img", FILE, b"xy")]), "has 2 bytes, and 1 belong to it"),
            (with(&one("a.img"), &[]), "ends before images/a.img"),
            (with(&json!([]), &[*image]), "more files than"),
            (
                with(
                    &json!([{ "name": "a.img", "size": 1 }, { "name": "a.img", "size": 1 }]),
                    &[*image, *image],
                ),
                "write",
            ),
            (archive(&[]), "ends before"),
            (archive(&[("other", FILE, b"{}")]), "in the place of"),
            (archive(&[(MANIFEST, FILE, b"{")]), MANIFEST),
            (archive(&[(MANIFEST, FILE, b"{\"version\":1}")]), MANIFEST),
        ];
        for name in ["../a.img", "/a.img", ".a.img", "a/b.img", "a", "dump.log", "\u{e4}.img", ".img"] {
            cases.push((with(&one(name), &[]), "no image of criu's"));
        }
        let (deep, hidden) = (format!("{}a.img", PARENT.repeat(21)), "parent/descriptors.json");
        for name in [deep.as_str(), hidden, "parent/../a.img", "parent/", "parent//a.img", "x/parent/a.img"] {
            cases.push((with(&one(name), &[]), "no image of criu's"));
        }
        let mut other = manifest(&json!([]));
        other["version"] = json!(2);
        cases.push((archive(&[(MANIFEST, FILE, other.to_string().as_bytes())]), "has version 2"));
        for (number, (bytes, told)) in cases.iter().enumerate() {
            let place = Place::new();
            let error = unpack(bytes.as_slice(), &place.0.join("images")).unwrap_err().to_string();
            assert!(error.contains(told), "case {number}: {error}");
            assert_eq!(place.names(), [""; 0], "case {number}");
        }
    }

    #[test]
    fn a_document_without_end_is_refused() {
        let place = Place::new();
        let long = vec![b' '; LONGEST as usize + 1];
        let bytes = archive(&[(MANIFEST, FILE, &long)]);
        let error = unpack(bytes.as_slice(), &place.0.join("images")).unwrap_err().to_string();
        assert!(error.contains("is longer than"), "{error}");
    }
}
