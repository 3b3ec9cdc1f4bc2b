//! What a profile means for one architecture: clauses by number of system call, in the order in which they are tried.

use crate::arch::{Arch, Call};
use crate::decide::Clause;
use crate::error::Error;
use crate::precedence::ordered;
use crate::profile::{Condition, Profile, Rule};
use crate::tables::Name;
use crate::vocabulary::Operator;

/// What a profile means for one architecture.
#[derive(Debug)]
pub(crate) struct Verdicts {
    /// By number, ascending; each number is there once.
    pub(crate) calls: Vec<(u32, Vec<Clause>)>,
    /// The highest number that the profile names, whatever it says of it.
    pub(crate) newest: Option<u32>,
}

impl Verdicts {
    pub(crate) fn of(profile: &Profile, arch: Arch) -> Result<Verdicts, Error> {
        let mut found: Vec<(u32, Name, Clause)> = Vec::new();
        let mut newest = None;
        for Rule { names, action, alternatives } in &profile.rules {
            for name in names {
                let number = arch.number_of(*name);
                newest = newest.max(number);
                // What would be done anyhow needs no rule.
                if *action == profile.default {
                    continue;
                }
                for conditions in alternatives {
                    let multiplexed = multiplexed(arch, *name, conditions);
                    let direct = number.map(|number| (number, conditions.clone()));
                    for (number, conditions) in multiplexed.into_iter().chain(direct) {
                        let conditions = normal(&conditions, arch.wide());
                        found.push((number, *name, Clause { conditions, action: *action }));
                    }
                }
            }
        }
        // What belongs to one number stays in the profile's order.
        found.sort_by_key(|(number, ..)| *number);
        let calls = found.chunk_by(|(a, ..), (b, ..)| a == b).map(|of_one| {
            let name = of_one[0].1;
            let clauses = of_one.iter().map(|(.., clause)| clause.clone()).collect();
            let contradiction = || Error::Contradiction { syscall: name.as_str(), arch: arch.name() };
            Ok((of_one[0].0, ordered(clauses, arch.wide()).ok_or_else(contradiction)?))
        });
        Ok(Verdicts { calls: calls.collect::<Result<_, Error>>()?, newest })
    }
}

/// A system call that can be made through `socketcall` or `ipc` too is judged there by its number, in place of what
/// the profile says of its first argument: the arguments are in memory, where no filter sees them.
fn multiplexed(arch: Arch, name: Name, conditions: &[Condition]) -> Option<(u32, Vec<Condition>)> {
    let call = Call::of(name)?;
    let number = arch.multiplexer(call)?;
    let first =
        Condition { argument: 0, operator: Operator::Equal, value: call.number().into(), mask: u64::MAX };
    let others = conditions.iter().copied().filter(|condition| condition.argument != 0);
    Some((number, std::iter::once(first).chain(others).collect()))
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
