//! How programs are run: the names of `config.json` in the kernel's numbers.

use corten_init::payload::{IoPriority, MemoryPolicy, Scheduler};
use corten_init::scheduling::{MEMORY_MODES, POLICIES};

use super::lists;
use crate::{Error, Result, oci};

/// Flags of the scheduling policy, by bit from 0 (linux/sched.h).
const SCHEDULER_FLAGS: [&str; 7] = [
    "SCHED_FLAG_RESET_ON_FORK",
    "SCHED_FLAG_RECLAIM",
    "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",
    "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
];

/// Classes of I/O priority, by number from 1 (linux/ioprio.h).
const IO_CLASSES: [&str; 3] = ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];

/// Flags of the memory policy, by bit from [`FIRST_MEMORY_FLAG`] (linux/mempolicy.h).
const MEMORY_FLAGS: [&str; 3] = ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];
const FIRST_MEMORY_FLAG: u32 = 13;

/// The execution domain that `uname -m` and its kin see as a 32-bit machine (linux/personality.h).
const PER_LINUX32: u32 = 8;

/// The names of all modes of memory policies, in the order of the kernel's numbers.
pub fn memory_policy_modes() -> &'static [&'static str] {
    &MEMORY_MODES
}

/// The names of all flags of memory policies.
pub fn memory_policy_flags() -> &'static [&'static str] {
    &MEMORY_FLAGS
}

/// The place of a name, as the kernel counts.
fn place(names: &[&str], name: &str, what: &str) -> Result<u32> {
    let place = names.iter().position(|known| *known == name).and_then(|place| u32::try_from(place).ok());
    place.ok_or_else(|| Error::invalid(format!("invalid {what}: {name:?}")))
}

/// The flags as bits from 0 on.
fn flags(names: &[&str], asked: &[String], what: &str) -> Result<u32> {
    asked.iter().try_fold(0, |bits, name| Ok(bits | 1 << place(names, name, what)?))
}

/// The scheduling policy. The kernel decides on what depends on it, and on the machine.
pub(crate) fn scheduler(asked: &oci::Scheduler) -> Result<Scheduler> {
    let oci::Scheduler { policy, nice, priority, flags: names, runtime, deadline, period } = asked;
    let number = place(&POLICIES, policy, "scheduler policy")?;
    let nice = nice.unwrap_or(0);
    if has_nice(policy) && !(-20..=19).contains(&nice) {
        return Err(Error::invalid(format!(
            "invalid scheduler.nice: {nice} when scheduler.policy is {policy}"
        )));
    }
    let priority = priority.unwrap_or(0);
    match matches!(policy.as_str(), "SCHED_FIFO" | "SCHED_RR") {
        true if !(1..=99).contains(&priority) => {
            return Err(Error::invalid(format!("scheduler.priority of {policy} is 1 to 99, not {priority}")));
        }
        false if priority != 0 => {
            return Err(Error::invalid(
                "scheduler.priority can only be specified for SchedFIFO or SchedRR policy",
            ));
        }
        _ => {}
    }
    let [runtime, deadline, period] = [runtime, deadline, period].map(|time| time.unwrap_or(0));
    if policy != "SCHED_DEADLINE" && (runtime, deadline, period) != (0, 0, 0) {
        return Err(Error::invalid(
            "scheduler runtime/deadline/period can only be specified for SchedDeadline policy",
        ));
    }
    Ok(Scheduler {
        policy: number,
        flags: flags(&SCHEDULER_FLAGS, names, "scheduler flag")?.into(),
        nice: if has_nice(policy) { nice } else { 0 },
        priority: priority.unsigned_abs(),
        runtime,
        deadline,
        period,
    })
}

fn has_nice(policy: &str) -> bool {
    matches!(policy, "SCHED_OTHER" | "SCHED_BATCH")
}

/// What of the scheduling policy has no effect: runc takes a nice value with every policy.
pub(crate) fn ignored_nice(asked: &oci::Scheduler) -> Option<String> {
    let ignored = asked.nice.is_some_and(|nice| nice != 0) && !has_nice(&asked.policy);
    ignored.then(|| format!("ignoring scheduler.nice: {} has no nice value", asked.policy))
}

/// The I/O priority.
pub(crate) fn io_priority(asked: &oci::IoPriority) -> Result<IoPriority> {
    let oci::IoPriority { class, priority } = asked;
    let class = place(&IO_CLASSES, class, "io priority class")? + 1;
    match (u8::try_from(class), u8::try_from(*priority)) {
        (Ok(class), Ok(level @ 0..=7)) => Ok(IoPriority { class, level }),
        _ => Err(Error::invalid(format!("invalid ioPriority.priority: {priority} is not between 0 and 7"))),
    }
}

