//! corten-seccomp against libseccomp, used as runc uses it: by running both programs, and behind real filters.
#![allow(clippy::unwrap_used)] // Clippy knows the functions that are tests, not the files.

#[path = "../../crates/seccomp/tests/common/profiles.rs"]
mod profiles;

use std::process::ExitCode;

use corten_oci::{Seccomp, SyscallArg, SyscallRule};
use corten_oracle::child::{Became, Call, call};
use corten_oracle::{Judge, Libseccomp};
use corten_seccomp::interpreter::{Data, check, run};
use corten_seccomp::{Arch, Error, compile};
use corten_testkit::{CAPABILITIES, DEFAULT_CAPABILITIES, Engine, Failed, Suite};
use proptest::test_runner::{Config, TestError, TestRunner};

fn main() -> ExitCode {
    type Case = fn() -> Result<(), Failed>;
    let cases: [(&str, Case); 7] = [
        ("tables_agree", tables_agree),
        ("default_profiles_of_engines_answer_the_same", engines),
        ("default_profiles_of_engines_take_fewer_steps", steps),
        ("random_profiles_answer_the_same", random),
        ("random_profiles_answer_the_same_where_rules_disagree", random_disagreeing),
        ("the_kernel_answers_as_the_interpreter_does", kernel),
        ("the_kernel_tells_architectures_apart", kernel_architectures),
    ];
    let mut suite = Suite::new();
    for (name, case) in cases {
        suite = match Libseccomp::PRESENT {
            true => suite.case(name, case),
            false => suite.ignored(name, "needs libseccomp.a (Debian: libseccomp-dev)"),
        };
    }
    suite.run()
}

/// How many random profiles; `CORTEN_ORACLE_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("CORTEN_ORACLE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(600)
}

/// libseccomp's number, if it has one, and whether it knows the name at all.
fn number(arch: Arch, name: &str) -> (Option<u32>, bool) {
    let token = if arch == Arch::X32 { 0x4000_003e } else { arch.audit() };
    let number = Libseccomp::number(token, name);
    (u32::try_from(number).ok(), number != -1)
}

/// Whether the library is old enough to lack an architecture.
fn lacks(arch: Arch) -> bool {
    !number(arch, "exit").1
}

/// Architectures on which `socketcall` and `ipc` stand for others: the library has made-up numbers for those there.
fn carries(arch: Arch) -> bool {
    arch.number("ipc").is_some()
}

const CARRIED: [&str; 32] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
];

/// Takes out what libseccomp is too old for: names that it does not know, or not on each of these architectures.
fn known_to_both(profile: &Seccomp, archs: &[Arch]) -> Seccomp {
    let agree = |name: &String| {
        archs.iter().all(|arch| {
            let (theirs, known) = number(*arch, name);
            let carried = carries(*arch) && CARRIED.contains(&name.as_str());
            arch.number(name) == theirs && (known || theirs.is_none()) || carried
        }) && (number(archs[0], name).1 || Arch::all().all(|arch| arch.number(name).is_none()))
    };
    let mut profile = profile.clone();
    for rule in &mut profile.syscalls {
        rule.names.retain(agree);
    }
    profile
}

