//! What runc does with libseccomp.

use corten_oci::{Seccomp, SyscallArg};
use corten_seccomp::interpreter::{Data, run};
use corten_seccomp::{Arch, Instruction};

use crate::ffi::{Comparison, Libseccomp, Refused};

/// A profile as runc has it judged.
#[derive(Debug)]
pub struct Judge {
    /// libseccomp's program.
    pub program: Vec<Instruction>,
    /// What stands before it: the highest number by architecture, and what is answered beyond.
    stub: Vec<(Arch, u32)>,
}

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;

/// `SCMP_ACT_…` as a number, with runc's value where it takes one.
fn action(name: &str, errno: Option<u32>) -> u32 {
    let value = errno.unwrap_or(1) & 0xffff;
    match name {
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => ERRNO | value,
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_TRACE" => TRACE | value,
        "SCMP_ACT_LOG" => LOG,
        "SCMP_ACT_ALLOW" => ALLOW,
        _ => 0,
    }
}

fn comparison(arg: &SyscallArg) -> Comparison {
    let operators =
        ["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT"];
    let operator = operators.iter().position(|known| *known == arg.op).unwrap_or(operators.len());
    let operator = u32::try_from(operator + 1).unwrap_or(0);
    Comparison { argument: arg.index, operator, first: arg.value, second: arg.value_two }
}

/// libseccomp's number for an architecture.
fn token(arch: Arch) -> u32 {
    const X32: u32 = 0x4000_003e;
    if arch == Arch::X32 { X32 } else { arch.audit() }
}

impl Judge {
    /// libseccomp's program for a profile, on a machine of this architecture.
    ///
    /// # Errors
    ///
    /// libseccomp refuses it.
    pub fn compile(profile: &Seccomp, native: Arch, optimize: bool) -> Result<Judge, Refused> {
        let default = action(&profile.default_action, profile.default_errno_ret);
        let mut filter = Libseccomp::new(default)?;
        // The library's own native architecture is always there at first.
        if native != Arch::native() {
            filter.remove_arch(token(Arch::native()))?;
            filter.add_arch(token(native))?;
        }
        let archs: Vec<Arch> =
            profile.architectures.iter().filter_map(|name| Arch::from_name(name)).collect();
        for arch in &archs {
            filter.add_arch(token(*arch))?;
        }
        if optimize {
            filter.optimize()?;
        }
        let mut highest: Vec<(Arch, u32)> = Vec::new();
        for rule in &profile.syscalls {
            let action = action(&rule.action, rule.errno_ret);
            let comparisons: Vec<Comparison> = rule.args.iter().map(comparison).collect();
            let mut indices: Vec<u32> = rule.args.iter().map(|arg| arg.index).collect();
            indices.sort_unstable();
            let twice = indices.windows(2).any(|pair| pair[0] == pair[1]);
            for name in &rule.names {
                note(&mut highest, native, &archs, name);
                let number = Libseccomp::number(token(Arch::native()), name);
                if action == default || number == -1 {
                    continue;
                }
                if twice {
                    for one in &comparisons {
                        filter.rule(action, number, std::slice::from_ref(one))?;
                    }
                } else {
                    filter.rule(action, number, &comparisons)?;
                }
            }
        }
        let big_endian = native.audit() & 0x4000_0000 == 0;
        let permits = [ALLOW, TRACE, LOG].contains(&(default & 0xffff_0000));
        if permits {
            highest.clear();
        }
        let mut program = filter.export(big_endian)?;
        if big_endian {
            let actions = profile.syscalls.iter().map(|rule| self::action(&rule.action, rule.errno_ret));
            mend(&mut program, &actions.chain([default]).collect::<Vec<u32>>());
        }
        Ok(Judge { program, stub: highest })
    }

    /// Whether libseccomp judges calls of some architecture by the architecture, for it has forgotten to load the number:
    /// so it does where the first call of its list is one that has no number there (gen_bpf.c: `_gen_bpf_syscalls`).
    pub fn forgets_number(&self) -> bool {
        const LOAD: u16 = 0x20;
        const EQUAL: u16 = 0x15;
        // The program begins with the load of the architecture, and with one test of it after the other.
        let mut at = 1;
        while let Some(Instruction { code: EQUAL, jt, jf, .. }) = self.program.get(at) {
            let of_arch = self.program.get(at + 1 + usize::from(*jt));
            if of_arch.is_some_and(|first| first.code == EQUAL) {
                return true;
            }
            at += 1 + usize::from(*jf);
        }
        self.program.first().is_none_or(|first| (first.code, first.k) != (LOAD, 4))
    }

    /// What it answers.
    pub fn answer(&self, data: &Data) -> u32 {
        match answer_of_stub(&self.stub, data) {
            Some(answer) => answer,
            None => run(&self.program, data).map_or(u32::MAX, |outcome| outcome.answer),
        }
    }
}

/// Where libseccomp needs an answer a second time, nearer, it turns its bytes round twice if it builds for another byte
/// order than the machine's (gen_bpf.c: `_gen_bpf_build_jmp_ret`).
fn mend(program: &mut [Instruction], actions: &[u32]) {
    const RETURN: u16 = 0x06;
    for instruction in program.iter_mut().filter(|instruction| instruction.code == RETURN) {
        let turned = instruction.k.swap_bytes();
        if !actions.contains(&instruction.k) && actions.contains(&turned) {
            instruction.k = turned;
        }
    }
}

/// Keeps the highest number that is named of each architecture.
fn note(highest: &mut Vec<(Arch, u32)>, native: Arch, archs: &[Arch], name: &str) {
    for arch in archs.iter().copied().chain([native]) {
        let Some(number) = arch.number(name) else { continue };
        match highest.iter_mut().find(|(known, _)| *known == arch) {
            Some((_, most)) => *most = number.max(*most),
            None => highest.push((arch, number)),
        }
    }
}

/// What runc puts before libseccomp's program, put in words: calls beyond the highest that the profile names get ENOSYS,
/// those of x32 and of x86_64 each for themselves, and on s390 also 0, which carries large numbers.
pub fn answer_of_stub(highest: &[(Arch, u32)], data: &Data) -> Option<u32> {
    const X32: u32 = 0x4000_0000;
    let enosys = |arch: Arch| match arch.name() {
        name if name.contains("MIPS") => ERRNO | 89,
        name if name.contains("PARISC") => ERRNO | 251,
        _ => ERRNO | 38,
    };
    highest.iter().filter(|(arch, most)| arch.audit() == data.arch && *most != 0).find_map(|(arch, most)| {
        let of_mode = match arch {
            Arch::X86_64 => data.number & X32 == 0,
            Arch::X32 => data.number & X32 != 0,
            _ => true,
        };
        let carrier = matches!(arch, Arch::S390 | Arch::S390x) && data.number == 0;
        (of_mode && (data.number > *most || carrier)).then(|| enosys(*arch))
    })
}
