//! Control groups: v1, hybrid and v2.
#![allow(missing_docs)]
use corten_oci::Resources;
use std::os::fd::OwnedFd;
use std::path::Path;
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Paths;
impl Paths {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        std::iter::empty()
    }
}
#[derive(Debug)]
pub struct Stats;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Error;
pub type Result<T> = std::result::Result<T, Error>;
pub struct Layout;
impl Layout {
    pub fn detect() -> Result<Layout> {
        Ok(Layout)
    }
}
#[derive(Debug)]
pub struct Group;
impl Group {
    pub fn plan(_: &Layout, _: Option<&str>, _: &str) -> Result<Paths> {
        Ok(Paths)
    }
    pub fn create(_: &Layout, _: Paths) -> Result<Group> {
        Ok(Group)
    }
    pub fn open(_: Paths) -> Group {
        Group
    }
    pub fn apply(&self, _: &Resources) -> Result<Vec<String>> {
        Ok(vec![])
    }
    pub fn update(&self, _: &Resources) -> Result<Vec<String>> {
        Ok(vec![])
    }
    pub fn clone_target(&self) -> Result<Option<OwnedFd>> {
        Ok(None)
    }
    pub fn clone_target_below(&self, _: Option<&str>) -> Result<Option<OwnedFd>> {
        Ok(None)
    }
    pub fn is_unified(&self) -> bool {
        true
    }
    pub fn attach(&self, _: i32) -> Result<()> {
        Ok(())
    }
    pub fn freeze(&self) -> Result<()> {
        Ok(())
    }
    pub fn thaw(&self) -> Result<()> {
        Ok(())
    }
    pub fn is_frozen(&self) -> Result<bool> {
        Ok(false)
    }
    pub fn processes(&self) -> Result<Vec<i32>> {
        Ok(vec![])
    }
    pub fn kill(&self) -> Result<()> {
        Ok(())
    }
    pub fn exists(&self) -> bool {
        false
    }
    pub fn remove(&self) -> Result<()> {
        Ok(())
    }
    pub fn stats(&self) -> Result<Stats> {
        Ok(Stats)
    }
    pub fn oom_kill_count(&self) -> Result<u64> {
        Ok(0)
    }
}
