//! Instructions of classic BPF.

use serde::{Deserialize, Serialize};

/// An instruction (linux/filter.h: `struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Instruction {
    /// Operation code.
    pub code: u16,
    /// How many instructions to leave out if a test holds.
    pub jt: u8,
    /// How many if it does not.
    pub jf: u8,
    /// Operand: a number, an offset, an answer, or how many instructions to leave out.
    pub k: u32,
}

/// The most instructions that the kernel takes (linux/bpf_common.h: `BPF_MAXINSNS`).
pub(crate) const MOST_INSTRUCTIONS: usize = 4096;

/// Operation codes (linux/bpf_common.h, linux/filter.h).
pub(crate) mod code {
    pub(crate) const LOAD: u16 = 0x20;
    pub(crate) const AND: u16 = 0x54;
    pub(crate) const RETURN: u16 = 0x06;
    pub(crate) const JUMP: u16 = 0x05;
    pub(crate) const JUMP_IF_EQUAL: u16 = 0x15;
    pub(crate) const JUMP_IF_GREATER: u16 = 0x25;
    pub(crate) const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
    pub(crate) const JUMP_IF_ANY_BIT: u16 = 0x45;
}
