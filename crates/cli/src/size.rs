//! Amounts of memory as people write them: `512m`, `1.5GiB`.

/// Reads a number of bytes with an optional unit, in powers of 1024 whatever its spelling, as runc does; `-1` is no limit.
pub fn parse(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let wrong = || {
        format!(
            "{text:?} is no amount of memory: a number, and k, m, g, t or p behind it, or -1 for no limit"
        )
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = text[digits.len()..].trim().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(wrong()),
    };
    let factor = 1_i64 << (10 * power);
    if let Ok(whole) = digits.parse::<i64>() {
        return Some(whole)
            .filter(|whole| *whole >= 0)
            .and_then(|whole| whole.checked_mul(factor))
            .ok_or_else(wrong);
    }
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let bytes = number * factor as f64;
    // Below 2^53 the result is exact enough; nobody writes a fraction of more.
    if bytes.is_finite() && (0.0..9.0e15).contains(&bytes) { Ok(bytes as i64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        let cases =
            [("0", 0), ("4096", 4096), ("2k", 2048), ("1KB", 1024), ("512m", 512 << 20), ("1.5GiB", 3 << 29)];
        for (text, bytes) in cases.into_iter().chain([("2 G", 2 << 30), ("-1", -1)]) {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "m", "1x", "-2", "-1m", "1e999", "9999999p", "0x10", "nan", "inf"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
