//! The network of a container that CRIU brings back. It makes veth pairs, with what was inside; what is not in the images
//! becomes here what the configuration says.

use std::os::fd::OwnedFd;

use super::plan::{Pair, Plan};
use super::socket::{Refusal, Socket};
use super::{bridge_of, choose_ends, connect_host, find, is_needed, loopback_up, make, plan};
use crate::handle::Handle;
use crate::store::{Lock, Saved};
use crate::{Error, Result};

/// Chooses the ends on the host, before CRIU makes them: the name of each pair inside and on the host.
pub(crate) fn announce(container: &Handle, saved: &mut Saved, lock: &Lock) -> Result<Vec<(String, String)>> {
    choose_ends(container, saved, lock)?;
    let pairs = pairs(saved);
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let mut host = Socket::open()?;
    let free = |Pair { host: end, name, .. }: Pair| {
        let what = || format!("make the network interface {name}, {} on the host", end.name);
        match host.find(&end.name) {
            Ok(None) => Ok((name, end.name)),
            Ok(Some(_)) => Err(Error::invalid(format!("{}: the host has an interface of that name", what()))),
            Err(refusal) => Err(refusal.doing(what())),
        }
    };
    pairs.into_iter().map(free).collect()
}

/// Makes of the pairs what the configuration says, once they are there. `inside` gives a socket in the container's namespace.
pub(crate) fn connect(saved: &Saved, inside: impl FnOnce() -> Result<OwnedFd>) -> Result<()> {
    let pairs = pairs(saved);
    if pairs.is_empty() {
        return Ok(());
    }
    let mut host = Socket::open()?;
    for pair in &pairs {
        let bridge = bridge_of(&mut host, pair)?;
        let end = find(&mut host, &pair.host.name, "on the host")?;
        host.set_end(end.index, pair).map_err(|refusal: Refusal| {
            refusal.doing(format!("set the hardware address of {} on the host", pair.host.name))
        })?;
        connect_host(&mut host, pair, bridge)?;
    }
    let queues = pairs.iter().filter_map(|pair| Some((&pair.name, pair.txqueuelen?))).collect::<Vec<_>>();
    if queues.is_empty() {
        return Ok(());
    }
    let mut inside = Socket::of(inside()?);
    queues.into_iter().try_for_each(|(name, length)| {
        let link = find(&mut inside, name, "in the container")?;
        inside
            .set_queue(link.index, length)
            .map_err(|refusal| refusal.doing(format!("set the length of the queue of {name}")))
    })
}

/// Gives a network namespace that came back empty what a new one has: the loopback interface, which is up, and what the
/// configuration says. `inside` is a socket there.
pub(crate) fn fill(container: &Handle, saved: &mut Saved, inside: OwnedFd, init: i32) -> Result<()> {
    let mut inside = Socket::of(inside);
    loopback_up(&mut inside)?;
    if !is_needed(&saved.config) {
        return Ok(());
    }
    let lock = container.store.lock()?;
    make(container, saved, &lock, inside.into_fd(), init)?.leave();
    Ok(())
}

fn pairs(saved: &Saved) -> Vec<Pair> {
    let Plan { pairs, .. } = plan::plan(&saved.config, saved.facts.host_ends.clone());
    pairs
}
