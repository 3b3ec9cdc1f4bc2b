//! The rules of one system call as a decision.

use crate::facts::Facts;
use crate::graph::{Graph, Node, Test, Word};
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

/// The first clause whose conditions hold decides.
pub(crate) fn decide(graph: &mut Graph, clauses: &[Clause], default: Action, layout: Layout) -> Node {
    let mut thorough = Decision { graph, clauses, default, layout, facts: Facts::default(), steps: 0 };
    match thorough.from(0, 0) {
        Some(node) => node,
        None => sequence(graph, clauses, default, layout),
    }
}

/// A decision that never tests twice what it knows already.
struct Decision<'a> {
    graph: &'a mut Graph,
    clauses: &'a [Clause],
    default: Action,
    layout: Layout,
    facts: Facts,
    steps: usize,
}

impl Decision<'_> {
    /// Knowing more can need more tests, in the worst case exponentially many: then it is not worth it.
    const MOST_STEPS: usize = 2048;
    const DEEPEST: usize = 512;

    /// What the clauses from this one on decide. `None`: too many steps.
    fn from(&mut self, mut clause: usize, depth: usize) -> Option<Node> {
        self.steps += 1;
        if self.steps > Self::MOST_STEPS || depth > Self::DEEPEST {
            return None;
        }
        while let Some(Clause { conditions, action }) = self.clauses.get(clause) {
            match self.first_open(conditions) {
                Outcome::Known(true) => return Some(self.graph.answer(*action)),
                Outcome::Known(false) => clause += 1,
                Outcome::Open(word, test) => {
                    self.facts.add(word, test, true);
                    let yes = self.from(clause, depth + 1);
                    self.facts.forget();
                    self.facts.add(word, test, false);
                    let no = self.from(clause, depth + 1);
                    self.facts.forget();
                    return Some(self.graph.test(word, test, yes?, no?));
                }
            }
        }
        Some(self.graph.answer(self.default))
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
