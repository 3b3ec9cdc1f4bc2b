//! The memory controller of v2 (kernel: admin-guide/cgroup-v2.rst, "Memory").

use std::fmt::Display;

use corten_oci::Memory;

use crate::error::{Error, Result};
use crate::step::{Absent, Controller, Plan, Step, Version, limit};

const MEMORY: Controller = Controller { name: "memory", version: Version::V2 };

/// Adds the steps for the memory limits.
pub(crate) fn plan(memory: &Memory, plan: &mut Plan) -> Result<()> {
    let max = limit("memory.limit", memory.limit)?;
    let swap = swap(max, limit("memory.swap", memory.swap)?)?;
    if let Some(max @ 1..) = max
        && memory.check_before_update == Some(true)
    {
        plan.steps.push(Step::CheckMemory(max));
    }
    if let Some(swap) = swap {
        let write = MEMORY.write("memory.swap", "memory.swap.max", or_max(swap));
        // A kernel that does not account swap has no file. Asked for none, or for no limit, runc goes on: such hosts
        // seldom have swap, and every `docker run -m` on them would fail.
        plan.write(if swap <= 0 { write.or(Absent::Ignore) } else { write });
    }
    if let Some(max) = max {
        plan.write(MEMORY.write("memory.limit", "memory.max", or_max(max)));
    }
    if let Some(low) = limit("memory.reservation", memory.reservation)? {
        plan.write(MEMORY.write("memory.reservation", "memory.low", or_max(low)));
    }
    if memory.disable_oom_killer == Some(true) {
        plan.ignored("memory.disableOOMKiller", "cgroup v2 has no such switch");
    }
    if memory.swappiness.is_some() {
        plan.ignored("memory.swappiness", "cgroup v2 has no swappiness of a group");
    }
    crate::v1::memory::removed(memory, plan);
    Ok(())
}

/// The limit of swap alone, which v2 has, from that of memory and swap together, which the specification has. None: leave
/// it; -1: no limit.
pub(crate) fn swap(memory: Option<i64>, both: Option<i64>) -> Result<Option<i64>> {
    let refused = |reason| Err(Error::value("memory.swap", both.unwrap_or_default(), reason));
    match (memory, both) {
        (Some(-1), None) => Ok(Some(-1)),
        (_, None | Some(-1)) | (Some(-1), _) => Ok(both),
        (None, Some(_)) => refused("unable to set swap limit without memory limit"),
        (Some(memory), Some(both)) if both < memory => refused("memory+swap limit should be >= memory limit"),
        (Some(memory), Some(both)) => Ok(Some(both - memory)),
    }
}

/// A limit as v2 writes it.
fn or_max(limit: i64) -> impl Display {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::testing::lines;
    use proptest::prelude::*;

    fn planned(memory: Memory) -> Result<Vec<String>> {
        let mut made = Plan::default();
        plan(&memory, &mut made).map(|()| lines(&made))
    }

    #[test]
    fn swap_is_what_is_left_of_both() {
        let cases = [
            (Some(-1), None, Some(-1)),
            (None, None, None),
            (Some(5), None, None),
            (None, Some(-1), Some(-1)),
            (Some(5), Some(-1), Some(-1)),
            (Some(-1), Some(7), Some(7)),
            (Some(5), Some(5), Some(0)),
            (Some(5), Some(7), Some(2)),
        ];
        for (memory, both, expected) in cases {
            assert_eq!(swap(memory, both).unwrap(), expected, "{memory:?} {both:?}");
        }
        assert!(swap(None, Some(7)).is_err());
        assert!(swap(Some(7), Some(6)).is_err());
    }

    #[test]
    fn every_field() {
        let memory = Memory {
            limit: Some(1000),
            swap: Some(1000),
            reservation: Some(-1),
            check_before_update: Some(true),
            swappiness: Some(1),
            disable_oom_killer: Some(true),
            ..Memory::default()
        };
        let mut made = Plan::default();
        plan(&memory, &mut made).unwrap();
        assert_eq!(
            lines(&made),
            ["CheckMemory(1000)", "memory.swap.max=0?", "memory.max=1000", "memory.low=max"]
        );
        assert_eq!(made.warnings.len(), 2);
        assert_eq!(
            planned(Memory { limit: Some(-1), ..Memory::default() }).unwrap(),
            ["memory.swap.max=max?", "memory.max=max"]
        );
    }

    proptest! {
        #[test]
        fn memory_and_swap_add_up(memory in 1..i64::MAX, extra in 0_i64..1 << 40) {
            if let Some(both) = memory.checked_add(extra) {
                prop_assert_eq!(swap(Some(memory), Some(both)).unwrap(), Some(extra));
            }
        }
    }
}
