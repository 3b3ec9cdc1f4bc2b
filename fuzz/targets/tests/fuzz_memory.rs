//! What a container's process sends takes no more memory than a multiple of what was sent, whatever it claims.
#![allow(clippy::unwrap_used)] // Clippy knows the functions that are tests, not the files.

use std::path::Path;

use corten_fuzz_targets::{mutate, protocol};
use fastrand::Rng;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The first piece of a message, whose length is only a claim, and its copies.
const AT_ONCE: usize = 3 << 20;
/// Values in memory are larger than as JSON, lists grow by doubling, and the target writes and reads them again.
const TIMES: usize = 200;

#[test]
fn memory_is_bounded_by_what_was_sent() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/protocol");
    let mut paths: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut inputs: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    // Lengths up to the largest that is allowed, and nothing behind them.
    for claim in [1 << 20, 16 << 20, 64 << 20, u32::MAX] {
        inputs.push([&claim.to_le_bytes()[..], b"[1"].concat());
    }
    let mut random = Rng::with_seed(1);
    for run in 0..1000 {
        let mut data = inputs[run % inputs.len()].clone();
        if run >= inputs.len() {
            mutate(&mut random, &inputs, &mut data);
        }
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        protocol(&data);
        let taken = MEMORY.peak_usage() - before;
        assert!(
            taken <= AT_ONCE + TIMES * data.len(),
            "{taken} bytes for {}: {}",
            data.len(),
            data.escape_ascii()
        );
    }
}
