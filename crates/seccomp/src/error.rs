//! What can be wrong with a profile.

use crate::arch;
use crate::instruction::MOST_INSTRUCTIONS;
use crate::vocabulary::{ACTION_NAMES, FLAG_NAMES, OPERATOR_NAMES};

/// What is wrong with a profile. Where runc has words for it, they are these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `SCMP_ACT_…`.
    #[error("string {0} is not a valid action for seccomp; there are {known}", known = ACTION_NAMES.join(", "))]
    UnknownAction(String),
    /// `SCMP_CMP_…`.
    #[error("string {0} is not a valid operator for seccomp; there are {known}", known = OPERATOR_NAMES.join(", "))]
    UnknownOperator(String),
    /// `SCMP_ARCH_…`.
    #[error("string {0} is not a valid arch for seccomp; there are {known}", known = arch::NAMES.join(", "))]
    UnknownArch(String),
    /// `SECCOMP_FILTER_FLAG_…`.
    #[error("seccomp flag {0} is not known to corten; there are {known}", known = FLAG_NAMES.join(", "))]
    UnknownFlag(String),
    /// An architecture that cannot be that of any program here.
    #[error("{arch} has not the byte order of {native}, so that no filter can be for both; leave it out")]
    OtherByteOrder {
        /// The one of the profile.
        arch: &'static str,
        /// The one of this machine.
        native: &'static str,
    },
    /// A rule has an empty name.
    #[error("empty string is not a valid syscall")]
    EmptyName,
    /// A condition on an argument that no system call has.
    #[error("seccomp condition on argument {0}: system calls have arguments 0 to 5")]
    ArgumentIndex(u32),
    /// An error number for an action that takes none (specification: the runtime must fail).
    #[error("seccomp {field} {value}: {action} takes no error number; leave it out")]
    ErrnoUnused {
        /// `errnoRet` or `defaultErrnoRet`.
        field: &'static str,
        /// The number.
        value: u32,
        /// The action.
        action: String,
    },
    /// An error number that the kernel cannot return, or a value that a tracer cannot be told.
    #[error("seccomp {field} {value} is too large: the action takes 0 to {most}")]
    ErrnoTooLarge {
        /// `errnoRet` or `defaultErrnoRet`.
        field: &'static str,
        /// The number.
        value: u32,
        /// The greatest that there is.
        most: u32,
    },
    /// The listener's descriptor could not be handed on.
    #[error("SCMP_ACT_NOTIFY cannot be used as default action")]
    NotifyByDefault,
    /// The listener's descriptor could not be handed on.
    #[error("SCMP_ACT_NOTIFY cannot be used for the write syscall")]
    NotifyOnWrite,
    /// Two rules have different actions for the same case.
    #[error(
        "seccomp rules for {syscall} on {arch} contradict each other: the same conditions have different actions"
    )]
    Contradiction {
        /// The system call.
        syscall: &'static str,
        /// The architecture.
        arch: &'static str,
    },
    /// The kernel takes no filter of this size.
    #[error(
        "seccomp profile is too large: its filter has {instructions} instructions, of which the kernel takes \
         {MOST_INSTRUCTIONS}; give it fewer conditions or architectures"
    )]
    TooLarge {
        /// How many instructions it would have.
        instructions: usize,
    },
}
