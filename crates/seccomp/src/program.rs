//! The whole program of a profile.

use crate::arch::{Arch, X32_BIT};
use crate::assemble::assemble;
use crate::decide::{Budget, Layout, decide};
use crate::error::Error;
use crate::graph::{Graph, Node, Test, Word};
use crate::instruction::Instruction;
use crate::profile::Profile;
use crate::ranges::Ranges;
use crate::verdicts::{Verdict, Verdicts};
use crate::vocabulary::Action;

/// The program of a profile.
pub(crate) fn program(profile: &Profile) -> Result<Vec<Instruction>, Error> {
    let (mut graph, mut budget) = (Graph::default(), Budget::default());
    let mut marks: Vec<u32> = profile.archs.iter().map(|arch| arch.audit()).collect();
    let mut seen = Vec::new();
    marks.retain(|mark| {
        !seen.contains(mark) && {
            seen.push(*mark);
            true
        }
    });
    // The last architecture is asked for first to be built, so that the native one is the first to be tried.
    let mut root = graph.answer(Action::KILL_THREAD);
    for mark in marks.into_iter().rev() {
        let archs: Vec<Arch> = profile.archs.iter().copied().filter(|arch| arch.audit() == mark).collect();
        let calls = calls(&mut graph, &mut budget, profile, &archs)?;
        root = graph.test(Word::ARCH, Test::Equal(mark), calls, root);
    }
    assemble(&graph, root)
}

/// What becomes of the system calls of architectures with the same mark: one, or x86_64 and x32.
fn calls(graph: &mut Graph, budget: &mut Budget, profile: &Profile, archs: &[Arch]) -> Result<Node, Error> {
    let default = graph.answer(profile.default);
    let mut numbers = Vec::new();
    let mut newest = Vec::new();
    for arch in archs {
        let verdicts = Verdicts::of(profile, *arch)?;
        let layout = Layout { wide: arch.wide(), little_endian: arch.little_endian() };
        let mut latest = (profile.default, default);
        for (number, verdict) in &verdicts.calls {
            let decision = match verdict {
                Verdict::Always(action) => {
                    // It is nearly always that of the call before.
                    if latest.0 != *action {
                        latest = (*action, graph.answer(*action));
                    }
                    latest.1
                }
                Verdict::First(clauses) => decide(graph, budget, clauses, profile.default, layout),
            };
            numbers.push((*number, decision));
        }
        newest.push((*arch, verdicts.newest));
    }
    // Those of x32 are beyond those of x86_64, but may come before them.
    numbers.sort_unstable_by_key(|(number, _)| *number);
    let mut ranges = Ranges::new(default, numbers.into_iter());
    let kill = graph.answer(Action::KILL_THREAD);
    match archs {
        // -1 is what a tracer makes a call into that is to be skipped (seccomp(2)).
        [Arch::X86_64] => ranges.set(X32_BIT..=u32::MAX - 1, kill),
        [Arch::X32] => ranges.set(0..=X32_BIT - 1, kill),
        _ => {}
    }
    if !profile.default.permits() {
        let unknown = graph.answer(Action::errno(profile.archs[0].enosys()));
        for (arch, newest) in newest {
            answer_newer(&mut ranges, arch, newest, unknown);
        }
    }
    Ok(ranges.search(graph))
}

/// Numbers beyond the highest that the profile names of this architecture get another answer; if it names none, it says
/// nothing of how old it is.
fn answer_newer(ranges: &mut Ranges, arch: Arch, newest: Option<u32>, answer: Node) {
    let Some(newest) = newest.filter(|newest| *newest != 0) else { return };
    const SIGN: u32 = 0x8000_0000;
    match arch {
        // x32 has all numbers with its bit, and x86_64 the others.
        Arch::X86_64 => {
            ranges.set(newest + 1..=X32_BIT - 1, answer);
            ranges.set(SIGN..=SIGN | (X32_BIT - 1), answer);
        }
        Arch::X32 => {
            ranges.set(newest + 1..=SIGN - 1, answer);
            ranges.set(SIGN | X32_BIT..=u32::MAX, answer);
        }
        _ => {
            if let Some(next) = newest.checked_add(1) {
                ranges.set(next..=u32::MAX, answer);
            }
            // A large number is carried by 0 here, and stays there if the kernel does not know it.
            if matches!(arch, Arch::S390 | Arch::S390x) {
                ranges.set(0..=0, answer);
            }
        }
    }
}
