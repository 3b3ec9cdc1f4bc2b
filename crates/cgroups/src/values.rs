//! Values that both versions write in the same form.

use crate::error::{Error, Result};

/// A weight in its range; unset where absent or 0.
pub(crate) fn weight(field: &'static str, weight: Option<u16>) -> Result<Option<u16>> {
    match weight {
        None | Some(0) => Ok(None),
        Some(10..=1000) => Ok(weight),
        Some(other) => Err(Error::value(field, other, "a weight is 10 to 1000")),
    }
}

/// A block device by its numbers, as the kernel writes it.
pub(crate) fn device(field: &'static str, major: i64, minor: i64) -> Result<String> {
    let name = format!("{major}:{minor}");
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(_), Ok(_)) => Ok(name),
        _ => Err(Error::value(field, name, "not a device number")),
    }
}

/// A huge page size as it stands in file names: `2MB`.
pub(crate) fn page_size(size: &str) -> Result<&str> {
    let unit = size.trim_start_matches(|c: char| c.is_ascii_digit());
    if unit.len() < size.len() && matches!(unit, "KB" | "MB" | "GB") {
        return Ok(size);
    }
    Err(Error::value("hugepageLimits.pageSize", size, "a page size reads like 2MB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes() {
        assert!(page_size("64KB").is_ok());
        for wrong in ["", "MB", "2", "2mb", "../2MB", "2MB/x"] {
            assert!(page_size(wrong).is_err(), "{wrong}");
        }
    }
}
