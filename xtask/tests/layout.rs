//! The house rules that a compiler does not know: arrows between crates and modules, sizes of files, where `unsafe`
//! may stand, and what code outside tests may not do.
#![allow(clippy::unwrap_used)] // Clippy knows the functions that are tests, not the files.

mod layout {
    pub mod modules;
    pub mod rules;
    pub mod source;
}
use layout::{modules, rules, source};

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use modules::Modules;
use source::Source;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The packages of the workspace, as cargo describes them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn directory(package: &Value) -> PathBuf {
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// The source files below a directory that are not tests, with their text.
fn sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name == "tests" || name == "tests.rs") {
                continue;
            }
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// All source files of programs, libraries and examples, by their path from the root.
fn all_sources() -> Vec<(String, Source)> {
    let root = root();
    let mut directories: Vec<PathBuf> =
        packages().iter().map(|package| directory(package).join("src")).collect();
    directories.push(root.join("examples"));
    let read = |(path, text): (PathBuf, String)| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let source = Source::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, source)
    };
    directories.iter().flat_map(|directory| sources(directory)).map(read).collect()
}

fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn arrows_between_crates_point_downward() {
    let broken: Vec<String> = packages().iter().flat_map(rules::arrows).collect();
    assert_none(&broken);
}

#[test]
fn no_two_modules_import_each_other() {
    let mut broken = Vec::new();
    for package in packages() {
        for target in package["targets"].as_array().unwrap() {
            let kind = target["kind"][0].as_str().unwrap();
            let file = Path::new(target["src_path"].as_str().unwrap());
            if ["lib", "bin"].contains(&kind) {
                let modules = modules_of(file);
                broken.extend(
                    modules::circles(&modules).into_iter().map(|way| format!("{}: {way}", target["name"])),
                );
            }
        }
    }
    assert_none(&broken);
}

/// The modules of the crate whose root is this file; a program beside a library has a directory of its own.
fn modules_of(root: &Path) -> Modules {
    let directory = root.parent().unwrap();
    let mut modules = Modules::new();
    for (path, text) in sources(directory) {
        let inside = path.strip_prefix(directory).unwrap().with_extension("");
        let mut module: Vec<String> = inside.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        if module[0] == "bin"
            || (module.len() == 1 && path != root && ["lib", "main"].contains(&module[0].as_str()))
        {
            continue;
        }
        if path == root {
            module.clear();
        } else if module.last().is_some_and(|name| name == "mod") {
            module.pop();
        }
        modules.insert(module, Source::parse(&text).unwrap());
    }
    modules
}

#[test]
fn files_are_small() {
    let broken: Vec<String> =
        all_sources().iter().filter_map(|(name, source)| rules::size(name, source)).collect();
    assert_none(&broken);
}

#[test]
fn unsafe_code_stands_where_it_may() {
    let broken: Vec<String> =
        all_sources().iter().filter_map(|(name, source)| rules::unsafety(name, source)).collect();
    assert_none(&broken);
}

#[test]
fn every_crate_forbids_unsafe_code() {
    let mut broken = Vec::new();
    for package in packages() {
        for target in package["targets"].as_array().unwrap() {
            let kind = target["kind"][0].as_str().unwrap();
            if ["lib", "bin", "example"].contains(&kind) {
                let text = fs::read_to_string(target["src_path"].as_str().unwrap()).unwrap();
                let source = Source::parse(&text).unwrap();
                broken.extend(rules::forbids(target["name"].as_str().unwrap(), &source));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn nothing_outside_tests_panics_by_unwrap_or_waits_by_sleeping() {
    let broken: Vec<String> =
        all_sources().iter().flat_map(|(name, source)| rules::calls(name, source)).collect();
    assert_none(&broken);
}
