//! Devices of cgroup v2: a program that is attached to the group.

use std::os::fd::AsFd;

use corten_sys::bpf;

use super::program::compile;
use super::rules::Policy;
use crate::dir::Dir;
use crate::error::{Error, Result};

/// Makes a policy hold for a group: its program takes the place of the one before, without a moment that has neither.
pub(crate) fn set(dir: &Dir, policy: &Policy) -> Result<()> {
    let doing = |operation| move |errno| Error::os(operation, dir.path(), errno);
    let program = bpf::load_device_program(&compile(policy)).map_err(doing("load the device program for"))?;
    let present = bpf::device_programs(dir.as_fd()).map_err(doing("ask for the device programs of"))?;
    let replaced = if let [only] = present.as_slice() { Some(only.as_fd()) } else { None };
    bpf::attach_device_program(dir.as_fd(), program.as_fd(), replaced)
        .map_err(doing("attach the device program to"))?;
    if replaced.is_none() {
        for program in &present {
            bpf::detach_device_program(dir.as_fd(), program.as_fd())
                .map_err(doing("detach a device program from"))?;
        }
    }
    Ok(())
}
