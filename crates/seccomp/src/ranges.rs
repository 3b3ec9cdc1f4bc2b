//! What becomes of system calls by number: ranges with one decision each, and the way to find the right one.

use std::ops::RangeInclusive;

use crate::graph::{Graph, Node, Test, Word};

/// All numbers, each with its decision.
#[derive(Debug)]
pub(crate) struct Ranges(Vec<(u32, Node)>);

impl Ranges {
    /// Some numbers with a decision of their own, ascending, and one decision for all others.
    pub(crate) fn new(others: Node, numbers: impl Iterator<Item = (u32, Node)>) -> Ranges {
        let mut ranges = vec![(0, others)];
        for (number, decision) in numbers {
            match ranges.last_mut() {
                Some(last) if last.0 == number => last.1 = decision,
                _ => ranges.push((number, decision)),
            }
            if let Some(after) = number.checked_add(1) {
                ranges.push((after, others));
            }
        }
        Ranges(ranges)
    }

    /// Gives some numbers another decision.
    pub(crate) fn set(&mut self, numbers: RangeInclusive<u32>, decision: Node) {
        let (first, last) = numbers.into_inner();
        if first > last {
            return;
        }
        // The ranges that begin from `first` up to the end are replaced; the last of those reached goes on behind it.
        let start = self.0.partition_point(|(begin, _)| *begin < first);
        let end = self.0.partition_point(|(begin, _)| *begin <= last);
        let rest = last.checked_add(1).map(|after| (after, self.0[end - 1].1));
        let continues = self.0.get(end).is_some_and(|(begin, _)| Some(*begin) == last.checked_add(1));
        let rest = rest.filter(|_| !continues);
        self.0.splice(start..end, [Some((first, decision)), rest].into_iter().flatten());
    }

    /// The decision of all of them, by halving.
    pub(crate) fn search(mut self, graph: &mut Graph) -> Node {
        self.0.dedup_by_key(|(_, decision)| *decision);
        search(graph, &self.0)
    }
}

fn search(graph: &mut Graph, ranges: &[(u32, Node)]) -> Node {
    match ranges {
        [] => unreachable!("there is always a range from 0"),
        [(_, decision)] => *decision,
        // One number in the midst of others.
        [(_, before), (number, decision), (after, behind)] if before == behind && after - number == 1 => {
            graph.test(Word::NUMBER, Test::Equal(*number), *decision, *before)
        }
        _ => {
            let (below, from) = ranges.split_at(ranges.len() / 2);
            let yes = search(graph, from);
            let no = search(graph, below);
            graph.test(Word::NUMBER, Test::GreaterOrEqual(from[0].0), yes, no)
        }
    }
}
