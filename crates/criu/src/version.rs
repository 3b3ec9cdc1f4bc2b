//! Versions of CRIU.

use std::fmt;

use crate::rpc::Numbers;

/// A version; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// The third; 0 where there is none.
    pub sublevel: u32,
}

impl Version {
    /// The oldest one that is spoken with: the first that knows external network namespaces.
    pub const OLDEST: Self = Self::new(3, 11, 0);

    /// A version by its numbers.
    pub const fn new(major: u32, minor: u32, sublevel: u32) -> Self {
        Self { major, minor, sublevel }
    }

    /// From what `criu --version` prints.
    ///
    /// ```
    /// use corten_criu::Version;
    ///
    /// assert_eq!(Version::parse("Version: 3.17.1\nGitID: v3.17.1"), Some(Version::new(3, 17, 1)));
    /// assert_eq!(Version::parse("bash: criu: command not found"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.trim().strip_prefix("Version:"))?;
        let number = line.split_whitespace().next()?;
        let mut parts = number.split('.').map(|part| {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            part.get(..digits).and_then(|digits| digits.parse().ok())
        });
        let (major, minor) = (parts.next()??, parts.next()??);
        Some(Self { major, minor, sublevel: parts.next().flatten().unwrap_or(0) })
    }
}

impl TryFrom<Numbers> for Version {
    type Error = std::num::TryFromIntError;

    fn try_from(numbers: Numbers) -> Result<Self, Self::Error> {
        let Numbers { major, minor, sublevel } = numbers;
        Ok(Self::new(major.try_into()?, minor.try_into()?, sublevel.unwrap_or(0).try_into()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.sublevel > 0 { write!(f, ".{}", self.sublevel) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_by_their_numbers() {
        let parse = |text| Version::parse(text).unwrap();
        assert!(parse("Version: 3.9") < Version::OLDEST);
        assert!(parse("Version: 3.11") >= Version::OLDEST);
        assert_eq!(parse("Warn: x\nVersion: 4.2-rc1 (gitid 7)"), Version::new(4, 2, 0));
        assert_eq!(Version::parse("Version: four"), None);
        assert_eq!(Version::new(4, 1, 1).to_string(), "4.1.1");
        assert_eq!(Version::OLDEST.to_string(), "3.11");
    }
}
