//! How the kernel runs the user's program: scheduling policy, I/O priority, memory policy, execution domain.
//!
//! All of it is inherited across execve(2), and part of it needs privileges that the program may not have.

use corten_sys::sched::{self, Attributes};
use rustix::io::Errno;

use crate::payload::{IoPriority, MemoryPolicy, Process, Scheduler};
use crate::{Doing, Failure, Result};

/// Scheduling policies, by the kernel's number (linux/sched.h); no kernel has `SCHED_ISO`.
pub const POLICIES: [&str; 7] =
    ["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];

/// Modes of memory policies, by the kernel's number (linux/mempolicy.h).
pub const MEMORY_MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

/// Takes on what the program is to have.
pub(crate) fn apply(process: &Process) -> Result<()> {
    process.scheduler.as_ref().map_or(Ok(()), set_scheduler)?;
    process.io_priority.as_ref().map_or(Ok(()), set_io_priority)?;
    process.memory_policy.as_ref().map_or(Ok(()), set_memory_policy)?;
    match process.personality {
        Some(domain) => corten_sys::exec::set_personality(domain).doing(|| "set the execution domain"),
        None => Ok(()),
    }
}

fn set_scheduler(scheduler: &Scheduler) -> Result<()> {
    let Scheduler { policy, flags, nice, priority, runtime, deadline, period } = *scheduler;
    let name = POLICIES.get(policy as usize).copied().unwrap_or_default();
    let attributes = Attributes { policy, flags, nice, priority, runtime, deadline, period };
    sched::set_attributes(attributes)
        .doing(|| format!("error setting scheduler {name}"))
        .map_err(|failure| explain(failure, name))
}

/// What the kernel's refusal of a policy means to a person.
fn explain(failure: Failure, policy: &str) -> Failure {
    let denied = failure.is(Errno::PERM);
    match policy {
        "SCHED_ISO" => failure.hint("Linux has reserved its number and does not have it"),
        "SCHED_FIFO" | "SCHED_RR" if denied => failure.hint(
            "it needs CAP_SYS_NICE outside of any user namespace or RLIMIT_RTPRIO, and in a group of the v1 cpu controller \
             linux.resources.cpu.realtimeRuntime",
        ),
        "SCHED_DEADLINE" if denied => failure.hint(
            "it needs CAP_SYS_NICE outside of any user namespace, and every CPU: process scheduler can't be used together with \
             AllowedCPUs",
        ),
        "SCHED_DEADLINE" if failure.is(Errno::INVAL) => {
            failure.hint("it must hold that 1024 ns <= runtime <= deadline <= period")
        }
        "SCHED_DEADLINE" if failure.is(Errno::BUSY) => {
            failure.hint("there is not so much bandwidth left for it")
        }
        _ if denied => {
            failure.hint("a nice value below the present one needs CAP_SYS_NICE outside of any user namespace")
        }
        _ => failure,
    }
}

fn set_io_priority(priority: &IoPriority) -> Result<()> {
    let IoPriority { class, level } = *priority;
    sched::set_io_priority(class, level)
        .doing(|| format!("set I/O priority {level} of class {class}"))
        .map_err(|failure| match failure.is(Errno::PERM) {
            true => failure.hint(
                "the real-time class needs CAP_SYS_NICE or CAP_SYS_ADMIN outside of any user namespace",
            ),
            false => failure,
        })
}

fn set_memory_policy(policy: &MemoryPolicy) -> Result<()> {
    let MemoryPolicy { mode, flags, nodes } = policy;
    let name = MEMORY_MODES.get(*mode as usize).copied().unwrap_or_default();
    corten_sys::numa::set_policy(mode | flags, nodes).doing(|| format!("set memory policy {name}")).map_err(
        |failure| match failure.is(Errno::INVAL) {
            true => failure.hint(
                "the nodes must be there, with memory, and allowed by linux.resources.cpu.mems; not every kernel has every mode, \
                 and not every mode takes every flag",
            ),
            false => failure,
        },
    )
}

/// Keeps this process to these CPUs; nothing where there are none.
pub(crate) fn keep_to(cpus: Option<&[u64]>) -> Result<()> {
    let Some(cpus) = cpus else { return Ok(()) };
    sched::set_affinity(cpus).doing(|| "set the CPU affinity").map_err(|failure| {
        match failure.is(Errno::INVAL) {
            true => failure.hint("none of the CPUs of process.execCPUAffinity is there and allowed"),
            false => failure,
        }
    })
}
