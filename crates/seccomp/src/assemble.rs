//! A decision as a program of classic BPF (kernel: Documentation/networking/filter.rst, `bpf_check_classic`).

use std::collections::HashMap;

use crate::error::Error;
use crate::graph::{Graph, Node, Step, Test, Word};
use crate::instruction::{Instruction, MOST_INSTRUCTIONS, code};
use crate::vocabulary::Action;

/// The program that decides as the graph does from this node on.
pub(crate) fn assemble(graph: &Graph, root: Node) -> Result<Vec<Instruction>, Error> {
    let reachable = graph.reachable(root);
    let mut assembler = Assembler::new(graph, root, &reachable);
    for node in reachable {
        if let Step::Test { word, test, yes, no } = graph.step(node) {
            assembler.test(node, word, test, yes, no);
        }
    }
    if let Step::Answer(action) = graph.step(root) {
        assembler.answer(action);
    }
    let mut program = assembler.program;
    if program.len() > MOST_INSTRUCTIONS {
        return Err(Error::TooLarge { instructions: program.len() });
    }
    program.reverse();
    Ok(program)
}

/// Writes a program from its end: jumps lead forward only, so that their targets are written before them. Places are
/// counted from the end.
struct Assembler<'a> {
    graph: &'a Graph,
    program: Vec<Instruction>,
    /// Of each node that is a test: where it begins, and where with its word loaded already.
    places: Vec<(usize, usize)>,
    /// Whether a node is reached from where its word is not loaded.
    loads: Vec<bool>,
    /// Where there are answers and jumps to far places: the latest of each.
    answers: HashMap<Action, usize>,
    jumps: HashMap<usize, usize>,
}

impl<'a> Assembler<'a> {
    fn new(graph: &'a Graph, root: Node, reachable: &[Node]) -> Assembler<'a> {
        let mut loads = vec![false; root.index() + 1];
        loads[root.index()] = true;
        for node in reachable {
            if let Step::Test { word, test, yes, no } = graph.step(*node) {
                for next in [yes, no] {
                    loads[next.index()] |= !keeps(graph, word, test, next);
                }
            }
        }
        Assembler {
            graph,
            program: Vec::new(),
            places: vec![(0, 0); root.index() + 1],
            loads,
            answers: HashMap::new(),
            jumps: HashMap::new(),
        }
    }

    fn test(&mut self, node: Node, word: Word, test: Test, yes: Node, no: Node) {
        let [yes, no] = [yes, no].map(|next| self.landing(next, keeps(self.graph, word, test, next)));
        let [yes, no] = [yes, no].map(|place| self.reach(place));
        // Within reach, for `reach` leaves room for this.
        let distance = |place: usize| u8::try_from(self.program.len() - place - 1).unwrap_or(u8::MAX);
        let (jt, jf) = (distance(yes), distance(no));
        let (code, k) = match test {
            Test::Equal(value) | Test::Masked { value, .. } => (code::JUMP_IF_EQUAL, value),
            Test::Greater(value) => (code::JUMP_IF_GREATER, value),
            Test::GreaterOrEqual(value) => (code::JUMP_IF_GREATER_OR_EQUAL, value),
            Test::AnyBit(mask) => (code::JUMP_IF_ANY_BIT, mask),
        };
        self.program.push(Instruction { code, jt, jf, k });
        if let Test::Masked { mask, .. } = test {
            self.push(code::AND, mask);
        }
        let loaded = self.program.len() - 1;
        if self.loads[node.index()] {
            self.push(code::LOAD, word.0);
        }
        self.places[node.index()] = (self.program.len() - 1, loaded);
    }

    /// Where a node is, or what is put in its place.
    fn landing(&mut self, node: Node, loaded: bool) -> Landing {
        match (self.graph.step(node), self.places[node.index()]) {
            (Step::Answer(action), _) => Landing::Answer(action),
            (_, (_, place)) if loaded => Landing::Place(place),
            (_, (place, _)) => Landing::Place(place),
        }
    }

    /// A place near enough that leads there: another instruction is put in between if need be.
    fn reach(&mut self, landing: Landing) -> usize {
        // So much that both ways of a test can get such an instruction.
        const NEAR: usize = 250;
        let at = self.program.len();
        let near = |place: &usize| at - place <= NEAR;
        match landing {
            Landing::Answer(action) => match self.answers.get(&action).copied().filter(near) {
                Some(place) => place,
                None => self.answer(action),
            },
            Landing::Place(place) if near(&place) => place,
            Landing::Place(place) => match self.jumps.get(&place).copied().filter(near) {
                Some(jump) => jump,
                None => {
                    self.push(code::JUMP, u32::try_from(at - place - 1).unwrap_or(u32::MAX));
                    self.jumps.insert(place, at);
                    at
                }
            },
        }
    }

    fn answer(&mut self, action: Action) -> usize {
        self.push(code::RETURN, action.0);
        self.answers.insert(action, self.program.len() - 1);
        self.program.len() - 1
    }

    fn push(&mut self, code: u16, k: u32) {
        self.program.push(Instruction { code, jt: 0, jf: 0, k });
    }
}

enum Landing {
    Answer(Action),
    Place(usize),
}

/// Whether a node's word is loaded after this test.
fn keeps(graph: &Graph, loaded: Word, test: Test, next: Node) -> bool {
    let whole = !matches!(test, Test::Masked { .. });
    match graph.step(next) {
        Step::Answer(_) => true,
        Step::Test { word, .. } => whole && word == loaded,
    }
}
