//! A decision as a graph: tests of the words that a filter sees, and answers. Equal parts are there once.

use std::collections::HashMap;

use crate::vocabulary::Action;

/// A word of `struct seccomp_data` (linux/seccomp.h): its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Word(pub(crate) u32);

impl Word {
    /// The number of the system call.
    pub(crate) const NUMBER: Word = Word(0);
    /// The architecture.
    pub(crate) const ARCH: Word = Word(4);

    /// The lower or upper half of an argument.
    pub(crate) fn of_argument(argument: u8, upper: bool, little_endian: bool) -> Word {
        Word(16 + 8 * u32::from(argument) + if upper == little_endian { 4 } else { 0 })
    }
}

/// A test of a word, without signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Test {
    Equal(u32),
    Greater(u32),
    GreaterOrEqual(u32),
    /// Whether one of these bits is set.
    AnyBit(u32),
    /// Whether, of the bits of the mask, exactly these are set.
    Masked {
        mask: u32,
        value: u32,
    },
}

impl Test {
    pub(crate) fn holds(self, word: u32) -> bool {
        match self {
            Test::Equal(value) => word == value,
            Test::Greater(value) => word > value,
            Test::GreaterOrEqual(value) => word >= value,
            Test::AnyBit(mask) => word & mask != 0,
            Test::Masked { mask, value } => word & mask == value,
        }
    }
}

/// A node of a [`Graph`]. What it leads to was made before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node(usize);

impl Node {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Answer(Action),
    Test { word: Word, test: Test, yes: Node, no: Node },
}

/// Nodes, each of which leads to earlier ones only.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    steps: Vec<Step>,
    known: HashMap<Step, Node>,
}

impl Graph {
    pub(crate) fn answer(&mut self, action: Action) -> Node {
        self.node(Step::Answer(action))
    }

    pub(crate) fn test(&mut self, word: Word, test: Test, yes: Node, no: Node) -> Node {
        if yes == no { yes } else { self.node(Step::Test { word, test, yes, no }) }
    }

    fn node(&mut self, step: Step) -> Node {
        *self.known.entry(step).or_insert_with(|| {
            self.steps.push(step);
            Node(self.steps.len() - 1)
        })
    }

    pub(crate) fn step(&self, node: Node) -> Step {
        self.steps[node.0]
    }

    /// All nodes that can be reached from this one, in the order in which they were made.
    pub(crate) fn reachable(&self, root: Node) -> Vec<Node> {
        let mut reached = vec![false; root.0 + 1];
        reached[root.0] = true;
        for index in (0..=root.0).rev() {
            if let (true, Step::Test { yes, no, .. }) = (reached[index], self.steps[index]) {
                reached[yes.0] = true;
                reached[no.0] = true;
            }
        }
        (0..=root.0).filter(|index| reached[*index]).map(Node).collect()
    }
}
