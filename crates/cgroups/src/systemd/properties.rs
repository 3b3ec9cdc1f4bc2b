//! Limits as properties of a unit (systemd.resource-control(5), org.freedesktop.systemd1(5)).
//!
//! Only what systemd has a property for; the files have everything.

use corten_oci::{BlockIo, Cpu, Map, Memory, Pids, Resources};
use zbus::wire::Variant;

use super::bus::Properties;
use super::devices;
use crate::devices::Policy;
use crate::error::{Error, Result};
use crate::step::{Version, limit};
use crate::v2;
use crate::values::weight;

/// No limit.
const INFINITY: u64 = u64::MAX;
/// systemd counts shares of a CPU in steps of one percent: microseconds a second.
const STEP: u64 = 10_000;
const SECOND: u64 = 1_000_000;
/// Length of a period where none is given, in microseconds.
const PERIOD: u64 = 100_000;

/// What turns the controllers on that systemd knows.
pub(super) fn accounting(version: Version) -> Properties {
    let io = if version == Version::V1 { "BlockIOAccounting" } else { "IOAccounting" };
    let names = ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"];
    names.into_iter().map(|name| (name.to_owned(), true.into())).collect()
}

/// The properties for the limits that are given. Rules about devices are told on v1 only.
pub(crate) fn of(resources: &Resources, version: Version) -> Result<Properties> {
    let Resources { devices, memory, cpu, pids, block_io, unified, .. } = resources;
    let mut made = Made { version, list: Vec::new() };
    memory.as_ref().map_or(Ok(()), |memory| made.memory(memory))?;
    cpu.as_ref().map_or(Ok(()), |cpu| made.cpu(cpu))?;
    if let Some(Pids { limit: Some(limit) }) = pids {
        made.set("TasksMax", u64::try_from(*limit).map_or(INFINITY, |limit| limit.max(1)));
    }
    block_io.as_ref().map_or(Ok(()), |io| made.io(io))?;
    if version == Version::V2 {
        made.unified(unified)?;
    }
    let mut list = made.list;
    if version == Version::V1 && !devices.is_empty() {
        list.extend(devices::of(&Policy::of(devices)?));
    }
    Ok(list)
}

struct Made {
    version: Version,
    list: Properties,
}

impl Made {
    /// Adds a property, in the place of one of its name.
    fn set(&mut self, name: &str, value: impl Into<Variant<'static>>) {
        self.list.retain(|(other, _)| other != name);
        self.list.push((name.to_owned(), value.into()));
    }

    fn memory(&mut self, memory: &Memory) -> Result<()> {
        let bytes = |limit: i64| u64::try_from(limit).unwrap_or(INFINITY);
        let max = limit("memory.limit", memory.limit)?;
        let both = limit("memory.swap", memory.swap)?;
        if self.version == Version::V1 {
            max.into_iter().for_each(|max| self.set("MemoryLimit", bytes(max)));
            return Ok(());
        }
        let swap = v2::memory::swap(max, both)?;
        let values = [
            ("MemoryMax", max),
            ("MemoryLow", limit("memory.reservation", memory.reservation)?),
            ("MemorySwapMax", swap),
        ];
        for (name, value) in values {
            value.into_iter().for_each(|value| self.set(name, bytes(value)));
        }
        Ok(())
    }

