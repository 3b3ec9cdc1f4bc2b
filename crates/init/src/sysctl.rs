//! Kernel parameters of the container's namespaces (proc(5), `/proc/sys`).

use std::io::Write;

use pathrs::flags::OpenFlags;
use pathrs::procfs::{ProcfsBase, ProcfsHandle};

use crate::{Doing, Failure, Kind, Result};

/// A procfs that nothing can be mounted over, opened before the container's root is in reach (CVE-2025-52881).
#[derive(Debug)]
pub(crate) struct Proc(Option<ProcfsHandle>);

impl Proc {
    /// Opens it, where there is something to write.
    pub(crate) fn for_sysctls(sysctls: &[(String, String)]) -> Result<Self> {
        if sysctls.is_empty() {
            return Ok(Self(None));
        }
        ProcfsHandle::new()
            .map(|handle| Self(Some(handle)))
            .map_err(|error| failure("open /proc for sysctls", &error))
    }

    /// Writes each value; the paths are relative to `/proc/sys`.
    pub(crate) fn write(&self, sysctls: &[(String, String)]) -> Result<()> {
        let Some(proc) = &self.0 else { return Ok(()) };
        for (path, value) in sysctls {
            let doing = format!("write sysctl {path}={value}");
            let mut file = proc
                .open(ProcfsBase::ProcRoot, format!("sys/{path}"), OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC)
                .map_err(|error| failure(&doing, &error))?;
            file.write_all(value.as_bytes()).doing(|| doing)?;
        }
        Ok(())
    }
}

fn failure(doing: &str, error: &pathrs::error::Error) -> Failure {
    match error.kind() {
        pathrs::error::ErrorKind::OsError(Some(errno)) => {
            Failure::system(doing, rustix::io::Errno::from_raw_os_error(errno))
        }
        _ => Failure::new(Kind::System, format!("{doing}: {error}")),
    }
}
