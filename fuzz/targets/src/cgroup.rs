//! Limits, device rules, properties of systemd, and lines of the files of control groups.

use corten_cgroups::fuzz;
use corten_oci::{IntelRdt, Resources};

/// Resources are refused, or mean values for files of the group alone, and a device program that ends. No text of a file breaks
/// what reads it.
pub fn cgroup(data: &[u8]) {
    if let Ok(resources) = serde_json::from_slice::<Resources>(data) {
        decided(&resources);
    }
    if let Ok(rdt) = serde_json::from_slice::<IntelRdt>(data) {
        for present in rdt.schemata.iter().chain(&rdt.l3_cache_schema) {
            drop(fuzz::schemata(&rdt, present));
        }
    }
    let text = String::from_utf8_lossy(data);
    drop(fuzz::property(&text));
    for line in text.lines() {
        fuzz::statistics(line).iter().for_each(|form| assert!(!form.is_empty()));
        if let Ok((value, _)) = fuzz::property(line) {
            assert!(!value.is_empty());
        }
    }
}

fn decided(resources: &Resources) {
    for v2 in [false, true] {
        match fuzz::decide(resources, v2) {
            Ok(decided) => {
                for written in &decided.written {
                    let file = written.file.as_str();
                    assert!(file.contains('.') && !file.contains(['/', '\0']), "{written:?}");
                }
                decided.devices.iter().for_each(|program| ends(program));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        drop(fuzz::properties(resources, v2));
    }
}

/// Every way through the program goes forward to an end within it.
fn ends(program: &[u64]) {
    const EXIT: u8 = 0x95;
    const JUMPS: [u8; 3] = [0x05, 0x46, 0x56];
    let code = |instruction: &u64| instruction.to_ne_bytes()[0];
    assert_eq!(program.last().map(code), Some(EXIT));
    for (at, instruction) in program.iter().enumerate().filter(|(_, one)| JUMPS.contains(&code(one))) {
        let [_, _, low, high, ..] = instruction.to_ne_bytes();
        let target = at + 1 + usize::from(u16::from_ne_bytes([low, high]));
        assert!(target < program.len(), "instruction {at} jumps to {target} of {}", program.len());
    }
}
