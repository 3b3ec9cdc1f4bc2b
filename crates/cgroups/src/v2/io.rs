//! The io controller of v2 (kernel: admin-guide/cgroup-v2.rst, "IO").

use corten_oci::BlockIo;

use crate::error::Result;
use crate::step::{Absent, Controller, Plan, Version};
use crate::values::{device, weight};

const IO: Controller = Controller { name: "io", version: Version::V2 };

/// Adds the steps for block devices. Weights are BFQ's where the kernel has it, else those of the cost model.
pub(crate) fn plan(io: &BlockIo, plan: &mut Plan) -> Result<()> {
    if let Some(value) = weight("blockIO.weight", io.weight)? {
        let write = IO.write("blockIO.weight", "io.bfq.weight", value);
        plan.write(write.or(Absent::Instead("io.weight", converted(value).to_string())));
    }
    for entry in &io.weight_device {
        let device = device("blockIO.weightDevice", entry.major, entry.minor)?;
        if let Some(value) = weight("blockIO.weightDevice", entry.weight)? {
            let write = IO.write("blockIO.weightDevice", "io.bfq.weight", format_args!("{device} {value}"));
            plan.write(write.or(Absent::Instead("io.weight", format!("{device} {}", converted(value)))));
        }
    }
    let leaf = io.leaf_weight.or(io.weight_device.iter().find_map(|entry| entry.leaf_weight));
    if leaf.is_some_and(|leaf| leaf != 0) {
        plan.ignored("blockIO.leafWeight", "cgroup v2 has no leaf weights");
    }
    let throttles = [
        ("blockIO.throttleReadBpsDevice", "rbps", &io.throttle_read_bps_device),
        ("blockIO.throttleWriteBpsDevice", "wbps", &io.throttle_write_bps_device),
        ("blockIO.throttleReadIOPSDevice", "riops", &io.throttle_read_iops_device),
        ("blockIO.throttleWriteIOPSDevice", "wiops", &io.throttle_write_iops_device),
    ];
    for (field, key, entries) in throttles {
        for entry in entries {
            let device = device(field, entry.major, entry.minor)?;
            let rate = if entry.rate == 0 { "max".to_owned() } else { entry.rate.to_string() };
            plan.write(IO.write(field, "io.max", format_args!("{device} {key}={rate}")));
        }
    }
    Ok(())
}

/// A weight of v1 and BFQ (10 to 1000) as one of `io.weight` (1 to 10000).
pub(crate) fn converted(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::testing::lines;
    use corten_oci::{ThrottleDevice, WeightDevice};
    use proptest::prelude::*;

    #[test]
    fn every_field() {
        let throttle = |rate| vec![ThrottleDevice { major: 8, minor: 0, rate }];
        let io = BlockIo {
            weight: Some(500),
            leaf_weight: None,
            weight_device: vec![WeightDevice { major: 8, minor: 1, weight: Some(20), leaf_weight: Some(30) }],
            throttle_read_bps_device: throttle(1),
            throttle_write_bps_device: throttle(2),
            throttle_read_iops_device: throttle(3),
            throttle_write_iops_device: throttle(0),
        };
        let mut made = Plan::default();
        plan(&io, &mut made).unwrap();
        assert_eq!(
            lines(&made),
            [
                "io.bfq.weight=500|io.weight=4950",
                "io.bfq.weight=8:1 20|io.weight=8:1 102",
                "io.max=8:0 rbps=1",
                "io.max=8:0 wbps=2",
                "io.max=8:0 riops=3",
                "io.max=8:0 wiops=max",
            ]
        );
        assert_eq!(made.warnings.len(), 1);
    }

    #[test]
    fn wrong_devices_and_weights_are_refused() {
        let wrong = [
            BlockIo { weight: Some(9), ..BlockIo::default() },
            BlockIo { weight: Some(1001), ..BlockIo::default() },
            BlockIo {
                throttle_read_bps_device: vec![ThrottleDevice { major: -1, minor: 0, rate: 1 }],
                ..BlockIo::default()
            },
        ];
        for io in wrong {
            assert!(plan(&io, &mut Plan::default()).is_err(), "{io:?}");
        }
    }

    proptest! {
        #[test]
        fn weights_cover_the_range(weight in 10_u16..=1000) {
            let exact = 1.0 + f64::from(weight - 10) * 9999.0 / 990.0;
            prop_assert_eq!(converted(weight), exact.floor() as u64);
            prop_assert!((1..=10_000).contains(&converted(weight)));
        }
    }
}
