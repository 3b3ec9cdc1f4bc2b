//! All that init writes into /proc: kernel parameters, and what the security modules are told (proc(5)).
//!
//! The container decides what it has at /proc: nothing, a link, a file system of its own with files that take every word
//! (CVE-2019-16884, CVE-2023-28642, CVE-2025-52881). So the procfs is opened before anything of the container's is in
//! reach: a mount of its own, which nothing can be mounted over, or where that is not allowed the host's, proved by its
//! type and the number of its root. What is looked up in it may neither leave it nor pass a link.

use std::io::Write;

use pathrs::error::{Error, ErrorKind};
use pathrs::flags::OpenFlags;
use pathrs::procfs::{ProcfsBase, ProcfsHandle, ProcfsHandleBuilder};
use rustix::io::Errno;

use crate::{Doing, Failure, Kind, Result};

/// A procfs, where there is something to write. Its descriptors are closed on execve(2).
#[derive(Debug)]
pub(crate) struct Proc {
    /// With `/proc/sys`.
    all: Option<ProcfsHandle>,
    /// With processes alone.
    processes: Option<ProcfsHandle>,
}

impl Proc {
    /// Opens it for what will be written.
    pub(crate) fn open(sysctls: bool, attributes: bool) -> Result<Self> {
        let open = |wanted: bool, processes_only: bool| {
            wanted.then(|| ProcfsHandleBuilder::new().subset_pid(processes_only).build()).transpose()
        };
        let (all, processes) = open(sysctls, false)
            .and_then(|all| Ok((all, open(attributes, true)?)))
            .map_err(|error| failure("open a procfs", &error))?;
        Ok(Self { all, processes })
    }

    /// Writes kernel parameters, by their paths below `/proc/sys`; then that part is closed.
    pub(crate) fn write_sysctls(&mut self, sysctls: &[(String, String)]) -> Result<()> {
        let all = self.all.take();
        for (path, value) in sysctls {
            let doing = format!("write sysctl {path}={value}");
            write(all.as_ref(), ProcfsBase::ProcRoot, &format!("sys/{path}"), value.as_bytes(), &doing)?;
        }
        Ok(())
    }

    /// Writes into a file of this thread's directory `attr`.
    pub(crate) fn write_attribute(&self, name: &str, value: &str) -> Result<()> {
        let doing = format!("write {value:?} into /proc/thread-self/attr/{name}");
        let path = format!("attr/{name}");
        write(self.processes.as_ref(), ProcfsBase::ProcThreadSelf, &path, value.as_bytes(), &doing)
    }
}

fn write(proc: Option<&ProcfsHandle>, base: ProcfsBase, path: &str, value: &[u8], doing: &str) -> Result<()> {
    let proc =
        proc.ok_or_else(|| Failure::new(Kind::Protocol, format!("{doing}: no procfs was opened for it")))?;
    let flags = OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC;
    let mut file = proc.open(base, path, flags).map_err(|error| failure(doing, &error))?;
    file.write_all(value).doing(|| doing)
}

fn failure(doing: &str, error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::OsError(Some(errno)) => {
            let failure = Failure::system(doing, Errno::from_raw_os_error(errno));
            match errno == Errno::XDEV.raw_os_error() {
                true => failure.hint("something is mounted over /proc, or it is no procfs"),
                false => failure,
            }
        }
        _ => Failure::new(Kind::System, format!("{doing}: {error}")),
    }
}
