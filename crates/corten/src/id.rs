//! The id of a container.

use std::fmt;

use crate::{Error, ErrorKind};

/// The id of a container: letters, digits, `_`, `+`, `-` and `.`, and neither `.` nor `..`.
///
/// It names the container's directory under the state directory, and by default its control group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Id {
    type Error = Error;

    fn try_from(id: &str) -> Result<Self, Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        if id.is_empty() {
            return Err(Error::new(ErrorKind::InvalidId, "container id cannot be empty"));
        }
        if id == "." || id == ".." || id.len() > 255 || !id.chars().all(allowed) {
            return Err(Error::new(
                ErrorKind::InvalidId,
                format!("invalid container ID format: {id:?} (letters, digits and _ + - . are allowed)"),
            ));
        }
        Ok(Self(id.to_owned()))
    }
}

impl TryFrom<String> for Id {
    type Error = Error;

    fn try_from(id: String) -> Result<Self, Error> {
        Self::try_from(id.as_str())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_plain_file_name() {
        for good in ["a", "container-id", "a.b_c+d", "...", "0"] {
            assert!(Id::try_from(good).is_ok(), "{good}");
        }
        let long = "x".repeat(256);
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\0", &long] {
            assert_eq!(Id::try_from(bad).unwrap_err().kind(), ErrorKind::InvalidId, "{bad}");
        }
    }
}
