//! Spans of time as Go's programs write them: `5s`, `1m30s`, `250ms`.

use std::time::Duration;

/// The longest, so that it can be added to any point in time.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads a span that is greater than 0, and up to a year.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no span of time: 250ms, 5s, 1m30s");
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = &rest[digits..];
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let seconds = match &unit[..end] {
            "ns" => number / 1e9,
            "us" | "\u{b5}s" | "\u{3bc}s" => number / 1e6,
            "ms" => number / 1e3,
            "s" => number,
            "m" => number * 60.0,
            "h" => number * 3600.0,
            _ => return Err(wrong()),
        };
        let part = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
        sum = sum.checked_add(part).filter(|sum| *sum <= LONGEST).ok_or_else(wrong)?;
        rest = &unit[end..];
    }
    if sum.is_zero() { Err(format!("{text:?}: the interval must be greater than 0")) } else { Ok(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        for (text, millis) in [
            ("5s", 5000),
            ("250ms", 250),
            ("2000us", 2),
            ("7000000ns", 7),
            ("3000µs", 3),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "0s", "5x", "s", "-1s", "1e9h", "9999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
