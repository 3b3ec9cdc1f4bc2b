//! Device rules: what a list of them means, and how each version of control groups is told.

pub(crate) mod program;
mod rules;
mod v1;
mod v2;

pub(crate) use rules::{Devices, Kind, Policy};
pub(crate) use v1::set as set_v1;
pub(crate) use v2::set as set_v2;
