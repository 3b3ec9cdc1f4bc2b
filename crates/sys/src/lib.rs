//! System calls that rustix lacks, behind safe functions.
//!
//! This is the only crate with `unsafe` code. Each file is one family of calls; each use of `unsafe` says why it is sound.
#![allow(unsafe_code)]

pub mod bpf;
pub mod clone;
pub mod exec;
pub mod fd;
pub mod keyring;
pub mod landlock;
pub mod limits;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod numa;
pub mod pidfd;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod spawn;
pub mod thread;