/// Takes out rules where libseccomp does not do what they say, so that it can be no judge (seen in 2.5.4 and 2.6.0):
///
/// - Where a rule with several conditions fails at a later one, the next rule's test can be made of the word that was
///   loaded for that condition (gen_bpf.c: `_gen_bpf_chain` takes the tests of one level as following each other).
/// - Where two rules compare the same argument of 64 bits by order, and the upper halves of what they compare with are
///   the same, a part of the second gets lost (db.c: `_db_tree_add` returns once the first node has been dealt with).
/// - Where two that do not agree exclude different values with the same upper half, the first decides for arguments with
///   another upper half, and for others the one with the greater value.
fn as_said(profile: &Seccomp, archs: &[Arch], agreeing: bool) -> Seccomp {
    let mut profile = profile.clone();
    let carrying = archs.iter().any(|arch| carries(*arch));
    // Calls that have a rule with conditions, whether it has several, and arguments that are not to be met again.
    let mut calls: Vec<(String, bool, Vec<u32>)> = Vec::new();
    let once = |op: &str| match op {
        "SCMP_CMP_LT" | "SCMP_CMP_LE" | "SCMP_CMP_GE" | "SCMP_CMP_GT" => true,
        "SCMP_CMP_NE" => !agreeing,
        _ => false,
    };
    profile.syscalls.retain(|rule| {
        let mut indices: Vec<u32> = rule.args.iter().map(|arg| arg.index).collect();
        indices.sort_unstable();
        let twice = indices.windows(2).any(|pair| pair[0] == pair[1]);
        let met: Vec<u32> = rule.args.iter().filter(|arg| once(&arg.op)).map(|arg| arg.index).collect();
        let met_twice = met.iter().enumerate().any(|(at, index)| met[..at].contains(index));
        let carrier = |name: &String| match CARRIED.iter().position(|known| known == name) {
            Some(0..20) if carrying => {
                vec![("socketcall".to_owned(), rule.args.iter().any(|arg| arg.index != 0))]
            }
            Some(_) if carrying => vec![("ipc".to_owned(), rule.args.iter().any(|arg| arg.index != 0))],
            _ => vec![],
        };
        let several = rule.args.len() > 1 && !twice;
        let named = rule.names.iter().filter(|_| !rule.args.is_empty()).map(|name| (name.clone(), several));
        let keys: Vec<(String, bool)> = named.chain(rule.names.iter().flat_map(carrier)).collect();
        let free = |at: usize, (name, several): &(String, bool)| {
            let mut before = calls.iter().filter(|(known, ..)| known == name);
            let again = keys[..at].iter().any(|(known, before)| known == name && (*before || *several));
            !again
                && before.all(|(_, had_several, had_met)| {
                    !several && !had_several && met.iter().all(|index| !had_met.contains(index))
                })
        };
        let kept = !met_twice && keys.iter().enumerate().all(|(at, key)| free(at, key));
        for (name, several) in keys.into_iter().filter(|_| kept) {
            calls.push((name, several, met.clone()));
        }
        kept
    });
    profile
}

/// Asks both about everything. `None`: libseccomp refuses the profile, or makes a program of it that is no judge.
fn compare(profile: &Seccomp, archs: &[Arch], optimize: bool) -> Result<Option<usize>, String> {
    let judge = match Judge::compile(profile, archs[0], optimize) {
        Ok(judge) if judge.forgets_number() => return Ok(None),
        Ok(judge) => judge,
        Err(refused) if refused.is_contradiction() => return Ok(None),
        Err(refused) => return Err(format!("libseccomp: {refused:?}")),
    };
    let filter = compile(profile, archs[0]).map_err(|error| error.to_string())?;
    check(&filter.program).map_err(|error| error.to_string())?;
    let questions = profiles::questions(profile, archs);
    for data in &questions {
        let answer = run(&filter.program, data).map_err(|error| error.to_string())?.answer;
        let theirs = judge.answer(data);
        if answer != theirs {
            return Err(format!("{data:x?}: {answer:#x}, libseccomp says {theirs:#x}"));
        }
    }
    Ok(Some(questions.len()))
}

/// Every name has the same number in both, where libseccomp is new enough to know it.
fn tables_agree() -> Result<(), Failed> {
    let mut compared = 0;
    for arch in Arch::all().filter(|arch| !lacks(*arch)) {
        for name in NAMES.lines().filter_map(|line| line.split(' ').next()) {
            if let (Some(theirs), _) = number(arch, name) {
                // A number that PA-RISC's headers no longer have.
                if (arch, name) == (Arch::Parisc64, "_llseek") {
                    continue;
                }
                compared += 1;
                if arch.number(name) != Some(theirs) {
                    let ours = arch.number(name);
                    return Err(format!("{name} on {arch:?}: {ours:?}, libseccomp says {theirs}").into());
                }
            }
        }
    }
    println!("{compared} numbers agree");
    if compared > 5000 { Ok(()) } else { Err(format!("only {compared} numbers were compared").into()) }
}

