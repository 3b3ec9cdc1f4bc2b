//! The architectures of the specification.

use crate::tables::{self, Name};

/// An architecture (specification: `config-linux.md#seccomp`, `SCMP_ARCH_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // They are the specification's names.
pub enum Arch {
    Aarch64,
    Arm,
    Loongarch64,
    M68k,
    Mips,
    Mips64,
    Mips64N32,
    Mipsel,
    Mipsel64,
    Mipsel64N32,
    Parisc,
    Parisc64,
    Ppc,
    Ppc64,
    Ppc64le,
    Riscv64,
    S390,
    S390x,
    Sh,
    Sheb,
    X32,
    X86,
    X86_64,
}

/// What all x32 numbers have in common (asm/unistd.h: `__X32_SYSCALL_BIT`).
pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// `__AUDIT_ARCH_64BIT`, `__AUDIT_ARCH_LE` and `__AUDIT_ARCH_CONVENTION_MIPS64_N32` (linux/audit.h).
const BITS_64: u32 = 0x8000_0000;
const LITTLE: u32 = 0x4000_0000;
const N32: u32 = 0x2000_0000;

/// What is to be known of an architecture.
struct Description {
    arch: Arch,
    name: &'static str,
    /// Its `AUDIT_ARCH_…`.
    audit: u32,
    table: &'static [u32],
    /// The number that `socketcall` and `ipc` are counted from, where they are there beside, or in place of, the system
    /// calls that they stand for.
    multiplexed: Option<u32>,
}

/// All of them, sorted by name, and in the order of [`Arch`].
static ALL: [Description; 23] = {
    const fn new(arch: Arch, name: &'static str, audit: u32, table: &'static [u32]) -> Description {
        Description { arch, name, audit, table, multiplexed: None }
    }
    const fn old(
        arch: Arch,
        name: &'static str,
        audit: u32,
        table: &'static [u32],
        base: u32,
    ) -> Description {
        Description { arch, name, audit, table, multiplexed: Some(base) }
    }
    use Arch::*;
    [
        new(Aarch64, "SCMP_ARCH_AARCH64", 183 | BITS_64 | LITTLE, &tables::AARCH64),
        new(Arm, "SCMP_ARCH_ARM", 40 | LITTLE, &tables::ARM),
        new(Loongarch64, "SCMP_ARCH_LOONGARCH64", 258 | BITS_64 | LITTLE, &tables::LOONGARCH64),
        old(M68k, "SCMP_ARCH_M68K", 4, &tables::M68K, 0),
        old(Mips, "SCMP_ARCH_MIPS", 8, &tables::MIPS, 4000),
        new(Mips64, "SCMP_ARCH_MIPS64", 8 | BITS_64, &tables::MIPS64),
        new(Mips64N32, "SCMP_ARCH_MIPS64N32", 8 | BITS_64 | N32, &tables::MIPS64N32),
        old(Mipsel, "SCMP_ARCH_MIPSEL", 8 | LITTLE, &tables::MIPS, 4000),
        new(Mipsel64, "SCMP_ARCH_MIPSEL64", 8 | BITS_64 | LITTLE, &tables::MIPS64),
        new(Mipsel64N32, "SCMP_ARCH_MIPSEL64N32", 8 | BITS_64 | LITTLE | N32, &tables::MIPS64N32),
        new(Parisc, "SCMP_ARCH_PARISC", 15, &tables::PARISC),
        new(Parisc64, "SCMP_ARCH_PARISC64", 15 | BITS_64, &tables::PARISC64),
        old(Ppc, "SCMP_ARCH_PPC", 20, &tables::PPC, 0),
        old(Ppc64, "SCMP_ARCH_PPC64", 21 | BITS_64, &tables::PPC64, 0),
        old(Ppc64le, "SCMP_ARCH_PPC64LE", 21 | BITS_64 | LITTLE, &tables::PPC64, 0),
        new(Riscv64, "SCMP_ARCH_RISCV64", 243 | BITS_64 | LITTLE, &tables::RISCV64),
        old(S390, "SCMP_ARCH_S390", 22, &tables::S390, 0),
        old(S390x, "SCMP_ARCH_S390X", 22 | BITS_64, &tables::S390X, 0),
        old(Sh, "SCMP_ARCH_SH", 42 | LITTLE, &tables::SH, 0),
        old(Sheb, "SCMP_ARCH_SHEB", 42, &tables::SH, 0),
        // The kernel gives x32 the mark of x86_64.
        new(X32, "SCMP_ARCH_X32", 62 | BITS_64 | LITTLE, &tables::X32),
        old(X86, "SCMP_ARCH_X86", 3 | LITTLE, &tables::X86, 0),
        new(X86_64, "SCMP_ARCH_X86_64", 62 | BITS_64 | LITTLE, &tables::X86_64),
    ]
};

