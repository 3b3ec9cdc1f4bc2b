//! eBPF programs that decide about devices of a control group (bpf(2); cgroup v2 has no files for that).

use std::ffi::{CStr, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};

use crate::fd::result;

const PROG_LOAD: c_long = 5;
const PROG_ATTACH: c_long = 8;
const PROG_DETACH: c_long = 9;
const PROG_GET_FD_BY_ID: c_long = 13;
const PROG_QUERY: c_long = 16;

const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;

/// More than a group can have (`BPF_CGROUP_MAX_PROGS`).
const MOST: usize = 64;

#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct ById {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Makes a program of type `BPF_PROG_TYPE_CGROUP_DEVICE` from instructions, eight bytes each in memory order.
///
/// Fails with `EPERM` without CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) on the host, and with `EINVAL` or `EACCES`
/// where the kernel's verifier does not take it.
pub fn load_device_program(instructions: &[u64]) -> Result<OwnedFd> {
    const LICENSE: &CStr = c"Apache-2.0";
    let mut prog_name = [0; 16];
    prog_name[..14].copy_from_slice(b"corten_devices");
    let mut attr = Load {
        prog_type: TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        insns: instructions.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        prog_name,
        ..Load::default()
    };
    // SAFETY: the attributes hold the addresses of live arrays with their lengths, which the kernel only reads.
    unsafe { descriptor(PROG_LOAD, &mut attr) }
}

/// Lets a program decide about the devices of a group, beside others that decide there, or in the place of one of them.
pub fn attach_device_program(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let mut attr = Attach {
        target_fd: number(group),
        attach_bpf_fd: number(program),
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI | if replaced.is_some() { REPLACE } else { 0 },
        replace_bpf_fd: replaced.map_or(0, number),
    };
    // SAFETY: the attributes hold descriptors only, all of them open.
    unsafe { bpf(PROG_ATTACH, &mut attr) }.map(drop)
}

/// Takes a program away from a group.
pub fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut attr = Attach {
        target_fd: number(group),
        attach_bpf_fd: number(program),
        attach_type: ATTACH_CGROUP_DEVICE,
        ..Attach::default()
    };
    // SAFETY: the attributes hold descriptors only, both of them open.
    unsafe { bpf(PROG_DETACH, &mut attr) }.map(drop)
}

/// The programs that are attached to this very group.
pub fn device_programs(group: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; MOST];
    let mut attr = Query {
        target_fd: number(group),
        attach_type: ATTACH_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MOST as u32,
        ..Query::default()
    };
    // SAFETY: the attributes hold an open descriptor and the address of an array with its length, which outlives the call.
    unsafe { bpf(PROG_QUERY, &mut attr) }?;
    let open = |id: &u32| {
        let mut attr = ById { prog_id: *id, ..ById::default() };
        // SAFETY: the attributes hold numbers only.
        unsafe { descriptor(PROG_GET_FD_BY_ID, &mut attr) }
    };
    ids.iter().take(attr.prog_cnt as usize).map(open).collect()
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// # Safety
///
/// `attr` must be the attributes of this command, and every address in it valid for what the command does with it.
unsafe fn bpf<T>(command: c_long, attr: &mut T) -> Result<c_long> {
    // SAFETY: the size is that of the attributes; the rest is this function's contract.
    result(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) })
}

/// # Safety
///
/// As with [`bpf`], for a command that answers with a new descriptor, which is close-on-exec.
unsafe fn descriptor<T>(command: c_long, attr: &mut T) -> Result<OwnedFd> {
    // SAFETY: this function's contract.
    let fd = unsafe { bpf(command, attr) }?;
    let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
