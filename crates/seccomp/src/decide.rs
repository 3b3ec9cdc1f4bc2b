//! The rules of one system call as a decision.

use crate::facts::Facts;
use crate::graph::{Graph, Node, Test, Word};
use crate::instruction::MOST_INSTRUCTIONS;
use crate::profile::Condition;
use crate::vocabulary::{Action, Operator};

/// What holds if all conditions do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clause {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: Action,
}

/// How arguments lie in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Whether they have 64 bits.
    pub(crate) wide: bool,
    pub(crate) little_endian: bool,
}

/// How many tests all decisions of a program may think about: more than a program can have, for equal ones become one.
/// Knowing more can need more tests, in the worst case exponentially many.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Budget {
        Budget(4 * MOST_INSTRUCTIONS)
    }
}

/// The first clause whose conditions hold decides.
pub(crate) fn decide(
    graph: &mut Graph,
    budget: &mut Budget,
    clauses: &[Clause],
    default: Action,
    layout: Layout,
) -> Node {
    let mut thorough = Decision { graph, budget, clauses, default, layout, facts: Facts::default() };
    match thorough.from(0, 0) {
        Some(node) => node,
        None => sequence(graph, clauses, default, layout),
    }
}

/// A decision that never tests what it knows already.
struct Decision<'a> {
    graph: &'a mut Graph,
    budget: &'a mut Budget,
    clauses: &'a [Clause],
    default: Action,
    layout: Layout,
    facts: Facts,
}

impl Decision<'_> {
    /// How many tests may hold one after the other; the stack is only so large.
    const DEEPEST: usize = 256;

    /// What the clauses from this one on decide. `None`: it would take too many tests.
    fn from(&mut self, mut clause: usize, depth: usize) -> Option<Node> {
        if depth > Self::DEEPEST {
            return None;
        }
        // Tests that fail can follow each other without end: no reason to call again.
        let mut failed = Vec::new();
        let mut node = loop {
            let Some(Clause { conditions, action }) = self.clauses.get(clause) else {
                break self.graph.answer(self.default);
            };
            match self.first_open(conditions) {
                Outcome::Known(true) => break self.graph.answer(*action),
                Outcome::Known(false) => clause += 1,
                Outcome::Open(word, test) => {
                    self.budget.0 = self.budget.0.checked_sub(1)?;
                    self.facts.add(word, test, true);
                    let yes = self.from(clause, depth + 1)?;
                    self.facts.forget();
                    self.facts.add(word, test, false);
                    failed.push((word, test, yes));
                }
            }
        };
        for (word, test, yes) in failed.into_iter().rev() {
            self.facts.forget();
            node = self.graph.test(word, test, yes, node);
        }
        Some(node)
    }

    /// Whether all conditions hold, or what is to be tested to know.
    fn first_open(&self, conditions: &[Condition]) -> Outcome {
        for condition in conditions {
            let outcome = outcome(*condition, self.layout, &|word, test| self.facts.outcome(word, test));
            if outcome != Outcome::Known(true) {
                return outcome;
            }
        }
        Outcome::Known(true)
    }
}

/// Whether a condition holds, or the test that is to be made next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Known(bool),
    Open(Word, Test),
}

/// A condition in the light of known tests.
fn outcome(condition: Condition, layout: Layout, known: &dyn Fn(Word, Test) -> Option<bool>) -> Outcome {
    let Condition { argument, operator, value, mask } = condition;
    let word = |upper| Word::of_argument(argument, upper, layout.little_endian);
    let [upper, lower] = [halves(value).0, halves(value).1];
    let ask = |is_upper: bool, test: Test| match known(word(is_upper), test) {
        Some(known) => Outcome::Known(known),
        None => Outcome::Open(word(is_upper), test),
    };
    let equal = || match (layout.wide, ask(true, Test::Equal(upper))) {
        (true, outcome) if outcome != Outcome::Known(true) => outcome,
        _ => ask(false, Test::Equal(lower)),
    };
    // Whether the argument is greater, where `last` judges the lower halves.
    let greater = |last: Test| {
        if !layout.wide {
            return ask(false, last);
        }
        match ask(true, Test::Greater(upper)) {
            Outcome::Known(false) => match ask(true, Test::Equal(upper)) {
                Outcome::Known(true) => ask(false, last),
                unequal => unequal,
            },
            decided => decided,
        }
    };
    match operator {
        Operator::Equal => equal(),
        Operator::NotEqual => equal().not(),
        Operator::Greater => greater(Test::Greater(lower)),
        Operator::LessOrEqual => greater(Test::Greater(lower)).not(),
        Operator::GreaterOrEqual => greater(Test::GreaterOrEqual(lower)),
        Operator::Less => greater(Test::GreaterOrEqual(lower)).not(),
        Operator::MaskedEqual => {
            let (upper_mask, lower_mask) = halves(mask);
            match masked(layout.wide, upper_mask, upper, |test| ask(true, test)) {
                Outcome::Known(true) => masked(true, lower_mask, lower, |test| ask(false, test)),
                outcome => outcome,
            }
        }
    }
}

