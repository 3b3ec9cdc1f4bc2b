//! What a class of service may use, and what is used.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dir::{Dir, optional};
use crate::error::Result;

/// Shares of cache and memory bandwidth, and their use; what this machine does not have is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RdtStats {
    /// What the processor says of the third-level cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_info: Option<CacheInfo>,
    /// The cache of the class that all belong to at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema_root: Option<String>,
    /// The cache of this class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema: Option<String>,
    /// What the processor says of memory bandwidth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_info: Option<BandwidthInfo>,
    /// The bandwidth of the class that all belong to at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema_root: Option<String>,
    /// The bandwidth of this class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema: Option<String>,
    /// All lines of this class.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemata: Vec<String>,
    /// Traffic to memory, by NUMA node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mbm_stats: Option<Vec<Traffic>>,
    /// Use of the third-level cache, by NUMA node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmt_stats: Option<Vec<Occupancy>>,
}

/// What the processor says of its third-level cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheInfo {
    /// The mask of all parts.
    pub cbm_mask: String,
    /// Fewest parts that a class can have.
    pub min_cbm_bits: u64,
    /// How many classes there can be.
    pub num_closids: u64,
}

/// What the processor says of memory bandwidth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandwidthInfo {
    /// Steps, in percent.
    pub bandwidth_gran: u64,
    /// Whether the scale of delays is linear (1) or not (0).
    pub delay_linear: u64,
    /// Least bandwidth, in percent.
    pub min_bandwidth: u64,
    /// How many classes there can be.
    pub num_closids: u64,
}

/// Traffic to memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes in all.
    pub mbm_total_bytes: u64,
    /// Of these, to the memory of the node itself.
    pub mbm_local_bytes: u64,
}

/// Use of the third-level cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupancy {
    /// Bytes.
    pub llc_occupancy: u64,
}

/// Reads the statistics of a class; `monitor` is the group whose use is counted.
pub(super) fn read(root: &Dir, class: &Dir, monitor: &Dir) -> Result<RdtStats> {
    let number = |file: &str| -> Result<u64> { Ok(count(root.read_if_there(file)?)) };
    let mut stats = RdtStats::default();
    if let Some(mask) = root.read_if_there("info/L3/cbm_mask")? {
        stats.l3_cache_info = Some(CacheInfo {
            cbm_mask: mask.trim().to_owned(),
            min_cbm_bits: number("info/L3/min_cbm_bits")?,
            num_closids: number("info/L3/num_closids")?,
        });
    }
    if root.read_if_there("info/MB/min_bandwidth")?.is_some() {
        stats.mem_bw_info = Some(BandwidthInfo {
            bandwidth_gran: number("info/MB/bandwidth_gran")?,
            delay_linear: number("info/MB/delay_linear")?,
            min_bandwidth: number("info/MB/min_bandwidth")?,
            num_closids: number("info/MB/num_closids")?,
        });
    }
    let lines = |dir: &Dir| -> Result<Vec<String>> {
        let text = dir.read_if_there(super::SCHEMATA)?.unwrap_or_default();
        Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    };
    let of = |lines: &[String], resource: &str| lines.iter().find(|line| line.starts_with(resource)).cloned();
    let (first, own) = (lines(root)?, lines(class)?);
    (stats.l3_cache_schema_root, stats.l3_cache_schema) = (of(&first, "L3:"), of(&own, "L3:"));
    (stats.mem_bw_schema_root, stats.mem_bw_schema) = (of(&first, "MB:"), of(&own, "MB:"));
    stats.schemata = own;
    use_of(monitor, &mut stats)?;
    Ok(stats)
}

/// Adds what is counted, node by node.
fn use_of(monitor: &Dir, stats: &mut RdtStats) -> Result<()> {
    let Some(data) = optional(monitor.child(Path::new("mon_data")))? else { return Ok(()) };
    let mut nodes = data.children()?;
    nodes.sort();
    for node in nodes.iter().filter(|name| name.to_string_lossy().starts_with("mon_L3_")) {
        let node = data.child(Path::new(node))?;
        if let Some(bytes) = node.read_if_there("llc_occupancy")? {
            let occupancy = Occupancy { llc_occupancy: count(Some(bytes)) };
            stats.cmt_stats.get_or_insert_default().push(occupancy);
        }
        if let Some(bytes) = node.read_if_there("mbm_total_bytes")? {
            let local = node.read_if_there("mbm_local_bytes")?;
            let traffic = Traffic { mbm_total_bytes: count(Some(bytes)), mbm_local_bytes: count(local) };
            stats.mbm_stats.get_or_insert_default().push(traffic);
        }
    }
    Ok(())
}

/// A number; 0 where the hardware cannot tell (`Unavailable`).
fn count(text: Option<String>) -> u64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
