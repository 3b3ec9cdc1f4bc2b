//! Signals by number and name (signal(7)).

use std::fmt;

use crate::{Error, Result};

/// A signal, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(i32);

/// Names without `SIG`, by number from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

const ALIASES: [(&str, i32); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];

/// The first and the last real-time signal, as the C library counts them.
const REAL_TIME: (i32, i32) = (34, 64);

impl Signal {
    /// Hangup, 1.
    pub const HUP: Self = Self(1);
    /// Interrupt, 2.
    pub const INT: Self = Self(2);
    /// Kill, 9: cannot be caught.
    pub const KILL: Self = Self(9);
    /// Terminate, 15.
    pub const TERM: Self = Self(15);
    /// Stop, 19: cannot be caught.
    pub const STOP: Self = Self(19);
    /// Continue, 18.
    pub const CONT: Self = Self(18);

    /// The signal with this number.
    pub fn from_raw(number: i32) -> Option<Self> {
        (1..=64).contains(&number).then_some(Self(number))
    }

    /// Its number.
    pub fn as_raw(self) -> i32 {
        self.0
    }
}

impl TryFrom<&str> for Signal {
    type Error = Error;

    /// Takes `15`, `TERM` and `SIGTERM` in any case, and real-time signals as `RTMIN+1` and `RTMAX-1`.
    fn try_from(text: &str) -> Result<Self> {
        let unknown = || Error::invalid(format!("unknown signal {text:?}"));
        if let Ok(number) = text.parse() {
            return Self::from_raw(number).ok_or_else(unknown);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let plain =
            NAMES.iter().position(|known| *known == name).and_then(|index| i32::try_from(index + 1).ok());
        let alias = || ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, number)| *number);
        plain.or_else(alias).or_else(|| real_time(name)).map(Self).ok_or_else(unknown)
    }
}

fn real_time(name: &str) -> Option<i32> {
    let (base, rest) = match name.strip_prefix("RTMIN") {
        Some(rest) => (REAL_TIME.0, rest),
        None => (REAL_TIME.1, name.strip_prefix("RTMAX")?),
    };
    let offset = match rest {
        "" => 0,
        _ if rest.starts_with(['+', '-']) => rest.parse::<i32>().ok()?,
        _ => return None,
    };
    let number = base.checked_add(offset)?;
    (REAL_TIME.0..=REAL_TIME.1).contains(&number).then_some(number)
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = usize::try_from(self.0 - 1).unwrap_or(usize::MAX);
        match NAMES.get(index) {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_many_spellings() {
        for text in ["15", "TERM", "SIGTERM", "sigterm", "Term"] {
            assert_eq!(Signal::try_from(text).unwrap(), Signal::TERM, "{text}");
        }
        assert_eq!(Signal::try_from("RTMIN+2").unwrap().as_raw(), 36);
        assert_eq!(Signal::try_from("SIGRTMAX-1").unwrap().as_raw(), 63);
        assert_eq!(Signal::try_from("SIGSYS").unwrap().as_raw(), 31);
        for bad in ["0", "65", "-9", "", "SIG", "NOPE", "RTMIN-1", "RTMIN2"] {
            assert!(Signal::try_from(bad).is_err(), "{bad}");
        }
        assert_eq!(Signal::KILL.to_string(), "SIGKILL");
    }
}
