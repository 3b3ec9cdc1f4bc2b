//! The corten OCI runtime.
fn main() {}
