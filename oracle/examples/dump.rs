//! Prints what corten and libseccomp make of a profile on standard input: `dump ARCH [tree]`.
#![forbid(unsafe_code)]

use corten_oracle::Judge;
use corten_seccomp::{Arch, Instruction, compile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let profile: corten_oci::Seccomp = serde_json::from_reader(std::io::stdin())?;
    let native = std::env::args().nth(1).and_then(|name| Arch::from_name(&name)).unwrap_or(Arch::native());
    let optimize = std::env::args().any(|word| word == "tree");
    match compile(&profile, native) {
        Ok(filter) => print("corten", &filter.program),
        Err(error) => println!("corten: {error}"),
    }
    match Judge::compile(&profile, native, optimize) {
        Ok(judge) => print("libseccomp", &judge.program),
        Err(refused) => println!("libseccomp: {refused:?}"),
    }
    Ok(())
}

fn print(title: &str, program: &[Instruction]) {
    println!("{title}: {} instructions", program.len());
    for (at, Instruction { code, jt, jf, k }) in program.iter().enumerate() {
        let (yes, no) = (at + 1 + usize::from(*jt), at + 1 + usize::from(*jf));
        match code {
            0x20 => println!("{at:4} load {k}"),
            0x54 => println!("{at:4} and {k:#x}"),
            0x06 => println!("{at:4} return {k:#010x}"),
            0x05 => println!("{at:4} jump {}", at + 1 + *k as usize),
            0x15 => println!("{at:4} == {k:#x} ? {yes} : {no}"),
            0x25 => println!("{at:4} > {k:#x} ? {yes} : {no}"),
            0x35 => println!("{at:4} >= {k:#x} ? {yes} : {no}"),
            0x45 => println!("{at:4} & {k:#x} ? {yes} : {no}"),
            code => println!("{at:4} {code:#x} {jt} {jf} {k:#x}"),
        }
    }
}
