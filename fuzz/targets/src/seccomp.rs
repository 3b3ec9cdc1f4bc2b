//! The seccomp compiler.

use corten_oci::Seccomp;
use corten_seccomp::interpreter::{Data, check, run};
use corten_seccomp::{Arch, compile};

/// A profile is refused, or means a program that the kernel takes, which answers every call with what the profile has.
pub fn seccomp(data: &[u8]) {
    let Ok(profile) = serde_json::from_slice::<Seccomp>(data) else { return };
    let natives = [Arch::X86_64, Arch::Aarch64, Arch::S390x, Arch::Mips];
    let native = natives[data.len() % natives.len()];
    let filter = match compile(&profile, native) {
        Ok(filter) => filter,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(compile(&profile, native).as_ref(), Ok(&filter), "another time it is another program");
    if let Err(invalid) = check(&filter.program) {
        panic!("{invalid}");
    }
    let answers = answers(&profile);
    for data in questions(native) {
        match run(&filter.program, &data) {
            Ok(outcome) => {
                let answer = outcome.answer;
                assert!(answers.contains(&(answer & ACTION)), "{data:x?} gets {answer:#x}");
            }
            Err(invalid) => panic!("{data:x?}: {invalid}"),
        }
    }
}

/// The part of an answer that is no number of the action's own (linux/seccomp.h: `SECCOMP_RET_ACTION_FULL`).
const ACTION: u32 = 0xffff_0000;
const KILL_THREAD: u32 = 0;
const ERRNO: u32 = 0x0005_0000;

/// What may be answered: what the profile names, the end of calls that are not covered, and `ENOSYS` for newer ones.
fn answers(profile: &Seccomp) -> Vec<u32> {
    let action = |name: &str| match name {
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_ERRNO" => ERRNO,
        _ => KILL_THREAD,
    };
    let named = profile.syscalls.iter().map(|rule| action(&rule.action));
    named.chain([action(&profile.default_action), KILL_THREAD, ERRNO]).collect()
}

/// Some calls of the native architecture and of others.
fn questions(native: Arch) -> impl Iterator<Item = Data> {
    const NUMBERS: [u32; 8] = [0, 1, 59, 102, 435, 4001, 0x4000_0001, u32::MAX];
    const ARGUMENTS: [u64; 4] = [0, 1, 0x8000_0000, u64::MAX];
    let archs = [native, Arch::X86_64, Arch::X86, Arch::Mips64];
    let of_arch = |arch: Arch| {
        let of_number = move |number| {
            ARGUMENTS.map(|value| Data {
                number,
                arch: arch.audit(),
                instruction_pointer: value,
                arguments: [value; 6],
            })
        };
        NUMBERS.into_iter().flat_map(of_number)
    };
    archs.into_iter().flat_map(of_arch)
}