/// Their names in a profile, sorted.
pub(crate) static NAMES: [&str; ALL.len()] = {
    let mut names = [""; ALL.len()];
    let mut index = 0;
    while index < ALL.len() {
        names[index] = ALL[index].name;
        index += 1;
    }
    names
};

impl Arch {
    /// That which this program was built for.
    pub const fn native() -> Arch {
        const NATIVE: Arch = {
            let little = cfg!(target_endian = "little");
            let wide = cfg!(target_pointer_width = "64");
            if cfg!(target_arch = "x86_64") {
                if wide { Arch::X86_64 } else { Arch::X32 }
            } else if cfg!(target_arch = "x86") {
                Arch::X86
            } else if cfg!(target_arch = "aarch64") {
                Arch::Aarch64
            } else if cfg!(target_arch = "arm") {
                Arch::Arm
            } else if cfg!(target_arch = "riscv64") {
                Arch::Riscv64
            } else if cfg!(target_arch = "s390x") {
                Arch::S390x
            } else if cfg!(target_arch = "powerpc64") {
                if little { Arch::Ppc64le } else { Arch::Ppc64 }
            } else if cfg!(target_arch = "powerpc") {
                Arch::Ppc
            } else if cfg!(target_arch = "loongarch64") {
                Arch::Loongarch64
            } else if cfg!(target_arch = "mips64") {
                match (little, wide) {
                    (true, true) => Arch::Mipsel64,
                    (true, false) => Arch::Mipsel64N32,
                    (false, true) => Arch::Mips64,
                    (false, false) => Arch::Mips64N32,
                }
            } else if cfg!(target_arch = "mips") {
                if little { Arch::Mipsel } else { Arch::Mips }
            } else if cfg!(target_arch = "m68k") {
                Arch::M68k
            } else {
                panic!("corten does not know this architecture")
            }
        };
        NATIVE
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Arch> {
        ALL.iter().map(|description| description.arch)
    }

    /// That of a profile's `SCMP_ARCH_…`.
    pub fn from_name(name: &str) -> Option<Arch> {
        ALL.iter().find(|description| description.name == name).map(|description| description.arch)
    }

    /// Its name in a profile: `SCMP_ARCH_…`.
    pub fn name(self) -> &'static str {
        self.description().name
    }

    /// What the kernel calls it in `struct seccomp_data` (linux/audit.h: `AUDIT_ARCH_…`); [`Arch::X32`] and
    /// [`Arch::X86_64`] are the same.
    pub fn audit(self) -> u32 {
        self.description().audit
    }

    /// The number of a system call, with the bit of x32.
    pub fn number(self, syscall: &str) -> Option<u32> {
        Name::find(syscall).and_then(|name| self.number_of(name))
    }

    pub(crate) fn number_of(self, name: Name) -> Option<u32> {
        let number = name.number(self.description().table)?;
        Some(if self == Arch::X32 { number | X32_BIT } else { number })
    }

    /// Whether the upper half of an argument counts.
    pub(crate) fn wide(self) -> bool {
        self != Arch::X32 && self.audit() & BITS_64 != 0 && self.audit() & N32 == 0
    }

    pub(crate) fn little_endian(self) -> bool {
        self.audit() & LITTLE != 0
    }

    /// Its number of `ENOSYS` (asm/errno.h).
    pub(crate) fn enosys(self) -> u16 {
        match self {
            Arch::Mips | Arch::Mips64 | Arch::Mips64N32 => 89,
            Arch::Mipsel | Arch::Mipsel64 | Arch::Mipsel64N32 => 89,
            Arch::Parisc | Arch::Parisc64 => 251,
            _ => 38,
        }
    }

