//! What a list of device rules means: of those that fit a device and an access, the last one decides, and without one the
//! answer is no (specification: `config-linux.md#allowed-device-list`).

use std::collections::BTreeMap;
use std::fmt;

use corten_oci::DeviceRule;

use crate::error::{Error, Result};

/// Ways of access, as bits of the kernel (`BPF_DEVCG_ACC_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access(pub(crate) u8);

impl Access {
    pub(crate) const MKNOD: Self = Self(1);
    pub(crate) const READ: Self = Self(2);
    pub(crate) const WRITE: Self = Self(4);
    pub(crate) const ALL: Self = Self(7);

    const LETTERS: [(char, Self); 3] = [('r', Self::READ), ('w', Self::WRITE), ('m', Self::MKNOD)];

    /// Reads `rwm`; absent or empty means all.
    fn parse(text: Option<&str>) -> Option<Self> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Some(Self::ALL) };
        let bit =
            |letter| Self::LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, access)| access.0);
        text.chars().try_fold(0, |bits, letter| Some(bits | bit(letter)?)).map(Self)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = Self::LETTERS.iter().filter(|(_, access)| self.0 & access.0 != 0);
        f.write_str(&letters.map(|(letter, _)| *letter).collect::<String>())
    }
}

/// Block or character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Block,
    Character,
}

/// Devices; `None` stands for every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Devices {
    pub(crate) kind: Kind,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
}

impl Devices {
    /// Whether all of the others are among these.
    fn cover(&self, others: &Self) -> bool {
        let number = |own: Option<u32>, other| own.is_none() || own == other;
        self.kind == others.kind && number(self.major, others.major) && number(self.minor, others.minor)
    }

    /// Whether there are devices in both.
    fn overlap(&self, others: &Self) -> bool {
        let number = |own: Option<u32>, other: Option<u32>| own.is_none() || other.is_none() || own == other;
        self.kind == others.kind && number(self.major, others.major) && number(self.minor, others.minor)
    }
}

impl fmt::Display for Devices {
    /// As the files of v1 have it: `c 1:*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let kind = if self.kind == Kind::Block { 'b' } else { 'c' };
        write!(f, "{kind} {}:{}", number(self.major), number(self.minor))
    }
}

/// What a list of rules comes to: an answer, and where the other one holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The answer for what is no exception.
    pub(crate) allow: bool,
    /// Ways of access to devices that are answered otherwise; none is empty.
    pub(crate) exceptions: BTreeMap<Devices, Access>,
}

impl Policy {
    /// Reads a list of rules.
    ///
    /// Fails where a rule is malformed, and where it takes a part out of what a rule before it has given as a whole:
    /// that cannot be told to the kernel of v1, and is refused on v2 too, so that a configuration means the same everywhere.
    pub(crate) fn of(rules: &[DeviceRule]) -> Result<Self> {
        let mut policy = Self::default();
        for rule in rules {
            policy.add(rule)?;
        }
        Ok(policy)
    }

    fn add(&mut self, rule: &DeviceRule) -> Result<()> {
        let DeviceRule { allow, typ, major, minor, access } = rule;
        let wrong = |reason| Error::value("devices", describe(rule), reason);
        let access = Access::parse(access.as_deref())
            .ok_or_else(|| wrong("access consists of the letters r, w and m"))?;
        let number = |number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(number) => u32::try_from(number)
                .map(Some)
                .map_err(|_| wrong("a device number is 0 or more, or -1 for all")),
        };
        let (major, minor) = (number(*major)?, number(*minor)?);
        let kind = match typ.as_deref() {
            Some("c") => Kind::Character,
            Some("b") => Kind::Block,
            None | Some("a" | "") => {
                if (major, minor) != (None, None) || access != Access::ALL {
                    return Err(wrong("a rule for all types is for all devices and all access"));
                }
                *self = Self { allow: *allow, exceptions: BTreeMap::new() };
                return Ok(());
            }
            Some(_) => return Err(wrong("a type is a, b or c")),
        };
        let devices = Devices { kind, major, minor };
        if *allow == self.allow {
            return self.take_back(devices, access).map_err(wrong);
        }
        self.exceptions.entry(devices).or_default().0 |= access.0;
        Ok(())
    }

    /// Makes the general answer hold again for some devices.
    fn take_back(&mut self, devices: Devices, access: Access) -> std::result::Result<(), &'static str> {
        let partly = |(other, theirs): (&Devices, &Access)| {
            devices.overlap(other) && !devices.cover(other) && theirs.0 & access.0 != 0
        };
        if self.exceptions.iter().any(partly) {
            return Err("it takes a part out of what a rule before it is for, which is not supported");
        }
        for (other, theirs) in &mut self.exceptions {
            if devices.cover(other) {
                theirs.0 &= !access.0;
            }
        }
        self.exceptions.retain(|_, access| access.0 != 0);
        Ok(())
    }
}

