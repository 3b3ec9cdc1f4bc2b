//! For tests only: libseccomp, and runc's use of it, as the judge of `corten-seccomp`. Where the library is not
//! installed, [`Libseccomp::new`] says so.
#![deny(unsafe_code)]

pub mod child;
mod ffi;
mod runc;

pub use ffi::{Libseccomp, Refused};
pub use runc::{Judge, answer_of_stub};
