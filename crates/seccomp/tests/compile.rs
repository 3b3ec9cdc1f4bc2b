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

fn error(profile: &Seccomp) -> Error {
    compile(profile, Arch::X86_64).unwrap_err()
}

#[test]
fn unknown_words_are_named() {
    let action = error(&profile("SCMP_ACT_X", vec![]));
    assert!(
        action.to_string().starts_with("string SCMP_ACT_X is not a valid action for seccomp; there are SCMP")
    );
    let action = error(&profile("SCMP_ACT_ALLOW", vec![rule(&["read"], "SCMP_ACT_Y", vec![])]));
    assert_eq!(action, Error::UnknownAction("SCMP_ACT_Y".into()));
    let args = vec![arg(0, "SCMP_CMP_Z", 1, 0)];
    let operator = error(&profile("SCMP_ACT_ALLOW", vec![rule(&["read"], "SCMP_ACT_ERRNO", args)]));
    assert_eq!(operator, Error::UnknownOperator("SCMP_CMP_Z".into()));
    let mut other = profile("SCMP_ACT_ALLOW", vec![]);
    other.architectures = vec!["SCMP_ARCH_VAX".into()];
    assert_eq!(error(&other), Error::UnknownArch("SCMP_ARCH_VAX".into()));
    other.architectures = vec!["SCMP_ARCH_S390X".into()];
    assert!(matches!(error(&other), Error::OtherByteOrder { arch: "SCMP_ARCH_S390X", .. }));
    let mut other = profile("SCMP_ACT_ALLOW", vec![]);
    other.flags = Some(vec!["SECCOMP_FILTER_FLAG_W".into()]);
    assert_eq!(error(&other), Error::UnknownFlag("SECCOMP_FILTER_FLAG_W".into()));
    assert!(
        error(&other).to_string().starts_with("seccomp flag SECCOMP_FILTER_FLAG_W is not known to corten")
    );
    assert_eq!(
        error(&profile("SCMP_ACT_ALLOW", vec![rule(&[""], "SCMP_ACT_LOG", vec![])])),
        Error::EmptyName
    );
    let args = vec![arg(6, "SCMP_CMP_EQ", 1, 0)];
    let index = error(&profile("SCMP_ACT_ALLOW", vec![rule(&["read"], "SCMP_ACT_ERRNO", args)]));
    assert_eq!(index, Error::ArgumentIndex(6));
}

#[test]
fn the_words_of_the_specification_are_known() {
    use corten_seccomp::{known_actions, known_archs, known_flags, known_operators};
    assert_eq!(known_actions().len(), 9);
    assert_eq!(known_operators().len(), 7);
    assert_eq!(known_archs().len(), 23);
    assert_eq!(known_flags().len(), 4);
    for words in [known_actions(), known_operators(), known_archs(), known_flags()] {
        assert!(words.is_sorted(), "{words:?}");
    }
    for arch in known_archs() {
        let native = Arch::from_name(arch).unwrap();
        compiled(&profile("SCMP_ACT_ERRNO", vec![rule(&["read"], "SCMP_ACT_ALLOW", vec![])]), native);
    }
}

#[test]
fn an_unknown_call_is_skipped_with_a_warning() {
    let rules = vec![rule(&["read", "frobnicate"], "SCMP_ACT_ALLOW", vec![])];
    let filter = compiled(&profile("SCMP_ACT_ERRNO", rules), Arch::X86_64);
    assert_eq!(filter.warnings, ["unknown system call \"frobnicate\" is skipped"]);
    assert_eq!(ask(&filter, Arch::X86_64, 0, &[]), ALLOW);
}

