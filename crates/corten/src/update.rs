//! Changing the limits of a container: all that is asked for, or nothing.

use crate::handle::Handle;
use crate::store::{Lock, Saved};
use crate::{Config, ConfigBuilder, Error, Result, cgroup, oci, rdt, resources};

/// Changes limits, and shares of cache and memory bandwidth.
pub(crate) fn update(
    container: &Handle,
    limits: Option<&oci::Resources>,
    shares: Option<&oci::IntelRdt>,
) -> Result<()> {
    shares.map_or(Ok(()), check)?;
    let lock = container.store.lock()?;
    let mut saved = container.refresh()?;
    let before = shares.map(|shares| rdt::update(container, &mut saved, &lock, shares)).transpose()?;
    let done = change(container, &mut saved, limits, shares, &lock);
    match (done, before) {
        (Ok(()), _) => {
            tracing::debug!("container {}: its limits have changed", container.id);
            *container.saved() = saved;
            Ok(())
        }
        (Err(cause), None) => Err(cause),
        (Err(cause), Some(before)) => match before.put_back(container, &mut saved, &lock) {
            Ok(()) => Err(cause),
            Err(error) => {
                Err(Error::new(cause.kind(), format!("{cause}; and putting back what was changed: {error}")))
            }
        },
    }
}

/// Of the shares only the two schemas can change while a container runs.
fn check(shares: &oci::IntelRdt) -> Result<()> {
    let oci::IntelRdt { clos_id, schemata, enable_monitoring, l3_cache_schema: _, mem_bw_schema: _ } = shares;
    if clos_id.is_some() || !schemata.is_empty() || *enable_monitoring {
        return Err(Error::unsupported("of a running container's intelRdt only the two schemas can change"));
    }
    Ok(())
}

/// Changes the limits, and what is saved. What takes room is written first: afterwards nothing is left that could fail for want of it.
fn change(
    container: &Handle,
    saved: &mut Saved,
    limits: Option<&oci::Resources>,
    shares: Option<&oci::IntelRdt>,
    lock: &Lock,
) -> Result<()> {
    let group = limits.map(|_| container.running_group(saved)).transpose()?;
    let mut config = Config::clone(&saved.config);
    if let Some(shares) = shares {
        let merged = rdt::merge(&config, shares);
        config = ConfigBuilder::from(config).intel_rdt(merged).build()?;
    }
    if let Some(limits) = limits {
        config = resources::merge(config, limits)?;
    }
    let change = container.store.prepare(saved, config, lock)?;
    if let (Some(limits), Some(group)) = (limits, &group) {
        let complete = resources::complete(&saved.config.cgroup().resources, limits);
        cgroup::update(saved, group, &complete)?;
    }
    change.commit(saved)
}