/// The CPUs of a program before and after it is in the control group.
pub(crate) fn cpus(asked: &oci::CpuAffinity) -> Result<[Option<Vec<u64>>; 2]> {
    let oci::CpuAffinity { initial, last } = asked;
    let bits = |name: &str, list: &Option<String>| {
        lists::bits(list.as_deref().unwrap_or_default())
            .map_err(|error| Error::invalid(format!("execCPUAffinity.{name}: {error}")))
    };
    Ok([bits("initial", initial)?, bits("final", last)?])
}

/// The memory policy.
pub(crate) fn memory_policy(asked: &oci::MemoryPolicy) -> Result<MemoryPolicy> {
    let oci::MemoryPolicy { mode, nodes, flags: names } = asked;
    let number = place(&MEMORY_MODES, mode, "memory policy mode")?;
    let nodes = lists::bits(nodes.as_deref().unwrap_or_default())
        .map_err(|error| Error::invalid(format!("memoryPolicy.nodes: {error}")))?
        .unwrap_or_default();
    let problem = match mode.as_str() {
        "MPOL_DEFAULT" | "MPOL_LOCAL" if !nodes.is_empty() => "takes no nodes",
        "MPOL_DEFAULT" | "MPOL_LOCAL" | "MPOL_PREFERRED" => "",
        _ if nodes.is_empty() => "needs at least one node",
        _ => "",
    };
    if !problem.is_empty() {
        return Err(Error::invalid(format!("memory policy mode {mode} {problem}")));
    }
    let flags = flags(&MEMORY_FLAGS, names, "memory policy flag")? << FIRST_MEMORY_FLAG;
    Ok(MemoryPolicy { mode: number, flags, nodes })
}