    /// Whether it has system calls that carry others.
    pub(crate) fn multiplexes(self) -> bool {
        self.description().multiplexed.is_some()
    }

    /// Where the system call that carries others is, if it is one of those.
    pub(crate) fn multiplexer(self, call: Call) -> Option<u32> {
        let base = self.description().multiplexed?;
        Some(match call {
            Call::Socket(_) => base + 102,
            Call::Ipc(_) => base + 117,
        })
    }

    fn description(self) -> &'static Description {
        &ALL[self as usize]
    }
}

/// A system call's number within `socketcall` (linux/net.h) or `ipc` (linux/ipc.h): their first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Socket(u32),
    Ipc(u32),
}

impl Call {
    pub(crate) fn of(name: Name) -> Option<Call> {
        Some(match name.as_str() {
            "socket" => Call::Socket(1),
            "bind" => Call::Socket(2),
            "connect" => Call::Socket(3),
            "listen" => Call::Socket(4),
            "accept" => Call::Socket(5),
            "getsockname" => Call::Socket(6),
            "getpeername" => Call::Socket(7),
            "socketpair" => Call::Socket(8),
            "send" => Call::Socket(9),
            "recv" => Call::Socket(10),
            "sendto" => Call::Socket(11),
            "recvfrom" => Call::Socket(12),
            "shutdown" => Call::Socket(13),
            "setsockopt" => Call::Socket(14),
            "getsockopt" => Call::Socket(15),
            "sendmsg" => Call::Socket(16),
            "recvmsg" => Call::Socket(17),
            "accept4" => Call::Socket(18),
            "recvmmsg" => Call::Socket(19),
            "sendmmsg" => Call::Socket(20),
            "semop" => Call::Ipc(1),
            "semget" => Call::Ipc(2),
            "semctl" => Call::Ipc(3),
            "semtimedop" => Call::Ipc(4),
            "msgsnd" => Call::Ipc(11),
            "msgrcv" => Call::Ipc(12),
            "msgget" => Call::Ipc(13),
            "msgctl" => Call::Ipc(14),
            "shmat" => Call::Ipc(21),
            "shmdt" => Call::Ipc(22),
            "shmget" => Call::Ipc(23),
            "shmctl" => Call::Ipc(24),
            _ => return None,
        })
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Call::Socket(number) | Call::Ipc(number) => number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_names() {
        assert!(NAMES.is_sorted());
        for arch in Arch::all() {
            assert_eq!(Arch::from_name(arch.name()), Some(arch));
            assert_eq!(arch.description().arch, arch);
        }
    }

    #[test]
    fn marks_are_those_of_linux_audit_h() {
        for (arch, audit) in [
            (Arch::X86, 0x4000_0003),
            (Arch::X86_64, 0xc000_003e),
            (Arch::X32, 0xc000_003e),
            (Arch::Arm, 0x4000_0028),
            (Arch::Aarch64, 0xc000_00b7),
            (Arch::Mipsel64N32, 0xe000_0008),
            (Arch::Ppc64le, 0xc000_0015),
            (Arch::S390x, 0x8000_0016),
            (Arch::Riscv64, 0xc000_00f3),
            (Arch::Loongarch64, 0xc000_0102),
            (Arch::Parisc64, 0x8000_000f),
            (Arch::Sh, 0x4000_002a),
        ] {
            assert_eq!(arch.audit(), audit, "{arch:?}");
        }
    }

    #[test]
    fn widths_are_those_of_the_calling_convention() {
        let narrow: Vec<Arch> = Arch::all().filter(|arch| !arch.wide()).collect();
        use Arch::*;
        assert_eq!(
            narrow,
            [Arm, M68k, Mips, Mips64N32, Mipsel, Mipsel64N32, Parisc, Ppc, S390, Sh, Sheb, X32, X86]
        );
    }

    #[test]
    fn multiplexers_are_where_the_tables_have_them() {
        for arch in Arch::all() {
            assert_eq!(arch.multiplexer(Call::Socket(1)), arch.number("socketcall"), "{arch:?}");
            assert_eq!(arch.multiplexer(Call::Ipc(1)), arch.number("ipc"), "{arch:?}");
        }
    }
}
