//! Proof that a process has one thread.

use rustix::io::{Errno, Result};

/// Proof that this process had a single thread when it asked.
///
/// Only a thread can start another one, so the proof holds for as long as its holder starts none. Cloning a process
/// without an execve(2) is sound only then: a lock that another thread holds would stay locked in the copy for ever.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// Asks the kernel. `Ok(None)` means that there are further threads.
    pub fn verify() -> Result<Option<Self>> {
        // SAFETY: unshare(2) of CLONE_THREAD changes nothing: it succeeds in a process with one thread, and is EINVAL in others.
        let answer = unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_THREAD) };
        match crate::fd::result(answer) {
            Ok(_) => Ok(Some(Self(()))),
            Err(Errno::INVAL) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_thread_is_noticed() {
        // The test harness runs each test on a thread of its own.
        assert!(SingleThreaded::verify().unwrap().is_none());
    }
}
