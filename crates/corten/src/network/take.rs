//! Devices of the host that are moved into a container (specification: `config-linux.md#network-devices`).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::links::{Address, Asked, Link};
use super::plan::{Device, Target};
use super::socket::{Refusal, Socket};
use crate::Result;

/// Devices that were taken from the host. They are moved back when this is dropped, unless it was told to [leave](Self::leave)
/// them: while this is there, so is the container's network namespace.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(super) host: Socket,
    pub(super) inside: Socket,
    init: i32,
    devices: Vec<Moved>,
}

/// A device that is in the container now.
#[derive(Debug)]
struct Moved {
    /// As it was on the host.
    link: Link,
    addresses: Vec<Address>,
    /// Its number inside.
    index: u32,
    /// The host's network namespace.
    home: OwnedFd,
}

impl Taken {
    /// None yet.
    pub(super) fn new(host: Socket, inside: Socket, init: i32) -> Self {
        Self { host, inside, init, devices: Vec::new() }
    }

    /// Leaves the devices in the container.
    pub(crate) fn leave(mut self) {
        self.devices.clear();
    }

    /// Moves a device of the host into the container, with its lasting addresses, and brings it up.
    pub(super) fn take(&mut self, device: &Device) -> Result<()> {
        let outer = &device.host;
        let doing =
            |refusal: Refusal| refusal.doing(format!("move network device {outer} into the container"));
        let link = self.host.find(outer).map_err(doing)?;
        let link = link.ok_or_else(|| {
            Refusal::from(Errno::NODEV).doing(format!("find network device {outer} on the host"))
        })?;
        // As long as it is up: at its end the kernel drops those of IPv6.
        let addresses = self.host.kept_addresses(link.index).map_err(doing)?;
        let named = match &device.target {
            Target::Same => link.name.clone(),
            Target::Name(name) => name.clone(),
            // The kernel chooses: until then it has a name by which it is found.
            Target::Template(_) => format!("corten-{:x}", link.index),
        };
        if self.inside.find(&named).map_err(doing)?.is_some() {
            let advice = "the container has an interface of that name";
            let what = format!("move network device {outer} into the container as {named}");
            return Err(Refusal::from(Errno::EXIST).doing_with(what, Some(advice)));
        }
        let index = self.transfer(&link, addresses, &named).map_err(doing)?;
        if let Target::Template(template) = &device.target {
            let what = |refusal: Refusal| refusal.doing(format!("name network device {outer} {template}"));
            self.inside.rename(index, template).map_err(what)?;
        }
        let moved = self.inside.find_index(index).map_err(doing)?;
        let moved =
            moved.ok_or_else(|| Refusal::from(Errno::NODEV).doing(format!("find network device {named}")))?;
        self.inside.set_up(index).map_err(|refusal| refusal.doing(format!("bring {} up", moved.name)))?;
        let Self { inside, devices, .. } = self;
        let addresses = devices.last().map(|device| &device.addresses[..]).unwrap_or_default();
        addresses.iter().try_for_each(|address| {
            inside
                .give_back(&moved, &link.name, address)
                .map_err(|refusal| refusal.doing(format!("keep the addresses of network device {outer}")))
        })
    }

    /// Moves it, remembers it, and gives its number inside.
    fn transfer(&mut self, link: &Link, addresses: Vec<Address>, name: &str) -> Asked<u32> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let home = rustix::fs::open("/proc/thread-self/ns/net", flags, Mode::empty())?;
        let answer = self.host.move_to_process(link.index, name, self.init);
        // The kernel moves first and renames then: a refusal does not say that it is still there.
        let mut moved = None;
        if answer.is_ok() || self.host.find_index(link.index)?.is_none() {
            moved = self.inside.find(name)?;
            if moved.is_none() {
                moved = self.inside.find(&link.name)?;
            }
        }
        match (moved, answer) {
            (Some(Link { index, .. }), answer) => {
                self.devices.push(Moved { link: link.clone(), addresses, index, home });
                answer.map(|()| index)
            }
            (None, Err(refusal)) => Err(refusal),
            (None, Ok(())) => Err(Refusal::from(Errno::NODEV)),
        }
    }

    /// Moves a device back to where it was, and makes it what it was.
    fn give_back(&mut self, device: &Moved) -> Result<()> {
        let Moved { link, addresses, index, home } = device;
        let doing =
            |refusal: Refusal| refusal.doing(format!("move network device {} back to the host", link.name));
        self.inside.move_to(*index, &link.name, home.as_fd()).map_err(doing)?;
        let back = self.host.find(&link.name).map_err(doing)?;
        let back = back.ok_or_else(|| Refusal::from(Errno::NODEV)).map_err(doing)?;
        let mut restore = || -> Asked<()> {
            if link.master != 0 {
                self.host.set_master(back.index, link.master)?;
            }
            if link.up {
                self.host.set_up(back.index)?;
            }
            addresses.iter().try_for_each(|address| self.host.give_back(&back, &link.name, address))
        };
        restore().map_err(|refusal| refusal.doing(format!("restore network device {}", link.name)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for device in std::mem::take(&mut self.devices).iter().rev() {
            if let Err(error) = self.give_back(device) {
                tracing::warn!("after the failed start: {error}");
            }
        }
    }
}
