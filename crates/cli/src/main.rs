//! The corten OCI runtime.
#![forbid(unsafe_code)]
fn main() {}