/// All names of the tables.
const NAMES: &str = concat!(
    include_str!("../../crates/seccomp/src/tables/x86.txt"),
    include_str!("../../crates/seccomp/src/tables/x86_64.txt"),
    include_str!("../../crates/seccomp/src/tables/arm.txt"),
    include_str!("../../crates/seccomp/src/tables/aarch64.txt"),
    include_str!("../../crates/seccomp/src/tables/mips.txt"),
    include_str!("../../crates/seccomp/src/tables/parisc.txt"),
    include_str!("../../crates/seccomp/src/tables/ppc.txt"),
    include_str!("../../crates/seccomp/src/tables/riscv64.txt"),
    include_str!("../../crates/seccomp/src/tables/s390.txt"),
);

/// The profiles of Docker and Podman, with few and with all capabilities, on every architecture that they know.
fn engines() -> Result<(), Failed> {
    let natives = [
        Arch::X86_64,
        Arch::X86,
        Arch::Aarch64,
        Arch::Arm,
        Arch::Riscv64,
        Arch::Ppc64le,
        Arch::S390x,
        Arch::Mips64,
    ];
    let (mut asked, mut left_out) = (0, 0);
    for engine in [Engine::Docker, Engine::Podman] {
        for native in natives {
            for capabilities in [&DEFAULT_CAPABILITIES[..], &CAPABILITIES[..], &[]] {
                let profile = engine.profile(native.name(), capabilities);
                let archs = archs(&profile, native);
                let known = known_to_both(&profile, &archs);
                left_out += names(&profile) - names(&known);
                for optimize in [false, true] {
                    let compared = compare(&known, &archs, optimize)
                        .map_err(|error| format!("{engine:?} on {native:?}: {error}"))?;
                    asked += compared.ok_or("libseccomp refused it")?;
                }
            }
        }
    }
    println!("{asked} answers agree; {left_out} names left out that this libseccomp does not know");
    Ok(())
}

/// Steps are what a filter costs. Over all calls of the native architecture there are fewer than in libseccomp's tree, its
/// faster program, and for no call more than two more.
fn steps() -> Result<(), Failed> {
    for engine in [Engine::Docker, Engine::Podman] {
        for native in [Arch::X86_64, Arch::Aarch64] {
            let profile = engine.profile(native.name(), &DEFAULT_CAPABILITIES);
            let archs = archs(&profile, native);
            let known = known_to_both(&profile, &archs);
            let tree =
                Judge::compile(&known, native, true).map_err(|refused| format!("{refused:?}"))?.program;
            let ours = compile(&known, native)?.program;
            let mut sums = [0, 0];
            let questions = profiles::questions(&known, &archs);
            for data in questions.iter().filter(|data| data.arch == native.audit()) {
                let steps = [run(&ours, data)?.steps, run(&tree, data)?.steps];
                sums = [sums[0] + steps[0], sums[1] + steps[1]];
                if steps[0] > steps[1] + 2 {
                    return Err(format!("{engine:?} on {native:?}: {data:x?}: {steps:?} steps").into());
                }
            }
            println!("{engine:?} on {native:?}: {} steps, libseccomp's tree has {}", sums[0], sums[1]);
            if sums[0] >= sums[1] {
                return Err(format!("{engine:?} on {native:?}: {sums:?} steps").into());
            }
        }
    }
    Ok(())
}

/// The native architecture and those that a profile names.
fn archs(profile: &Seccomp, native: Arch) -> Vec<Arch> {
    let mut archs = vec![native];
    archs.extend(profile.architectures.iter().filter_map(|name| Arch::from_name(name)));
    archs.sort_by_key(|arch| *arch != native);
    archs.dedup();
    archs
}

fn names(profile: &Seccomp) -> usize {
    profile.syscalls.iter().map(|rule| rule.names.len()).sum()
}

fn random() -> Result<(), Failed> {
    random_profiles(true)
}

fn random_disagreeing() -> Result<(), Failed> {
    random_profiles(false)
}

