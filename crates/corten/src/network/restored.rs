//! The network of a container that CRIU brings back. It makes veth pairs, with what was inside; what is not in the images
//! becomes here what the configuration says.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::plan::{Pair, Plan};
use super::socket::{Refusal, Socket};
use super::{bridge_of, choose_ends, connect_host, find, is_needed, loopback_up, make, plan};
use crate::Result;
use crate::handle::Handle;
use crate::store::{Lock, Saved};

/// Chooses the ends on the host, before CRIU makes them: the name of each pair inside and on the host.
pub(crate) fn announce(container: &Handle, saved: &mut Saved, lock: &Lock) -> Result<Vec<(String, String)>> {
    choose_ends(container, saved, lock)?;
    let pairs = pairs(saved);
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let mut host = Socket::open()?;
    let mut free = |pair: Pair| {
        let what = || format!("make the network interface {}, {} on the host", pair.name, pair.host.name);
        // Told now, and not when all is restored.
        bridge_of(&mut host, &pair)?;
        match host.find(&pair.host.name) {
            Ok(None) => Ok((pair.name, pair.host.name)),
            Ok(Some(_)) => {
                let advice = "the host has an interface of that name";
                Err(Refusal::from(Errno::EXIST).doing_with(what(), Some(advice)))
            }
            Err(refusal) => Err(refusal.doing(what())),
        }
    };
    pairs.into_iter().map(&mut free).collect()
}

/// Makes of the pairs what the configuration says, once they are there. `inside` gives a socket in the container's namespace.
pub(crate) fn connect(saved: &Saved, inside: impl FnOnce() -> Result<OwnedFd>) -> Result<()> {
    let pairs = pairs(saved);
    if pairs.is_empty() {
        return Ok(());
    }
    let mut host = Socket::open()?;
    let mut queues = Vec::new();
    for pair in &pairs {
        let outer = &pair.host.name;
        let found = host.find(outer).map_err(|refusal| refusal.doing(format!("find {outer} on the host")))?;
        let Some(end) = found else {
            tracing::warn!(
                "the images have no network interface {}: the container had removed it",
                pair.name
            );
            continue;
        };
        let bridge = bridge_of(&mut host, pair)?;
        host.set_end(end.index, pair).map_err(|refusal| {
            refusal.doing(format!("set hardware address, MTU and queue of {outer} on the host"))
        })?;
        connect_host(&mut host, pair, bridge)?;
        queues.extend(pair.txqueuelen.map(|length| (&pair.name, length)));
    }
    if queues.is_empty() {
        return Ok(());
    }
    let mut inside = Socket::of(inside()?);
    queues.into_iter().try_for_each(|(name, length)| {
        let link = find(&mut inside, name, "in the container")?;
        let doing = |refusal: Refusal| refusal.doing(format!("set the length of the queue of {name}"));
        inside.set_queue(link.index, length).map_err(doing)
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
