//! Network devices, interfaces and routes of a container, by rtnetlink(7).
//!
//! It all happens in the runtime while init waits, before any hook (what a checkpoint has saved comes back later, `restored.rs`): through a socket of the runtime's network namespace, and
//! through one that stage 1 has made in the container's, so that no thread of the caller's ever moves. What is not a device of
//! the host is made with its name and in its place at once.

mod links;
mod message;
mod plan;
mod restored;
mod socket;
mod take;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::config::NetworkKind;
use crate::handle::Handle;
use crate::store::{HostEnd, Lock, Saved};
use crate::{Config, Error, Namespace, Network, Result};
use links::Link;
use plan::{Pair, Path};
pub(crate) use restored::{announce, connect, fill};
use socket::{Refusal, Socket};
pub(crate) use take::Taken;

/// Whether a start has more to do than to bring a new namespace's loopback interface up, which init does itself.
pub(crate) fn is_needed(config: &Config) -> bool {
    let more = |network: &Network| {
        network.kind != NetworkKind::Loopback || !config.namespaces().is_new(Namespace::Net)
    };
    !config.net_devices().is_empty() || !config.routes().is_empty() || config.networks().iter().any(more)
}

/// Makes it all, in the network namespace of the socket `inside` and of init, whose process id this is.
///
/// What it gives moves devices back unless it is told to leave them; the ends on the host go with [`remove`].
pub(crate) fn make(
    container: &Handle,
    saved: &mut Saved,
    lock: &Lock,
    inside: OwnedFd,
    init: i32,
) -> Result<Taken> {
    let config = Arc::clone(&saved.config);
    choose_ends(container, saved, lock)?;
    let plan = plan::plan(&config, saved.facts.host_ends.clone());
    let mut taken = Taken::new(Socket::open()?, Socket::of(inside), init);
    if plan.loopback {
        loopback_up(&mut taken.inside)?;
    }
    plan.devices.iter().try_for_each(|device| taken.take(device))?;
    let Taken { host, inside, .. } = &mut taken;
    plan.pairs.iter().try_for_each(|pair| make_pair(host, inside, pair, init))?;
    plan.numbered.iter().try_for_each(|device| taken.take(device))?;
    let inside = &mut taken.inside;
    plan.routes.iter().try_for_each(|path| make_route(inside, path))?;
    Ok(taken)
}

fn loopback_up(inside: &mut Socket) -> Result<()> {
    let lo = find(inside, "lo", "in the container")?;
    inside.set_up(lo.index).map_err(|refusal| refusal.doing("bring the loopback interface up"))
}

/// Chooses what the ends on the host are to be, and saves it before there is any.
fn choose_ends(container: &Handle, saved: &mut Saved, lock: &Lock) -> Result<()> {
    // Those of a run before this one, in a namespace that outlived it.
    remove(saved)?;
    saved.facts.host_ends = host_ends(&saved.config)?;
    match saved.facts.host_ends.is_empty() {
        true => Ok(()),
        false => container.store.save(&saved.facts, lock),
    }
}

/// Removes the ends on the host of a container's veth pairs, and so the pairs.
pub(crate) fn remove(saved: &Saved) -> Result<()> {
    if saved.facts.host_ends.is_empty() {
        return Ok(());
    }
    let mut host = Socket::open()?;
    for HostEnd { name, address } in &saved.facts.host_ends {
        let doing = |refusal: Refusal| refusal.doing(format!("remove the network interface {name}"));
        let found = host.find(name).map_err(doing)?;
        // Another device may have the name by now.
        if let Some(link) = found.filter(|link| link.kind == "veth" && link.address == *address) {
            host.remove(link.index).map_err(doing)?;
        }
    }
    Ok(())
}

/// The name on the host of an interface that was made for a container, by its name inside.
pub(crate) fn host_name<'a>(saved: &'a Saved, name: &str) -> Option<&'a str> {
    let mut pairs = pairs_of(&saved.config).zip(&saved.facts.host_ends);
    pairs.find_map(|(network, end)| (network.name == name).then_some(end.name.as_str()))
}

fn pairs_of(config: &Config) -> impl Iterator<Item = &Network> {
    config.networks().iter().filter(|network| network.kind == NetworkKind::Veth)
}

