//! The rules, each a function from what it judges to what is wrong with it.

use proc_macro2::{Delimiter, TokenTree};
use serde_json::Value;

use super::source::{Source, is_ident, is_punct};

/// What each crate may depend on of the others.
const ARROWS: [(&str, &[&str]); 14] = [
    ("corten-oci", &[]),
    ("corten-sys", &[]),
    ("corten-seccomp", &["corten-oci"]),
    ("corten-cgroups", &["corten-oci", "corten-sys"]),
    ("corten-init", &["corten-oci", "corten-sys"]),
    ("corten-criu", &["corten-sys"]),
    (
        "corten",
        &["corten-cgroups", "corten-criu", "corten-init", "corten-oci", "corten-seccomp", "corten-sys"],
    ),
    ("corten-cli", &["corten", "corten-sys"]),
    ("corten-shim", &["corten"]),
    ("containerd-shim-corten-v2", &["corten"]),
    // These are of tests only: nothing that is delivered may depend on them.
    ("corten-testkit", &["corten-oci", "corten-sys"]),
    ("corten-oracle", &["corten-oci", "corten-seccomp", "corten-testkit"]),
    ("corten-fuzz-targets", &["corten", "corten-cgroups", "corten-init", "corten-oci", "corten-seccomp"]),
    ("xtask", &["corten", "corten-cli", "corten-sys", "corten-testkit"]),
];

/// Where `unsafe` may stand.
const UNSAFE: [&str; 5] = [
    "crates/sys/src/",
    "oracle/src/child.rs",
    "oracle/src/ffi.rs",
    "testkit/src/bin/corten-probe/",
    "xtask/src/kernel.rs",
];

/// The crates that cannot forbid it therefore.
const MAY_BE_UNSAFE: [&str; 4] = ["corten_sys", "corten_oracle", "corten-probe", "xtask"];

const LINES: usize = 500;

/// Dependencies of a package (of `cargo metadata`) that point upward, those of its tests left aside.
pub fn arrows(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name}: has no place among the crates (rules.rs: ARROWS)")];
    };
    let ours = |dependency: &&str| ARROWS.iter().any(|(known, _)| known == dependency);
    package["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|dependency| dependency["kind"] != "dev")
        .filter_map(|dependency| dependency["name"].as_str())
        .filter(|dependency| ours(dependency) && !allowed.contains(dependency))
        .map(|dependency| format!("{name} -> {dependency}: points upward"))
        .collect()
}

pub fn size(name: &str, source: &Source) -> Option<String> {
    (source.lines > LINES).then(|| format!("{name}: {} lines without tests, more than {LINES}", source.lines))
}

pub fn unsafety(name: &str, source: &Source) -> Option<String> {
    let found = source.any(&|tokens| is_ident(&tokens[0], "unsafe"));
    let allowed = UNSAFE.iter().any(|place| name.starts_with(place));
    (found && !allowed).then(|| format!("{name}: unsafe code belongs in crates/sys"))
}

/// Whether the root file of a crate forbids unsafe code.
pub fn forbids(name: &str, root: &Source) -> Option<String> {
    let needed = !MAY_BE_UNSAFE.contains(&name);
    (needed && !root.has_attribute("forbid(unsafe_code)"))
        .then(|| format!("{name}: lacks #![forbid(unsafe_code)]"))
}

/// Whether a rule is broken by what starts here.
type Rule<'a> = &'a dyn Fn(&[TokenTree]) -> bool;

pub fn calls(name: &str, source: &Source) -> Vec<String> {
    let rules: [(&str, Rule<'_>); 3] = [
        ("unwrap()", &|tokens| method(tokens, "unwrap")),
        ("expect()", &|tokens| method(tokens, "expect")),
        ("sleep", &sleep),
    ];
    let broken = rules.iter().filter(|(_, rule)| source.any(rule));
    broken.map(|(what, _)| format!("{name}: {what} outside tests")).collect()
}

fn method(tokens: &[TokenTree], name: &str) -> bool {
    matches!(tokens, [dot, method, TokenTree::Group(arguments), ..]
        if is_punct(dot, '.') && is_ident(method, name) && arguments.delimiter() == Delimiter::Parenthesis)
}

/// `thread::sleep` called or imported, and the calls below it.
fn sleep(tokens: &[TokenTree]) -> bool {
    let named = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.stream().into_iter().any(|token| is_ident(&token, "sleep")),
        token => is_ident(token, "sleep"),
    };
    let raw = ["nanosleep", "clock_nanosleep", "usleep"].iter().any(|name| is_ident(&tokens[0], name));
    raw || matches!(tokens, [thread, first, second, what, ..]
        if is_ident(thread, "thread") && is_punct(first, ':') && is_punct(second, ':') && named(what))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(text: &str) -> Source {
        Source::parse(text).unwrap()
    }

    #[test]
    fn an_arrow_upward_is_found_and_one_of_tests_is_not() {
        let package = |name: &str, kind: Value| {
            json!({ "name": "corten-oci", "dependencies": [
                { "name": "serde", "kind": null }, { "name": name, "kind": kind },
            ]})
        };
        assert_eq!(arrows(&package("corten-sys", Value::Null)).len(), 1);
        assert_eq!(arrows(&package("corten-testkit", Value::Null)).len(), 1);
        assert_eq!(arrows(&package("corten-testkit", json!("build"))).len(), 1);
        assert_eq!(arrows(&package("corten-testkit", json!("dev"))), [""; 0]);
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert_eq!(arrows(&json!({ "name": "corten-new", "dependencies": [] })).len(), 1);
    }

    #[test]
    fn a_large_file_is_found() {
        assert!(size("a", &source(&"fn a() {}\n".repeat(501))).is_some());
        assert!(size("a", &source(&"fn a() {}\n".repeat(500))).is_none());
        let tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "fn a() {}\n".repeat(600));
        assert!(size("a", &source(&tests)).is_none());
    }

    #[test]
    fn unsafe_code_in_a_wrong_place_is_found() {
        let text = "fn a() { if true { unsafe { b() } } }";
        assert!(unsafety("crates/init/src/lib.rs", &source(text)).is_some());
        assert!(unsafety("crates/sys/src/lib.rs", &source(text)).is_none());
        assert!(
            unsafety("crates/init/src/lib.rs", &source("#![forbid(unsafe_code)] // unsafe {}")).is_none()
        );
    }

    #[test]
    fn a_crate_that_does_not_forbid_is_found() {
        assert!(forbids("corten", &source("//! x\nfn a() {}")).is_some());
        assert!(forbids("corten", &source("//! x\n#![forbid(unsafe_code)]")).is_none());
        assert!(forbids("corten_sys", &source("")).is_none());
    }

    #[test]
    fn forbidden_calls_are_found() {
        let found = |text: &str| calls("a", &source(text)).len();
        assert_eq!(found("fn a() { b().unwrap() }"), 1);
        assert_eq!(found("fn a() { println!(\"{}\", b.expect(\"c\")) }"), 1);
        assert_eq!(found("fn a() { std::thread::sleep(d) }"), 1);
        assert_eq!(found("use std::thread::{self, sleep};"), 1);
        assert_eq!(found("fn a() { b.unwrap_or(1); c.expect_err; sleep }"), 0);
        assert_eq!(found("#[cfg(test)] mod tests { fn a() { b().unwrap() } }"), 0);
    }
}
