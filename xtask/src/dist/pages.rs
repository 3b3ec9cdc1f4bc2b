//! Manual pages and completions, made from the description of the command line itself.

use std::path::Path;

use clap::Command;
use clap_complete::Shell;

use super::write;

/// The section of the manual: programs that are for who administers a machine.
const SECTION: &str = "8";

/// Writes `corten.8` and a page for each command.
pub fn manual(directory: &Path) -> Result<(), String> {
    let mut top = corten_cli::command();
    top.build();
    page(&top, "corten", directory)?;
    for command in commands(&top) {
        page(command, &format!("corten-{}", command.get_name()), directory)?;
    }
    Ok(())
}

/// The commands that a person can give; `help` explains itself.
fn commands(top: &Command) -> impl Iterator<Item = &Command> {
    top.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set())
}

fn page(command: &Command, name: &str, directory: &Path) -> Result<(), String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().display_name(name))
        .title(name)
        .section(SECTION)
        .source(concat!("corten ", env!("CARGO_PKG_VERSION")))
        .manual("Corten")
        .render(&mut page)
        .map_err(|error| format!("{name}.{SECTION}: {error}"))?;
    write(&directory.join(format!("{name}.{SECTION}")), &page)
}

/// Writes the completions of each shell, under the name that the shell looks for.
pub fn completions(directory: &Path) -> Result<(), String> {
    for (shell, name) in [(Shell::Bash, "corten"), (Shell::Zsh, "_corten"), (Shell::Fish, "corten.fish")] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut corten_cli::command(), "corten", &mut text);
        write(&directory.join(name), &text)?;
    }
    Ok(())
}

#[cfg(test)]
mod unit {
    use std::fs;
    use std::process::Command as Program;

    use super::*;

    #[test]
    fn each_command_has_a_page_with_each_of_its_options() {
        let scratch = corten_testkit::Scratch::new().unwrap();
        manual(scratch.path()).unwrap();
        let mut top = corten_cli::command();
        top.build();
        let mut pages = 0;
        for command in commands(&top) {
            let path = scratch.path().join(format!("corten-{}.8", command.get_name()));
            // Hyphens and apostrophes are escaped in a page.
            let text = fs::read_to_string(&path).unwrap().replace("\\-", "-").replace("\\*(Aq", "'");
            assert!(text.contains(&command.get_about().unwrap().to_string()), "{}", path.display());
            for option in command.get_arguments().filter(|option| !option.is_hide_set()) {
                let Some(long) = option.get_long() else { continue };
                assert!(text.contains(&format!("--{long}")), "{}: --{long}", path.display());
                assert!(option.get_help().is_some(), "{}: --{long} has no help", path.display());
            }
            pages += 1;
        }
        assert!(pages >= 17, "{pages}");
        assert!(fs::read_to_string(scratch.path().join("corten.8")).unwrap().contains("corten\\-create(8)"));
    }

    #[test]
    fn completions_know_the_commands() {
        let scratch = corten_testkit::Scratch::new().unwrap();
        completions(scratch.path()).unwrap();
        for name in ["corten", "_corten", "corten.fish"] {
            let text = fs::read_to_string(scratch.path().join(name)).unwrap();
            assert!(text.contains("preserve-fds") && text.contains("update"), "{name}");
        }
        let script = "set -e; . \"$0\"; COMP_WORDS=(corten cr); COMP_CWORD=1; _corten corten cr corten; echo ${COMPREPLY[@]}";
        let bash =
            Program::new("bash").args(["-c", script]).arg(scratch.path().join("corten")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "create", "{bash:?}");
    }
}
