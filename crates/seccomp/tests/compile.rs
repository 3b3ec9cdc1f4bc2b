//! What filters answer, case by case.
#![allow(clippy::unwrap_used)] // Clippy knows the functions that are tests, not the files.

use corten_oci::{Seccomp, SyscallArg, SyscallRule};
use corten_seccomp::interpreter::{Data, check, run};
use corten_seccomp::{Arch, Error, Filter, compile};

const KILL: u32 = 0;
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn profile(default: &str, rules: Vec<SyscallRule>) -> Seccomp {
    Seccomp { default_action: default.into(), syscalls: rules, ..Seccomp::default() }
}

fn rule(names: &[&str], action: &str, args: Vec<SyscallArg>) -> SyscallRule {
    SyscallRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: action.into(),
        errno_ret: None,
        args,
    }
}

fn arg(index: u32, op: &str, value: u64, value_two: u64) -> SyscallArg {
    SyscallArg { index, value, value_two, op: op.into() }
}

fn compiled(profile: &Seccomp, native: Arch) -> Filter {
    let filter = compile(profile, native).unwrap();
    check(&filter.program).unwrap();
    filter
}

fn ask(filter: &Filter, arch: Arch, number: u32, arguments: &[u64]) -> u32 {
    let mut data = Data { number, arch: arch.audit(), ..Data::default() };
    data.arguments[..arguments.len()].copy_from_slice(arguments);
    run(&filter.program, &data).unwrap().answer
}

/// What a profile with one rule on the first argument of `personality` answers.
fn first_argument(arch: Arch, op: &str, value: u64, value_two: u64, argument: u64) -> bool {
    let rules = vec![rule(&["personality"], "SCMP_ACT_ALLOW", vec![arg(0, op, value, value_two)])];
    let filter = compiled(&profile("SCMP_ACT_ERRNO", rules), arch);
    let answer = ask(&filter, arch, arch.number("personality").unwrap(), &[argument]);
    assert!([ALLOW, EPERM].contains(&answer));
    answer == ALLOW
}

/// Values around which halves and signs change.
const BOUNDARIES: [u64; 16] = [
    0,
    1,
    2,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x1_ffff_ffff,
    0x2_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_0000_0000,
    0xffff_ffff_ffff_fffe,
    u64::MAX,
];

type Holds = fn(u64, u64) -> bool;
const OPERATORS: [(&str, Holds); 6] = [
    ("SCMP_CMP_NE", |a, b| a != b),
    ("SCMP_CMP_LT", |a, b| a < b),
    ("SCMP_CMP_LE", |a, b| a <= b),
    ("SCMP_CMP_EQ", |a, b| a == b),
    ("SCMP_CMP_GE", |a, b| a >= b),
    ("SCMP_CMP_GT", |a, b| a > b),
];

#[test]
fn operators_compare_64_bits_without_sign() {
    for arch in [Arch::X86_64, Arch::S390x] {
        for (op, holds) in OPERATORS {
            for value in BOUNDARIES {
                for argument in BOUNDARIES {
                    let expected = holds(argument, value);
                    assert_eq!(
                        first_argument(arch, op, value, 0, argument),
                        expected,
                        "{arch:?}: {argument:#x} {op} {value:#x}"
                    );
                }
            }
        }
    }
}

#[test]
fn operators_compare_32_bits_where_arguments_have_no_more() {
    for arch in [Arch::X86, Arch::Mips] {
        for (op, holds) in OPERATORS {
            for value in BOUNDARIES {
                for argument in BOUNDARIES {
                    let expected = holds(u64::from(argument as u32), u64::from(value as u32));
                    assert_eq!(
                        first_argument(arch, op, value, 0, argument),
                        expected,
                        "{arch:?}: {argument:#x} {op} {value:#x}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_mask_comes_first_and_the_value_second() {
    for mask in BOUNDARIES {
        for value in BOUNDARIES {
            for argument in BOUNDARIES {
                assert_eq!(
                    first_argument(Arch::X86_64, "SCMP_CMP_MASKED_EQ", mask, value, argument),
                    argument & mask == value & mask,
                    "{argument:#x} & {mask:#x} == {value:#x}"
                );
            }
        }
    }
}

#[test]
fn errors_name_what_they_do_not_know() {
    let mut wrong = profile("SCMP_ACT_X", vec![]);
    let error = compile(&wrong, Arch::X86_64).unwrap_err();
    assert!(error.to_string().starts_with("string SCMP_ACT_X is not a valid action for seccomp"));
    wrong = profile("SCMP_ACT_ALLOW", vec![rule(&["read"], "SCMP_ACT_Y", vec![])]);
    assert_eq!(compile(&wrong, Arch::X86_64), Err(Error::UnknownAction("SCMP_ACT_Y".into())));
}

#[test]
fn newer_calls_answer_enosys() {
    let filter = compiled(
        &profile("SCMP_ACT_ERRNO", vec![rule(&["read", "statx"], "SCMP_ACT_ALLOW", vec![])]),
        Arch::X86_64,
    );
    for (number, answer) in [(0, ALLOW), (1, EPERM), (332, ALLOW), (333, ENOSYS), (5000, ENOSYS)] {
        assert_eq!(ask(&filter, Arch::X86_64, number, &[]), answer, "{number}");
    }
    assert_eq!(ask(&filter, Arch::X86_64, 0x4000_0000, &[]), KILL);
    assert_eq!(ask(&filter, Arch::X86_64, u32::MAX, &[]), EPERM);
    assert_eq!(ask(&filter, Arch::X86, 3, &[]), KILL);
}
