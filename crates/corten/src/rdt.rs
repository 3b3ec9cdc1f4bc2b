//! A container's class of service in Intel's resource director technology.

use corten_cgroups::Group;
use corten_cgroups::resctrl::{RdtStats, Resctrl};

use crate::handle::Handle;
use crate::store::{Lock, Saved};
use crate::{Config, Error, ErrorKind, Result, Status, oci};

/// Makes the class that the configuration asks for.
pub(crate) fn make(container: &Handle, saved: &mut Saved, lock: &Lock) -> Result<()> {
    let config = std::sync::Arc::clone(&saved.config);
    config.intel_rdt().map_or(Ok(()), |rdt| make_class(container, saved, lock, rdt))
}

/// What it will be is saved first, so that it can be found after a crash.
fn make_class(container: &Handle, saved: &mut Saved, lock: &Lock, rdt: &oci::IntelRdt) -> Result<()> {
    let resctrl = Resctrl::detect().map_err(unsupported)?;
    let class = resctrl.plan(rdt, container.id.as_str())?;
    saved.facts.rdt = Some(class.clone());
    container.store.save(&saved.facts, lock)?;
    Ok(resctrl.create(&class, rdt)?)
}

/// Moves a process into the class, before it runs the user's program.
pub(crate) fn attach(saved: &Saved, pid: i32) -> Result<()> {
    saved.facts.rdt.as_ref().map_or(Ok(()), |class| Ok(Resctrl::detect()?.attach(class, pid)?))
}

/// Moves all threads of the container's processes into the class.
pub(crate) fn attach_all(saved: &Saved, init: i32) -> Result<()> {
    let Some(class) = &saved.facts.rdt else { return Ok(()) };
    let group = Handle::group(saved);
    let threads = || -> Result<Vec<i32>> {
        let processes = group.as_ref().map_or_else(|| Ok(vec![init]), Group::processes)?;
        Ok(processes.into_iter().flat_map(threads_of).collect())
    };
    Resctrl::detect()?.attach_all(class, threads)
}

/// The threads of a process; none where it has ended.
fn threads_of(pid: i32) -> Vec<i32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The shares of a configuration with changes.
pub(crate) fn merge(config: &Config, changes: &oci::IntelRdt) -> oci::IntelRdt {
    let mut rdt = config.intel_rdt().cloned().unwrap_or_default();
    rdt.l3_cache_schema = changes.l3_cache_schema.clone().or(rdt.l3_cache_schema);
    rdt.mem_bw_schema = changes.mem_bw_schema.clone().or(rdt.mem_bw_schema);
    rdt
}

/// What was before a change.
pub(crate) enum Before {
    /// Other schemata.
    Schemata(Vec<String>),
    /// No class.
    Nothing,
}

/// Changes the shares of a running container; one that had no class gets one. The configuration is left as it is.
pub(crate) fn update(
    container: &Handle,
    saved: &mut Saved,
    lock: &Lock,
    changes: &oci::IntelRdt,
) -> Result<Before> {
    let init =
        saved.facts.init.filter(|_| container.status_of(saved).is_ok_and(|now| now != Status::Stopped));
    let init = init.ok_or_else(Error::not_running)?;
    let resctrl = Resctrl::detect().map_err(unsupported)?;
    if let Some(class) = &saved.facts.rdt {
        return Ok(Before::Schemata(resctrl.update(class, changes)?));
    }
    let made = make_class(container, saved, lock, &merge(&saved.config, changes))
        .and_then(|()| attach_all(saved, init.pid));
    match made {
        Ok(()) => Ok(Before::Nothing),
        Err(error) => {
            drop(Before::Nothing.put_back(container, saved, lock));
            Err(error)
        }
    }
}

impl Before {
    /// Makes it so again.
    pub(crate) fn put_back(self, container: &Handle, saved: &mut Saved, lock: &Lock) -> Result<()> {
        match (self, &saved.facts.rdt) {
            (_, None) => Ok(()),
            (Self::Schemata(old), Some(class)) => Ok(Resctrl::detect()?.put_back(class, &old)?),
            (Self::Nothing, Some(class)) => {
                // Whoever is in it goes back to the class of all (resctrl.rst).
                Resctrl::detect()?.remove(class)?;
                saved.facts.rdt = None;
                container.store.save(&saved.facts, lock)
            }
        }
    }
}

/// What the class may use, and what was used of it; none without a class.
pub(crate) fn stats(saved: &Saved) -> Result<Option<RdtStats>> {
    let Some(class) = &saved.facts.rdt else { return Ok(None) };
    Ok(Some(Resctrl::detect()?.stats(class)?))
}

/// Removes what was made for the container.
pub(crate) fn remove(saved: &Saved) -> Result<()> {
    let Some(class) = &saved.facts.rdt else { return Ok(()) };
    match Resctrl::detect() {
        Ok(resctrl) => Ok(resctrl.remove(class)?),
        // With the file system its classes have gone.
        Err(corten_cgroups::Error::NoResctrl) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn unsupported(error: corten_cgroups::Error) -> Error {
    Error::new(ErrorKind::Unsupported, format!("linux.intelRdt: {error}"))
}
