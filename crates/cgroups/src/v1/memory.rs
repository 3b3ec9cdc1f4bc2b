//! The memory controller of v1 (kernel: admin-guide/cgroup-v1/memory.rst).

use corten_oci::Memory;

use crate::error::{Error, Result};
use crate::step::{Absent, Controller, Plan, Version, limit};

const MEMORY: Controller = Controller { name: "memory", version: Version::V1 };

/// Adds the steps for the memory limits.
pub(crate) fn plan(memory: &Memory, plan: &mut Plan) -> Result<()> {
    let max = limit("memory.limit", memory.limit)?;
    let swap = limit("memory.swap", memory.swap)?;
    if let (Some(max @ 1..), Some(swap @ 1..)) = (max, swap)
        && swap < max
    {
        return Err(Error::value("memory.swap", swap, "memory+swap limit should be >= memory limit"));
    }
    let max_write = max.map(|max| MEMORY.write("memory.limit", "memory.limit_in_bytes", max));
    let swap_write = match (max, swap) {
        // No limit of memory means none of both together; without accounting of swap there is none anyway.
        (Some(-1), None) | (_, Some(-1)) => {
            Some(MEMORY.write("memory.swap", "memory.memsw.limit_in_bytes", -1).or(Absent::Ignore))
        }
        (_, swap) => swap.map(|swap| MEMORY.write("memory.swap", "memory.memsw.limit_in_bytes", swap)),
    };
    // The kernel wants memory <= memory+swap at every moment: raising goes one way round, lowering the other.
    plan.writes(max_write.into_iter().chain(swap_write));
    if let Some(soft) = limit("memory.reservation", memory.reservation)? {
        plan.write(MEMORY.write("memory.reservation", "memory.soft_limit_in_bytes", soft));
    }
    if let Some(disable) = memory.disable_oom_killer {
        plan.write(MEMORY.write("memory.disableOOMKiller", "memory.oom_control", u8::from(disable)));
    }
    if let Some(swappiness) = memory.swappiness {
        if swappiness > 100 {
            return Err(Error::value("memory.swappiness", swappiness, "valid range is 0-100"));
        }
        plan.write(MEMORY.write("memory.swappiness", "memory.swappiness", swappiness));
    }
    removed(memory, plan);
    Ok(())
}

/// Notes the fields that neither version has any more.
pub(crate) fn removed(memory: &Memory, plan: &mut Plan) {
    for (field, value) in [("memory.kernel", memory.kernel), ("memory.kernelTCP", memory.kernel_tcp)] {
        if value.is_some_and(|value| value != 0) {
            plan.ignored(field, "kernel memory is part of memory.limit; it has no limit of its own any more");
        }
    }
    if memory.use_hierarchy == Some(false) {
        plan.ignored("memory.useHierarchy", "accounting is always hierarchical");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::testing::lines;

    fn planned(memory: Memory) -> Result<Vec<String>> {
        let mut made = Plan::default();
        plan(&memory, &mut made).map(|()| lines(&made))
    }

    #[test]
    fn limits() {
        let both =
            Memory { limit: Some(1000), swap: Some(2000), reservation: Some(500), ..Memory::default() };
        assert_eq!(
            planned(both).unwrap(),
            [
                "memory.limit_in_bytes=1000 & memory.memsw.limit_in_bytes=2000",
                "memory.soft_limit_in_bytes=500"
            ]
        );
        let unlimited = Memory { limit: Some(-1), ..Memory::default() };
        assert_eq!(
            planned(unlimited).unwrap(),
            ["memory.limit_in_bytes=-1 & memory.memsw.limit_in_bytes=-1?"]
        );
        assert!(planned(Memory { limit: Some(0), swap: Some(0), ..Memory::default() }).unwrap().is_empty());
    }

    #[test]
    fn wrong_values_are_refused() {
        for memory in [
            Memory { limit: Some(-2), ..Memory::default() },
            Memory { limit: Some(10), swap: Some(9), ..Memory::default() },
            Memory { swappiness: Some(101), ..Memory::default() },
        ] {
            assert!(matches!(planned(memory), Err(Error::Value { .. })));
        }
    }

    #[test]
    fn the_rest() {
        let memory = Memory { swappiness: Some(0), disable_oom_killer: Some(true), ..Memory::default() };
        assert_eq!(planned(memory).unwrap(), ["memory.oom_control=1", "memory.swappiness=0"]);
        let mut made = Plan::default();
        let memory = Memory { kernel: Some(5), use_hierarchy: Some(false), ..Memory::default() };
        plan(&memory, &mut made).unwrap();
        let fields: Vec<_> = made.warnings.iter().map(|w| w.field()).collect();
        assert_eq!(fields, ["memory.kernel", "memory.useHierarchy"]);
    }
}
