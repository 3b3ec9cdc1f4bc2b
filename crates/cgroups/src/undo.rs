//! Which value brings a file back to what it was.

/// What to write to a file to undo a write of `written`, if the file read `before`; none where that cannot be known.
///
/// Files with keys take one line at a time: the line of the same key is the old value, and what stands for "no limit"
/// where there was none.
pub(crate) fn restoring(file: &str, before: &str, written: &str) -> Option<String> {
    let lines: Vec<&str> = before.lines().collect();
    if file == "memory.oom_control" {
        return lines.iter().find_map(|line| line.strip_prefix("oom_kill_disable ")).map(str::to_owned);
    }
    let mut words = written.split_whitespace();
    let (first, keyed) = (words.next().unwrap_or_default(), words.next().is_some());
    if keyed {
        if let Some(line) = lines.iter().find(|line| line.split_whitespace().next() == Some(first)) {
            return Some((*line).to_owned());
        }
        if let Some(none) = no_limit(file) {
            return Some(format!("{first} {none}"));
        }
    }
    match lines[..] {
        // An empty list of CPUs is written as a line, since a write of nothing does not reach the kernel.
        [] | [""] => Some("\n".to_owned()),
        [line] => Some(line.to_owned()),
        _ => lines.iter().find(|line| line.starts_with("default ")).map(|line| (*line).to_owned()),
    }
}

/// What follows a key to take its limit away.
fn no_limit(file: &str) -> Option<&'static str> {
    match file {
        "io.max" => Some("rbps=max wbps=max riops=max wiops=max"),
        "io.weight" | "io.bfq.weight" | "blkio.bfq.weight_device" => Some("default"),
        "io.latency" => Some("target=0"),
        "rdma.max" => Some("hca_handle=max hca_object=max"),
        "blkio.weight_device" | "blkio.leaf_weight_device" => Some("0"),
        _ => file.starts_with("blkio.throttle.").then_some("0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_values() {
        let cases = [
            ("pids.max", "max\n", "5", Some("max")),
            ("cpu.max", "max 100000\n", "5000 100000", Some("max 100000")),
            ("cpuset.cpus", "\n", "0", Some("\n")),
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "1", Some("0")),
            (
                "io.max",
                "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=2\n",
                "8:16 wbps=7",
                Some("8:16 rbps=2"),
            ),
            ("io.max", "", "8:0 rbps=1", Some("8:0 rbps=max wbps=max riops=max wiops=max")),
            ("io.weight", "default 100\n8:0 5\n", "7", Some("default 100")),
            ("io.weight", "default 100\n", "8:0 7", Some("8:0 default")),
            ("blkio.throttle.read_bps_device", "", "8:0 7", Some("8:0 0")),
            ("rdma.max", "a hca_handle=1\nb hca_handle=2\n", "b hca_handle=9", Some("b hca_handle=2")),
            ("memory.stat", "a 1\nb 2\n", "7", None),
        ];
        for (file, before, written, expected) in cases {
            assert_eq!(restoring(file, before, written).as_deref(), expected, "{file} {written}");
        }
    }
}
