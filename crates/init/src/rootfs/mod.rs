//! The root file system of the container.
#![allow(missing_docs)]
use crate::Result;
use std::path::Path;
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Rootfs(std::path::PathBuf);
pub struct Prepared(std::path::PathBuf);
pub struct Request<'a> {
    pub rootfs: &'a Path,
    pub bundle: &'a Path,
    pub readonly: bool,
    pub propagation: Option<&'a str>,
    pub no_pivot: bool,
    pub mounts: &'a [corten_oci::Mount],
    pub devices: &'a [corten_oci::Device],
    pub masked: &'a [String],
    pub readonly_paths: &'a [String],
    pub user_namespace: bool,
    pub mount_namespace: bool,
    pub cgroup_namespace: bool,
}
pub fn plan(r: &Request<'_>) -> Result<Rootfs> {
    Ok(Rootfs(r.rootfs.into()))
}
impl Rootfs {
    pub fn prepare(self) -> Result<Prepared> {
        Ok(Prepared(self.0))
    }
}
impl Prepared {
    pub fn enter(&mut self) -> Result<()> {
        use crate::Doing;
        rustix::process::chroot(&self.0).doing(|| "chroot")?;
        rustix::process::chdir("/").doing(|| "cd")
    }
    pub fn seal(self) -> Result<()> {
        Ok(())
    }
}
pub fn bind_console(_s: std::os::fd::BorrowedFd<'_>) -> Result<()> {
    Ok(())
}
