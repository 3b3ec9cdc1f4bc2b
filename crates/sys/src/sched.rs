//! How the kernel schedules this process: policy, CPUs, input and output (sched(7), ioprio_set(2)).

use rustix::io::Result;

use crate::fd::result;

/// Policy and parameters of a thread. What its policy has no use for is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `SCHED_OTHER` 0, `SCHED_FIFO` 1, `SCHED_RR` 2, `SCHED_BATCH` 3, `SCHED_IDLE` 5, `SCHED_DEADLINE` 6.
    pub policy: u32,
    /// `SCHED_FLAG_…`, as bits.
    pub flags: u64,
    /// Nice value of `SCHED_OTHER` and `SCHED_BATCH`: -20 to 19.
    pub nice: i32,
    /// Static priority of `SCHED_FIFO` and `SCHED_RR`: 1 to 99.
    pub priority: u32,
    /// Runtime of `SCHED_DEADLINE`, in nanoseconds.
    pub runtime: u64,
    /// Deadline of `SCHED_DEADLINE`, in nanoseconds.
    pub deadline: u64,
    /// Period of `SCHED_DEADLINE`, in nanoseconds.
    pub period: u64,
}

/// `struct sched_attr` of linux/sched/types.h, version 1.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// Sets policy and parameters of this thread (sched_setattr(2)).
///
/// `EPERM` without the privilege, in a group of the v1 `cpu` controller that has no real-time bandwidth, and for
/// `SCHED_DEADLINE` on fewer than all CPUs; `EBUSY` where the bandwidth of `SCHED_DEADLINE` is used up; `EINVAL` for a policy or
/// parameters that the kernel does not know.
pub fn set_attributes(attributes: Attributes) -> Result<()> {
    let Attributes { policy, flags, nice, priority, runtime, deadline, period } = attributes;
    let size = size_of::<SchedAttr>() as u32;
    let (util_min, util_max) = (0, 0);
    let mut attributes =
        SchedAttr { size, policy, flags, nice, priority, runtime, deadline, period, util_min, util_max };
    // SAFETY: the structure has the size that its first field says, and outlives the call; 0 is this thread.
    result(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw mut attributes, 0) }).map(drop)
}

/// Lets this thread run on these CPUs only, a bit each, the first CPU the lowest bit of the first word
/// (sched_setaffinity(2)). CPUs that the machine lacks are left out; `EINVAL` where none is left.
pub fn set_affinity(cpus: &[u64]) -> Result<()> {
    let bytes = size_of_val(cpus);
    // SAFETY: the words are valid for their size in bytes; 0 is this thread.
    result(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, bytes, cpus.as_ptr()) }).map(drop)
}

const IOPRIO_WHO_PROCESS: libc::c_int = 1;
const IOPRIO_CLASS_SHIFT: u32 = 13;

/// Sets the I/O priority of this thread: a class (1 real-time, 2 best effort, 3 idle) and a level in it, 0 (highest) to 7
/// (ioprio_set(2)). `EPERM` for the real-time class without the privilege.
pub fn set_io_priority(class: u8, level: u8) -> Result<()> {
    let value = u32::from(class) << IOPRIO_CLASS_SHIFT | u32::from(level);
    // SAFETY: takes numbers only; 0 is this thread.
    result(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) }).map(drop)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    /// Fields of proc_pid_stat(5) from the third on, of this thread.
    fn stat() -> Vec<String> {
        let text = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        text.rsplit_once(") ").unwrap().1.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn attributes_are_those_that_were_set() {
        let batch = Attributes { policy: 3, nice: 7, ..Attributes::default() };
        let seen =
            std::thread::spawn(move || set_attributes(batch).map(|()| stat())).join().unwrap().unwrap();
        assert_eq!((seen[41 - 3].as_str(), seen[19 - 3].as_str()), ("3", "7"));
    }

    #[test]
    fn a_policy_that_no_kernel_has_is_refused() {
        let iso = Attributes { policy: 4, ..Attributes::default() };
        assert_eq!(set_attributes(iso), Err(Errno::INVAL));
    }

    #[test]
    fn an_io_priority_has_one_of_three_classes() {
        assert_eq!(std::thread::spawn(|| set_io_priority(2, 6)).join().unwrap(), Ok(()));
        assert_eq!(set_io_priority(7, 0), Err(Errno::INVAL));
    }

    #[test]
    fn cpus_beyond_the_machine_are_left_out() {
        let set = |cpus: &'static [u64]| std::thread::spawn(move || set_affinity(cpus)).join().unwrap();
        assert_eq!(set(&[u64::MAX; 1024]), Ok(()));
        assert_eq!(set(&[0]), Err(Errno::INVAL));
        assert_eq!(set(&[]), Err(Errno::INVAL));
    }
}
