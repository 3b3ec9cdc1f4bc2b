//! Real system calls behind a filter, in a child.
#![allow(unsafe_code)]

use std::io;

use corten_seccomp::Instruction;

/// A system call as a child makes it.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its number.
    pub number: u32,
    /// Whether it is made as a program of 32 bits makes it (x86 only: `int 0x80`).
    pub compat: bool,
    /// Arguments; without their upper halves for such a program.
    pub arguments: [u64; 6],
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It returned this: an error as a negative number.
    Returned(i64),
    /// It ended the child by this signal.
    Ended(i32),
}

/// Makes one call in a child that has loaded a filter.
///
/// # Errors
///
/// No child could be made, or the kernel refused the filter.
pub fn call(program: &[Instruction], flags: u32, call: Call) -> io::Result<Became> {
    in_child(program, flags, call, 0)
}

/// How long a call takes in a child that has loaded a filter, or no filter where the program is empty: the mean of so many.
///
/// # Errors
///
/// No child could be made, the kernel refused the filter, or the call ended the child.
pub fn time(program: &[Instruction], flags: u32, call: Call, rounds: u32) -> io::Result<f64> {
    match in_child(program, flags, call, rounds.max(1))? {
        Became::Returned(nanoseconds) => Ok(nanoseconds as f64 / f64::from(rounds.max(1))),
        Became::Ended(signal) => Err(io::Error::other(format!("ended by signal {signal}"))),
    }
}

/// Without rounds, what the call returned; else how many nanoseconds they took.
fn in_child(program: &[Instruction], flags: u32, call: Call, rounds: u32) -> io::Result<Became> {
    // SAFETY: the mapping is anonymous and new; its address is judged below.
    let shared = unsafe {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        libc::mmap(std::ptr::null_mut(), size_of::<[i64; 2]>(), protection, flags, -1, 0)
    };
    if shared == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let shared = shared.cast::<i64>();
    // SAFETY: the copy makes system calls only, and ends by one.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: as above; the memory is mapped and large enough, and nobody else writes to it until this child ends.
        unsafe { behind(program, flags, call, rounds, shared) }
    }
    let mut status = 0;
    // SAFETY: the status is valid to write to, and the child's memory is read once it has ended, then unmapped.
    let [loaded, result] = unsafe {
        let waited = if pid < 0 { -1 } else { libc::waitpid(pid, &raw mut status, 0) };
        let error = io::Error::last_os_error();
        let told = [shared.read_volatile(), shared.add(1).read_volatile()];
        libc::munmap(shared.cast(), size_of::<[i64; 2]>());
        if waited != pid || pid < 0 {
            return Err(error);
        }
        told
    };
    if loaded != 1 {
        return Err(io::Error::from_raw_os_error(i32::try_from(-loaded).unwrap_or(libc::EIO)));
    }
    Ok(if libc::WIFSIGNALED(status) {
        Became::Ended(libc::WTERMSIG(status))
    } else {
        Became::Returned(result)
    })
}

/// What the child does: loads the filter, makes the call, tells, and ends.
///
/// # Safety
///
/// `shared` is two mapped numbers.
unsafe fn behind(program: &[Instruction], flags: u32, call: Call, rounds: u32, shared: *mut i64) -> ! {
    // `Instruction` is written field by field as `struct sock_filter` on the stack, for nothing may be allocated here.
    let mut filter = [libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; 4096];
    for (to, from) in filter.iter_mut().zip(program) {
        *to = libc::sock_filter { code: from.code, jt: from.jt, jf: from.jf, k: from.k };
    }
    let length = program.len() as u16;
    let told = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: the program outlives the call, which copies it; memory that is shared with the parent tells what came of
    // it; what is called here needs no lock. The child may be unable to end by exit_group(2): then a trap ends it.
    unsafe {
        // A core file of a signal is of no use.
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let loaded = match program {
            [] => 0,
            _ => libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const told),
        };
        let error = i64::from(*libc::__errno_location());
        shared.write_volatile(if loaded == 0 { 1 } else { -error });
        if loaded == 0 {
            let start = now();
            let mut result = make(call);
            for _ in 1..rounds {
                make(call);
            }
            if rounds > 0 {
                result = now() - start;
            }
            shared.add(1).write_volatile(result);
        }
        libc::syscall(libc::SYS_exit_group, 0);
        std::process::abort()
    }
}

/// Nanoseconds on a clock that needs no system call.
fn now() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: valid to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Makes a call; an error is a negative number.
///
/// # Safety
///
/// The call must be harmless with these arguments.
unsafe fn make(call: Call) -> i64 {
    #[cfg(target_arch = "x86_64")]
    if call.compat {
        let [a, b, c, d, e, _] = call.arguments;
        let result: i64;
        // SAFETY: the caller's; rbx belongs to the compiler, and is restored. The kernel keeps other registers, or clears
        // r8 to r11.
        unsafe {
            std::arch::asm!(
                "xchg rbx, {b}", "int 0x80", "xchg rbx, {b}",
                b = inout(reg) a => _, inlateout("rax") u64::from(call.number) => result,
                in("rcx") b, in("rdx") c, in("rsi") d, in("rdi") e,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
        return i64::from(result as i32);
    }
    let [a, b, c, d, e, f] = call.arguments;
    // SAFETY: the caller's.
    let result = unsafe { libc::syscall(i64::from(call.number), a, b, c, d, e, f) };
    // SAFETY: a thread's own error number.
    if result == -1 { -i64::from(unsafe { *libc::__errno_location() }) } else { result }
}
