//! What CRIU has measured of a dump (`stats-dump`, `images/stats.proto` of CRIU 4.1).

use std::path::Path;
use std::time::Duration;

use prost::Message;

use crate::images::messages;

/// What a dump has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpStats {
    /// How long the processes stood still.
    pub frozen: Duration,
    /// Pages of memory that were written.
    pub pages_written: u64,
}

/// The one message of the file (`stats_entry`).
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    dump: Option<Dump>,
}

/// `dump_stats_entry`; times are in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Dump {
    #[prost(uint32, required, tag = "2")]
    frozen_time: u32,
    #[prost(uint64, required, tag = "7")]
    pages_written: u64,
}

impl DumpStats {
    /// Reads them in CRIU's working directory; `None` where they are not there or not understood.
    pub fn read(directory: &Path) -> Option<Self> {
        Self::parse(&std::fs::read(directory.join("stats-dump")).ok()?)
    }

    fn parse(image: &[u8]) -> Option<Self> {
        let dump = Entry::decode(messages(image).next()?).ok()?.dump?;
        let frozen = Duration::from_micros(dump.frozen_time.into());
        Some(Self { frozen, pages_written: dump.pages_written })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_and_the_pages_are_read() {
        let image = b"\x40\x59\x10\x55\x06\x33\x09\x57\x0e\0\0\0\
            \x0a\x0c\x08\x05\x10\xd0\x0f\x18\x01\x20\x02\x38\x80\x02";
        let stats = DumpStats { frozen: Duration::from_millis(2), pages_written: 256 };
        assert_eq!(DumpStats::parse(image), Some(stats));
        assert_eq!(DumpStats::parse(&image[..20]), None);
        assert_eq!(
            DumpStats::parse(b"\x40\x59\x10\x55\x06\x33\x09\x57\x02\0\0\0\x12\0"),
            None,
            "of a restore"
        );
    }
}
