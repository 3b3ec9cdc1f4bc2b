//! Which rule decides where several could.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::decide::Clause;
use crate::profile::Condition;
use crate::vocabulary::{Action, Operator};

/// The clauses of one system call, all of which have conditions, in the order in which they are tried. It is that of
/// libseccomp, which does not care for the profile's: compared condition by condition, first goes the higher argument,
/// then equality before "less" before "greater", then the greater value, with "less" the smaller one; and of two of which
/// one has all conditions of the other and more, the shorter.
///
/// `None`: two contradict each other, where libseccomp refuses too.
pub(crate) fn ordered(mut clauses: Vec<Clause>, wide: bool) -> Option<Vec<Clause>> {
    if clauses.len() < 2 {
        return Some(clauses);
    }
    if contradict(&clauses) {
        return None;
    }
    let mut places = Places::default();
    clauses.sort_by_cached_key(|clause| {
        let mut before = 0;
        let parts = clause.conditions.iter().flat_map(|condition| parts(*condition, wide));
        let key: Vec<_> = parts
            .map(|part| {
                before = places.of(before, part);
                (part.rank(), before)
            })
            .collect();
        key
    });
    clauses.dedup();
    Some(clauses)
}

/// Whether there are different actions for the same conditions, or for fewer ones behind more: there it is not clear
/// whether the first was meant as an exception.
fn contradict(clauses: &[Clause]) -> bool {
    let mut known: HashMap<&[Condition], (usize, Action)> = HashMap::new();
    for (index, Clause { conditions, action }) in clauses.iter().enumerate() {
        if known.entry(conditions).or_insert((index, *action)).1 != *action {
            return true;
        }
    }
    clauses.iter().enumerate().any(|(index, Clause { conditions, action })| {
        let shorter = (1..conditions.len()).filter_map(|length| known.get(&conditions[..length]));
        shorter.into_iter().any(|(place, other)| *place > index && other != action)
    })
}

/// The part of a condition that concerns one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Part {
    /// Twice the argument, and one more for its upper half.
    word: u8,
    class: Class,
    value: u32,
    mask: u32,
    masked: bool,
}

/// Kinds of operators, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Class {
    Equality,
    Less,
    Greater,
}

impl Part {
    /// The smallest goes first.
    fn rank(self) -> (Reverse<u8>, Class, u32) {
        let value = if self.class == Class::Less { self.value } else { !self.value };
        (Reverse(self.word), self.class, value)
    }
}

fn parts(condition: Condition, wide: bool) -> impl Iterator<Item = Part> {
    let Condition { argument, operator, value, mask } = condition;
    let class = match operator {
        Operator::Equal | Operator::NotEqual | Operator::MaskedEqual => Class::Equality,
        Operator::Less | Operator::LessOrEqual => Class::Less,
        Operator::Greater | Operator::GreaterOrEqual => Class::Greater,
    };
    let part = move |upper: bool| {
        let half = |value: u64| if upper { (value >> 32) as u32 } else { value as u32 };
        let masked = operator == Operator::MaskedEqual;
        Part { word: 2 * argument + u8::from(upper), class, value: half(value), mask: half(mask), masked }
    };
    let upper = wide.then(|| part(true));
    upper.into_iter().chain([part(false)])
}

/// Numbers for parts, in the order in which they come up after the same ones: it decides between those of the same rank.
#[derive(Debug, Default)]
struct Places(HashMap<(usize, Part), usize>);

impl Places {
    fn of(&mut self, before: usize, part: Part) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry((before, part)).or_insert(next)
    }
}
