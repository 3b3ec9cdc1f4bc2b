//! Looking at images before a restore: CRIU 4.1 waits for ever for memory that a truncated file does not have.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

/// A process (`pstree_entry`).
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Process {
    #[prost(uint32, required, tag = "1")]
    pid: u32,
}

/// The first message of a `pagemap-….img`: which `pages-….img` has the memory (`pagemap_head`).
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Head {
    #[prost(uint32, required, tag = "1")]
    pages_id: u32,
}

/// A run of pages (`pagemap_entry`).
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Run {
    #[prost(uint64, optional, tag = "2")]
    pages: Option<u64>,
    #[prost(bool, optional, tag = "3")]
    in_parent: Option<bool>,
    #[prost(uint32, optional, tag = "4")]
    flags: Option<u32>,
    /// In the place of `pages` where there are many.
    #[prost(uint64, optional, tag = "5")]
    many_pages: Option<u64>,
}

impl Run {
    const PRESENT: u32 = 4;

    /// How many of its pages are in the file; older images tell it by `in_parent` alone.
    fn present(&self) -> u64 {
        let present = match self.flags {
            Some(flags) => flags & Self::PRESENT != 0,
            None => self.in_parent != Some(true),
        };
        if present { self.many_pages.or(self.pages).unwrap_or(0) } else { 0 }
    }
}

/// A file of memory that is shorter than the other images say.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is truncated: it has {size} bytes of memory, and {needed} belong to it", file.display())]
pub struct Truncated {
    /// Its path.
    pub file: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The size that it must have at least.
    pub needed: u64,
}

/// Images have no more parents than this, unless one is its own.
const DEEPEST: usize = 1024;

/// Whether all memory that the images tell of is there, in this directory and in those of its parents. What cannot be read
/// is for CRIU to complain about.
pub fn check_memory(directory: &Path, page_size: u64) -> Result<(), Truncated> {
    let read = |name: &str| fs::read(directory.join(name)).ok();
    let pids = read("pstree.img").map(|tree| pids(&tree)).unwrap_or_default();
    let mut directory = directory.to_owned();
    for _ in 0..DEEPEST {
        for (id, pages) in needed(&directory, &pids) {
            let file = directory.join(format!("pages-{id}.img"));
            // Where a page server has the memory there is no such file.
            let Ok(size) = fs::metadata(&file).map(|file| file.len()) else { continue };
            let needed = pages.saturating_mul(page_size);
            if size < needed {
                return Err(Truncated { file, size, needed });
            }
        }
        directory.push("parent");
        if !directory.is_dir() {
            break;
        }
    }
    Ok(())
}

/// How many pages belong to the files of memory of a directory, by their number.
///
/// An engine may dump into the same directory again and again, and maps of processes that are no more stay there: only those of
/// these processes count, and of shared memory only what is not in dispute.
fn needed(directory: &Path, pids: &[u32]) -> BTreeMap<u32, u64> {
    let map = |path: PathBuf| fs::read(path).ok().and_then(|map| parse(&map));
    let path = |pid: &u32| directory.join(format!("pagemap-{pid}.img"));
    let mut needed: BTreeMap<u32, u64> = pids.iter().filter_map(|pid| map(path(pid))).collect();
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let shared = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("pagemap-shmem-"));
    let mut claims = BTreeMap::<u32, Vec<u64>>::new();
    for (id, pages) in shared.filter_map(|entry| map(entry.path())) {
        claims.entry(id).or_default().push(pages);
    }
    for (id, pages) in claims {
        if let ([pages], false) = (pages.as_slice(), needed.contains_key(&id)) {
            needed.insert(id, *pages);
        }
    }
    needed
}

/// The processes of a `pstree.img`.
fn pids(tree: &[u8]) -> Vec<u32> {
    let decode = |message: &[u8]| Process::decode(message).ok().map(|process| process.pid);
    messages(tree).filter_map(decode).collect()
}

