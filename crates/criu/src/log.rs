//! CRIU's log, which says why something failed.

/// As many complaints as help a person; the first is often the cause, the last what came of it.
const MOST: usize = 6;

/// The errors of a log, or its last lines where it has none; empty for an empty log.
///
/// ```
/// let log = "(00.01) Dumping\n(00.02) Error (criu/files.c:1): no such\n(00.03) Dumping FAILED.\n";
/// assert_eq!(corten_criu::complaints(log), "Error (criu/files.c:1): no such");
/// ```
pub fn complaints(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(without_time).filter(|line| !line.is_empty()).collect();
    let errors: Vec<&str> = lines.iter().copied().filter(|line| line.contains("Error (")).collect();
    let told = if errors.is_empty() { &lines } else { &errors };
    told.iter().skip(told.len().saturating_sub(MOST)).copied().collect::<Vec<_>>().join("\n")
}

/// A line begins with the seconds since the start: `(00.012345) `.
fn without_time(line: &str) -> &str {
    let rest = line.strip_prefix('(').and_then(|rest| rest.split_once(") "));
    match rest {
        Some((time, rest)) if time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => rest.trim(),
        _ => line.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_errors_the_last_lines_are_told() {
        let log: String = (0..20).map(|n| format!("(00.{n:06}) line {n}\n")).collect();
        let told = complaints(&log);
        assert!(told.starts_with("line 14") && told.ends_with("line 19"), "{told}");
        assert_eq!(complaints(""), "");
    }

    #[test]
    fn a_parenthesis_of_its_own_stays() {
        assert_eq!(complaints("(gone) Error (x): y"), "(gone) Error (x): y");
    }
}
