//! Seccomp profiles of the OCI specification (`config-linux.md#seccomp`) as programs of classic BPF.
//!
//! [`compile`] is a pure function: it makes no system call, and what it returns can be kept. The answers of its programs
//! are those of runc with libseccomp, which a test crate (`oracle`) compares.
//!
//! ```
//! let profile = corten_oci::Seccomp {
//!     default_action: "SCMP_ACT_ALLOW".into(),
//!     syscalls: vec![corten_oci::SyscallRule {
//!         names: vec!["reboot".into()],
//!         action: "SCMP_ACT_ERRNO".into(),
//!         ..Default::default()
//!     }],
//!     ..Default::default()
//! };
//! let filter = corten_seccomp::compile(&profile, corten_seccomp::Arch::native())?;
//! assert!(filter.program.len() < 20);
//! # Ok::<(), corten_seccomp::Error>(())
//! ```
#![forbid(unsafe_code)]

mod arch;
mod assemble;
mod decide;
mod error;
mod facts;
mod graph;
mod instruction;
pub mod interpreter;
mod precedence;
mod profile;
mod program;
mod ranges;
mod tables;
mod verdicts;
mod vocabulary;

pub use arch::Arch;
pub use error::Error;
pub use instruction::Instruction;

use corten_oci::Seccomp;

/// What seccomp(2) is told: `SECCOMP_SET_MODE_FILTER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The program: from 1 to 4096 instructions.
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_…`, without `NEW_LISTENER`, which is needed where [`notifies`](Filter::notifies) is true.
    /// Where a profile has no `flags`, it is `SPEC_ALLOW`; an empty list is none. `TSYNC` is known and left out: there is
    /// one thread where a container's filter is loaded.
    pub flags: u32,
    /// Whether a rule has the action `SCMP_ACT_NOTIFY`.
    pub notifies: bool,
    /// What was left out: names that no architecture knows, and flags that have no effect.
    pub warnings: Vec<String>,
}

/// Compiles a profile for a machine of this architecture; the profile's architectures are covered beside it.
///
/// What a system call gets is what runc and libseccomp give it:
///
/// - Calls of an architecture that is not covered end the thread; so do those of x32 where only x86_64 is.
/// - A name is resolved for each architecture; what one lacks is skipped there. On those that have `socketcall` and `ipc`
///   the calls that they stand for are found there too.
/// - Where the default action does not let a call through, calls newer than all that the profile names get `ENOSYS`, so
///   that programs fall back to older ones.
/// - A rule whose action is the default's does nothing. Conditions on the same argument twice in one rule are
///   alternatives. Of several rules, one without conditions wins; among the others, equality comes before order.
///
/// # Errors
///
/// A name of an action, operator, architecture or flag is unknown, a value does not fit, rules contradict each other,
/// `SCMP_ACT_NOTIFY` is where it cannot be, or the program is larger than the kernel takes.
pub fn compile(profile: &Seccomp, native: Arch) -> Result<Filter, Error> {
    let profile = profile::Profile::read(profile, native)?;
    let program = program::program(&profile)?;
    let profile::Profile { flags, notifies, warnings, .. } = profile;
    Ok(Filter { program, flags, notifies, warnings })
}

/// Whether a profile asks for nothing: runc takes one without default action and without rules as no profile.
pub fn is_empty(profile: &Seccomp) -> bool {
    profile.default_action.is_empty() && profile.syscalls.is_empty()
}

/// The names of system calls in a profile that no architecture knows: its filter goes without them.
pub fn unknown_calls(profile: &Seccomp) -> Vec<&str> {
    let names = profile.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str);
    names.filter(|name| tables::Name::find(name).is_none()).collect()
}

/// Whether a profile asks an agent about a system call.
pub fn notifies(profile: &Seccomp) -> bool {
    profile.syscalls.iter().any(|rule| rule.action == "SCMP_ACT_NOTIFY")
}

/// The actions that are known: `SCMP_ACT_…`, sorted.
pub fn known_actions() -> &'static [&'static str] {
    &vocabulary::ACTION_NAMES
}

/// The operators that are known: `SCMP_CMP_…`, sorted.
pub fn known_operators() -> &'static [&'static str] {
    &vocabulary::OPERATOR_NAMES
}

/// The architectures that are known: `SCMP_ARCH_…`, sorted.
pub fn known_archs() -> &'static [&'static str] {
    &arch::NAMES
}

/// The flags that are known: `SECCOMP_FILTER_FLAG_…`, sorted.
pub fn known_flags() -> &'static [&'static str] {
    &vocabulary::FLAG_NAMES
}

/// The bits of a known flag (linux/seccomp.h): none for `TSYNC`, see [`Filter::flags`].
pub fn flag_bits(name: &str) -> Option<u32> {
    vocabulary::find(&vocabulary::FLAGS, name)
}
