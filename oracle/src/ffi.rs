//! libseccomp (seccomp.h), linked in statically where it was found.
#![allow(unsafe_code)]

use std::ffi::CString;
#[cfg(libseccomp)]
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{Read, Seek};

use corten_seccomp::Instruction;

/// An answer of libseccomp that is an error: which call, and its negative error number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The function.
    pub call: &'static str,
    /// Its result.
    pub result: i32,
}

impl Refused {
    /// Whether rules contradict each other.
    pub fn is_contradiction(&self) -> bool {
        (self.call, self.result) == ("seccomp_rule_add_array", -libc::EEXIST)
    }
}

/// `struct scmp_arg_cmp`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    pub argument: u32,
    pub operator: u32,
    pub first: u64,
    pub second: u64,
}

#[cfg(libseccomp)]
unsafe extern "C" {
    fn seccomp_init(action: u32) -> *mut c_void;
    fn seccomp_release(context: *mut c_void);
    fn seccomp_arch_add(context: *mut c_void, arch: u32) -> c_int;
    fn seccomp_arch_remove(context: *mut c_void, arch: u32) -> c_int;
    fn seccomp_attr_set(context: *mut c_void, attribute: u32, value: u32) -> c_int;
    fn seccomp_syscall_resolve_name_arch(arch: u32, name: *const c_char) -> c_int;
    fn seccomp_rule_add_array(
        context: *mut c_void,
        action: u32,
        syscall: c_int,
        count: c_uint,
        comparisons: *const Comparison,
    ) -> c_int;
    fn seccomp_export_bpf(context: *const c_void, fd: c_int) -> c_int;
}

#[cfg(not(libseccomp))]
mod absent {
    //! What is linked where there is no library: no context can be made, so that nothing else is ever called.
    use super::Comparison;
    use std::ffi::{c_char, c_int, c_uint, c_void};

    pub unsafe fn seccomp_init(_: u32) -> *mut c_void {
        std::ptr::null_mut()
    }
    pub unsafe fn seccomp_release(_: *mut c_void) {}
    pub unsafe fn seccomp_arch_add(_: *mut c_void, _: u32) -> c_int {
        -libc::ENOSYS
    }
    pub unsafe fn seccomp_arch_remove(_: *mut c_void, _: u32) -> c_int {
        -libc::ENOSYS
    }
    pub unsafe fn seccomp_attr_set(_: *mut c_void, _: u32, _: u32) -> c_int {
        -libc::ENOSYS
    }
    pub unsafe fn seccomp_syscall_resolve_name_arch(_: u32, _: *const c_char) -> c_int {
        -1
    }
    pub unsafe fn seccomp_rule_add_array(
        _: *mut c_void,
        _: u32,
        _: c_int,
        _: c_uint,
        _: *const Comparison,
    ) -> c_int {
        -libc::ENOSYS
    }
    pub unsafe fn seccomp_export_bpf(_: *const c_void, _: c_int) -> c_int {
        -libc::ENOSYS
    }
}
#[cfg(not(libseccomp))]
use absent::*;

/// `SCMP_FLTATR_CTL_OPTIMIZE`.
const OPTIMIZE: u32 = 8;

/// A filter context.
#[derive(Debug)]
pub struct Libseccomp(*mut std::ffi::c_void);

impl Drop for Libseccomp {
    fn drop(&mut self) {
        // SAFETY: the context is that of seccomp_init, and is not used again.
        unsafe { seccomp_release(self.0) }
    }
}

impl Libseccomp {
    /// Whether the library is there.
    pub const PRESENT: bool = cfg!(libseccomp);

    /// A context with a default action (seccomp_init(3)).
    pub fn new(action: u32) -> Result<Libseccomp, Refused> {
        // SAFETY: takes a number.
        let context = unsafe { seccomp_init(action) };
        if context.is_null() {
            return Err(Refused { call: "seccomp_init", result: -libc::EINVAL });
        }
        Ok(Libseccomp(context))
    }

    /// Adds an architecture (seccomp_arch_add(3)); one that is there already is no error.
    pub fn add_arch(&mut self, arch: u32) -> Result<(), Refused> {
        // SAFETY: the context is alive.
        match unsafe { seccomp_arch_add(self.0, arch) } {
            result if result == -libc::EEXIST => Ok(()),
            result => done("seccomp_arch_add", result),
        }
    }

    /// Takes an architecture out (seccomp_arch_remove(3)).
    pub fn remove_arch(&mut self, arch: u32) -> Result<(), Refused> {
        // SAFETY: the context is alive.
        done("seccomp_arch_remove", unsafe { seccomp_arch_remove(self.0, arch) })
    }

    /// Asks for a tree in place of a list of system calls (seccomp_attr_set(3)).
    pub fn optimize(&mut self) -> Result<(), Refused> {
        // SAFETY: the context is alive.
        done("seccomp_attr_set", unsafe { seccomp_attr_set(self.0, OPTIMIZE, 2) })
    }

    /// Adds a rule (seccomp_rule_add_array(3)).
    pub(crate) fn rule(
        &mut self,
        action: u32,
        syscall: i32,
        comparisons: &[Comparison],
    ) -> Result<(), Refused> {
        let count = u32::try_from(comparisons.len()).unwrap_or(u32::MAX);
        // SAFETY: the context is alive, and there are as many comparisons as are told.
        let result = unsafe { seccomp_rule_add_array(self.0, action, syscall, count, comparisons.as_ptr()) };
        done("seccomp_rule_add_array", result)
    }

    /// The program (seccomp_export_bpf(3)).
    pub fn export(&self, big_endian: bool) -> Result<Vec<Instruction>, Refused> {
        use std::os::fd::AsRawFd;
        let io = |_| Refused { call: "seccomp_export_bpf", result: -libc::EIO };
        let file = rustix::fs::memfd_create("corten-oracle", rustix::fs::MemfdFlags::CLOEXEC);
        let mut file = File::from(file.map_err(|error| io(error.into()))?);
        // SAFETY: the context and the descriptor are alive.
        done("seccomp_export_bpf", unsafe { seccomp_export_bpf(self.0, file.as_raw_fd()) })?;
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(io)?;
        let (instructions, _) = bytes.as_chunks::<8>();
        Ok(instructions.iter().map(|bytes| instruction(*bytes, big_endian)).collect())
    }

    /// The number of a system call: negative where the architecture has none, -1 where nobody has
    /// (seccomp_syscall_resolve_name_arch(3)).
    pub fn number(arch: u32, name: &str) -> i32 {
        let Ok(name) = CString::new(name) else { return -1 };
        // SAFETY: the name ends with a zero.
        unsafe { seccomp_syscall_resolve_name_arch(arch, name.as_ptr()) }
    }
}

fn done(call: &'static str, result: i32) -> Result<(), Refused> {
    if result == 0 { Ok(()) } else { Err(Refused { call, result }) }
}

/// The library writes instructions in the byte order of the architectures.
fn instruction([c0, c1, jt, jf, k0, k1, k2, k3]: [u8; 8], big_endian: bool) -> Instruction {
    let (code, k) = match big_endian {
        true => (u16::from_be_bytes([c0, c1]), u32::from_be_bytes([k0, k1, k2, k3])),
        false => (u16::from_le_bytes([c0, c1]), u32::from_le_bytes([k0, k1, k2, k3])),
    };
    Instruction { code, jt, jf, k }
}
