//! The cpu controller of v1 (kernel: scheduler/sched-bwc.rst, scheduler/sched-rt-group.rst).

use corten_oci::Cpu;

use crate::error::{Error, Result};
use crate::step::{Absent, Controller, Plan, Version};

const CPU: Controller = Controller { name: "cpu", version: Version::V1 };

/// Adds the steps for CPU time.
pub(crate) fn plan(cpu: &Cpu, plan: &mut Plan) -> Result<()> {
    let set = |value: Option<u64>| value.filter(|v| *v != 0);
    // Before a process is moved in: one with a real-time policy is refused by a group without real-time runtime.
    let period = set(cpu.realtime_period).map(|v| CPU.write("cpu.realtimePeriod", "cpu.rt_period_us", v));
    let runtime = cpu.realtime_runtime.map(|v| {
        let write = CPU.write("cpu.realtimeRuntime", "cpu.rt_runtime_us", v);
        if v == 0 { write.or(Absent::Ignore) } else { write }
    });
    plan.writes(period.into_iter().chain(runtime));

    if let Some(idle) = cpu.idle {
        plan.write(CPU.write("cpu.idle", "cpu.idle", idle));
    }
    match set(cpu.shares) {
        Some(_) if cpu.idle == Some(1) => {
            plan.ignored("cpu.shares", "an idle group has no weight of its own")
        }
        Some(shares) if shares < 2 => {
            return Err(Error::value("cpu.shares", shares, "the minimum allowed cpu-shares is 2"));
        }
        Some(shares) if shares > 262_144 => {
            return Err(Error::value("cpu.shares", shares, "the maximum allowed cpu-shares is 262144"));
        }
        Some(shares) => plan.write(CPU.write("cpu.shares", "cpu.shares", shares)),
        None => {}
    }

    // The quota is checked against the period, and the burst against the quota.
    let period = set(cpu.period).map(|v| CPU.write("cpu.period", "cpu.cfs_period_us", v));
    let quota = cpu.quota.filter(|v| *v != 0).map(|v| CPU.write("cpu.quota", "cpu.cfs_quota_us", v));
    let burst = cpu.burst.map(|v| CPU.write("cpu.burst", "cpu.cfs_burst_us", v));
    plan.writes(period.into_iter().chain(quota).chain(burst));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::testing::lines;

    #[test]
    fn every_field() {
        let cpu = Cpu {
            shares: Some(1024),
            quota: Some(-1),
            period: Some(50_000),
            burst: Some(0),
            realtime_runtime: Some(0),
            realtime_period: Some(1_000_000),
            idle: Some(0),
            ..Cpu::default()
        };
        let mut made = Plan::default();
        plan(&cpu, &mut made).unwrap();
        assert_eq!(
            lines(&made),
            [
                "cpu.rt_period_us=1000000 & cpu.rt_runtime_us=0?",
                "cpu.idle=0",
                "cpu.shares=1024",
                "cpu.cfs_period_us=50000 & cpu.cfs_quota_us=-1 & cpu.cfs_burst_us=0",
            ]
        );
    }

    #[test]
    fn shares_have_bounds_and_no_meaning_when_idle() {
        for shares in [1, 262_145] {
            let cpu = Cpu { shares: Some(shares), ..Cpu::default() };
            assert!(matches!(plan(&cpu, &mut Plan::default()), Err(Error::Value { .. })), "{shares}");
        }
        let mut made = Plan::default();
        plan(&Cpu { shares: Some(5), idle: Some(1), ..Cpu::default() }, &mut made).unwrap();
        assert_eq!((lines(&made).join(" "), made.warnings.len()), ("cpu.idle=1".to_owned(), 1));
    }
}