/// Random profiles, the same on every run.
fn random_profiles(agreeing: bool) -> Result<(), Failed> {
    use proptest::prelude::*;
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let families = profiles::FAMILIES.iter().filter(|archs| !archs.iter().any(|arch| lacks(*arch)));
    let families: Vec<_> = families.copied().collect();
    let any = prop::sample::select(families)
        .prop_flat_map(|archs| (Just(archs), profiles::profile(archs, agreeing), any::<bool>()));
    let counts = [const { std::cell::Cell::new(0) }; 3];
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let outcome = runner.run(&any, |(archs, profile, optimize)| {
        let profile = as_said(&known_to_both(&profile, archs), archs, agreeing);
        let refused = matches!(compile(&profile, archs[0]), Err(Error::Contradiction { .. }));
        let count = |index: usize, by: usize| counts[index].set(counts[index].get() + by);
        if refused {
            count(2, 1);
            return match Judge::compile(&profile, archs[0], optimize) {
                Ok(_) => Err(TestCaseError::fail("refused, but libseccomp takes it")),
                Err(_) => Ok(()),
            };
        }
        match compare(&profile, archs, optimize).map_err(TestCaseError::fail)? {
            Some(asked) => count(0, asked),
            None => count(1, 1),
        }
        Ok(())
    });
    let [asked, theirs, ours] = counts.map(|count| count.get());
    println!("{asked} answers agree; libseccomp refused {theirs} profiles, corten {ours}");
    match outcome {
        Ok(()) if asked > 0 => Ok(()),
        Ok(()) => Err("nothing was compared".into()),
        Err(TestError::Fail(reason, (archs, profile, optimize))) => {
            let profile = serde_json::to_string(&profile)?;
            Err(format!("{reason}\n{archs:?}, tree: {optimize}\n{profile}").into())
        }
        Err(TestError::Abort(reason)) => Err(reason.message().into()),
    }
}

/// A rule on arguments of getppid(2), which has none: the kernel does not care for them, and a filter can.
fn rule(
    action: &str,
    errno_ret: Option<u32>,
    index: u32,
    op: &str,
    value: u64,
    value_two: u64,
) -> SyscallRule {
    let arg = SyscallArg { index, value, value_two, op: op.into() };
    SyscallRule { names: vec!["getppid".into()], action: action.into(), errno_ret, args: vec![arg] }
}

/// A profile that lets getppid(2) through but for some arguments.
fn sample() -> Seccomp {
    let all = |names: &[&str], action: &str| SyscallRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: action.into(),
        ..SyscallRule::default()
    };
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".into(),
        default_errno_ret: Some(77),
        architectures: vec!["SCMP_ARCH_X86_64".into(), "SCMP_ARCH_X86".into(), "SCMP_ARCH_X32".into()],
        flags: Some(vec!["SECCOMP_FILTER_FLAG_SPEC_ALLOW".into()]),
        syscalls: vec![
            all(&["exit_group", "exit", "statx"], "SCMP_ACT_ALLOW"),
            all(&["getpgrp"], "SCMP_ACT_TRAP"),
            all(&["gettid"], "SCMP_ACT_KILL_PROCESS"),
            all(&["getuid"], "SCMP_ACT_LOG"),
            rule("SCMP_ACT_ERRNO", Some(100), 0, "SCMP_CMP_EQ", 0x1_0000_0002, 0),
            rule("SCMP_ACT_ERRNO", Some(101), 1, "SCMP_CMP_GT", 0xffff_ffff, 0),
            rule("SCMP_ACT_ERRNO", Some(102), 2, "SCMP_CMP_MASKED_EQ", 0xff00_0000_00ff, 0x1200_0000_0034),
            rule("SCMP_ACT_ERRNO", Some(103), 3, "SCMP_CMP_LE", 5, 0),
            rule("SCMP_ACT_ALLOW", None, 4, "SCMP_CMP_NE", 9, 0),
        ],
        ..Seccomp::default()
    }
}

