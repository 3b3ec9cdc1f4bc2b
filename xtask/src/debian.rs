//! Where packages come from: the mirror that the machine uses itself.

use std::fs;
use std::path::PathBuf;

/// The first mirror of Debian proper among the machine's sources, in either of apt's formats.
pub fn mirror() -> Option<String> {
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
    files.push("/etc/apt/sources.list".into());
    files.sort();
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts.into_iter().find_map(|text| mirror_in(&text))
}

fn mirror_in(text: &str) -> Option<String> {
    let sources = text.lines().filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"));
    let mut words = sources.flat_map(str::split_whitespace);
    words
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_read_from_both_formats() {
        let old = "# deb http://no.example/debian x main\ndeb http://a.example/debian-security x main\n\
                   deb [arch=amd64] http://b.example/debian/ x main\n";
        assert_eq!(mirror_in(old).as_deref(), Some("http://b.example/debian/"));
        let new = "Types: deb\nURIs: https://c.example/debian\nSuites: x\n";
        assert_eq!(mirror_in(new).as_deref(), Some("https://c.example/debian"));
        assert_eq!(mirror_in("deb http://d.example/ubuntu x main\n"), None);
    }
}
