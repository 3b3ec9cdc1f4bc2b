//! Where packages come from: the mirror that the machine uses itself, by an apt root of our own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An apt root that knows one release of Debian. Nothing is installed: packages are fetched and unpacked.
pub struct Apt {
    directory: PathBuf,
}

impl Apt {
    /// An empty one in place of what is in this directory.
    pub fn new(directory: &Path, suite: &str) -> Result<Apt, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
        if directory.exists() {
            fs::remove_dir_all(directory).map_err(failed)?;
        }
        for below in ["apt/lists/partial", "apt/archives/partial", "root"] {
            fs::create_dir_all(directory.join(below)).map_err(failed)?;
        }
        let apt = Apt { directory: fs::canonicalize(directory).map_err(failed)?.join("apt") };
        let mirror = mirror().ok_or("the machine's apt sources name no Debian mirror")?;
        let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
        for (name, text) in [
            ("sources.list", format!("deb [signed-by={key}] {mirror} {suite} main\n")),
            ("status", String::new()),
            ("apt.conf", configuration(&apt.directory)),
        ] {
            fs::write(apt.directory.join(name), text).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(apt)
    }

    /// Runs `apt-get`.
    pub fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let configuration = self.directory.join("apt.conf");
        run(Command::new("apt-get").arg("-qq").args(arguments).env("APT_CONFIG", configuration))
    }

    /// Where fetched packages are.
    pub fn archives(&self) -> PathBuf {
        self.directory.join("archives")
    }
}

fn configuration(apt: &Path) -> String {
    let apt = apt.display();
    format!(
        "Dir::State::Lists \"{apt}/lists\";\nDir::State::status \"{apt}/status\";\nDir::Cache \"{apt}\";\n\
         Dir::Cache::archives \"{apt}/archives\";\nDir::Etc::SourceList \"{apt}/sources.list\";\n\
         Dir::Etc::SourceParts \"/dev/null\";\nDir::Etc::Preferences \"/dev/null\";\n\
         Dir::Etc::PreferencesParts \"/dev/null\";\nDebug::NoLocking \"1\";\nAPT::Sandbox::User \"root\";\n\
         APT::Install-Recommends \"0\";\n"
    )
}

/// Unpacks all packages of a directory.
pub fn unpack(packages: &Path, root: &Path) -> Result<(), String> {
    for entry in fs::read_dir(packages).into_iter().flatten().flatten() {
        if entry.path().extension() == Some(OsStr::new("deb")) {
            run(Command::new("dpkg").arg("--extract").arg(entry.path()).arg(root))?;
        }
    }
    Ok(())
}

/// Runs a command; what it said if it fails.
pub fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

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
