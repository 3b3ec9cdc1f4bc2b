//! Turns the tables of system calls, text for people to read and compare, into arrays that need no reading at run time.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/tables");
    let mut tables = BTreeMap::new();
    for entry in fs::read_dir("src/tables")? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a table's name is not UTF-8")?;
        tables.insert(name.to_uppercase(), table(&fs::read_to_string(&path)?)?);
    }
    let names: BTreeSet<&String> = tables.values().flat_map(BTreeMap::keys).collect();
    let names: Vec<&String> = names.into_iter().collect();
    let mut text = String::new();
    writeln!(text, "/// All names, sorted.\npub(crate) static NAMES: [&str; {0}] = {names:?};", names.len())?;
    for (table, numbers) in &tables {
        let row: Vec<u32> = names.iter().map(|name| *numbers.get(*name).unwrap_or(&u32::MAX)).collect();
        writeln!(text, "/// Numbers by name.\npub(crate) static {table}: [u32; {}] = {row:?};", names.len())?;
    }
    fs::write(Path::new(&std::env::var("OUT_DIR")?).join("tables.rs"), text)?;
    Ok(())
}

/// Lines of a name and a number; `#` starts a comment.
fn table(text: &str) -> Result<BTreeMap<String, u32>, Box<dyn Error>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, number) =
                line.split_once(' ').ok_or_else(|| format!("not a line of a table: {line}"))?;
            Ok((name.to_owned(), number.parse()?))
        })
        .collect()
}