#[test]
fn actions_have_their_answers_and_values() {
    for (action, errno, answer) in [
        ("SCMP_ACT_KILL", None, 0),
        ("SCMP_ACT_KILL_THREAD", None, 0),
        ("SCMP_ACT_KILL_PROCESS", None, 0x8000_0000),
        ("SCMP_ACT_TRAP", None, 0x0003_0000),
        ("SCMP_ACT_ERRNO", None, EPERM),
        ("SCMP_ACT_ERRNO", Some(13), 0x0005_000d),
        ("SCMP_ACT_ERRNO", Some(0), 0x0005_0000),
        ("SCMP_ACT_TRACE", None, 0x7ff0_0001),
        ("SCMP_ACT_TRACE", Some(0xabcd), 0x7ff0_abcd),
        ("SCMP_ACT_LOG", None, 0x7ffc_0000),
        ("SCMP_ACT_NOTIFY", None, 0x7fc0_0000),
    ] {
        let rules = vec![SyscallRule { errno_ret: errno, ..rule(&["read"], action, vec![]) }];
        let filter = compiled(&profile("SCMP_ACT_ALLOW", rules), Arch::X86_64);
        assert_eq!(ask(&filter, Arch::X86_64, 0, &[]), answer, "{action}");
        assert_eq!(ask(&filter, Arch::X86_64, 1, &[]), ALLOW, "{action}");
        assert_eq!(filter.notifies, action == "SCMP_ACT_NOTIFY");
        if action == "SCMP_ACT_NOTIFY" {
            continue;
        }
        let all = Seccomp { default_errno_ret: errno, ..profile(action, vec![]) };
        assert_eq!(ask(&compiled(&all, Arch::X86_64), Arch::X86_64, 1, &[]), answer, "{action}");
    }
}

#[test]
fn error_numbers_have_an_effect_or_are_refused() {
    let with = |action: &str, errno| {
        let rules = vec![SyscallRule { errno_ret: Some(errno), ..rule(&["read"], action, vec![]) }];
        compile(&profile("SCMP_ACT_ALLOW", rules), Arch::X86_64).map(|_| ())
    };
    assert_eq!(with("SCMP_ACT_ERRNO", 4094), Ok(()));
    assert!(matches!(
        with("SCMP_ACT_ERRNO", 4095),
        Err(Error::ErrnoTooLarge { value: 4095, most: 4094, .. })
    ));
    assert_eq!(with("SCMP_ACT_TRACE", 0xffff), Ok(()));
    assert!(matches!(with("SCMP_ACT_TRACE", 0x1_0000), Err(Error::ErrnoTooLarge { field: "errnoRet", .. })));
    assert!(matches!(with("SCMP_ACT_KILL", 1), Err(Error::ErrnoUnused { field: "errnoRet", value: 1, .. })));
    let default = Seccomp { default_errno_ret: Some(1), ..profile("SCMP_ACT_ALLOW", vec![]) };
    let message = error(&default).to_string();
    assert_eq!(message, "seccomp defaultErrnoRet 1: SCMP_ACT_ALLOW takes no error number; leave it out");
}

#[test]
fn flags_are_bits_and_their_absence_is_one() {
    let with = |flags: Option<&[&str]>, action: &str| {
        let flags =
            flags.map(|flags| flags.iter().map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}")).collect());
        let profile = Seccomp { flags, ..profile("SCMP_ACT_ALLOW", vec![rule(&["read"], action, vec![])]) };
        let filter = compiled(&profile, Arch::X86_64);
        (filter.flags, filter.warnings.len())
    };
    assert_eq!(with(None, "SCMP_ACT_KILL"), (4, 0));
    assert_eq!(with(Some(&[]), "SCMP_ACT_KILL"), (0, 0));
    assert_eq!(with(Some(&["TSYNC"]), "SCMP_ACT_KILL"), (0, 0));
    assert_eq!(with(Some(&["LOG", "SPEC_ALLOW", "LOG"]), "SCMP_ACT_KILL"), (6, 0));
    assert_eq!(with(Some(&["WAIT_KILLABLE_RECV"]), "SCMP_ACT_NOTIFY"), (32, 0));
    // The kernel refuses it without a listener.
    assert_eq!(with(Some(&["WAIT_KILLABLE_RECV"]), "SCMP_ACT_KILL"), (0, 1));
}

#[test]
fn a_listener_is_neither_the_default_nor_asked_about_write() {
    assert_eq!(error(&profile("SCMP_ACT_NOTIFY", vec![])), Error::NotifyByDefault);
    let write = profile("SCMP_ACT_ALLOW", vec![rule(&["read", "write"], "SCMP_ACT_NOTIFY", vec![])]);
    assert_eq!(error(&write), Error::NotifyOnWrite);
}

