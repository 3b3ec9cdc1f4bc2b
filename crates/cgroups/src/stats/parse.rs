//! The forms that the kernel writes numbers in.

use std::collections::BTreeMap;

use super::{BlkioEntry, RdmaEntry, RdmaStats};
use crate::dir::Dir;
use crate::error::{Error, Result};

/// A file of one number, where `max` is the largest; `None` where there is no such file.
pub(super) fn number(dir: &Dir, file: &str) -> Result<Option<u64>> {
    let Some(content) = dir.read_if_there(file)? else { return Ok(None) };
    value(content.trim_end()).map(Some).ok_or_else(|| unexpected(dir, file, &content))
}

/// A number, or `max`.
pub(super) fn value(text: &str) -> Option<u64> {
    if text == "max" { Some(u64::MAX) } else { text.parse().ok() }
}

/// A file of lines with a name and a number; empty where there is no such file.
pub(super) fn table(dir: &Dir, file: &str) -> Result<BTreeMap<String, u64>> {
    let content = dir.read_if_there(file)?.unwrap_or_default();
    content.lines().map(|line| table_line(line).ok_or_else(|| unexpected(dir, file, line))).collect()
}

pub(super) fn table_line(line: &str) -> Option<(String, u64)> {
    let (name, number) = line.split_once(' ')?;
    Some((name.to_owned(), number.parse().ok()?))
}

/// `memory.numa_stat`, in bytes: lines like `anon N0=4096 N1=0` (v2), or `anon=1 N0=1 N1=0` in pages of `unit` bytes (v1).
pub(super) fn numa(dir: &Dir, unit: u64) -> Result<BTreeMap<String, BTreeMap<u32, u64>>> {
    let content = dir.read_if_there("memory.numa_stat")?.unwrap_or_default();
    let line = |line: &str| numa_line(line, unit).ok_or_else(|| unexpected(dir, "memory.numa_stat", line));
    content.lines().map(line).collect()
}

pub(super) fn numa_line(line: &str, unit: u64) -> Option<(String, BTreeMap<u32, u64>)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.split('=').next()?.to_owned();
    let node = |word: &str| {
        let (node, value) = word.strip_prefix('N')?.split_once('=')?;
        Some((node.parse().ok()?, value.parse::<u64>().ok()?.saturating_mul(unit)))
    };
    Some((name, words.map(node).collect::<Option<_>>()?))
}

/// `rdma.current` or `rdma.max`: lines like `mlx4_0 hca_handle=2 hca_object=max`.
pub(super) fn rdma(dir: &Dir, file: &str) -> Result<BTreeMap<String, RdmaEntry>> {
    let content = dir.read_if_there(file)?.unwrap_or_default();
    content.lines().map(|line| rdma_line(line).ok_or_else(|| unexpected(dir, file, line))).collect()
}

pub(super) fn rdma_line(line: &str) -> Option<(String, RdmaEntry)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let mut entry = RdmaEntry::default();
    for word in words {
        let (key, value) = word.split_once('=')?;
        let value = self::value(value)?;
        match key {
            "hca_handle" => entry.hca_handles = value,
            "hca_object" => entry.hca_objects = value,
            _ => {}
        }
    }
    Some((name, entry))
}

/// RDMA devices, in use and limits; the same in v1 and v2.
pub(super) fn rdma_devices(dir: &Dir) -> Result<BTreeMap<String, RdmaStats>> {
    let limits = rdma(dir, "rdma.max")?;
    let current = rdma(dir, "rdma.current")?;
    let entry = |(name, limit): (String, RdmaEntry)| {
        let current = current.get(&name).copied().unwrap_or_default();
        (name, RdmaStats { current, limit })
    };
    Ok(limits.into_iter().map(entry).collect())
}

/// A name of such a table; 0 where it is missing.
pub(super) fn entry(table: &BTreeMap<String, u64>, name: &str) -> u64 {
    table.get(name).copied().unwrap_or(0)
}

/// A file of lines like `8:0 Read 4096` or `8:0 4096`; the sum at its end is left out.
pub(super) fn devices(dir: &Dir, file: &str) -> Result<Vec<BlkioEntry>> {
    let content = dir.read_if_there(file)?.unwrap_or_default();
    content
        .lines()
        .filter(|line| !line.starts_with("Total"))
        .map(|line| device(line).ok_or_else(|| unexpected(dir, file, line)))
        .collect()
}

pub(super) fn device(line: &str) -> Option<BlkioEntry> {
    let (major, minor, rest) = device_number(line)?;
    let (op, value) = rest.rsplit_once(' ').unwrap_or(("", rest));
    Some(BlkioEntry { major, minor, op: op.to_owned(), value: value.parse().ok()? })
}

/// The device at the start of a line, and the rest of it.
pub(super) fn device_number(line: &str) -> Option<(u64, u64, &str)> {
    let (numbers, rest) = line.split_once(' ')?;
    let (major, minor) = numbers.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?, rest))
}

pub(super) fn unexpected(dir: &Dir, file: &str, content: &str) -> Error {
    Error::Content { path: dir.path().join(file), content: content.to_owned() }
}

/// The huge page sizes of this machine as file names have them: `2MB`.
pub(super) fn page_sizes() -> Vec<String> {
    let names = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let size = |name: std::ffi::OsString| {
        let kilobytes: u64 = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        Some(match kilobytes {
            _ if kilobytes.is_multiple_of(1 << 20) => format!("{}GB", kilobytes >> 20),
            _ if kilobytes.is_multiple_of(1 << 10) => format!("{}MB", kilobytes >> 10),
            _ => format!("{kilobytes}KB"),
        })
    };
    names.filter_map(|entry| size(entry.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_memory_nodes() {
        let nodes = |a, b| BTreeMap::from([(0, a), (1, b)]);
        assert_eq!(numa_line("anon N0=4096 N1=7", 1), Some(("anon".to_owned(), nodes(4096, 7))));
        assert_eq!(numa_line("total=3 N0=1 N1=2", 4096), Some(("total".to_owned(), nodes(4096, 8192))));
        assert_eq!(numa_line("anon x", 1), None);
    }

    #[test]
    fn lines_of_rdma() {
        let entry = RdmaEntry { hca_handles: 2, hca_objects: u64::MAX };
        assert_eq!(rdma_line("mlx4_0 hca_handle=2 hca_object=max"), Some(("mlx4_0".to_owned(), entry)));
        assert_eq!(rdma_line("mlx4_0 hca_handle"), None);
    }

    #[test]
    fn lines_of_devices() {
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 16, op: op.to_owned(), value };
        assert_eq!(device("8:16 Read 4096"), Some(entry("Read", 4096)));
        assert_eq!(device("8:16 7"), Some(entry("", 7)));
        assert_eq!(device("8:16"), None);
        assert_eq!(device("8 Read 1"), None);
    }
}
