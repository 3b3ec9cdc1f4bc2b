//! Pressure stall information: how long something had to wait for a resource (kernel: accounting/psi.rst).

use serde::{Deserialize, Serialize};

use super::parse::unexpected;
use crate::dir::Dir;
use crate::error::Result;

/// How long processes had to wait for a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pressure {
    /// At least one waited.
    pub some: PressureTime,
    /// All waited.
    pub full: PressureTime,
}

/// Shares of the time, in per cent, and the time itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PressureTime {
    /// Of the last 10 seconds.
    pub avg10: f64,
    /// Of the last minute.
    pub avg60: f64,
    /// Of the last 5 minutes.
    pub avg300: f64,
    /// Since the group was made, in microseconds.
    pub total: u64,
}

/// Reads `cpu.pressure` and the like; `None` where the kernel does not count it.
pub(super) fn read(dir: &Dir, file: &str) -> Result<Option<Pressure>> {
    let content = match dir.read_if_there(file) {
        // The kernel has it, and was started without it (`psi=0`), or the group was told not to count.
        Err(error) if error.is(rustix::io::Errno::OPNOTSUPP) => return Ok(None),
        content => content?,
    };
    let Some(content) = content else { return Ok(None) };
    let mut pressure = Pressure::default();
    content
        .lines()
        .try_for_each(|line| add(&mut pressure, line).ok_or_else(|| unexpected(dir, file, line)))?;
    Ok(Some(pressure))
}

/// Adds what a line tells.
pub(super) fn add(pressure: &mut Pressure, line: &str) -> Option<()> {
    let of = match line.split(' ').next() {
        Some("some") => &mut pressure.some,
        Some("full") => &mut pressure.full,
        _ => return None,
    };
    *of = time(line)?;
    Some(())
}

/// A line like `some avg10=0.12 avg60=0.00 avg300=0.00 total=345`.
fn time(line: &str) -> Option<PressureTime> {
    let mut time = PressureTime::default();
    for word in line.split_whitespace().skip(1) {
        let (name, value) = word.split_once('=')?;
        // JSON, which it may become, has no other numbers.
        let share = || value.parse().ok().filter(|share: &f64| share.is_finite());
        match name {
            "avg10" => time.avg10 = share()?,
            "avg60" => time.avg60 = share()?,
            "avg300" => time.avg300 = share()?,
            "total" => time.total = value.parse().ok()?,
            _ => {}
        }
    }
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_pressure() {
        let read = time("full avg10=1.50 avg60=0.25 avg300=0.01 total=4711").unwrap();
        assert_eq!(read, PressureTime { avg10: 1.5, avg60: 0.25, avg300: 0.01, total: 4711 });
        for wrong in ["some avg10", "some total=x", "some avg60=nan", "full avg300=inf"] {
            assert!(time(wrong).is_none(), "{wrong}");
        }
    }
}
