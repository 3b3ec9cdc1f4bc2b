//! The program `corten`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    corten_cli::main()
}
