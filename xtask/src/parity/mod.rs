//! `cargo xtask parity`: the table of what corten does beside its peers, from rows that name the tests which prove them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const ROWS: &str = include_str!("rows.txt");
const PAGE: &str = "docs/parity.md";

/// How `cargo xtask parity` is used.
pub const USAGE: &str = "\
usage: cargo xtask parity

parity          makes docs/parity.md, what corten does beside runc, crun and youki, from xtask/src/parity/rows.txt; a row
                must name tests that there are
";

const HEAD: &str = "\
# Parity

What corten does beside runc 1.5, crun 1.29 and youki 0.7. Each row names tests that start real containers and look; what
they need beside root is in the machine of `cargo xtask vm test`. What is said of the others is from their sources and documentation, some
of it tried: ✔ yes, ~ partly, ✘ no, ? not looked at. Their options beside corten's are in [commands.md](commands.md).

`cargo xtask parity` makes this page, and fails where a row names no test.
";

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    feature: &'a str,
    peers: [&'a str; 3],
    tests: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [feature, runc, crun, youki, tests] = fields[..] else { return None };
        let tests: Vec<&str> = tests.split(',').map(str::trim).filter(|test| !test.is_empty()).collect();
        (!tests.is_empty()).then_some(Self { feature, peers: [runc, crun, youki], tests })
    }
}

/// Makes the page.
pub fn parity() -> Result<(), String> {
    let root = root();
    let page = page(&root)?;
    let path = root.join(PAGE);
    fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(root: &Path) -> Result<String, String> {
    let programs = programs(root)?;
    let mut page = HEAD.to_owned();
    for line in ROWS.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some(group) = line.strip_prefix("## ") {
            write!(page, "\n## {group}\n\n| | corten | runc | crun | youki |\n|---|---|---|---|---|\n")
                .map_err(text)?;
            continue;
        }
        let row = Row::parse(line).ok_or_else(|| format!("not a row with tests: {line}"))?;
        let tests: Result<Vec<String>, String> =
            row.tests.iter().map(|test| link(&programs, root, test)).collect();
        let peers: Result<Vec<String>, String> = row.peers.iter().map(|word| verdict(word)).collect();
        writeln!(page, "| {} | ✔ {} | {} |", row.feature, tests?.join(" "), peers?.join(" | "))
            .map_err(text)?;
    }
    Ok(page)
}

/// What is said of a peer.
fn verdict(said: &str) -> Result<String, String> {
    let (word, why) = said.split_once(' ').unwrap_or((said, ""));
    let mark = match word {
        "yes" => "✔",
        "part" => "~",
        "no" => "✘",
        "?" => "?",
        _ => return Err(format!("{said:?} is neither yes, part, no nor ?")),
    };
    Ok(if why.is_empty() { mark.to_owned() } else { format!("{mark} {why}") })
}

/// The files of each test program: its own, and those of its directory.
fn programs(root: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, String> {
    let mut programs = BTreeMap::<String, Vec<PathBuf>>::new();
    for directory in ["crates/corten/tests", "crates/cli/tests"].map(|name| root.join(name)) {
        for path in list(&directory)? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let files = below(path)?;
            programs.entry(name).or_default().extend(files);
        }
    }
    Ok(programs)
}

/// The file, or all that are in the directory and those below it.
fn below(path: PathBuf) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path]);
    }
    let files: Result<Vec<_>, _> = list(&path)?.into_iter().map(below).collect();
    Ok(files?.concat())
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// A link to the file that has the case `PROGRAM::CASE`.
fn link(programs: &BTreeMap<String, Vec<PathBuf>>, root: &Path, test: &str) -> Result<String, String> {
    let no_test = || format!("there is no test {test}");
    let (program, case) = test.split_once("::").ok_or_else(no_test)?;
    let has = |path: &&PathBuf| {
        fs::read_to_string(path)
            .is_ok_and(|text| text.contains(&format!("fn {case}(")) || text.contains(&format!("\"{case}\"")))
    };
    let file = programs.get(program).and_then(|files| files.iter().find(has)).ok_or_else(no_test)?;
    let file = file.strip_prefix(root).unwrap_or(file).display();
    Ok(format!("[{}](../{file})", case.replace("::", " ").replace('_', " ")))
}

fn text(error: std::fmt::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_page_is_that_of_the_rows() {
        let root = root();
        let there = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
        assert!(page(&root).unwrap() == there, "make it anew: cargo xtask parity");
    }

    #[test]
    fn a_row_without_a_test_that_is_there_is_refused() {
        assert_eq!(Row::parse("a | yes | no | part | "), None);
        assert_eq!(Row::parse("a | yes | no | x::y"), None);
        let root = root();
        let programs = programs(&root).unwrap();
        assert!(link(&programs, &root, "commands::no_such_case").is_err());
        assert!(link(&programs, &root, "nothing::at_all").is_err());
        assert!(verdict("perhaps").is_err());
        assert_eq!(verdict("part (half)").unwrap(), "~ (half)");
    }
}