impl Outcome {
    fn not(self) -> Outcome {
        match self {
            Outcome::Known(known) => Outcome::Known(!known),
            open => open,
        }
    }
}

/// The upper and the lower half.
fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

/// A comparison of some bits by the cheapest test.
fn masked(counts: bool, mask: u32, value: u32, ask: impl Fn(Test) -> Outcome) -> Outcome {
    match (mask, value) {
        _ if !counts => Outcome::Known(true),
        (0, _) => Outcome::Known(true),
        (u32::MAX, value) => ask(Test::Equal(value)),
        (mask, 0) => ask(Test::AnyBit(mask)).not(),
        (mask, value) if mask == value && mask.is_power_of_two() => ask(Test::AnyBit(mask)),
        (mask, value) => ask(Test::Masked { mask, value }),
    }
}

/// The clauses one after the other, each test for itself: never more tests than there are written.
fn sequence(graph: &mut Graph, clauses: &[Clause], default: Action, layout: Layout) -> Node {
    let mut next = graph.answer(default);
    for Clause { conditions, action } in clauses.iter().rev() {
        let mut holds = graph.answer(*action);
        for condition in conditions.iter().rev() {
            holds = alone(graph, *condition, layout, &mut Vec::new(), holds, next);
        }
        next = holds;
    }
    next
}

/// One condition by itself.
fn alone(
    graph: &mut Graph,
    condition: Condition,
    layout: Layout,
    known: &mut Vec<(Word, Test, bool)>,
    yes: Node,
    no: Node,
) -> Node {
    let tell = |word: Word, test: Test| {
        known.iter().find(|(of, made, _)| (*of, *made) == (word, test)).map(|(.., outcome)| *outcome)
    };
    match outcome(condition, layout, &tell) {
        Outcome::Known(true) => yes,
        Outcome::Known(false) => no,
        Outcome::Open(word, test) => {
            let [then, otherwise] = [true, false].map(|outcome| {
                known.push((word, test, outcome));
                let node = alone(graph, condition, layout, known, yes, no);
                known.pop();
                node
            });
            graph.test(word, test, then, otherwise)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::graph::Step;

    const DEFAULT: Action = Action(1);
    const OPERATORS: [Operator; 7] = [
        Operator::Equal,
        Operator::GreaterOrEqual,
        Operator::Greater,
        Operator::LessOrEqual,
        Operator::Less,
        Operator::MaskedEqual,
        Operator::NotEqual,
    ];

    fn condition() -> impl Strategy<Value = Condition> {
        let small = || select(vec![0, 1, 2, 3, 1 << 32, 1 << 32 | 1, 3 << 32, u64::MAX]);
        (0..2_u8, select(OPERATORS.to_vec()), small(), small()).prop_map(
            |(argument, operator, value, mask)| {
                let mask = if operator == Operator::MaskedEqual { mask } else { u64::MAX };
                Condition { argument, operator, value: value & mask, mask }
            },
        )
    }

    fn clauses() -> impl Strategy<Value = Vec<Clause>> {
        let conditions = prop::collection::vec(condition(), 1..4);
        let clause = (conditions, 2..6_u32)
            .prop_map(|(conditions, action)| Clause { conditions, action: Action(action) });
        prop::collection::vec(clause, 0..8)
    }

    /// What a decision answers, and how many tests that takes.
    fn answer(graph: &Graph, mut node: Node, arguments: [u64; 2]) -> (Action, usize) {
        let mut tests = 0;
        loop {
            match graph.step(node) {
                Step::Answer(action) => return (action, tests),
                Step::Test { word: Word(offset), test, yes, no } => {
                    let argument = arguments[(offset as usize - 16) / 8];
                    let (upper, lower) = halves(argument);
                    node = if test.holds(if offset % 8 == 4 { upper } else { lower }) { yes } else { no };
                    tests += 1;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn knowing_changes_no_answer_and_saves_tests(clauses in clauses(), wide in any::<bool>()) {
            let layout = Layout { wide, little_endian: true };
            let mut graph = Graph::default();
            let thorough = decide(&mut graph, &mut Budget::default(), &clauses, DEFAULT, layout);
            let simple = sequence(&mut graph, &clauses, DEFAULT, layout);
            let without_budget = decide(&mut graph, &mut Budget(0), &clauses, DEFAULT, layout);
            let values = [0, 1, 2, 3, 4, 1 << 32, 1 << 32 | 1, 2 << 32 | 1, 3 << 32 | 3, u64::MAX - 1, u64::MAX];
            for first in values {
                for second in values {
                    let arguments = [first, second];
                    let (expected, tests) = answer(&graph, simple, arguments);
                    let (same, fewer) = answer(&graph, thorough, arguments);
                    prop_assert_eq!(same, expected);
                    prop_assert!(fewer <= tests);
                    prop_assert_eq!(answer(&graph, without_budget, arguments).0, expected);
                }
            }
        }
    }
}
