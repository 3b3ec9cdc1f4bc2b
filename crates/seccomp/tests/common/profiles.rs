//! Random profiles, and the system calls that are worth asking about.

use corten_oci::{Seccomp, SyscallArg, SyscallRule};
use corten_seccomp::Arch;
use corten_seccomp::interpreter::Data;
use proptest::prelude::*;
use proptest::sample::select;

/// System calls: some of every architecture, new and old, those that are carried by others, and one that nobody has.
const NAMES: [&str; 40] = [
    "_llseek",
    "accept",
    "accept4",
    "arch_prctl",
    "bind",
    "clone",
    "clone3",
    "close_range",
    "connect",
    "execve",
    "faccessat2",
    "fcntl64",
    "futex",
    "getdents",
    "getpid",
    "getppid",
    "ioctl",
    "ipc",
    "kexec_load",
    "mmap",
    "mmap2",
    "no_such_call",
    "openat",
    "personality",
    "pread64",
    "read",
    "recv",
    "recvfrom",
    "restart_syscall",
    "semctl",
    "semop",
    "send",
    "shmat",
    "socket",
    "socketcall",
    "statx",
    "ugetrlimit",
    "waitpid",
    "write",
    "writev",
];

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// Around where halves and signs change, and bits for masks.
const VALUES: [u64; 14] = [
    0,
    1,
    2,
    5,
    0x10,
    0x7e02_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0005,
    0x5_0000_0001,
    0xffff_ffff_0000_0000,
    u64::MAX,
];

/// Families of architectures of one machine: the native one first.
pub const FAMILIES: [&[Arch]; 12] = [
    &[Arch::X86_64],
    &[Arch::X86_64, Arch::X86],
    &[Arch::X86_64, Arch::X86, Arch::X32],
    &[Arch::X86_64, Arch::X32],
    &[Arch::X86],
    &[Arch::Aarch64, Arch::Arm],
    &[Arch::Riscv64],
    &[Arch::S390x, Arch::S390],
    &[Arch::Ppc64le],
    &[Arch::Ppc64, Arch::Ppc],
    &[Arch::Mips64, Arch::Mips, Arch::Mips64N32],
    &[Arch::Mipsel, Arch::Mipsel64, Arch::Mipsel64N32],
];

/// An action, and an error number for those that take one.
fn action() -> impl Strategy<Value = (String, Option<u32>)> {
    let takes_none = select(vec![
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_LOG",
        "SCMP_ACT_TRAP",
    ]);
    let error = prop::option::of(select(vec![0, 1, 2, 38, 4094]));
    let told = prop::option::of(select(vec![0, 1, 4096, 0xffff]));
    prop_oneof![
        takes_none.prop_map(|action| (action.to_owned(), None)),
        error.prop_map(|errno| ("SCMP_ACT_ERRNO".to_owned(), errno)),
        told.prop_map(|errno| ("SCMP_ACT_TRACE".to_owned(), errno)),
    ]
}

fn arg() -> impl Strategy<Value = SyscallArg> {
    let fields = (0..6_u32, select(OPERATORS.to_vec()), select(VALUES.to_vec()), select(VALUES.to_vec()));
    fields.prop_map(|(index, op, value, value_two)| SyscallArg { index, value, value_two, op: op.into() })
}

fn rule() -> impl Strategy<Value = SyscallRule> {
    let names = prop::collection::vec(select(NAMES.to_vec()), 1..5);
    // Few arguments, so that conditions meet.
    let args = prop::collection::vec(arg().prop_map(|arg| SyscallArg { index: arg.index % 3, ..arg }), 0..4);
    (names, action(), args).prop_map(|(names, (action, errno_ret), args)| SyscallRule {
        names: names.into_iter().map(str::to_owned).collect(),
        action,
        errno_ret,
        args,
    })
}

/// A profile for these architectures. Where rules with conditions do not agree, several can match one call.
pub fn profile(archs: &'static [Arch], agreeing: bool) -> impl Strategy<Value = Seccomp> {
    (action(), action(), prop::collection::vec(rule(), 0..24)).prop_map(
        move |((default_action, default_errno_ret), (one, errno), mut syscalls)| {
            for rule in syscalls.iter_mut().filter(|rule| agreeing && !rule.args.is_empty()) {
                (rule.action, rule.errno_ret) = (one.clone(), errno);
            }
            Seccomp {
                default_action,
                default_errno_ret,
                architectures: archs.iter().map(|arch| arch.name().to_owned()).collect(),
                syscalls,
                ..Seccomp::default()
            }
        },
    )
}

/// Every number that an architecture could have, and those around which masks change.
pub fn numbers(arch: Arch) -> impl Iterator<Item = u32> {
    let first = arch.number("read").unwrap_or(0).saturating_sub(100);
    let private = 0x0f_0000..0x0f_0007;
    let strange = [0, 0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, 0xbfff_ffff, 0xc000_0000];
    (first..first + 600).chain(private).chain(strange).chain([u32::MAX - 1, u32::MAX])
}

/// Arguments around the values that a profile compares with: always the same for the same profile.
pub fn arguments(profile: &Seccomp) -> Vec<[u64; 6]> {
    let mut values = vec![0, u64::MAX];
    for arg in profile.syscalls.iter().flat_map(|rule| &rule.args) {
        for value in [arg.value, arg.value_two] {
            values.extend([value, value.wrapping_add(1), value.wrapping_sub(1), value ^ 1 << 32]);
        }
    }
    values.extend(1..=24);
    values.sort_unstable();
    values.dedup();
    let mut state = 1_u64;
    let mut any = || {
        // Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        values[(state >> 33) as usize % values.len()]
    };
    (0..40).map(|_| std::array::from_fn(|_| any())).collect()
}

/// All that is to be asked of a filter for these architectures: each number, and those that have conditions with many
/// arguments.
pub fn questions(profile: &Seccomp, archs: &[Arch]) -> Vec<Data> {
    let many = arguments(profile);
    let mut questions = Vec::new();
    // One that is not covered, too.
    for arch in archs.iter().copied().chain([Arch::Riscv64, Arch::X86]) {
        let conditional: Vec<u32> = profile
            .syscalls
            .iter()
            .filter(|rule| !rule.args.is_empty())
            .flat_map(|rule| rule.names.iter().map(String::as_str).chain(["socketcall", "ipc"]))
            .filter_map(|name| arch.number(name))
            .collect();
        for number in numbers(arch) {
            let asked = if conditional.contains(&number) { many.len() } else { 1 };
            questions.extend(many[..asked].iter().map(|arguments| Data {
                number,
                arch: arch.audit(),
                instruction_pointer: 0x1234_5678_9abc_def0,
                arguments: *arguments,
            }));
        }
    }
    questions
}
