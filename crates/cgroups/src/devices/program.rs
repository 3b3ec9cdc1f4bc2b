//! A policy as an eBPF program: it gets `struct bpf_cgroup_dev_ctx` (linux/bpf.h) and answers 1 or 0.
//!
//! Exceptions to "no" take the ways of access that they allow out of the request, and what is left over decides; an
//! exception to "yes" that has one of the ways decides at once.

use super::rules::{Access, Devices, Kind, Policy};

/// Registers: what is returned, the context, and what is read from it.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Operation codes (kernel: bpf/standardization/instruction-set.rst), all of them of 32 bits.
const LOAD: u8 = 0x61;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const JUMP_IF_ANY: u8 = 0x46;
const JUMP: u8 = 0x05;
const EXIT: u8 = 0x95;

/// An instruction: code, destination and source register, distance of a jump or of what is loaded, and a number.
fn instruction(code: u8, destination: u8, source: u8, offset: i16, number: i32) -> u64 {
    let registers =
        if cfg!(target_endian = "little") { destination | source << 4 } else { destination << 4 | source };
    let ([o0, o1], [n0, n1, n2, n3]) = (offset.to_ne_bytes(), number.to_ne_bytes());
    u64::from_ne_bytes([code, registers, o0, o1, n0, n1, n2, n3])
}

/// The program.
pub(crate) fn compile(policy: &Policy) -> Vec<u64> {
    let mut program = vec![
        instruction(LOAD, ACCESS, CONTEXT, 0, 0),
        instruction(LOAD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD, MINOR, CONTEXT, 8, 0),
        // The type is in the low half of the first word, the access in the high one.
        instruction(MOVE_REGISTER, TYPE, ACCESS, 0, 0),
        instruction(AND, TYPE, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
    ];
    for (devices, access) in &policy.exceptions {
        program.extend(exception(devices, *access, policy.allow));
    }
    // What is left of a request is refused. Nothing may follow that cannot be reached.
    if policy.allow {
        program.extend(answer(true));
    } else {
        program.push(instruction(JUMP_UNLESS_EQUAL, ACCESS, 0, 2, 0));
        program.extend(answer(true));
        program.extend(answer(false));
    }
    program
}

fn answer(allow: bool) -> [u64; 2] {
    [instruction(MOVE, ANSWER, 0, 0, i32::from(allow)), instruction(EXIT, 0, 0, 0, 0)]
}

fn exception(devices: &Devices, access: Access, allow: bool) -> Vec<u64> {
    let bits = i32::from(access.0);
    let then = match allow {
        false => vec![instruction(AND, ACCESS, 0, 0, !bits)],
        true => {
            let [answer, exit] = answer(false);
            // Over the next jump where there is one of the bits, and else over the answer.
            vec![instruction(JUMP_IF_ANY, ACCESS, 0, 1, bits), instruction(JUMP, 0, 0, 2, 0), answer, exit]
        }
    };
    let kind = match devices.kind {
        Kind::Block => 1,
        Kind::Character => 2,
    };
    let tests = [(TYPE, Some(kind)), (MAJOR, devices.major), (MINOR, devices.minor)];
    let tests: Vec<(u8, u32)> =
        tests.into_iter().filter_map(|(register, number)| Some((register, number?))).collect();
    let jump = |(index, (register, number)): (usize, &(u8, u32))| {
        let over = tests.len() - index - 1 + then.len();
        // Never more than a handful.
        let over = i16::try_from(over).unwrap_or(i16::MAX);
        instruction(JUMP_UNLESS_EQUAL, *register, 0, over, number.cast_signed())
    };
    let mut block: Vec<u64> = tests.iter().enumerate().map(jump).collect();
    block.extend(then);
    block
}

#[cfg(test)]
mod tests {
    use corten_oci::DeviceRule;
    use proptest::prelude::*;

    use super::super::rules::tests::{any_rule, judge, rule};
    use super::*;

    /// Runs a program as the kernel would.
    fn run(program: &[u64], context: [u32; 3]) -> bool {
        let mut registers = [0_u32; 11];
        let mut at = 0_usize;
        loop {
            let [code, pair, o0, o1, n0, n1, n2, n3] = program[at].to_ne_bytes();
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            let (offset, number) = (i16::from_ne_bytes([o0, o1]), i32::from_ne_bytes([n0, n1, n2, n3]));
            let (offset, number) = (usize::try_from(offset).unwrap(), number.cast_unsigned());
            at += 1;
            match code {
                LOAD => registers[to] = context[offset / 4],
                MOVE => registers[to] = number,
                MOVE_REGISTER => registers[to] = registers[from],
                AND => registers[to] &= number,
                SHIFT_RIGHT => registers[to] >>= number,
                JUMP_UNLESS_EQUAL if registers[to] != number => at += offset,
                JUMP_IF_ANY if registers[to] & number != 0 => at += offset,
                JUMP_UNLESS_EQUAL | JUMP_IF_ANY => {}
                JUMP => at += offset,
                EXIT => return registers[usize::from(ANSWER)] == 1,
                other => panic!("code {other:#x}"),
            }
        }
    }

    fn decides(rules: &[DeviceRule], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
        let program = compile(&Policy::of(rules).unwrap());
        let typ = if kind == Kind::Block { 1 } else { 2 };
        run(&program, [typ | u32::from(access) << 16, major, minor])
    }

    proptest! {
        #[test]
        fn a_program_decides_as_the_rules_do(rules in prop::collection::vec(any_rule(), 0..8)) {
            if Policy::of(&rules).is_err() {
                return Ok(());
            }
            for kind in [Kind::Block, Kind::Character] {
                for (major, minor) in [(0, 0), (0, 1), (1, 0), (2, 2), (7, 1)] {
                    for access in 1..8 {
                        prop_assert_eq!(
                            decides(&rules, kind, major, minor, access),
                            judge(&rules, kind, major, minor, Access(access))
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn large_numbers_are_compared_whole() {
        let rules = [rule(true, "c", i64::from(u32::MAX), 1 << 31, "r")];
        assert!(decides(&rules, Kind::Character, u32::MAX, 1 << 31, 2));
        assert!(!decides(&rules, Kind::Character, u32::MAX, 1, 2));
    }

    #[test]
    fn no_rules_is_no_device_and_a_short_program() {
        assert!(!decides(&[], Kind::Character, 1, 3, 2));
        assert_eq!(compile(&Policy { allow: true, ..Policy::default() }).len(), 8);
    }
}