#[test]
fn newer_calls_answer_enosys_unless_calls_are_let_through() {
    let named = vec![rule(&["read", "statx"], "SCMP_ACT_ALLOW", vec![])];
    let filter = compiled(&profile("SCMP_ACT_ERRNO", named.clone()), Arch::X86_64);
    for (number, answer) in [(0, ALLOW), (1, EPERM), (332, ALLOW), (333, ENOSYS), (5000, ENOSYS)] {
        assert_eq!(ask(&filter, Arch::X86_64, number, &[]), answer, "{number}");
    }
    // A tracer's way to skip a call.
    assert_eq!(ask(&filter, Arch::X86_64, u32::MAX, &[]), EPERM);
    for (default, answer) in
        [("SCMP_ACT_KILL_PROCESS", ENOSYS), ("SCMP_ACT_TRAP", ENOSYS), ("SCMP_ACT_LOG", 0x7ffc_0000)]
    {
        let filter = compiled(&profile(default, named.clone()), Arch::X86_64);
        assert_eq!(ask(&filter, Arch::X86_64, 333, &[]), answer, "{default}");
    }
    // What the rules say does not matter, only what they name.
    let denied = vec![rule(&["statx"], "SCMP_ACT_ERRNO", vec![])];
    let filter = compiled(&profile("SCMP_ACT_ERRNO", denied), Arch::X86_64);
    assert_eq!([332, 333].map(|number| ask(&filter, Arch::X86_64, number, &[])), [EPERM, ENOSYS]);
    // Who names nothing knows nothing.
    let filter = compiled(&profile("SCMP_ACT_ERRNO", vec![]), Arch::X86_64);
    assert_eq!(ask(&filter, Arch::X86_64, 5000, &[]), EPERM);
}

#[test]
fn on_s390_a_large_number_is_carried_by_zero() {
    let named = vec![rule(&["restart_syscall", "read"], "SCMP_ACT_ALLOW", vec![])];
    let filter = compiled(&profile("SCMP_ACT_ERRNO", named), Arch::S390x);
    assert_eq!([0, 3].map(|number| ask(&filter, Arch::S390x, number, &[])), [ENOSYS, ALLOW]);
}

#[test]
fn only_listed_architectures_get_through() {
    let mut listed = profile("SCMP_ACT_ALLOW", vec![rule(&["getppid"], "SCMP_ACT_ERRNO", vec![])]);
    let x32 = Arch::X32.number("getppid").unwrap();
    assert_eq!(x32, 0x4000_006e);
    let filter = compiled(&listed, Arch::X86_64);
    assert_eq!(ask(&filter, Arch::X86_64, 110, &[]), EPERM);
    assert_eq!(ask(&filter, Arch::X86, 64, &[]), KILL);
    assert_eq!(ask(&filter, Arch::X86_64, x32, &[]), KILL);
    assert_eq!(ask(&filter, Arch::Aarch64, 173, &[]), KILL);
    listed.architectures = vec!["SCMP_ARCH_X86".into(), "SCMP_ARCH_X32".into(), "SCMP_ARCH_X86".into()];
    let filter = compiled(&listed, Arch::X86_64);
    assert_eq!(ask(&filter, Arch::X86_64, 110, &[]), EPERM);
    assert_eq!(ask(&filter, Arch::X86, 64, &[]), EPERM);
    assert_eq!(ask(&filter, Arch::X86_64, x32, &[]), EPERM);
    assert_eq!(ask(&filter, Arch::X86_64, x32 + 1, &[]), ALLOW);
    assert_eq!(ask(&filter, Arch::X86, 110, &[]), ALLOW);
    assert_eq!(ask(&filter, Arch::Aarch64, 173, &[]), KILL);
}