/// Chooses what the ends on the host are to be, each to be known by its hardware address.
fn host_ends(config: &Config) -> Result<Vec<HostEnd>> {
    let end = |network: &Network| {
        let mut random = [0; 9];
        rustix::io::retry_on_intr(|| getrandom(&mut random[..], GetRandomFlags::empty()))
            .map_err(|errno| Error::io("get random bytes", errno))?;
        let [a, b, c, d, e, rest @ ..] = random;
        let name = match network.host_interface_name.as_str() {
            "" => format!("veth{:08x}", u32::from_ne_bytes(rest)),
            name => name.to_owned(),
        };
        // Of no maker, and higher than others: a bridge takes the lowest address of its ports for its own.
        Ok(HostEnd { name, address: [0xfe, a, b, c, d, e] })
    };
    pairs_of(config).map(end).collect()
}

/// The link of this name, which must be there.
fn find(socket: &mut Socket, name: &str, place: &str) -> Result<Link> {
    let doing = || format!("find the network interface {name} {place}");
    match socket.find(name) {
        Ok(Some(link)) => Ok(link),
        Ok(None) => Err(Refusal::from(Errno::NODEV).doing(doing())),
        Err(refusal) => Err(refusal.doing(doing())),
    }
}

/// Makes a veth pair: its end on the host a port of the bridge, its end in the container ready for packets.
fn make_pair(host: &mut Socket, inside: &mut Socket, pair: &Pair, init: i32) -> Result<()> {
    let Pair { host: HostEnd { name: outer, .. }, name, .. } = pair;
    let bridge = bridge_of(host, pair)?;
    if let Err(refusal) = host.make_pair(pair, init) {
        let taken = matches!(host.find(outer), Ok(Some(_)));
        let advice = match refusal.errno {
            Errno::EXIST if taken => Some("the host has an interface of that name"),
            Errno::EXIST => Some("the container has an interface of that name"),
            _ => None,
        };
        let what = format!("make the network interface {name}, {outer} on the host");
        return Err(refusal.doing_with(what, advice));
    }
    connect_host(host, pair, bridge)?;
    let end = find(inside, name, "in the container")?;
    inside.set_up(end.index).map_err(|refusal| refusal.doing(format!("bring {name} in the container up")))?;
    pair.addresses.iter().try_for_each(|prefix| {
        inside.add_address(end.index, *prefix).map_err(|refusal| {
            let denied = refusal.errno == Errno::ACCESS && prefix.address.is_ipv6();
            let advice = "net.ipv6.conf.default.disable_ipv6 (sysctl) is 1 in new network namespaces";
            refusal.doing_with(format!("give {name} the address {prefix}"), denied.then_some(advice))
        })
    })
}

/// Makes the end on the host a port of the bridge, and brings it up.
fn connect_host(host: &mut Socket, pair: &Pair, bridge: Option<Link>) -> Result<()> {
    let outer = &pair.host.name;
    let end = find(host, outer, "on the host")?;
    if let Some(bridge) = bridge {
        let what =
            |refusal: Refusal| refusal.doing(format!("make {outer} a port of the bridge {}", bridge.name));
        host.set_master(end.index, bridge.index).map_err(what)?;
    }
    if pair.hairpin {
        host.set_hairpin(end.index)
            .map_err(|refusal| refusal.doing(format!("set hairpin mode of the bridge port {outer}")))?;
    }
    host.set_up(end.index).map_err(|refusal| refusal.doing(format!("bring {outer} on the host up")))
}

/// The bridge that a pair's end on the host is to be a port of.
fn bridge_of(host: &mut Socket, pair: &Pair) -> Result<Option<Link>> {
    pair.bridge.as_deref().map(|bridge| find_bridge(host, bridge)).transpose()
}

fn find_bridge(host: &mut Socket, name: &str) -> Result<Link> {
    let what = || format!("find the bridge {name} on the host");
    match host.find(name).map_err(|refusal| refusal.doing(what()))? {
        Some(link) if link.kind == "bridge" => Ok(link),
        Some(_) => Err(Error::invalid(format!("the network interface {name} on the host is not a bridge"))),
        None => {
            let advice = format!("make it first: ip link add {name} type bridge");
            Err(Refusal::from(Errno::NODEV).doing_with(what(), Some(&advice)))
        }
    }
}

fn make_route(inside: &mut Socket, path: &Path) -> Result<()> {
    let link = path.interface.as_deref().map(|name| find(inside, name, "in the container")).transpose()?;
    inside.add_route(path, link.map(|link| link.index)).map_err(|refusal| {
        let unreachable = matches!(refusal.errno, Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::INVAL);
        let advice = "a gateway must be in the network of an address of the interface, or another route must lead to it";
        let advice = (path.gateway.is_some() && unreachable).then_some(advice);
        refusal.doing_with(format!("make the route {path}"), advice)
    })
}
