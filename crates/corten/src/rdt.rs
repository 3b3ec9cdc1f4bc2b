//! A container's class of service in Intel's resource director technology.

use corten_cgroups::resctrl::{RdtStats, Resctrl};

use crate::handle::Handle;
use crate::store::{Lock, Saved};
use crate::{Config, ConfigBuilder, Error, ErrorKind, Result, oci};

/// Makes the class that the configuration asks for. What it will be is saved first, so that it can be found after a crash.
pub(crate) fn make(container: &Handle, saved: &mut Saved, lock: &Lock) -> Result<()> {
    let config = std::sync::Arc::clone(&saved.config);
    let Some(rdt) = config.intel_rdt() else { return Ok(()) };
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

/// Changes the shares of a running container; one that had no class gets one.
pub(crate) fn update(
    container: &Handle,
    saved: &mut Saved,
    lock: &Lock,
    init: i32,
    changes: &oci::IntelRdt,
) -> Result<()> {
    let resctrl = Resctrl::detect().map_err(unsupported)?;
    let mut rdt = saved.config.intel_rdt().cloned().unwrap_or_default();
    rdt.l3_cache_schema = changes.l3_cache_schema.clone().or(rdt.l3_cache_schema);
    rdt.mem_bw_schema = changes.mem_bw_schema.clone().or(rdt.mem_bw_schema);
    match &saved.facts.rdt {
        Some(class) => resctrl.update(class, changes)?,
        None => {
            let config = ConfigBuilder::from(Config::clone(&saved.config)).intel_rdt(rdt.clone()).build()?;
            saved.config = std::sync::Arc::new(config);
            make(container, saved, lock)?;
            attach(saved, init)?;
        }
    }
    let config = ConfigBuilder::from(Config::clone(&saved.config)).intel_rdt(rdt).build()?;
    container.store.change(saved, config, lock)
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