fn calls() -> Vec<(u32, [u64; 6])> {
    let native = |name: &str| Arch::native().number(name).unwrap();
    let mut calls: Vec<(u32, [u64; 6])> = [
        [0, 0, 0, 6, 0, 0],
        [0x1_0000_0002, 0, 0, 6, 0, 0],
        [2, 0, 0, 6, 0, 0],
        [0, 0xffff_ffff, 0, 6, 0, 0],
        [0, 0x1_0000_0000, 0, 6, 0, 0],
        [0, u64::MAX, 0, 6, 0, 0],
        [0, 0, 0xab12_cd00_ff34, 6, 0, 0],
        [0, 0, 0xab13_cd00_ff34, 6, 0, 0],
        [0, 0, 0, 5, 0, 0],
        [0, 0, 0, 0x1_0000_0000, 0, 0],
        [0, 0, 0, 6, 9, 0],
        [0, 0, 0, 6, 0x1_0000_0009, 0],
    ]
    .map(|arguments| (native("getppid"), arguments))
    .to_vec();
    for name in ["getpgrp", "gettid", "getuid", "getgid", "sched_yield"] {
        calls.push((native(name), [0, 0, 0, 6, 0, 0]));
    }
    calls.extend([(native("statx") + 1, [0; 6]), (5000, [0; 6]), (0x8000_0000, [0; 6])]);
    calls
}

/// What should become of a call that gets this answer.
fn agrees(answer: u32, became: Became) -> bool {
    let value = i64::from(answer & 0xffff);
    match answer & 0xffff_0000 {
        0x8000_0000 | 0 | 0x0003_0000 => became == Became::Ended(libc::SIGSYS),
        0x0005_0000 => became == Became::Returned(-value),
        // Nothing of what is let through here fails.
        _ => matches!(became, Became::Returned(0..)),
    }
}

/// Both programs behind a real filter.
fn kernel() -> Result<(), Failed> {
    let profile = sample();
    let filter = compile(&profile, Arch::native())?;
    let judge = Judge::compile(&profile, Arch::native(), true).map_err(|refused| format!("{refused:?}"))?;
    for (number, arguments) in calls() {
        let data = Data { number, arch: Arch::native().audit(), instruction_pointer: 0, arguments };
        let answer = run(&filter.program, &data)?.answer;
        assert_eq!(answer, judge.answer(&data), "{data:x?}");
        let became = call(&filter.program, filter.flags, Call { number, compat: false, arguments })?;
        if !agrees(answer, became) {
            return Err(format!("{data:x?}: {answer:#x}, but {became:?}").into());
        }
    }
    Ok(())
}

/// Calls of 32 bits and of x32: each gets the answer of its own architecture.
fn kernel_architectures() -> Result<(), Failed> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    let profile = sample();
    let filter = compile(&profile, Arch::native())?;
    let narrow = Seccomp { architectures: vec!["SCMP_ARCH_X86_64".into()], ..profile };
    let narrow = compile(&narrow, Arch::native())?;
    for (arch, name) in
        [(Arch::X86, "getppid"), (Arch::X86, "getpgrp"), (Arch::X32, "getgid"), (Arch::X32, "getpgrp")]
    {
        let number = arch.number(name).unwrap();
        for first in [0, 2, 9] {
            // A program of 32 bits has no upper halves.
            let arguments = [first, 0, 0, 6, first, 0];
            let data = Data { number, arch: arch.audit(), instruction_pointer: 0, arguments };
            let asked = Call { number, compat: arch == Arch::X86, arguments };
            let answer = run(&filter.program, &data)?.answer;
            let became = call(&filter.program, filter.flags, asked)?;
            // A kernel without x32 or without 32-bit programs refuses what the filter lets through.
            let absent = answer == 0x7fff_0000 && became == Became::Returned(-i64::from(libc::ENOSYS));
            if !agrees(answer, became) && !absent {
                return Err(format!("{arch:?}, {data:x?}: {answer:#x}, but {became:?}").into());
            }
            let became = call(&narrow.program, narrow.flags, asked)?;
            if became != Became::Ended(libc::SIGSYS) {
                return Err(format!("{arch:?} is not covered, but {became:?}").into());
            }
        }
    }
    Ok(())
}
