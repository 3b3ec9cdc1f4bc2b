//! The tables of system calls in `crates/seccomp/src/tables`, from the kernel headers that Debian has: one package holds
//! those of every architecture.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::debian::{self, Apt};

pub const USAGE: &str = "\
usage: cargo xtask syscalls

Fetches the newest kernel headers that Debian has into target/headers and writes crates/seccomp/src/tables anew.
";

/// The newest headers, and the last ones with a table that newer kernels lack: 31-bit s390.
const NEWEST: &str = "sid";
const LAST_S390: &str = "trixie";

/// From this number on a system call has the same one everywhere (kernel: Documentation/process/adding-syscalls.rst).
const COMMON: u32 = 424;

/// Tables: name, release of Debian, header files below `/usr/lib/linux/uapi`, and what the macro that numbers are
/// relative to stands for.
const TABLES: [(&str, &str, &[&str], u32); 18] = [
    ("aarch64", NEWEST, &["arm64/asm/unistd_64.h"], 0),
    ("arm", NEWEST, &["arm/asm/unistd-eabi.h", "arm/asm/unistd.h"], 0),
    ("loongarch64", NEWEST, &["loongarch/asm/unistd_64.h"], 0),
    ("m68k", NEWEST, &["m68k/asm/unistd_32.h"], 0),
    ("mips", NEWEST, &["mips/asm/unistd_o32.h"], 4000),
    ("mips64", NEWEST, &["mips/asm/unistd_n64.h"], 5000),
    ("mips64n32", NEWEST, &["mips/asm/unistd_n32.h"], 6000),
    ("parisc", NEWEST, &["parisc/asm/unistd_32.h"], 0),
    ("parisc64", NEWEST, &["parisc/asm/unistd_64.h"], 0),
    ("ppc", NEWEST, &["powerpc/asm/unistd_32.h"], 0),
    ("ppc64", NEWEST, &["powerpc/asm/unistd_64.h"], 0),
    ("riscv64", NEWEST, &["riscv/asm/unistd_64.h"], 0),
    ("s390", LAST_S390, &["s390/asm/unistd_32.h"], 0),
    ("s390x", NEWEST, &["s390/asm/unistd_64.h"], 0),
    ("sh", NEWEST, &["sh/asm/unistd_32.h"], 0),
    // Without __X32_SYSCALL_BIT, which all have.
    ("x32", NEWEST, &["x86/asm/unistd_x32.h"], 0),
    ("x86", NEWEST, &["x86/asm/unistd_32.h"], 0),
    ("x86_64", NEWEST, &["x86/asm/unistd_64.h"], 0),
];

/// Writes the tables.
pub fn syscalls() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut versions = BTreeMap::new();
    for suite in [NEWEST, LAST_S390] {
        let directory = root.join("target/headers").join(suite);
        versions.insert(suite, fetch(&directory, suite)?);
    }
    let mut s390x = BTreeMap::new();
    // The one that 31-bit s390 borrows from comes first.
    let tables = TABLES.iter().filter(|(name, ..)| *name == "s390x").chain(&TABLES);
    for (name, suite, files, base) in tables.copied() {
        let directory = root.join("target/headers").join(suite).join("root/usr/lib/linux/uapi");
        let mut text = String::new();
        for file in files {
            let path = directory.join(file);
            text += &fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let mut numbers = numbers(&text, base);
        match name {
            "s390x" => s390x = numbers.clone(),
            "s390" => numbers.extend(s390x.clone().into_iter().filter(|(_, number)| *number >= COMMON)),
            _ => {}
        }
        if numbers.len() < 250 {
            return Err(format!("{}: only {} system calls were understood", files.join(", "), numbers.len()));
        }
        let table = root.join("crates/seccomp/src/tables").join(format!("{name}.txt"));
        fs::write(&table, render(name, &versions[suite], files, &numbers))
            .map_err(|error| format!("{}: {error}", table.display()))?;
    }
    Ok(())
}