/// The execution domain.
pub(crate) fn personality(asked: &oci::Personality) -> Result<u32> {
    let oci::Personality { domain, flags: _ } = asked;
    match domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(PER_LINUX32),
        _ => Err(Error::invalid(format!("invalid personality domain {domain:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(document: Value) -> T {
        serde_json::from_value(document).unwrap()
    }

    #[track_caller]
    fn refused<T: std::fmt::Debug>(result: Result<T>, words: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(words), "{error} has no {words:?}");
    }

    #[test]
    fn policies_have_the_kernels_numbers() {
        let policy = |document: Value| scheduler(&read(document)).unwrap();
        let other = policy(json!({"policy": "SCHED_OTHER", "nice": -20}));
        assert_eq!((other.policy, other.nice, other.flags), (0, -20, 0));
        assert_eq!(policy(json!({"policy": "SCHED_BATCH", "priority": 0, "nice": 19})).policy, 3);
        let fifo =
            policy(json!({"policy": "SCHED_FIFO", "priority": 99, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}));
        assert_eq!((fifo.policy, fifo.priority, fifo.flags), (1, 99, 1));
        let deadline = json!({"policy": "SCHED_DEADLINE", "nice": 19, "runtime": 1, "deadline": 2, "period": 3,
            "flags": SCHEDULER_FLAGS});
        let expected =
            Scheduler { policy: 6, flags: 0x7f, nice: 0, priority: 0, runtime: 1, deadline: 2, period: 3 };
        assert_eq!(policy(deadline), expected);
        for (name, number) in [("SCHED_RR", 2), ("SCHED_ISO", 4), ("SCHED_IDLE", 5)] {
            let priority = i32::from(name == "SCHED_RR");
            assert_eq!(policy(json!({"policy": name, "priority": priority})).policy, number);
        }
    }

    #[test]
    fn policies_have_their_own_parameters() {
        let wrong = |document: Value, words: &str| refused(scheduler(&read(document)), words);
        wrong(json!({"policy": ""}), "invalid scheduler policy: \"\"");
        wrong(json!({"policy": "sched_other"}), "invalid scheduler policy: \"sched_other\"");
        wrong(json!({"policy": "SCHED_OTHER", "nice": 20}), "invalid scheduler.nice: 20");
        wrong(json!({"policy": "SCHED_BATCH", "nice": -21}), "invalid scheduler.nice: -21");
        wrong(
            json!({"policy": "SCHED_OTHER", "priority": 1}),
            "can only be specified for SchedFIFO or SchedRR",
        );
        wrong(json!({"policy": "SCHED_FIFO"}), "scheduler.priority of SCHED_FIFO is 1 to 99, not 0");
        wrong(json!({"policy": "SCHED_RR", "priority": 100}), "is 1 to 99, not 100");
        wrong(json!({"policy": "SCHED_RR", "priority": -1}), "is 1 to 99, not -1");
        for time in ["runtime", "deadline", "period"] {
            let mut document = json!({"policy": "SCHED_IDLE"});
            document[time] = json!(1);
            wrong(document, "can only be specified for SchedDeadline");
        }
        wrong(json!({"policy": "SCHED_IDLE", "flags": ["SCHED_FLAG_X"]}), "scheduler flag: \"SCHED_FLAG_X\"");
    }

    #[test]
    fn a_nice_value_of_other_policies_is_told_of() {
        let told = |document: Value| ignored_nice(&read(document));
        assert_eq!(told(json!({"policy": "SCHED_BATCH", "nice": 1})), None);
        assert_eq!(told(json!({"policy": "SCHED_IDLE", "nice": 0})), None);
        assert!(told(json!({"policy": "SCHED_IDLE", "nice": 1})).unwrap().contains("SCHED_IDLE"));
    }

    #[test]
    fn io_priorities_have_a_class_and_a_level() {
        let priority =
            |class: &str, level: i32| io_priority(&read(json!({"class": class, "priority": level})));
        assert_eq!(priority("IOPRIO_CLASS_RT", 0).unwrap(), IoPriority { class: 1, level: 0 });
        assert_eq!(priority("IOPRIO_CLASS_BE", 7).unwrap(), IoPriority { class: 2, level: 7 });
        assert_eq!(priority("IOPRIO_CLASS_IDLE", 3).unwrap(), IoPriority { class: 3, level: 3 });
        refused(priority("IOPRIO_CLASS_BE", 8), "8 is not between 0 and 7");
        refused(priority("IOPRIO_CLASS_BE", -1), "-1 is not between 0 and 7");
        refused(priority("", 0), "invalid io priority class: \"\"");
        refused(priority("IOPRIO_CLASS_NONE", 0), "invalid io priority class");
    }

    #[test]
    fn an_affinity_may_say_nothing() {
        let both = |document: Value| cpus(&read(document));
        assert_eq!(both(json!({})).unwrap(), [None, None]);
        assert_eq!(both(json!({"initial": "", "final": "1"})).unwrap(), [None, Some(vec![2])]);
        refused(both(json!({"initial": "x"})), "execCPUAffinity.initial: invalid list \"x\"");
        refused(both(json!({"final": "1-0"})), "execCPUAffinity.final: invalid list \"1-0\"");
    }

    #[test]
    fn memory_policies_have_the_kernels_numbers() {
        let policy = |document: Value| memory_policy(&read(document));
        let bind =
            policy(json!({"mode": "MPOL_BIND", "nodes": "0,2", "flags": ["MPOL_F_STATIC_NODES"]})).unwrap();
        assert_eq!(bind, MemoryPolicy { mode: 2, flags: 0x8000, nodes: vec![5] });
        let flags = policy(json!({"mode": "MPOL_PREFERRED", "flags": MEMORY_FLAGS})).unwrap().flags;
        assert_eq!(flags, 0xe000);
        for (mode, name) in (0..).zip(MEMORY_MODES) {
            let (bare, node) = (policy(json!({"mode": name})), policy(json!({"mode": name, "nodes": "0"})));
            match name {
                "MPOL_DEFAULT" | "MPOL_LOCAL" => {
                    assert_eq!(bare.unwrap().mode, mode);
                    refused(node, &format!("memory policy mode {name} takes no nodes"));
                }
                "MPOL_PREFERRED" => assert_eq!((bare.unwrap().mode, node.unwrap().mode), (mode, mode)),
                _ => {
                    assert_eq!(node.unwrap().mode, mode);
                    refused(bare, &format!("memory policy mode {name} needs at least one node"));
                }
            }
        }
        refused(policy(json!({"mode": "MPOL_MAX"})), "invalid memory policy mode: \"MPOL_MAX\"");
        refused(policy(json!({"mode": "MPOL_BIND", "nodes": "a"})), "memoryPolicy.nodes: invalid list \"a\"");
        refused(policy(json!({"mode": "MPOL_LOCAL", "flags": ["X"]})), "invalid memory policy flag: \"X\"");
    }

    #[test]
    fn domains_have_the_kernels_numbers() {
        let domain = |name: &str| personality(&read(json!({"domain": name})));
        assert_eq!((domain("LINUX").unwrap(), domain("LINUX32").unwrap()), (0, 8));
        refused(domain("linux"), "invalid personality domain \"linux\"");
    }
}
