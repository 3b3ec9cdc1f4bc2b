//! Reading source files as tokens: comments and strings cannot be mistaken for code, nor can code in macros be missed.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A file, its tests taken out.
pub struct Source {
    /// What it holds.
    pub tokens: Vec<TokenTree>,
    /// How many lines it has without its tests.
    pub lines: usize,
}

impl Source {
    pub fn parse(text: &str) -> Result<Source, String> {
        let stream: TokenStream = text.parse().map_err(|error| format!("not Rust: {error}"))?;
        let mut tested = 0;
        let tokens = without_tests(stream, &mut tested);
        Ok(Source { tokens, lines: text.lines().count() - tested })
    }

    /// Whether one of the tokens, at any depth, starts what `matches` looks for.
    pub fn any(&self, matches: &dyn Fn(&[TokenTree]) -> bool) -> bool {
        any(&self.tokens, matches)
    }

    /// Whether the file starts with this inner attribute, such as `forbid(unsafe_code)`.
    pub fn has_attribute(&self, attribute: &str) -> bool {
        self.tokens.windows(3).any(|tokens| {
            is_punct(&tokens[0], '#')
                && is_punct(&tokens[1], '!')
                && matches!(&tokens[2], TokenTree::Group(group) if text(group) == attribute)
        })
    }

    /// The paths that start with `crate`, `super` or `self`, use trees taken apart.
    pub fn paths(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        paths(&self.tokens, &mut found);
        found
    }

    /// The imports: path and the name they are known by; `*` for all.
    pub fn imports(&self) -> Vec<(Vec<String>, String)> {
        let mut found = Vec::new();
        let mut rest = &self.tokens[..];
        while let Some(start) = rest.iter().position(|token| is_ident(token, "use")) {
            let end = rest[start..]
                .iter()
                .position(|token| is_punct(token, ';'))
                .map_or(rest.len(), |end| start + end);
            tree(&rest[start + 1..end], &[], &mut found);
            rest = &rest[end..];
        }
        found
    }

    /// The names of the items at the top of the file.
    pub fn items(&self) -> BTreeSet<String> {
        const KINDS: [&str; 9] = ["struct", "enum", "trait", "fn", "type", "const", "static", "union", "mod"];
        let item = |tokens: &[TokenTree]| match tokens {
            [TokenTree::Ident(kind), TokenTree::Ident(name)] if KINDS.iter().any(|known| kind == known) => {
                Some(name.to_string())
            }
            _ => None,
        };
        self.tokens.windows(2).filter_map(item).collect()
    }
}

pub fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

pub fn is_ident(token: &TokenTree, wanted: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == wanted)
}

fn text(group: &Group) -> String {
    group.stream().to_string().replace(' ', "")
}

fn any(tokens: &[TokenTree], matches: &dyn Fn(&[TokenTree]) -> bool) -> bool {
    (0..tokens.len()).any(|start| {
        matches(&tokens[start..])
            || matches!(&tokens[start], TokenTree::Group(group) if any(&inner(group), matches))
    })
}

fn inner(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// Leaves out what `#[cfg(test)]` and `#[test]` stand before: up to the next block or semicolon.
fn without_tests(stream: TokenStream, tested: &mut usize) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut tokens = stream.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let test = is_punct(&token, '#')
            && matches!(tokens.peek(), Some(TokenTree::Group(group)) if ["cfg(test)", "test"].contains(&text(group).as_str()));
        if !test {
            kept.push(match token {
                TokenTree::Group(group) => {
                    let inside = without_tests(group.stream(), tested);
                    TokenTree::Group(Group::new(group.delimiter(), inside.into_iter().collect()))
                }
                other => other,
            });
            continue;
        }
        let first = token.span().start().line;
        let block = |token: &TokenTree| {
            matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
                || is_punct(token, ';')
        };
        if let Some(last) = tokens.by_ref().find(block) {
            *tested += last.span().end().line + 1 - first;
        }
    }
    kept
}

fn paths(tokens: &[TokenTree], found: &mut Vec<Vec<String>>) {
    let colon = |index: usize| tokens.get(index).is_some_and(|token| is_punct(token, ':'));
    for start in 0..tokens.len() {
        // `x::super::y` is found where it starts.
        let first = start < 2 || !colon(start - 1) || !colon(start - 2);
        match &tokens[start] {
            TokenTree::Group(group) => paths(&inner(group), found),
            TokenTree::Ident(ident)
                if first && ["crate", "super", "self"].iter().any(|root| ident == root) =>
            {
                let mut named = Vec::new();
                tree(&tokens[start..], &[], &mut named);
                found.extend(named.into_iter().map(|(path, _)| path).filter(|path| path.len() > 1));
            }
            _ => {}
        }
    }
}

/// Takes the first path or use tree apart: `a::{b, c::d as e}` is `a::b` and `a::c::d`, known as e.
fn tree(tokens: &[TokenTree], prefix: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let mut path = prefix.to_vec();
    let mut rest = tokens;
    loop {
        match rest {
            [TokenTree::Ident(segment), after @ ..] => {
                if segment != "self" || path.is_empty() {
                    path.push(segment.to_string());
                }
                rest = after;
            }
            [TokenTree::Group(group), ..] if group.delimiter() == Delimiter::Brace => {
                for branch in
                    inner(group).split(|token| is_punct(token, ',')).filter(|tokens| !tokens.is_empty())
                {
                    tree(branch, &path, found);
                }
                return;
            }
            [star, ..] if is_punct(star, '*') => {
                found.push((path, "*".to_owned()));
                return;
            }
            _ => return,
        }
        match rest {
            [first, second, after @ ..] if is_punct(first, ':') && is_punct(second, ':') => rest = after,
            [known, TokenTree::Ident(name), ..] if is_ident(known, "as") => {
                found.push((path, name.to_string()));
                return;
            }
            _ => {
                let name = path.last().cloned().unwrap_or_default();
                found.push((path, name));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths_of(text: &str) -> Vec<String> {
        Source::parse(text).unwrap().paths().into_iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn tests_are_taken_out_and_not_counted() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::x;\n\n    fn b() { c().unwrap() }\n}\nfn d() {}\n";
        let source = Source::parse(text).unwrap();
        assert_eq!(source.lines, 3);
        assert_eq!(source.items().into_iter().collect::<Vec<_>>(), ["a", "d"]);
        assert!(source.paths().is_empty());
    }

    #[test]
    fn paths_are_found_in_trees_expressions_and_macros() {
        assert_eq!(paths_of("use crate::{a::{b, c as d}, e};"), ["crate::a::b", "crate::a::c", "crate::e"]);
        assert_eq!(
            paths_of("fn f() { crate::a::b(); println!(\"{}\", super::c) }"),
            ["crate::a::b", "super::c"]
        );
        assert_eq!(paths_of("// crate::no\nfn f(&self) { \"crate::no\" } pub(crate) fn g() {}"), [""; 0]);
    }

    #[test]
    fn imports_know_their_names() {
        let source = Source::parse("pub use a::*; use b::{self, C as D};").unwrap();
        let names: Vec<_> =
            source.imports().into_iter().map(|(path, name)| format!("{} {name}", path.join("::"))).collect();
        assert_eq!(names, ["a *", "b b", "b::C D"]);
    }

    #[test]
    fn attributes_are_found() {
        let source = Source::parse("//! x\n#![forbid(unsafe_code)]\nfn a() {}").unwrap();
        assert!(source.has_attribute("forbid(unsafe_code)") && !source.has_attribute("no_main"));
    }
}