#[test]
fn calls_that_others_carry_are_judged_there_too() {
    let rules = vec![
        rule(&["connect", "shmat"], "SCMP_ACT_ALLOW", vec![]),
        rule(&["socket"], "SCMP_ACT_ALLOW", vec![arg(0, "SCMP_CMP_NE", 40, 0)]),
    ];
    let filter = compiled(&profile("SCMP_ACT_ERRNO", rules), Arch::X86);
    let answers = |number, first: &[u64]| -> Vec<bool> {
        first.iter().map(|first| ask(&filter, Arch::X86, number, &[*first]) == ALLOW).collect()
    };
    // socketcall: socket is 1, bind 2, connect 3. ipc: shmat is 21.
    assert_eq!(answers(102, &[1, 2, 3, 40]), [true, false, true, false]);
    assert_eq!(answers(117, &[1, 21]), [false, true]);
    assert_eq!(answers(359, &[2, 40]), [true, false]);
    assert_eq!(answers(362, &[0]), [true]);
}

#[test]
fn conditions_on_one_argument_are_alternatives() {
    let args = vec![arg(0, "SCMP_CMP_EQ", 1, 0), arg(0, "SCMP_CMP_EQ", 2, 0), arg(1, "SCMP_CMP_EQ", 3, 0)];
    let filter = compiled(
        &profile("SCMP_ACT_ERRNO", vec![rule(&["personality"], "SCMP_ACT_ALLOW", args)]),
        Arch::X86_64,
    );
    for (arguments, allowed) in [([1, 0], true), ([2, 0], true), ([9, 3], true), ([9, 9], false)] {
        assert_eq!(ask(&filter, Arch::X86_64, 135, &arguments) == ALLOW, allowed, "{arguments:?}");
    }
}

#[test]
fn the_rule_without_conditions_wins_and_equality_comes_before_order() {
    let first = |rules: Vec<SyscallRule>, argument: u64| {
        let filter = compiled(&profile("SCMP_ACT_ERRNO", rules), Arch::X86_64);
        ask(&filter, Arch::X86_64, 135, &[argument])
    };
    let on = |action: &str, args: Vec<SyscallArg>| rule(&["personality"], action, args);
    let equal = on("SCMP_ACT_ALLOW", vec![arg(0, "SCMP_CMP_EQ", 5, 0)]);
    let always = on("SCMP_ACT_TRAP", vec![]);
    for rules in [vec![equal.clone(), always.clone()], vec![always.clone(), equal.clone()]] {
        assert_eq!(first(rules, 5), 0x0003_0000);
    }
    let greater = on("SCMP_ACT_KILL", vec![arg(0, "SCMP_CMP_GT", 1, 0)]);
    let much_greater = on("SCMP_ACT_LOG", vec![arg(0, "SCMP_CMP_GT", 10, 0)]);
    for rules in [
        vec![equal.clone(), greater.clone(), much_greater.clone()],
        vec![much_greater, greater, equal.clone()],
    ] {
        let answers = [0, 2, 5, 11].map(|argument| first(rules.clone(), argument));
        assert_eq!(answers, [EPERM, KILL, ALLOW, 0x7ffc_0000]);
    }
    // The same case twice: nobody can tell.
    let other = on("SCMP_ACT_KILL", vec![arg(0, "SCMP_CMP_EQ", 5, 0)]);
    let contradiction = error(&profile("SCMP_ACT_ERRNO", vec![equal.clone(), other.clone()]));
    assert!(matches!(contradiction, Error::Contradiction { syscall: "personality", .. }));
    // One exception behind the rule is lost, as with libseccomp; before it, it is refused.
    let longer = on("SCMP_ACT_KILL", vec![arg(0, "SCMP_CMP_EQ", 5, 0), arg(1, "SCMP_CMP_EQ", 0, 0)]);
    assert_eq!(first(vec![equal.clone(), longer.clone()], 5), ALLOW);
    assert!(compile(&profile("SCMP_ACT_ERRNO", vec![longer, equal]), Arch::X86_64).is_err());
}

/// Many rules on one call, each with its own answer: jumps are long, and the program is as large as it is told.
fn values(count: u64) -> Seccomp {
    let rules = (0..count).map(|value| SyscallRule {
        errno_ret: Some(u32::try_from(value % 4000).unwrap()),
        ..rule(&["personality"], "SCMP_ACT_ERRNO", vec![arg(0, "SCMP_CMP_EQ", value * 7, 0)])
    });
    profile("SCMP_ACT_ALLOW", rules.collect())
}

