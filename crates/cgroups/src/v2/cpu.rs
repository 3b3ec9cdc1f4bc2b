//! The cpu controller of v2 (kernel: admin-guide/cgroup-v2.rst, "CPU").

use corten_oci::Cpu;

use crate::error::Result;
use crate::step::{Controller, Plan, Version};

const CPU: Controller = Controller { name: "cpu", version: Version::V2 };

/// Length of a period where none is given, in microseconds: the kernel's own.
const PERIOD: u64 = 100_000;

/// Adds the steps for CPU time.
pub(crate) fn plan(cpu: &Cpu, plan: &mut Plan) -> Result<()> {
    // First, since an idle group takes no weight.
    if let Some(idle) = cpu.idle {
        plan.write(CPU.write("cpu.idle", "cpu.idle", idle));
    }
    match cpu.shares.filter(|shares| *shares != 0) {
        Some(_) if cpu.idle == Some(1) => {
            plan.ignored("cpu.shares", "an idle group has no weight of its own")
        }
        Some(shares) => plan.write(CPU.write("cpu.shares", "cpu.weight", weight(shares))),
        None => {}
    }
    let quota = cpu.quota.filter(|quota| *quota != 0);
    let period = cpu.period.filter(|period| *period != 0);
    let max = (quota.is_some() || period.is_some()).then(|| {
        let quota = quota.filter(|quota| *quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
        CPU.write("cpu.quota", "cpu.max", format_args!("{quota} {}", period.unwrap_or(PERIOD)))
    });
    // A burst above the quota is refused, and so is a quota below the burst.
    let burst = cpu.burst.map(|burst| CPU.write("cpu.burst", "cpu.max.burst", burst));
    plan.writes(max.into_iter().chain(burst));
    let ignored = "cgroup v2 has no control of real-time processes";
    if cpu.realtime_runtime.is_some_and(|runtime| runtime != 0) {
        plan.ignored("cpu.realtimeRuntime", ignored);
    }
    if cpu.realtime_period.is_some_and(|period| period != 0) {
        plan.ignored("cpu.realtimePeriod", ignored);
    }
    Ok(())
}

/// Shares of v1 (2 to 262144, default 1024) as a weight of v2 (1 to 10000, default 100).
///
/// The curve through (2, 1), (1024, 100) and (262144, 10000) that runc and crun share: the exponent is quadratic in the
/// logarithm of the shares.
pub(crate) fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::testing::lines;
    use proptest::prelude::*;

    #[test]
    fn known_weights() {
        for (shares, expected) in [(1, 1), (2, 1), (3, 2), (1024, 100), (262_143, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }

    #[test]
    fn quota_and_period() {
        let cases = [
            (Some(5000), None, "cpu.max=5000 100000"),
            (Some(-1), None, "cpu.max=max 100000"),
            (None, Some(2000), "cpu.max=max 2000"),
            (Some(1), Some(2), "cpu.max=1 2"),
            (Some(0), Some(0), ""),
        ];
        for (quota, period, expected) in cases {
            let mut made = Plan::default();
            plan(&Cpu { quota, period, ..Cpu::default() }, &mut made).unwrap();
            assert_eq!(lines(&made).join(" "), expected);
        }
    }

    #[test]
    fn every_other_field() {
        let cpu = Cpu {
            shares: Some(1024),
            quota: Some(5),
            burst: Some(3),
            idle: Some(0),
            realtime_runtime: Some(1),
            realtime_period: Some(1),
            ..Cpu::default()
        };
        let mut made = Plan::default();
        plan(&cpu, &mut made).unwrap();
        assert_eq!(lines(&made), ["cpu.idle=0", "cpu.weight=100", "cpu.max=5 100000 & cpu.max.burst=3"]);
        assert_eq!(made.warnings.len(), 2);
    }

    proptest! {
        #[test]
        fn weights_rise_within_their_range(shares in 2_u64..262_144) {
            prop_assert!((1..=10_000).contains(&weight(shares)));
            prop_assert!(weight(shares) <= weight(shares + 1));
        }
    }
}