/// A rule for a message.
fn describe(rule: &DeviceRule) -> String {
    let DeviceRule { allow, typ, major, minor, access } = rule;
    let number = |number: &Option<i64>| number.map_or("*".to_owned(), |number| number.to_string());
    format!(
        "{} {} {}:{} {}",
        if *allow { "allow" } else { "deny" },
        typ.as_deref().unwrap_or("a"),
        number(major),
        number(minor),
        access.as_deref().unwrap_or("rwm")
    )
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn rule(allow: bool, typ: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
        let number = |number| (number >= 0).then_some(number);
        DeviceRule {
            allow,
            typ: Some(typ.to_owned()),
            major: number(major),
            minor: number(minor),
            access: Some(access.to_owned()),
        }
    }

    /// The specification's words as a program: for each way of access, the last rule that fits decides.
    pub(crate) fn judge(rules: &[DeviceRule], kind: Kind, major: u32, minor: u32, access: Access) -> bool {
        let fits = |rule: &DeviceRule, bit: u8| {
            let typ = match rule.typ.as_deref() {
                Some("c") => kind == Kind::Character,
                Some("b") => kind == Kind::Block,
                _ => true,
            };
            let number = |asked: Option<i64>, have: u32| asked.is_none_or(|asked| asked == i64::from(have));
            typ && number(rule.major, major)
                && number(rule.minor, minor)
                && Access::parse(rule.access.as_deref()).unwrap().0 & bit != 0
        };
        [1, 2, 4]
            .iter()
            .filter(|bit| access.0 & **bit != 0)
            .all(|bit| rules.iter().rev().find(|rule| fits(rule, *bit)).is_some_and(|rule| rule.allow))
    }

    pub(crate) fn any_rule() -> impl Strategy<Value = DeviceRule> {
        let number = prop_oneof![Just(-1_i64), 0..3_i64];
        let access = prop_oneof![Just("r"), Just("w"), Just("m"), Just("rw"), Just("rwm")];
        let typ = prop_oneof![1 => Just("a"), 6 => Just("b"), 6 => Just("c")];
        (any::<bool>(), typ, number.clone(), number, access).prop_map(|(allow, typ, major, minor, access)| {
            match typ {
                "a" => rule(allow, "a", -1, -1, "rwm"),
                _ => rule(allow, typ, major, minor, access),
            }
        })
    }

    impl Policy {
        /// Its answer, exceptions taken together.
        fn answers(&self, kind: Kind, major: u32, minor: u32, access: Access) -> bool {
            let device = Devices { kind, major: Some(major), minor: Some(minor) };
            let except = self.exceptions.iter().filter(|(devices, _)| devices.cover(&device));
            let except = except.fold(0, |bits, (_, access)| bits | access.0);
            if self.allow { access.0 & except == 0 } else { access.0 & !except == 0 }
        }
    }

    proptest! {
        #[test]
        fn a_policy_answers_as_the_rules_do(rules in prop::collection::vec(any_rule(), 0..8)) {
            let Ok(policy) = Policy::of(&rules) else { return Ok(()) };
            for kind in [Kind::Block, Kind::Character] {
                for (major, minor) in [(0, 0), (0, 1), (1, 0), (2, 2), (7, 1)] {
                    for access in 1..8 {
                        prop_assert_eq!(
                            policy.answers(kind, major, minor, Access(access)),
                            judge(&rules, kind, major, minor, Access(access)),
                            "{:?} {}:{} {}", kind, major, minor, Access(access)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_rule_cannot_be_taken_back() {
        let rules = [rule(true, "c", 1, -1, "rw"), rule(false, "c", 1, 3, "w")];
        let error = Policy::of(&rules).unwrap_err().to_string();
        assert!(error.contains("deny c 1:3 w"), "{error}");
        // Another way of access is no part of it.
        assert!(Policy::of(&[rule(true, "c", 1, -1, "rw"), rule(false, "c", 1, 3, "m")]).is_ok());
    }

    #[test]
    fn malformed_rules_are_refused() {
        for wrong in [
            rule(true, "p", 1, 3, "rwm"),
            rule(true, "c", 1, 3, "x"),
            rule(true, "a", 1, 3, "rwm"),
            rule(true, "a", -1, -1, "r"),
            DeviceRule { major: Some(-2), ..rule(true, "c", 1, 3, "r") },
            DeviceRule { minor: Some(1 << 32), ..rule(true, "c", 1, 3, "r") },
        ] {
            assert!(Policy::of(std::slice::from_ref(&wrong)).is_err(), "{wrong:?}");
        }
    }
}
