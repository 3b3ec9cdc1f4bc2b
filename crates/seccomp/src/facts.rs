//! What is known of words once tests of them have been passed.

use crate::graph::{Test, Word};

/// Outcomes of tests.
#[derive(Debug, Default)]
pub(crate) struct Facts(Vec<(Word, Test, bool)>);

impl Facts {
    pub(crate) fn add(&mut self, word: Word, test: Test, outcome: bool) {
        self.0.push((word, test, outcome));
    }

    /// Takes the last one back.
    pub(crate) fn forget(&mut self) {
        self.0.pop();
    }

    /// The outcome of a test, if it follows from what is known.
    pub(crate) fn outcome(&self, word: Word, test: Test) -> Option<bool> {
        let (mut least, mut most) = (0, u32::MAX);
        // From the newest: what is told of a word lies close together.
        for (_, known, outcome) in self.0.iter().rev().filter(|(of, ..)| *of == word) {
            match (*known, *outcome) {
                (same, outcome) if same == test => return Some(outcome),
                (Test::Equal(value), true) => return Some(test.holds(value)),
                (Test::Greater(value), true) => least = least.max(value.saturating_add(1)),
                (Test::Greater(value), false) => most = most.min(value),
                (Test::GreaterOrEqual(value), true) => least = least.max(value),
                (Test::GreaterOrEqual(value), false) => most = most.min(value.saturating_sub(1)),
                _ => {}
            }
        }
        match test {
            _ if least == most => Some(test.holds(least)),
            Test::Equal(value) if value < least || value > most => Some(false),
            Test::Greater(value) if value < least => Some(true),
            Test::Greater(value) if value >= most => Some(false),
            Test::GreaterOrEqual(value) if value <= least => Some(true),
            Test::GreaterOrEqual(value) if value > most => Some(false),
            Test::AnyBit(0) => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: Word = Word(16);

    #[test]
    fn nothing_is_known_at_first_but_what_always_holds() {
        let facts = Facts::default();
        assert_eq!(facts.outcome(WORD, Test::Equal(0)), None);
        assert_eq!(facts.outcome(WORD, Test::GreaterOrEqual(0)), Some(true));
        assert_eq!(facts.outcome(WORD, Test::Greater(u32::MAX)), Some(false));
    }

    #[test]
    fn an_equal_word_is_known_wholly_until_it_is_forgotten() {
        let mut facts = Facts::default();
        facts.add(WORD, Test::Equal(6), true);
        assert_eq!(facts.outcome(WORD, Test::AnyBit(2)), Some(true));
        assert_eq!(facts.outcome(WORD, Test::Masked { mask: 5, value: 4 }), Some(true));
        assert_eq!(facts.outcome(WORD, Test::Greater(6)), Some(false));
        assert_eq!(facts.outcome(Word(20), Test::Equal(6)), None);
        facts.forget();
        assert_eq!(facts.outcome(WORD, Test::AnyBit(2)), None);
    }

    #[test]
    fn bounds_close_in() {
        let mut facts = Facts::default();
        facts.add(WORD, Test::Greater(4), true);
        facts.add(WORD, Test::GreaterOrEqual(8), false);
        assert_eq!(facts.outcome(WORD, Test::Equal(4)), Some(false));
        assert_eq!(facts.outcome(WORD, Test::Equal(8)), Some(false));
        assert_eq!(facts.outcome(WORD, Test::GreaterOrEqual(5)), Some(true));
        assert_eq!(facts.outcome(WORD, Test::Greater(7)), Some(false));
        assert_eq!(facts.outcome(WORD, Test::Equal(6)), None);
        facts.add(WORD, Test::GreaterOrEqual(7), true);
        assert_eq!(facts.outcome(WORD, Test::Equal(7)), Some(true));
    }
}
