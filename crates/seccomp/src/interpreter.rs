//! Runs a program as the kernel would: for tests, and to ask what a filter says of a system call without making it.

use crate::instruction::{Instruction, MOST_INSTRUCTIONS, code};

/// What a filter sees (linux/seccomp.h: `struct seccomp_data`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Number of the system call.
    pub number: u32,
    /// Architecture: [`Arch::audit`](crate::Arch::audit). Its byte order is that of the arguments.
    pub arch: u32,
    /// Where the call was made from.
    pub instruction_pointer: u64,
    /// Arguments.
    pub arguments: [u64; 6],
}

impl Data {
    /// The word at an offset.
    fn word(&self, offset: u32) -> Option<u32> {
        const LITTLE: u32 = 0x4000_0000;
        let upper = |offset: u32| (offset % 8 == 4) == (self.arch & LITTLE != 0);
        let half = |value: u64, upper: bool| if upper { (value >> 32) as u32 } else { value as u32 };
        match offset {
            0 => Some(self.number),
            4 => Some(self.arch),
            8 | 12 => Some(half(self.instruction_pointer, upper(offset))),
            16..64 if offset.is_multiple_of(4) => {
                Some(half(self.arguments[(offset as usize - 16) / 8], upper(offset)))
            }
            _ => None,
        }
    }
}

/// What came of running a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The answer: `SECCOMP_RET_…` with its value.
    pub answer: u32,
    /// How many instructions were carried out.
    pub steps: usize,
    /// Whether the answer needed more than number and architecture. Where not, and where it is "allow", the kernel
    /// remembers it and does not run the filter again (kernel/seccomp.c: `seccomp_is_const_allow`).
    pub looked_at_arguments: bool,
}

/// A program that the kernel would not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("instruction {at}: {reason}")]
pub struct Invalid {
    /// Index of the instruction.
    pub at: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Checks a program as the kernel does before it takes one (net/core/filter.c: `bpf_check_classic`, kernel/seccomp.c:
/// `seccomp_check_filter`): size, codes, offsets, jumps within the program, and an answer at the end.
pub fn check(program: &[Instruction]) -> Result<(), Invalid> {
    let invalid = |at, reason| Err(Invalid { at, reason });
    if program.is_empty() || program.len() > MOST_INSTRUCTIONS {
        return invalid(program.len(), "a program has from 1 to 4096 instructions");
    }
    for (at, instruction) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        match instruction.code {
            code::LOAD if Data::default().word(instruction.k).is_none() => {
                return invalid(at, "there is no such word");
            }
            code::LOAD | code::AND | code::RETURN => {}
            code::JUMP if instruction.k as usize >= left => return invalid(at, "jumps out of the program"),
            code::JUMP => {}
            code::JUMP_IF_EQUAL
            | code::JUMP_IF_GREATER
            | code::JUMP_IF_GREATER_OR_EQUAL
            | code::JUMP_IF_ANY_BIT => {
                if usize::from(instruction.jt.max(instruction.jf)) >= left {
                    return invalid(at, "jumps out of the program");
                }
            }
            _ => return invalid(at, "an unknown code"),
        }
    }
    match program.last() {
        Some(Instruction { code: code::RETURN, .. }) => Ok(()),
        _ => invalid(program.len() - 1, "the last instruction is no answer"),
    }
}

/// Runs a program.
///
/// # Errors
///
/// The program is not one that the kernel would take, as far as it was run: [`check`] finds all that is wrong.
pub fn run(program: &[Instruction], data: &Data) -> Result<Outcome, Invalid> {
    let (mut at, mut accumulator, mut steps, mut looked_at_arguments) = (0, 0_u32, 0, false);
    loop {
        let Some(Instruction { code, jt, jf, k }) = program.get(at).copied() else {
            return Err(Invalid { at, reason: "runs out of the program" });
        };
        at += 1;
        steps += 1;
        let jump = |taken: bool| usize::from(if taken { jt } else { jf });
        match code {
            code::LOAD => {
                looked_at_arguments |= k >= 8;
                accumulator = data.word(k).ok_or(Invalid { at: at - 1, reason: "there is no such word" })?;
            }
            code::AND => accumulator &= k,
            code::RETURN => return Ok(Outcome { answer: k, steps, looked_at_arguments }),
            code::JUMP => at += k as usize,
            code::JUMP_IF_EQUAL => at += jump(accumulator == k),
            code::JUMP_IF_GREATER => at += jump(accumulator > k),
            code::JUMP_IF_GREATER_OR_EQUAL => at += jump(accumulator >= k),
            code::JUMP_IF_ANY_BIT => at += jump(accumulator & k != 0),
            _ => return Err(Invalid { at: at - 1, reason: "an unknown code" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }
    const DONE: Instruction = instruction(code::RETURN, 0, 0, 7);

    #[test]
    fn words_lie_as_in_memory() {
        let arguments = [0x1111_2222_3333_4444, 0, 0, 0, 0, 0x5555_6666_7777_8888];
        let little = Data { number: 1, arch: 0x4000_0000, instruction_pointer: 2 << 32 | 3, arguments };
        let words = |data: Data| [0, 4, 8, 12, 16, 20, 60].map(|offset| data.word(offset));
        let expected = [1, 0x4000_0000, 3, 2, 0x3333_4444, 0x1111_2222, 0x5555_6666].map(Some);
        assert_eq!(words(little), expected);
        let expected = [1, 0, 2, 3, 0x1111_2222, 0x3333_4444, 0x7777_8888].map(Some);
        assert_eq!(words(Data { arch: 0, ..little }), expected);
        assert_eq!([2, 17, 64].map(|offset| little.word(offset)), [None; 3]);
    }

    #[test]
    fn what_the_kernel_would_not_take_is_found() {
        let reason =
            |program: &[Instruction]| check(program).err().map(|invalid| (invalid.at, invalid.reason));
        assert_eq!(reason(&[DONE]), None);
        assert_eq!(reason(&[]), Some((0, "a program has from 1 to 4096 instructions")));
        assert_eq!(reason(&[DONE; 4097]), Some((4097, "a program has from 1 to 4096 instructions")));
        assert_eq!(reason(&[instruction(code::LOAD, 0, 0, 64), DONE]), Some((0, "there is no such word")));
        assert_eq!(reason(&[instruction(code::JUMP, 0, 0, 1), DONE]), Some((0, "jumps out of the program")));
        assert_eq!(
            reason(&[instruction(code::JUMP_IF_EQUAL, 0, 1, 0), DONE]),
            Some((0, "jumps out of the program"))
        );
        assert_eq!(reason(&[instruction(0xff, 0, 0, 0), DONE]), Some((0, "an unknown code")));
        assert_eq!(
            reason(&[DONE, instruction(code::LOAD, 0, 0, 0)]),
            Some((1, "the last instruction is no answer"))
        );
        let endless = run(&[instruction(code::LOAD, 0, 0, 0)], &Data::default());
        assert_eq!(endless.map_err(|invalid| invalid.reason), Err("runs out of the program"));
    }
}
