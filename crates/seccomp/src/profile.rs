//! What a profile says, checked.

use corten_oci::{Seccomp, SyscallArg, SyscallRule};

use crate::arch::Arch;
use crate::error::Error;
use crate::tables::Name;
use crate::vocabulary::{ACTIONS, Action, FLAGS, OPERATORS, Operator, SPEC_ALLOW, WAIT_KILLABLE_RECV, find};

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    /// Which argument, from 0 to 5.
    pub(crate) argument: u8,
    pub(crate) operator: Operator,
    pub(crate) value: u64,
    /// The bits of the argument that count.
    pub(crate) mask: u64,
}

/// A rule: what becomes of a system call if all conditions of one of the alternatives hold.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) names: Vec<Name>,
    pub(crate) action: Action,
    pub(crate) alternatives: Vec<Vec<Condition>>,
}

/// A profile.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) default: Action,
    /// The native one first.
    pub(crate) archs: Vec<Arch>,
    pub(crate) flags: u32,
    pub(crate) rules: Vec<Rule>,
    pub(crate) notifies: bool,
    pub(crate) warnings: Vec<String>,
}

impl Profile {
    pub(crate) fn read(profile: &Seccomp, native: Arch) -> Result<Profile, Error> {
        let default = action(&profile.default_action, profile.default_errno_ret, "defaultErrnoRet")?;
        if default == Action::NOTIFY {
            return Err(Error::NotifyByDefault);
        }
        let mut warnings = Vec::new();
        let rules: Vec<Rule> =
            profile.syscalls.iter().map(|rule| self::rule(rule, &mut warnings)).collect::<Result<_, _>>()?;
        let notifies = profile.syscalls.iter().any(|rule| rule.action == "SCMP_ACT_NOTIFY");
        let mut flags = match &profile.flags {
            None => SPEC_ALLOW,
            Some(flags) => {
                let bits = flags
                    .iter()
                    .map(|flag| find(&FLAGS, flag).ok_or_else(|| Error::UnknownFlag(flag.clone())));
                bits.collect::<Result<Vec<u32>, Error>>()?.into_iter().fold(0, |all, bit| all | bit)
            }
        };
        if flags & WAIT_KILLABLE_RECV != 0 && !notifies {
            flags &= !WAIT_KILLABLE_RECV;
            warnings.push(
                "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV has no effect, for no rule has SCMP_ACT_NOTIFY"
                    .into(),
            );
        }
        Ok(Profile {
            default,
            archs: archs(&profile.architectures, native)?,
            flags,
            rules,
            notifies,
            warnings,
        })
    }
}

fn archs(names: &[String], native: Arch) -> Result<Vec<Arch>, Error> {
    let mut archs = vec![native];
    for name in names {
        let arch = Arch::from_name(name).ok_or_else(|| Error::UnknownArch(name.clone()))?;
        if arch.little_endian() != native.little_endian() {
            return Err(Error::OtherByteOrder { arch: arch.name(), native: native.name() });
        }
        if !archs.contains(&arch) {
            archs.push(arch);
        }
    }
    Ok(archs)
}

fn action(name: &str, errno: Option<u32>, field: &'static str) -> Result<Action, Error> {
    const EPERM: u32 = 1;
    /// The kernel returns no higher error (linux/err.h: `MAX_ERRNO`), and libseccomp takes it for none.
    const MOST: u32 = 4094;
    let base = find(&ACTIONS, name).ok_or_else(|| Error::UnknownAction(name.to_owned()))?;
    let takes_value = [Action::ERRNO, Action::TRACE].contains(&base);
    let most = if base == Action::ERRNO { MOST } else { u16::MAX.into() };
    match errno {
        Some(value) if !takes_value => Err(Error::ErrnoUnused { field, value, action: name.to_owned() }),
        Some(value) if value > most => Err(Error::ErrnoTooLarge { field, value, most }),
        Some(value) => Ok(Action(base | value)),
        None if takes_value => Ok(Action(base | EPERM)),
        None => Ok(Action(base)),
    }
}

fn rule(rule: &SyscallRule, warnings: &mut Vec<String>) -> Result<Rule, Error> {
    let action = action(&rule.action, rule.errno_ret, "errnoRet")?;
    let mut names = Vec::with_capacity(rule.names.len());
    for name in &rule.names {
        match name.as_str() {
            "" => return Err(Error::EmptyName),
            "write" if action == Action::NOTIFY => return Err(Error::NotifyOnWrite),
            name => match Name::find(name) {
                Some(name) => names.push(name),
                None => warnings.push(format!("unknown system call {name:?} is skipped")),
            },
        }
    }
    let conditions: Vec<Condition> = rule.args.iter().map(condition).collect::<Result<_, _>>()?;
    let twice = conditions.iter().enumerate().any(|(index, condition)| {
        conditions[..index].iter().any(|before| before.argument == condition.argument)
    });
    // As runc has always done it: conditions on one argument are alternatives, and then all conditions are.
    let alternatives = match twice {
        true => conditions.into_iter().map(|condition| vec![condition]).collect(),
        false => {
            let mut conditions = conditions;
            conditions.sort_by_key(|condition| condition.argument);
            vec![conditions]
        }
    };
    Ok(Rule { names, action, alternatives })
}

fn condition(arg: &SyscallArg) -> Result<Condition, Error> {
    let operator = find(&OPERATORS, &arg.op).ok_or_else(|| Error::UnknownOperator(arg.op.clone()))?;
    let argument = u8::try_from(arg.index).ok().filter(|index| *index < 6);
    let argument = argument.ok_or(Error::ArgumentIndex(arg.index))?;
    Ok(match operator {
        // The first value is the mask, the second what is left of the argument then.
        Operator::MaskedEqual => {
            Condition { argument, operator, value: arg.value_two & arg.value, mask: arg.value }
        }
        _ => Condition { argument, operator, value: arg.value, mask: u64::MAX },
    })
}
