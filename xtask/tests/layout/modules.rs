//! Which modules of a crate import which.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// The modules of a crate by path; the root is the empty one.
pub type Modules = BTreeMap<Vec<String>, Source>;

/// The circles among the modules of a crate, as `a -> b -> a`. Modules are compared with their sisters: that a parent
/// uses its children and they what it defines is what nesting is for.
pub fn circles(modules: &Modules) -> Vec<String> {
    let mut levels: BTreeMap<Vec<String>, Edges> = BTreeMap::new();
    for (module, source) in modules {
        for path in source.paths() {
            let target = resolve(modules, module, &path);
            let common = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if common < module.len() && common < target.len() {
                let edges = levels.entry(module[..common].to_vec()).or_default();
                edges.entry(module[common].clone()).or_default().insert(target[common].clone());
            }
        }
    }
    levels
        .into_iter()
        .filter_map(|(level, edges)| circle(&edges).map(|names| describe(&level, &names)))
        .collect()
}

fn describe(level: &[String], names: &[String]) -> String {
    let names: Vec<String> =
        names.iter().map(|name| [level, std::slice::from_ref(name)].concat().join("::")).collect();
    names.join(" -> ")
}

/// The module that a path leads to: through names that a module imports from elsewhere too.
fn resolve(modules: &Modules, from: &[String], path: &[String]) -> Vec<String> {
    let mut at = from.to_vec();
    for (index, segment) in path.iter().enumerate() {
        match segment.as_str() {
            "crate" if index == 0 => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            name => {
                let next = step(modules, &at, name);
                let inside = next != at;
                at = next;
                if !inside {
                    break;
                }
            }
        }
    }
    at
}

fn step(modules: &Modules, at: &[String], name: &str) -> Vec<String> {
    let child = [at, &[name.to_owned()]].concat();
    if modules.contains_key(&child) {
        return child;
    }
    let Some(source) = modules.get(at) else { return at.to_vec() };
    if source.items().contains(name) {
        return at.to_vec();
    }
    for (path, known) in source.imports() {
        let module = import(modules, at, &path[..path.len() - usize::from(known != "*")]);
        let defines =
            |module: &Vec<String>| modules.get(module).is_some_and(|source| source.items().contains(name));
        match module {
            Some(module) if known == name => return module,
            Some(module) if known == "*" && defines(&module) => return module,
            _ => {}
        }
    }
    at.to_vec()
}

/// The module that an import reads from, if it is one of this crate.
fn import(modules: &Modules, at: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut module = at.to_vec();
    for (index, segment) in path.iter().enumerate() {
        match segment.as_str() {
            "crate" if index == 0 => module.clear(),
            "self" => {}
            "super" => drop(module.pop()),
            name => module.push(name.to_owned()),
        }
    }
    modules.contains_key(&module).then_some(module)
}

/// Names and the names that they point to.
pub type Edges = BTreeMap<String, BTreeSet<String>>;

/// A circle, its first name repeated at its end.
pub fn circle(edges: &Edges) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    edges.keys().find_map(|start| visit(edges, start, &mut Vec::new(), &mut done))
}

fn visit(
    edges: &Edges,
    at: &String,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(start) = path.iter().position(|name| name == at) {
        return Some([&path[start..], std::slice::from_ref(at)].concat());
    }
    if !done.insert(at.clone()) {
        return None;
    }
    path.push(at.clone());
    let found = edges.get(at).into_iter().flatten().find_map(|next| visit(edges, next, path, done));
    path.pop();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> Vec<String> {
        let module =
            |path: &str| path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        circles(&files.iter().map(|(path, text)| (module(path), Source::parse(text).unwrap())).collect())
    }

    #[test]
    fn two_modules_that_import_each_other_are_found() {
        let circles =
            crate_of(&[("", "mod a; mod b;"), ("a", "use crate::b::B;"), ("b", "fn f() { super::a::g() }")]);
        assert_eq!(circles, ["a -> b -> a"]);
    }

    #[test]
    fn a_longer_way_round_is_found() {
        let circles = crate_of(&[
            ("", ""),
            ("a", "use crate::b::c::X;"),
            ("b", ""),
            ("b::c", "use crate::d;"),
            ("d", "use crate::a::Y;"),
        ]);
        assert_eq!(circles, ["a -> b -> d -> a"]);
    }

    #[test]
    fn names_that_the_root_passes_on_count_as_their_module() {
        let files = [
            ("", "mod a; mod b; pub use a::*; pub use b::{B, C as D};"),
            ("a", "use crate::D; pub struct A;"),
            ("b", "use crate::A; pub struct B; pub struct C;"),
        ];
        assert_eq!(crate_of(&files), ["a -> b -> a"]);
    }

    #[test]
    fn sisters_deeper_down_are_compared_too() {
        let files = [("", ""), ("a", ""), ("a::b", "use super::c::C;"), ("a::c", "use crate::a::b::B;")];
        assert_eq!(crate_of(&files), ["a::b -> a::c -> a::b"]);
    }

    #[test]
    fn parents_and_children_and_one_way_streets_are_fine() {
        let files = [
            ("", "mod a; mod b; struct Root;"),
            ("a", "mod c; use crate::b::B; pub struct A; use c::C;"),
            ("a::c", "use super::A; use crate::Root; pub struct C;"),
            ("b", "use crate::Root; pub struct B; fn a() { a::nothing() }"),
        ];
        assert_eq!(crate_of(&files), [""; 0]);
    }
}
