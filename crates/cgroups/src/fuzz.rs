//! What the fuzz targets of this repository (`fuzz/`) call to reach what reads texts and decides; no part of the interface.

use std::fmt::Debug;

use corten_oci::{IntelRdt, Resources};

use crate::error::Result;
use crate::layout::Layout;
use crate::path::{self, Paths};
use crate::step::{Plan, Step, Version};
use crate::systemd::{properties, text};
use crate::{devices, resctrl, resources, stats};

/// The group that a process is in, by the text of its `/proc/PID/cgroup`.
pub fn group_of_process(layout: &Layout, cgroup: &[u8]) -> Result<Paths> {
    path::of_process(layout, cgroup)
}

/// The group of that path below another.
pub fn group_below(paths: &Paths, path: &str) -> Result<Paths> {
    paths.sub(None, path)
}

/// Where the resctrl file system is mounted, by the text of mountinfo.
pub fn resctrl_mount(mountinfo: &str) -> Option<&str> {
    resctrl::mount_point(mountinfo)
}

/// A line of a file of statistics in each of the forms that lines have there, as far as it has one.
pub fn statistics(line: &str) -> Vec<String> {
    stats::forms(line)
}

/// A value of a property of systemd in GVariant's text format, and that many seconds in microseconds.
pub fn property(text: &str) -> std::result::Result<(String, Option<u64>), &'static str> {
    let value = text::parse(text)?;
    Ok((format!("{value:?}"), text::microseconds(&value)))
}

/// One value for a file of a control group.
#[derive(Debug)]
pub struct Written {
    /// Whether the file is one of cgroup v2.
    pub v2: bool,
    /// Its name.
    pub file: String,
    /// What is written.
    pub value: String,
}

/// What resources mean on a host that has all controllers by one version.
#[derive(Debug, Default)]
pub struct Decided {
    /// The values, in their order.
    pub written: Vec<Written>,
    /// The eBPF program for the device rules, where there are any.
    pub devices: Option<Vec<u64>>,
    /// What is left undone.
    pub warnings: Vec<String>,
}

/// Decides what to do about resources.
pub fn decide(resources: &Resources, v2: bool) -> Result<Decided> {
    let version = if v2 { Version::V2 } else { Version::V1 };
    let Plan { steps, warnings } = resources::plan(resources, |_| Some(version))?;
    let warnings = warnings.iter().map(ToString::to_string).collect();
    let mut decided = Decided { warnings, ..Decided::default() };
    for step in steps {
        match step {
            Step::Writes(writes) => decided.written.extend(writes.into_iter().map(|write| Written {
                v2: write.version == Version::V2,
                file: write.file.into_owned(),
                value: write.value,
            })),
            Step::Devices(policy) => decided.devices = Some(devices::program::compile(&policy)),
            Step::CheckMemory(_) => {}
        }
    }
    Ok(decided)
}

/// The properties of a unit that resources mean.
pub fn properties(resources: &Resources, v2: bool) -> Result<impl Debug + use<>> {
    properties::of(resources, if v2 { Version::V2 } else { Version::V1 })
}

/// The lines that a configuration of Intel RDT has written, compared with those that are there.
pub fn schemata(rdt: &IntelRdt, present: &str) -> Result<Vec<String>> {
    let lines = resctrl::schemata::lines(rdt);
    resctrl::schemata::compare(present, &lines)?;
    Ok(lines)
}
