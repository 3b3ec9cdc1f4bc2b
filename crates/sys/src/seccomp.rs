//! Filters over system calls (seccomp(2)).

use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};

use crate::fd::result;

const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = 1 << 3;
const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// A filter: instructions of classic BPF, in the form that the kernel takes (`struct sock_filter` of linux/filter.h).
#[derive(Debug)]
pub struct Program(Vec<libc::sock_filter>);

impl Program {
    /// From instructions, each as a number: the operation code from bit 0 on, how many instructions to leave out if a test holds from
    /// bit 16 on, how many if it does not from bit 24 on, and the operand from bit 32 on.
    pub fn new(instructions: &[u64]) -> Self {
        let instruction = |word: &u64| {
            let [a, b, jt, jf, k @ ..] = word.to_le_bytes();
            libc::sock_filter { code: u16::from_le_bytes([a, b]), jt, jf, k: u32::from_le_bytes(k) }
        };
        Self(instructions.iter().map(instruction).collect())
    }

    /// Loads the filter for this thread and what it starts, with `SECCOMP_FILTER_FLAG_…` as bits. Nothing takes it back.
    ///
    /// `EACCES` for a thread that has neither no_new_privs nor CAP_SYS_ADMIN in its user namespace; `EINVAL` for a program or a
    /// flag that the kernel does not take.
    pub fn load(&self, flags: u32) -> Result<()> {
        self.set(flags & !SECCOMP_FILTER_FLAG_NEW_LISTENER).map(drop)
    }

    /// As [`Program::load`]; the answer is the descriptor, close-on-exec, that tells of the calls whose action is
    /// `SECCOMP_RET_USER_NOTIF`. `EBUSY` where a filter of this thread has one already.
    pub fn load_listening(&self, flags: u32) -> Result<OwnedFd> {
        let fd = self.set(flags | SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
        let fd = libc::c_int::try_from(fd).map_err(|_| Errno::BADF)?;
        // SAFETY: the call succeeded, so the kernel has just made this descriptor, which nobody else knows.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn set(&self, flags: u32) -> Result<libc::c_long> {
        let len = libc::c_ushort::try_from(self.0.len()).map_err(|_| Errno::INVAL)?;
        // The kernel only reads it.
        let program = libc::sock_fprog { len, filter: self.0.as_ptr().cast_mut() };
        // SAFETY: the program points to as many instructions as it says, and outlives the call.
        result(unsafe {
            libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program)
        })
    }
}

/// Whether the kernel knows these `SECCOMP_FILTER_FLAG_…`.
pub fn knows_flags(flags: u32) -> bool {
    // One is for listeners alone.
    let listener = match flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV {
        0 => 0,
        _ => SECCOMP_FILTER_FLAG_NEW_LISTENER,
    };
    let nothing = std::ptr::null::<u8>();
    // SAFETY: without a program the kernel loads nothing: it looks at the flags first, and then fails for the program.
    let answer = result(unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | listener, nothing)
    });
    answer == Err(Errno::FAULT)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// `BPF_RET | BPF_K`.
    const RETURN: u64 = 6;
    const ALLOW: u64 = 0x7fff_0000;

    fn program(instructions: &'static [u64]) -> Program {
        Program::new(instructions)
    }

    #[test]
    fn instructions_are_taken_apart() {
        let word = 0x1234_5678_9abc_def0;
        let instruction = program(&[0x1234_5678_9abc_def0]).0[0];
        assert_eq!(u64::from(instruction.code), word & 0xffff);
        assert_eq!((instruction.jt, instruction.jf, instruction.k), (0xbc, 0x9a, 0x1234_5678));
    }

    #[test]
    fn the_kernel_tells_which_flags_it_knows() {
        assert!(knows_flags(0) && knows_flags(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV));
        assert!(!knows_flags(1 << 30));
    }

    #[test]
    fn a_filter_is_the_threads_own() {
        let alone = |load: fn() -> Result<()>| std::thread::spawn(load).join().unwrap();
        let allowed = alone(|| {
            rustix::thread::set_no_new_privs(true)?;
            program(&[RETURN | ALLOW << 32]).load(0)?;
            let listener = program(&[RETURN | ALLOW << 32]).load_listening(0)?;
            rustix::io::fcntl_getfd(listener.as_fd()).map(drop)
        });
        assert_eq!(allowed, Ok(()));
        assert_eq!(alone(|| program(&[]).load(0)), Err(Errno::INVAL));
        assert_eq!(alone(|| program(&[u64::MAX]).load(1 << 30)), Err(Errno::INVAL));
    }
}
