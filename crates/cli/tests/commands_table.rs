//! The table of options in `docs/commands.md` is that of the program.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

const TABLE: &str = include_str!("../../../docs/commands.md");

/// What each command has in the table, both columns together.
fn documented() -> BTreeMap<&'static str, BTreeSet<String>> {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| "));
    let row = |row: &'static str| {
        let (command, options) = row.split_once(" |")?;
        let command = command.trim_matches('`');
        let options = options.split('`').filter(|option| option.starts_with('-'));
        (command != "command").then(|| (command, options.map(str::to_owned).collect()))
    };
    rows.filter_map(row).collect()
}

/// What a command takes, but for its help.
fn options(command: &clap::Command) -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
        options.extend(argument.get_long().map(|long| format!("--{long}")));
        options.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    options
}

#[test]
fn the_table_has_every_command_and_option() {
    let program = corten_cli::command();
    let commands = program.get_subcommands().filter(|command| command.get_name() != "help");
    let mut has: BTreeMap<_, _> = commands.map(|command| (command.get_name(), options(command))).collect();
    has.insert("(all)", options(&program));
    let documented = documented();
    for (command, options) in &has {
        assert_eq!(documented.get(command), Some(options), "{command}");
    }
    assert_eq!(documented.len(), has.len());
}
