//! Create and manage Linux containers from any Rust program.