/// Fetches and unpacks the headers of a release. Their version.
fn fetch(directory: &Path, suite: &str) -> Result<String, String> {
    let apt = Apt::new(directory, suite)?;
    apt.run(&["update"])?;
    apt.run(&["install", "--yes", "--download-only", "linux-libc-dev"])?;
    debian::unpack(&apt.archives(), &directory.join("root"))?;
    let mut packages = fs::read_dir(apt.archives()).into_iter().flatten().flatten();
    packages
        .find_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Some(name.strip_prefix("linux-libc-dev_")?.split('_').next()?.replace("%3a", ":"))
        })
        .ok_or_else(|| format!("{suite} has no linux-libc-dev"))
}

/// The numbers that a header defines, by name: `#define __NR_read (__NR_Linux + 3)`.
fn numbers(text: &str, base: u32) -> BTreeMap<String, u32> {
    /// Base of the system calls that only Arm has (its asm/unistd.h).
    const ARM_PRIVATE: u32 = 0x0f_0000;
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("#define") {
            continue;
        }
        let Some(defined) = words.next() else { continue };
        let value: String = words.take_while(|word| !word.starts_with("/*")).collect();
        let (name, base) = match (defined.strip_prefix("__NR_"), defined.strip_prefix("__ARM_NR_")) {
            (Some(name), _) => (name, base),
            (_, Some(name)) => (name, ARM_PRIVATE),
            _ => continue,
        };
        // Macros that are no system calls have capitals, but for the count of them; MIPS gives names to its holes.
        let hole = ["unused", "reserved"].iter().any(|word| name.starts_with(word));
        if name == "syscalls" || name.contains(char::is_uppercase) || hole {
            continue;
        }
        let value = value.trim_matches(['(', ')']);
        let number = match (value.split_once('+'), value.strip_prefix("__NR_")) {
            (Some((_, offset)), _) => offset.parse().ok().map(|offset: u32| base + offset),
            (None, Some(other)) => found.get(other).copied(),
            (None, None) => value.parse().ok(),
        };
        if let Some(number) = number {
            found.insert(name.to_owned(), number);
        }
    }
    found
}

fn render(table: &str, version: &str, files: &[&str], numbers: &BTreeMap<String, u32>) -> String {
    let linux: Vec<&str> = version.split(['.', '-']).take(2).collect();
    let mut text = format!(
        "# System calls of {table} in Linux {} (Debian's linux-libc-dev {version}: {}).\n\
         # Made by `cargo xtask syscalls`: do not edit.\n",
        linux.join("."),
        files.join(", ")
    );
    let mut sorted: Vec<_> = numbers.iter().collect();
    sorted.sort_by_key(|(name, number)| (**number, name.as_str()));
    for (name, number) in sorted {
        text += &format!("{name} {number}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_headers_are_understood() {
        let text = "#ifndef X\n#define __NR_SYSCALL_MASK 0x0fffff\n#define __NR_read 3\n\
                    #define __NR_write (__NR_Linux + 4)\n#define __NR_syscalls 500\n\
                    #define __NR_Linux_syscalls 500\n\
                    #define __ARM_NR_BASE (__NR_SYSCALL_BASE+0x0f0000)\n\
                    #define __ARM_NR_set_tls (__ARM_NR_BASE+5)\n#define __NR_other __NR_read\n";
        let found: Vec<_> = numbers(text, 4000).into_iter().collect();
        let expected = [("other", 3), ("read", 3), ("set_tls", 0x0f_0005), ("write", 4004)];
        assert_eq!(found, expected.map(|(name, number)| (name.to_owned(), number)));
    }

    #[test]
    fn a_table_says_where_it_is_from() {
        let numbers = BTreeMap::from([("write".to_owned(), 1), ("read".to_owned(), 0)]);
        let text = render("x", "7.2.13-1", &["a.h"], &numbers);
        assert!(
            text.starts_with("# System calls of x in Linux 7.2 (Debian's linux-libc-dev 7.2.13-1: a.h).\n")
        );
        assert!(text.ends_with("edit.\nread 0\nwrite 1\n"), "{text}");
    }
}
