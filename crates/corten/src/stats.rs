//! What a container uses: its control group, and its network interfaces.

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use corten_cgroups::Stats as CgroupStats;
pub use corten_cgroups::resctrl::{BandwidthInfo, CacheInfo, Occupancy, RdtStats, Traffic};
pub use corten_cgroups::stats::{
    BlkioEntry, BlkioStats, Burst, CpuStats, CpuUsage, CpusetStats, GroupStats, HugetlbStats, MemoryEvents,
    MemoryStats, MemoryUsage, MiscStats, PidsStats, Pressure, PressureTime, RdmaEntry, RdmaStats, Throttling,
};

use crate::{Error, ErrorKind, Result};

/// What a container uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// What its control group counts.
    #[serde(flatten)]
    pub cgroup: CgroupStats,
    /// Its shares of cache and memory bandwidth, where it has a class of service (Intel RDT).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<RdtStats>,
    /// Its network interfaces, where it has a network namespace of its own, as it sees them: what it received of a veth pair is
    /// what the end on the host sent. Go's library tells the same numbers, under the names on the host and of such pairs only.
    pub network_interfaces: Vec<NetworkInterface>,
}

/// What went through a network interface of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct NetworkInterface {
    /// Its name in the container.
    pub name: String,
    /// The name on the host of its other end, where it is a veth pair of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets received in error.
    pub rx_errors: u64,
    /// Packets received and dropped.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets dropped before they were sent.
    pub tx_dropped: u64,
}

/// The network interfaces as a process sees them; none where it has ended.
pub(crate) fn interfaces<'a>(
    pid: i32,
    host_name: impl Fn(&str) -> Option<&'a str>,
) -> Result<Vec<NetworkInterface>> {
    let path = format!("/proc/{pid}/net/dev");
    let text = match std::fs::read_to_string(Path::new(&path)) {
        Ok(text) => text,
        Err(error) if matches!(error.raw_os_error(), Some(2 | 3 | 22)) => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(format!("read {path}"), error)),
    };
    let mut interfaces =
        parse(&text).ok_or_else(|| Error::new(ErrorKind::System, format!("{path} has an unknown form")))?;
    for interface in &mut interfaces {
        interface.host_name = host_name(&interface.name).map(str::to_owned);
    }
    Ok(interfaces)
}

/// Two head lines, and a line for each interface: `lo: ` and sixteen numbers (proc_pid_net(5)).
fn parse(text: &str) -> Option<Vec<NetworkInterface>> {
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> =
            numbers.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let at = |index: usize| numbers.get(index).copied();
        Some(NetworkInterface {
            name: name.trim().to_owned(),
            host_name: None,
            rx_bytes: at(0)?,
            rx_packets: at(1)?,
            rx_errors: at(2)?,
            rx_dropped: at(3)?,
            tx_bytes: at(8)?,
            tx_packets: at(9)?,
            tx_errors: at(10)?,
            tx_dropped: at(11)?,
        })
    };
    text.lines().skip(2).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes |bytes\n    lo:      84       1    2    3    0     0          0         0       85       4    5    6    0     0       0          0\n";
        let expected = NetworkInterface {
            name: "lo".to_owned(),
            host_name: None,
            rx_bytes: 84,
            rx_packets: 1,
            rx_errors: 2,
            rx_dropped: 3,
            tx_bytes: 85,
            tx_packets: 4,
            tx_errors: 5,
            tx_dropped: 6,
        };
        assert_eq!(parse(text), Some(vec![expected]));
        assert_eq!(parse("a\nb\nlo: 1 2\n"), None);
    }
}