    fn cpu(&mut self, cpu: &Cpu) -> Result<()> {
        let shares = cpu.shares.filter(|shares| *shares != 0);
        match (self.version, cpu.idle, shares) {
            (Version::V2, Some(1), _) => self.set("CPUWeight", 0_u64),
            (Version::V2, _, Some(shares)) => self.set("CPUWeight", v2::cpu::weight(shares)),
            (Version::V1, _, Some(shares)) => self.set("CPUShares", shares),
            _ => {}
        }
        let quota = cpu.quota.filter(|quota| *quota != 0);
        let period = cpu.period.filter(|period| *period != 0);
        if quota.is_some() || period.is_some() {
            self.quota(quota.and_then(|quota| u64::try_from(quota).ok()), period);
        }
        if self.version == Version::V2 {
            let lists =
                [("cpu.cpus", "AllowedCPUs", &cpu.cpus), ("cpu.mems", "AllowedMemoryNodes", &cpu.mems)];
            for (field, name, list) in lists {
                self.set_list(field, name, list.as_deref().unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// A quota and the length of its period, in microseconds; no quota is no limit.
    fn quota(&mut self, quota: Option<u64>, period: Option<u64>) {
        if let Some(period) = period {
            self.set("CPUQuotaPeriodUSec", period);
        }
        let period = u128::from(period.unwrap_or(PERIOD).max(1));
        let share = quota.map_or(INFINITY, |quota| {
            let share = (u128::from(quota) * u128::from(SECOND)).div_ceil(period);
            // Rounded up: what systemd rounds down may come to nothing. The largest number would be no limit.
            u64::try_from(share).unwrap_or(INFINITY).min(INFINITY - STEP).next_multiple_of(STEP)
        });
        self.set("CPUQuotaPerSecUSec", share);
    }

    fn set_list(&mut self, field: &'static str, name: &str, list: &str) -> Result<()> {
        if !list.is_empty() {
            let bits = bits(list).ok_or_else(|| Error::value(field, list, "a list reads like 0-3,7"))?;
            self.set(name, bits);
        }
        Ok(())
    }

    fn io(&mut self, io: &BlockIo) -> Result<()> {
        let Some(value) = weight("blockIO.weight", io.weight)? else { return Ok(()) };
        match self.version {
            Version::V1 => self.set("BlockIOWeight", u64::from(value)),
            Version::V2 => self.set("IOWeight", v2::io::converted(value)),
        }
        Ok(())
    }

    /// Files of v2 that are properties too; what a value means that makes no sense here, the kernel decides.
    fn unified(&mut self, files: &Map<String>) -> Result<()> {
        for (file, value) in files {
            let value = value.trim();
            let limit = if value == "max" { Some(INFINITY) } else { value.parse().ok() };
            let mut number = |name| limit.into_iter().for_each(|limit| self.set(name, limit));
            match (file.as_str(), value) {
                ("memory.high", _) => number("MemoryHigh"),
                ("memory.low", _) => number("MemoryLow"),
                ("memory.max", _) => number("MemoryMax"),
                ("memory.min", _) => number("MemoryMin"),
                ("memory.swap.max", _) => number("MemorySwapMax"),
                ("memory.zswap.max", _) => number("MemoryZSwapMax"),
                ("pids.max", _) => number("TasksMax"),
                ("cpu.weight", _) => number("CPUWeight"),
                ("cpu.idle", "1") => self.set("CPUWeight", 0_u64),
                ("io.weight", _) => {
                    let weight = value.strip_prefix("default ").unwrap_or(value).parse::<u64>().ok();
                    weight.into_iter().for_each(|weight| self.set("IOWeight", weight));
                }
                ("memory.oom.group", "0") => self.set("OOMPolicy", "continue"),
                ("memory.oom.group", "1") => self.set("OOMPolicy", "kill"),
                ("cpu.max", _) => {
                    let mut words = value.split_whitespace();
                    let quota = words.next().unwrap_or_default();
                    if quota == "max" || quota.parse::<u64>().is_ok() {
                        self.quota(quota.parse().ok(), words.next().and_then(|period| period.parse().ok()));
                    }
                }
                ("cpuset.cpus", list) => self.set_list("unified.cpuset.cpus", "AllowedCPUs", list)?,
                ("cpuset.mems", list) => self.set_list("unified.cpuset.mems", "AllowedMemoryNodes", list)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A list of numbers (cpuset(7), "List format") as a mask, the lowest eight in the first byte.
fn bits(list: &str) -> Option<Vec<u8>> {
    /// More than any kernel has.
    const MOST: usize = 1 << 16;
    let mut mask = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        mask.resize(mask.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|number| mask[number / 8] |= 1 << (number % 8));
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(resources: &Resources, version: Version) -> Vec<String> {
        let text = |(name, value): (String, Variant<'_>)| {
            let value = match value {
                Variant::U64(INFINITY) => "infinity".to_owned(),
                Variant::U64(number) => number.to_string(),
                other => format!("{other}"),
            };
            format!("{name}={value}")
        };
        of(resources, version).unwrap().into_iter().map(text).collect()
    }

    fn some_of_all() -> Resources {
        Resources {
            memory: Some(Memory {
                limit: Some(1000),
                swap: Some(1500),
                reservation: Some(-1),
                ..Memory::default()
            }),
            cpu: Some(Cpu {
                shares: Some(1024),
                quota: Some(12_345),
                period: Some(100_000),
                cpus: Some("0,9".into()),
                mems: Some("0".into()),
                ..Cpu::default()
            }),
            pids: Some(Pids { limit: Some(-1) }),
            block_io: Some(BlockIo { weight: Some(10), ..BlockIo::default() }),
            ..Resources::default()
        }
    }

    #[test]
    fn each_version_has_its_names() {
        assert_eq!(
            lines(&some_of_all(), Version::V2),
            [
                "MemoryMax=1000",
                "MemoryLow=infinity",
                "MemorySwapMax=500",
                "CPUWeight=100",
                "CPUQuotaPeriodUSec=100000",
                "CPUQuotaPerSecUSec=130000",
                "AllowedCPUs=[byte 0x01, 0x02]",
                "AllowedMemoryNodes=[byte 0x01]",
                "TasksMax=infinity",
                "IOWeight=1",
            ]
        );
        assert_eq!(
            lines(&some_of_all(), Version::V1),
            [
                "MemoryLimit=1000",
                "CPUShares=1024",
                "CPUQuotaPeriodUSec=100000",
                "CPUQuotaPerSecUSec=130000",
                "TasksMax=infinity",
                "BlockIOWeight=10",
            ]
        );
        assert!(lines(&Resources::default(), Version::V2).is_empty());
    }

    #[test]
    fn files_are_properties_where_there_is_one() {
        let files = [
            ("memory.high", "max"),
            ("memory.min", "5"),
            ("memory.oom.group", "1"),
            ("cpu.max", "max 50000"),
            ("cpu.weight", "7"),
            ("cpuset.cpus", "1-2"),
            ("io.weight", "default 20"),
            ("io.max", "8:0 rbps=1"),
            ("pids.max", "9"),
            ("hugetlb.2MB.max", "0"),
        ];
        let unified = files.into_iter().map(|(file, value)| (file.to_owned(), value.to_owned())).collect();
        let resources = Resources { unified, pids: Some(Pids { limit: Some(3) }), ..Resources::default() };
        assert_eq!(
            lines(&resources, Version::V2),
            [
                "MemoryHigh=infinity",
                "MemoryMin=5",
                "OOMPolicy=\"kill\"",
                "CPUQuotaPeriodUSec=50000",
                "CPUQuotaPerSecUSec=infinity",
                "CPUWeight=7",
                "AllowedCPUs=[byte 0x06]",
                "IOWeight=20",
                "TasksMax=9",
            ]
        );
    }

    #[test]
    fn the_largest_quota_is_still_one() {
        for max in ["18446744073709551615 1000000", "18446744073709551615 1"] {
            let unified = Map::from_iter([("cpu.max".to_owned(), max.to_owned())]);
            let resources = Resources { unified, ..Resources::default() };
            let made = lines(&resources, Version::V2);
            assert_eq!(made[1], "CPUQuotaPerSecUSec=18446744073709550000", "{max}");
        }
    }

    #[test]
    fn an_idle_group_weighs_nothing() {
        let cpu = Cpu { idle: Some(1), shares: Some(1024), ..Cpu::default() };
        let resources = Resources { cpu: Some(cpu), ..Resources::default() };
        assert_eq!(lines(&resources, Version::V2), ["CPUWeight=0"]);
    }

    #[test]
    fn lists_that_are_none() {
        for list in ["x", "3-1", "1,,2", "99999", "-1"] {
            assert_eq!(bits(list), None, "{list}");
        }
    }

    proptest! {
        #[test]
        fn a_quota_is_rounded_up_to_a_percent(quota in 1_u64..1 << 40, period in 1000_u64..1_000_000) {
            let cpu = Cpu { quota: i64::try_from(quota).ok(), period: Some(period), ..Cpu::default() };
            let resources = Resources { cpu: Some(cpu), ..Resources::default() };
            let made = of(&resources, Version::V2).unwrap();
            let Some((_, Variant::U64(share))) = made.iter().find(|(name, _)| name == "CPUQuotaPerSecUSec") else {
                panic!("{made:?}");
            };
            prop_assert_eq!(share % STEP, 0);
            let exact = u128::from(quota) * u128::from(SECOND) / u128::from(period);
            prop_assert!(u128::from(*share) >= exact && u128::from(*share) <= exact + u128::from(STEP));
        }

        #[test]
        fn a_mask_has_the_numbers_of_its_list(numbers in proptest::collection::btree_set(0_usize..300, 1..20)) {
            let list: Vec<String> = numbers.iter().map(usize::to_string).collect();
            let mask = bits(&list.join(",")).unwrap();
            let set = (0..mask.len() * 8).filter(|number| mask[number / 8] & (1 << (number % 8)) != 0);
            prop_assert_eq!(set.collect::<Vec<_>>(), numbers.into_iter().collect::<Vec<_>>());
        }
    }
}