/// The number of the file with the memory, and how many pages it must have.
fn parse(map: &[u8]) -> Option<(u32, u64)> {
    let mut messages = messages(map);
    let head = Head::decode(messages.next()?).ok()?;
    let mut pages = 0_u64;
    for message in messages {
        pages = pages.saturating_add(Run::decode(message).ok()?.present());
    }
    Some((head.pages_id, pages))
}

/// The messages of an image. They come after two magic numbers, each after its length.
pub(crate) fn messages(image: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = image.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (message, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = after;
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As CRIU 4.1 has written it: runs of 1, 5 and 2 pages that are there.
    const MAP: &[u8] = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x02\
        \x09\0\0\0\x08\x80\xa0\x80\x02\x10\x01\x20\x04\
        \x09\0\0\0\x08\x80\x80\xf8\x02\x10\x05\x20\x04\
        \x0b\0\0\0\x08\xa0\xf0\xdd\x01\x10\x02\x20\x06\x18\x00";

    #[test]
    fn the_pages_that_are_in_the_file_are_counted() {
        assert_eq!(parse(MAP), Some((2, 8)));
        assert_eq!(parse(&MAP[..20]), Some((2, 0)));
        assert_eq!(parse(b"short"), None);
        let parent = Run { pages: Some(3), in_parent: Some(true), ..Run::default() };
        assert_eq!((parent.present(), Run { in_parent: None, ..parent }.present()), (0, 3));
        let lazy = Run { pages: Some(3), flags: Some(2), ..Run::default() };
        assert_eq!(
            (lazy.present(), Run { many_pages: Some(1 << 40), flags: Some(4), ..lazy }.present()),
            (0, 1 << 40)
        );
    }

    /// The tree of a process 1 with a child 7.
    const TREE: &[u8] = b"\x19\x43\x56\x54\x16\x28\x58\x50\x0a\0\0\0\x08\x01\x10\x00\x18\x01\x20\x01\x28\x01\
        \x0a\0\0\0\x08\x07\x10\x01\x18\x01\x20\x01\x28\x07";

    fn images(name: &str) -> (PathBuf, PathBuf) {
        let top = std::env::temp_dir().join(format!("corten-criu-{name}-{}", std::process::id()));
        let parent = top.join("parent");
        fs::create_dir_all(&parent).unwrap();
        fs::write(top.join("pstree.img"), TREE).unwrap();
        (top, parent)
    }

    #[test]
    fn memory_that_is_missing_is_told_of_in_the_parents_too() {
        let (top, parent) = images("parents");
        fs::write(parent.join("pagemap-7.img"), MAP).unwrap();
        let pages = parent.join("pages-2.img");
        assert_eq!(check_memory(&top, 10), Ok(()), "no file at all");
        fs::write(&pages, [0; 80]).unwrap();
        assert_eq!(check_memory(&top, 10), Ok(()));
        fs::write(&pages, [0; 79]).unwrap();
        assert_eq!(check_memory(&top, 10), Err(Truncated { file: pages, size: 79, needed: 80 }));
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn what_an_earlier_dump_has_left_does_not_count() {
        let (top, _) = images("earlier");
        assert_eq!(pids(TREE), [1, 7]);
        let map = |name: &str, file: u8| {
            let mut map = MAP.to_vec();
            map[13] = file;
            fs::write(top.join(format!("pagemap-{name}.img")), map).unwrap();
        };
        // Process 1 has its memory in a larger file, a process that is no more had it in what is now 7's.
        for (name, file) in [("1", 1), ("6", 2), ("shmem-3", 1), ("shmem-4", 3), ("shmem-5", 3)] {
            map(name, file);
        }
        fs::write(top.join("pagemap-7.img"), [&MAP[..16], &[]].concat()).unwrap();
        for (file, size) in [(1, 80), (2, 0), (3, 0)] {
            fs::write(top.join(format!("pages-{file}.img")), vec![0; size]).unwrap();
        }
        assert_eq!(check_memory(&top, 10), Ok(()));
        map("shmem-6", 4);
        fs::write(top.join("pages-4.img"), [0; 79]).unwrap();
        assert!(check_memory(&top, 10).is_err(), "shared memory counts where nobody else claims the file");
        fs::remove_dir_all(top).unwrap();
    }
}
