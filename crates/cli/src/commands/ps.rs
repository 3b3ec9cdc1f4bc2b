//! `corten ps`.

use std::process::{Command, Stdio};

use corten::{Id, Runtime};

use super::list::Format;
use crate::error::{Doing, Error, Result};

/// Print the processes of a container
#[derive(Debug, clap::Args)]
pub struct Ps {
    /// Form of the list
    #[arg(short, long, default_value = "table")]
    format: Format,
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// Options of ps(1) for the table
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "-ef", value_name = "OPTION")]
    options: Vec<String>,
}

/// Runs the command.
pub fn run(runtime: &Runtime, arguments: &Ps) -> Result<i32> {
    let container = runtime.load(&Id::try_from(arguments.id.as_str())?)?;
    let pids = container.processes()?;
    if arguments.format == Format::Json {
        println!("{}", super::to_json(&pids)?);
        return Ok(0);
    }
    let mut command = Command::new("ps");
    command.args(&arguments.options).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().doing(|| "run ps(1)".to_owned())?;
    if !output.status.success() {
        return Err(Error::Program { program: "ps".to_owned(), status: output.status });
    }
    print!("{}", lines_of(&String::from_utf8_lossy(&output.stdout), &pids)?);
    Ok(0)
}

/// The head of the table, and the lines of these processes.
fn lines_of(table: &str, pids: &[i32]) -> Result<String> {
    let missing = || Error::usage("the options of ps do not give a table with a PID column");
    let head = table.lines().next().ok_or_else(missing)?;
    let column = head.split_whitespace().position(|name| name == "PID").ok_or_else(missing)?;
    let wanted = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    Ok(std::iter::once(head)
        .chain(table.lines().skip(1).filter(wanted))
        .map(|line| format!("{line}\n"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines_stay() {
        let table = "UID  PID PPID CMD\nroot   1    0 init\nroot  17    1 sleep 17\nroot 170    1 x\n";
        assert_eq!(lines_of(table, &[17]).unwrap(), "UID  PID PPID CMD\nroot  17    1 sleep 17\n");
        assert!(lines_of("UID CMD\n", &[17]).is_err());
        assert!(lines_of("", &[17]).is_err());
    }
}
