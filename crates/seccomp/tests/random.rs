//! Random profiles: the program answers what the profile says, read as simply as can be.
#![allow(clippy::unwrap_used)] // Clippy knows the functions that are tests, not the files.

#[path = "common/profiles.rs"]
mod profiles;

use corten_oci::{Seccomp, SyscallArg, SyscallRule};
use corten_seccomp::interpreter::{Data, check, run};
use corten_seccomp::{Arch, Error, compile};
use proptest::prelude::*;

const KILL: u32 = 0;

fn action(name: &str, errno: Option<u32>) -> u32 {
    match name {
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno.unwrap_or(1),
        "SCMP_ACT_ERRNO" => 0x0005_0000 | errno.unwrap_or(1),
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => KILL,
        other => panic!("{other}"),
    }
}

fn is_wide(arch: Arch) -> bool {
    use Arch::*;
    [Aarch64, Loongarch64, Mips64, Mipsel64, Parisc64, Ppc64, Ppc64le, Riscv64, S390x, X86_64].contains(&arch)
}

fn holds(arg: &SyscallArg, arch: Arch, arguments: &[u64; 6]) -> bool {
    let seen = if is_wide(arch) { u64::MAX } else { 0xffff_ffff };
    let argument = arguments[arg.index as usize] & seen;
    let (value, value_two) = (arg.value & seen, arg.value_two & seen);
    match arg.op.as_str() {
        "SCMP_CMP_NE" => argument != value,
        "SCMP_CMP_LT" => argument < value,
        "SCMP_CMP_LE" => argument <= value,
        "SCMP_CMP_EQ" => argument == value,
        "SCMP_CMP_GE" => argument >= value,
        "SCMP_CMP_GT" => argument > value,
        "SCMP_CMP_MASKED_EQ" => argument & value == value_two & value,
        other => panic!("{other}"),
    }
}

/// Whether an argument cannot make a difference.
fn always(arg: &SyscallArg, arch: Arch) -> bool {
    let seen = if is_wide(arch) { u64::MAX } else { 0xffff_ffff };
    arg.op == "SCMP_CMP_MASKED_EQ" && arg.value & seen == 0
}

/// The number of a call within the one that carries it, and that one's name.
fn carried(name: &str) -> Option<(&'static str, u64)> {
    let socket = [
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
    ];
    let ipc = [("semop", 1), ("semctl", 3), ("shmat", 21)];
    let of_socket = socket.iter().position(|known| *known == name).map(|at| ("socketcall", at as u64 + 1));
    let accept4 = (name == "accept4").then_some(("socketcall", 18));
    let of_ipc = ipc.iter().find(|(known, _)| *known == name).map(|(_, number)| ("ipc", *number));
    of_socket.or(accept4).or(of_ipc)
}

/// The answers of the rules that match: of those without conditions the first, else of all.
fn matching(profile: &Seccomp, arch: Arch, data: &Data) -> Vec<u32> {
    let default = action(&profile.default_action, profile.default_errno_ret);
    let mut found = Vec::new();
    for SyscallRule { names, action: name, errno_ret, args } in &profile.syscalls {
        let action = action(name, *errno_ret);
        if action == default {
            continue;
        }
        let twice = args.iter().enumerate().any(|(at, arg)| args[..at].iter().any(|a| a.index == arg.index));
        let alternatives: Vec<Vec<&SyscallArg>> = match twice {
            true => args.iter().map(|arg| vec![arg]).collect(),
            false => vec![args.iter().collect()],
        };
        for name in names {
            for alternative in &alternatives {
                let all = |args: &[&SyscallArg]| args.iter().all(|arg| holds(arg, arch, &data.arguments));
                if arch.number(name) == Some(data.number) && all(alternative) {
                    let unconditional = alternative.iter().all(|arg| always(arg, arch));
                    found.push((unconditional, action));
                }
                let Some((carrier, number)) = carried(name) else { continue };
                let others: Vec<_> = alternative.iter().copied().filter(|arg| arg.index != 0).collect();
                let seen = if is_wide(arch) { u64::MAX } else { 0xffff_ffff };
                if arch.number(carrier) == Some(data.number)
                    && data.arguments[0] & seen == number
                    && all(&others)
                {
                    found.push((false, action));
                }
            }
        }
    }
    match found.iter().find(|(unconditional, _)| *unconditional) {
        Some((_, action)) => vec![*action],
        None => found.into_iter().map(|(_, action)| action).collect(),
    }
}

/// What may be answered.
fn expected(profile: &Seccomp, archs: &[Arch], data: &Data) -> Vec<u32> {
    const X32: u32 = 0x4000_0000;
    let default = action(&profile.default_action, profile.default_errno_ret);
    let of_x32 = data.number & X32 != 0;
    let arch = archs.iter().copied().find(|arch| {
        arch.audit() == data.arch
            && match arch {
                Arch::X86_64 => !of_x32 || (data.number == u32::MAX && !archs.contains(&Arch::X32)),
                Arch::X32 => of_x32,
                _ => true,
            }
    });
    let Some(arch) = arch else { return vec![KILL] };
    let permits = [0x7fff_0000, 0x7ffc_0000, 0x7ff0_0000].contains(&(default & 0xffff_0000));
    let newest =
        profile.syscalls.iter().flat_map(|rule| &rule.names).filter_map(|name| arch.number(name)).max();
    if let (false, Some(newest @ 1..)) = (permits, newest) {
        let skipped = arch == Arch::X86_64 && data.number == u32::MAX;
        let carrier = matches!(arch, Arch::S390 | Arch::S390x) && data.number == 0;
        if (data.number > newest || carrier) && !skipped {
            return vec![if arch.name().contains("MIPS") { 0x0005_0059 } else { 0x0005_0026 }];
        }
    }
    // x86_64 alone has no numbers from x32's on.
    if arch == Arch::X86_64 && !archs.contains(&Arch::X32) && data.number >= X32 && data.number != u32::MAX {
        return vec![KILL];
    }
    match matching(profile, arch, data) {
        none if none.is_empty() => vec![default],
        found => found,
    }
}

fn judge(profile: &Seccomp, archs: &[Arch]) -> Result<(), TestCaseError> {
    let filter = match compile(profile, archs[0]) {
        Err(Error::Contradiction { .. }) => return Ok(()),
        filter => filter.unwrap(),
    };
    check(&filter.program).unwrap();
    for data in profiles::questions(profile, archs) {
        let answer = run(&filter.program, &data).unwrap().answer;
        let expected = expected(profile, archs, &data);
        prop_assert!(expected.contains(&answer), "{data:x?}: {answer:#x}, expected {expected:x?}");
    }
    Ok(())
}

/// A family of architectures, and a profile for it.
fn any_profile(agreeing: bool) -> impl Strategy<Value = (&'static [Arch], Seccomp)> {
    prop::sample::select(profiles::FAMILIES.to_vec())
        .prop_flat_map(move |archs| (Just(archs), profiles::profile(archs, agreeing)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_program_answers_what_the_profile_says((archs, profile) in any_profile(true)) {
        judge(&profile, archs)?;
    }

    #[test]
    fn where_rules_disagree_one_of_them_decides((archs, profile) in any_profile(false)) {
        judge(&profile, archs)?;
    }
}
