//! The table on a terminal.

use std::io::Write;

use corten::oci::ConsoleSize;

use super::sample::{Limited, Usage};
use crate::error::{Doing, Result};

/// What the table is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Cpu,
    Memory,
    Pids,
    Io,
    Name,
}

impl Order {
    /// The order that a key stands for.
    pub fn by_key(key: u8) -> Option<Self> {
        match key {
            b'c' => Some(Self::Cpu),
            b'm' => Some(Self::Memory),
            b'p' => Some(Self::Pids),
            b'i' => Some(Self::Io),
            b'n' => Some(Self::Name),
            _ => None,
        }
    }

    /// Puts what uses most first; names decide between equals.
    fn sort(self, usages: &mut [&Usage]) {
        let used = |limited: Option<Limited>| limited.map_or(0, |limited| limited.usage);
        usages.sort_by(|a, b| {
            let by = match self {
                Self::Cpu => b.cpu.total_cmp(&a.cpu),
                Self::Memory => used(b.memory).cmp(&used(a.memory)),
                Self::Pids => used(b.pids).cmp(&used(a.pids)),
                Self::Io => (b.read + b.written).cmp(&(a.read + a.written)),
                Self::Name => std::cmp::Ordering::Equal,
            };
            by.then_with(|| a.id.cmp(&b.id))
        });
    }
}

/// The terminal's other screen, which gives way to the usual one when this is dropped.
pub struct Screen;

impl Screen {
    /// Changes to it, and hides the cursor.
    pub fn open() -> Result<Self> {
        put("\x1b[?1049h\x1b[?25l")?;
        Ok(Self)
    }

    /// Draws the table, as much of it as there is room for.
    pub fn draw(&mut self, usages: &[Usage], order: Order, size: Option<ConsoleSize>) -> Result<()> {
        let (rows, columns) = size.map_or((24, 80), |size| (size.height.into(), size.width.into()));
        let mut text = String::from("\x1b[H");
        for line in lines(usages, order, rows, columns) {
            text += &line;
            text += "\x1b[K\r\n";
        }
        // The last line has no end, or the screen would roll.
        text.truncate(text.len().saturating_sub(2));
        text += "\x1b[J";
        put(&text)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = put("\x1b[?25h\x1b[?1049l");
    }
}

fn put(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .doing(|| "write to the terminal".to_owned())
}

/// The lines of the table for a terminal of that size.
fn lines(usages: &[Usage], order: Order, rows: usize, columns: usize) -> Vec<String> {
    let mut sorted: Vec<&Usage> = usages.iter().collect();
    order.sort(&mut sorted);
    let heads = ["CPU", "MEMORY", "LIMIT", "PROCS", "READ/S", "WRITE/S", "WAITS FOR CPU/MEM/IO"];
    let widths = [8, 9, 9, 7, 9, 9, 22];
    let table: usize = widths.iter().sum();
    let name = columns.saturating_sub(table + 1).clamp("CONTAINER".len(), 40);
    let line = |id: &str, cells: [String; 7]| {
        let cells: String = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        fit(&format!("{:name$} {cells}", fit(id, name)), columns)
    };
    let title = fit(
        &format!(
            "{} containers   order: c cpu, m memory, p processes, i input/output, n name   q ends",
            usages.len()
        ),
        columns,
    );
    let mut lines = vec![title, line("CONTAINER", heads.map(str::to_owned))];
    lines.extend(sorted.iter().take(rows.saturating_sub(2)).map(|usage| line(&usage.id, cells(usage))));
    lines.truncate(rows.max(1));
    lines
}

fn cells(usage: &Usage) -> [String; 7] {
    let stall = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
    let stalls = usage.pressure;
    [
        format!("{:.1}%", usage.cpu),
        usage.memory.map_or_else(|| "-".to_owned(), |memory| amount(memory.usage)),
        usage.memory.and_then(|memory| memory.limit).map_or_else(|| "-".to_owned(), amount),
        usage.pids.map_or_else(|| "-".to_owned(), |pids| pids.usage.to_string()),
        amount(usage.read),
        amount(usage.written),
        format!("{}/{}/{} %", stall(stalls.cpu), stall(stalls.memory), stall(stalls.io)),
    ]
}

/// Bytes in three digits and a unit.
fn amount(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "K", "M", "G", "T", "P", "E"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes}B"),
        _ if value < 10.0 => format!("{value:.1}{}", UNITS[unit]),
        _ => format!("{value:.0}{}", UNITS[unit]),
    }
}

fn fit(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::Stalls;
    use super::*;

    fn usage(id: &str, cpu: f64, memory: u64) -> Usage {
        let memory = Some(Limited { usage: memory, limit: Some(64 << 20) });
        Usage { cpu, memory, ..Usage::idle(id, Stalls { cpu: Some(12.4), ..Stalls::default() }) }
    }

    #[test]
    fn amounts_are_short() {
        let cases = [(0, "0B"), (999, "999B"), (1536, "1.5K"), (10 << 20, "10M"), (1023 << 20, "1.0G")];
        for (bytes, text) in cases {
            assert_eq!(amount(bytes), text);
        }
        assert!(amount(u64::MAX).len() <= 5);
    }

    #[test]
    fn what_uses_most_comes_first() {
        let usages = [usage("a", 1.0, 300), usage("b", 50.0, 200), usage("c", 1.0, 100)];
        let ids = |order| -> String {
            let lines = lines(&usages, order, 24, 100);
            lines.iter().skip(2).filter_map(|line| line.chars().next()).collect()
        };
        assert_eq!(
            (ids(Order::Cpu), ids(Order::Memory), ids(Order::Name)),
            ("bac".into(), "abc".into(), "abc".into())
        );
    }

    #[test]
    fn the_table_fits() {
        let usages: Vec<Usage> =
            (0..50).map(|n| usage(&format!("a-rather-long-name-{n}"), 0.0, 1 << 20)).collect();
        for (rows, columns) in [(24, 80), (5, 100), (1, 10), (60, 200)] {
            let lines = lines(&usages, Order::Cpu, rows, columns);
            assert!(
                lines.len() <= rows && lines.iter().all(|line| line.chars().count() <= columns),
                "{lines:?}"
            );
        }
        let lines = lines(&usages, Order::Cpu, 24, 120);
        assert!(
            lines[2].contains("1.0M") && lines[2].contains("64M") && lines[2].contains("12/-/- %"),
            "{}",
            lines[2]
        );
    }
}
