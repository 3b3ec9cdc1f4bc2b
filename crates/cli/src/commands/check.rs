//! `corten check`.

use corten::check::{Finding, Verdict};

use crate::error::Result;
use crate::table;

/// Print what this machine can do for containers, and what to do about the rest
///
/// The exit status is 1 where no container can be started at all.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Check) -> Result<i32> {
    let findings = corten::check::check();
    if arguments.json {
        super::print_json(&findings, b"  ")?;
    } else {
        table::print(&rows(&findings));
        print!("{}", advice(&findings));
    }
    Ok(i32::from(findings.iter().any(|finding| finding.verdict == Verdict::Needed)))
}

fn rows(findings: &[Finding]) -> Vec<Vec<String>> {
    let mut rows = vec![["AREA", "WHAT", "HERE", "FOUND"].map(str::to_owned).to_vec()];
    for Finding { area, name, verdict, detail, .. } in findings {
        let here = match verdict {
            Verdict::Yes => "yes",
            Verdict::No => "no",
            Verdict::Needed => "NEEDED",
        };
        rows.push(vec![(*area).to_owned(), name.clone(), here.to_owned(), detail.clone()]);
    }
    rows
}

/// What to do, below the table: it would not fit into a column.
fn advice(findings: &[Finding]) -> String {
    let given = findings.iter().filter_map(|finding| Some((finding, finding.advice.as_ref()?)));
    let lines: String =
        given.map(|(finding, advice)| format!("{} {}: {advice}\n", finding.area, finding.name)).collect();
    if lines.is_empty() { lines } else { format!("\nWhat can be done:\n{lines}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_follows_the_table() {
        let finding = |verdict, advice: Option<&str>| Finding {
            area: "kernel",
            name: "overlay".to_owned(),
            verdict,
            detail: "not there".to_owned(),
            advice: advice.map(str::to_owned),
        };
        let findings = [finding(Verdict::Yes, None), finding(Verdict::No, Some("modprobe overlay"))];
        assert_eq!(rows(&findings)[2], ["kernel", "overlay", "no", "not there"]);
        assert_eq!(advice(&findings), "\nWhat can be done:\nkernel overlay: modprobe overlay\n");
        assert_eq!(advice(&findings[..1]), "");
    }
}
