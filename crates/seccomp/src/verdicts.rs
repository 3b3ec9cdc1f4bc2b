//! What a profile means for one architecture: clauses by number of system call, in the order in which they are tried.

use crate::arch::{Arch, Call};
use crate::decide::Clause;
use crate::error::Error;
use crate::precedence::ordered;
use crate::profile::{Condition, Profile, Rule};
use crate::tables::Name;
use crate::vocabulary::{Action, Operator};

/// What a profile means for one architecture.
#[derive(Debug)]
pub(crate) struct Verdicts {
    /// By number, ascending; each number is there once.
    pub(crate) calls: Vec<(u32, Verdict)>,
    /// The highest number that the profile names, whatever it says of it.
    pub(crate) newest: Option<u32>,
}

/// What a profile says of one system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Always(Action),
    /// The first clause that holds, or the default.
    First(Vec<Clause>),
}

/// A rule for one number.
struct Found<'a> {
    number: u32,
    name: Name,
    /// Through which the call is made, if not directly.
    through: Option<Call>,
    conditions: &'a [Condition],
    action: Action,
}

impl Verdicts {
    pub(crate) fn of(profile: &Profile, arch: Arch) -> Result<Verdicts, Error> {
        let mut found: Vec<Found<'_>> = Vec::new();
        let mut newest = None;
        for Rule { names, action, alternatives } in &profile.rules {
            for name in names.iter().copied() {
                let number = arch.number_of(name);
                newest = newest.max(number);
                // What would be done anyhow needs no rule.
                if *action == profile.default {
                    continue;
                }
                let through = arch.multiplexes().then(|| Call::of(name)).flatten();
                let carrier = through.and_then(|call| Some((arch.multiplexer(call)?, through)));
                for conditions in alternatives {
                    for (number, through) in carrier.into_iter().chain(number.map(|number| (number, None))) {
                        found.push(Found { number, name, through, conditions, action: *action });
                    }
                }
            }
        }
        // What belongs to one number stays in the profile's order.
        found.sort_by_key(|found| found.number);
        let calls = found.chunk_by(|a, b| a.number == b.number);
        let calls = calls.map(|of_one| Ok((of_one[0].number, verdict(of_one, arch)?)));
        Ok(Verdicts { calls: calls.collect::<Result<_, Error>>()?, newest })
    }
}

/// The verdict on one system call.
fn verdict(found: &[Found<'_>], arch: Arch) -> Result<Verdict, Error> {
    let mut clauses = Vec::new();
    for Found { through, conditions, action, .. } in found {
        let conditions = match through {
            Some(call) => normal(&carried(*call, conditions), arch.wide()),
            None => normal(conditions, arch.wide()),
        };
        // The first without conditions wins over all with some.
        if conditions.is_empty() {
            return Ok(Verdict::Always(*action));
        }
        clauses.push(Clause { conditions, action: *action });
    }
    match ordered(clauses, arch.wide()) {
        Some(clauses) => Ok(Verdict::First(clauses)),
        None => Err(Error::Contradiction { syscall: found[0].name.as_str(), arch: arch.name() }),
    }
}

/// A system call that is made through `socketcall` or `ipc` is judged there by its number, in place of what the profile
/// says of its first argument: the arguments are in memory, where no filter sees them. What the profile says of other
/// arguments is compared with what is in their place there, as libseccomp does.
fn carried(call: Call, conditions: &[Condition]) -> Vec<Condition> {
    let value = call.number().into();
    let first = Condition { argument: 0, operator: Operator::Equal, value, mask: u64::MAX };
    let others = conditions.iter().copied().filter(|condition| condition.argument != 0);
    std::iter::once(first).chain(others).collect()
}

/// Without what always holds, and without what an architecture of 32 bits does not see.
fn normal(conditions: &[Condition], wide: bool) -> Vec<Condition> {
    let seen = if wide { u64::MAX } else { u64::from(u32::MAX) };
    let conditions = conditions.iter().map(|condition| Condition {
        value: condition.value & seen,
        mask: condition.mask & seen,
        ..*condition
    });
    conditions.filter(|condition| condition.mask != 0).collect()
}
