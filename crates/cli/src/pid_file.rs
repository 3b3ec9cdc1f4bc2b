//! `--pid-file`.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Doing, Error, Result};

/// Writes a process id, such that a reader sees the whole number or no file.
pub fn write(path: &Path, pid: i32) -> Result<()> {
    let doing = || format!("write the pid file {}", path.display());
    let name = path
        .file_name()
        .ok_or_else(|| Error::usage(format!("the pid file {} has no name", path.display())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let temporary = path.with_file_name(hidden);
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(0o666).open(&temporary).doing(doing)?;
    let written = file.write_all(pid.to_string().as_bytes()).and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| drop(fs::remove_file(&temporary))).doing(doing)
}