#[test]
fn long_jumps_reach() {
    let filter = compiled(&values(900), Arch::X86_64);
    assert!(filter.program.len() > 1000);
    for value in [0, 1, 254, 255, 256, 511, 899] {
        let expected = 0x0005_0000 | u32::try_from(value).unwrap();
        assert_eq!(ask(&filter, Arch::X86_64, 135, &[value * 7]), expected);
        assert_eq!(ask(&filter, Arch::X86_64, 135, &[value * 7 + 1]), ALLOW);
        assert_eq!(ask(&filter, Arch::X86_64, 135, &[(value * 7) | (1 << 32)]), ALLOW);
    }
    assert_eq!(ask(&filter, Arch::X86_64, 136, &[0]), ALLOW);
}

#[test]
fn a_program_that_the_kernel_would_not_take_is_an_error() {
    let error = error(&values(3000));
    assert!(matches!(error, Error::TooLarge { instructions: 4097.. }));
    assert!(error.to_string().contains("of which the kernel takes 4096"), "{error}");
}

#[test]
fn rules_that_could_multiply_do_not() {
    // Each pair of conditions is independent of the others: knowing all outcomes would need 2 to the power of 40 tests.
    let rules = (0..40_u64).map(|bit| {
        let args = vec![
            arg(0, "SCMP_CMP_MASKED_EQ", 3 << bit, 1 << bit),
            arg(1, "SCMP_CMP_MASKED_EQ", 3 << bit, 2 << bit),
        ];
        rule(&["personality"], "SCMP_ACT_ALLOW", args)
    });
    let filter = compiled(&profile("SCMP_ACT_ERRNO", rules.collect()), Arch::X86_64);
    assert!(filter.program.len() < 600, "{}", filter.program.len());
    assert_eq!(ask(&filter, Arch::X86_64, 135, &[1 << 20, 2 << 20]), ALLOW);
    assert_eq!(ask(&filter, Arch::X86_64, 135, &[1 << 20, 2 << 21]), EPERM);
}

/// Also in a thread with a small stack.
#[test]
fn no_profile_is_too_deep() {
    let rules = (1..60_000_u64).map(|bits| {
        let args = vec![
            arg(0, "SCMP_CMP_MASKED_EQ", bits << 2, bits << 2 & 0x5555_5555),
            arg(1, "SCMP_CMP_MASKED_EQ", bits << 2, bits << 2 & 0x3333_3333),
        ];
        rule(&["personality", "read"], "SCMP_ACT_ALLOW", args)
    });
    let profile = profile("SCMP_ACT_ERRNO", rules.collect());
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let error = small.spawn(move || error(&profile)).unwrap().join().unwrap();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn programs_are_small_and_do_not_look_at_arguments_without_need() {
    // Neighbours with the same answer are one range.
    let named = vec![rule(&["read", "write", "open", "close"], "SCMP_ACT_ALLOW", vec![])];
    let filter = compiled(&profile("SCMP_ACT_ERRNO", named), Arch::Aarch64);
    assert!(filter.program.len() <= 14, "{}", filter.program.len());
    // The kernel remembers what is allowed without a look at them.
    let rules = vec![
        rule(&["read"], "SCMP_ACT_ALLOW", vec![]),
        rule(&["personality"], "SCMP_ACT_ALLOW", vec![arg(0, "SCMP_CMP_EQ", 8, 0)]),
    ];
    let filter = compiled(&profile("SCMP_ACT_ERRNO", rules), Arch::X86_64);
    let looks = |number| {
        let data = Data { number, arch: Arch::X86_64.audit(), ..Data::default() };
        run(&filter.program, &data).unwrap().looked_at_arguments
    };
    assert_eq!([0, 1, 135, 136].map(looks), [false, false, true, false]);
}

#[test]
fn a_profile_of_nothing_is_none() {
    assert!(corten_seccomp::is_empty(&Seccomp::default()));
    assert!(!corten_seccomp::is_empty(&profile("SCMP_ACT_ALLOW", vec![])));
    assert_eq!(error(&Seccomp::default()), Error::UnknownAction(String::new()));
}

#[test]
fn instructions_survive_json() {
    let filter = compiled(&values(3), Arch::X86_64);
    let text = serde_json::to_string(&filter.program).unwrap();
    let read: Vec<corten_seccomp::Instruction> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, filter.program);
}
