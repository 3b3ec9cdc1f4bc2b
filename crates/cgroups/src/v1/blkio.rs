//! The blkio controller of v1 (kernel: admin-guide/cgroup-v1/blkio-controller.rst).

use corten_oci::BlockIo;

use crate::error::Result;
use crate::step::{Absent, Controller, Plan, Version};
use crate::values::{device, weight};

const BLKIO: Controller = Controller { name: "blkio", version: Version::V1 };

/// Adds the steps for block devices. Weights are BFQ's where the kernel has no others.
pub(crate) fn plan(io: &BlockIo, plan: &mut Plan) -> Result<()> {
    if let Some(value) = weight("blockIO.weight", io.weight)? {
        let write = BLKIO.write("blockIO.weight", "blkio.weight", value);
        plan.write(write.or(Absent::Instead("blkio.bfq.weight", value.to_string())));
    }
    if let Some(value) = weight("blockIO.leafWeight", io.leaf_weight)? {
        plan.write(BLKIO.write("blockIO.leafWeight", "blkio.leaf_weight", value));
    }
    for entry in &io.weight_device {
        let device = device("blockIO.weightDevice", entry.major, entry.minor)?;
        if let Some(value) = weight("blockIO.weightDevice", entry.weight)? {
            let value = format!("{device} {value}");
            let write = BLKIO.write("blockIO.weightDevice", "blkio.weight_device", &value);
            plan.write(write.or(Absent::Instead("blkio.bfq.weight_device", value)));
        }
        if let Some(value) = weight("blockIO.weightDevice", entry.leaf_weight)? {
            let value = format!("{device} {value}");
            plan.write(BLKIO.write("blockIO.weightDevice", "blkio.leaf_weight_device", value));
        }
    }
    let throttles = [
        ("blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device", &io.throttle_read_bps_device),
        ("blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device", &io.throttle_write_bps_device),
        ("blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device", &io.throttle_read_iops_device),
        (
            "blockIO.throttleWriteIOPSDevice",
            "blkio.throttle.write_iops_device",
            &io.throttle_write_iops_device,
        ),
    ];
    for (field, file, entries) in throttles {
        for entry in entries {
            let device = device(field, entry.major, entry.minor)?;
            plan.write(BLKIO.write(field, file, format_args!("{device} {}", entry.rate)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::testing::lines;
    use corten_oci::{ThrottleDevice, WeightDevice};

    #[test]
    fn every_field() {
        let throttle = |rate| vec![ThrottleDevice { major: 8, minor: 0, rate }];
        let io = BlockIo {
            weight: Some(10),
            leaf_weight: Some(1000),
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
                "blkio.weight=10|blkio.bfq.weight=10",
                "blkio.leaf_weight=1000",
                "blkio.weight_device=8:1 20|blkio.bfq.weight_device=8:1 20",
                "blkio.leaf_weight_device=8:1 30",
                "blkio.throttle.read_bps_device=8:0 1",
                "blkio.throttle.write_bps_device=8:0 2",
                "blkio.throttle.read_iops_device=8:0 3",
                "blkio.throttle.write_iops_device=8:0 0",
            ]
        );
    }
}
