//! Descriptors that tell of lack of memory: for whoever waits in poll(2) or an event loop.
//!
//! v2 marks `memory.events` as changed (inotify(7)) and has triggers of pressure (kernel: accounting/psi.rst); v1 has an
//! eventfd(2) for each (kernel: admin-guide/cgroup-v1/memory.rst, "Memory Control", sections 9 to 11).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::OFlags;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::dir::{Dir, File};
use crate::error::{Error, Result};

/// Tells when processes of a group are killed for lack of memory.
///
/// Its descriptor ([`AsFd`]) is readable (`POLLIN`) when there may be news, which [`OomEvents::take`] gives.
#[derive(Debug)]
pub struct OomEvents {
    fd: OwnedFd,
    /// `memory.events` or `memory.oom_control`.
    counters: File,
    kills: u64,
    /// `cgroup.events`, which tells when the last process has gone (v2); the eventfd of v1 tells when the group has.
    population: Option<File>,
    /// Whether the kernel tells of each time that memory lacks (v1), or only marks the counters as changed (v2).
    each: bool,
}

/// What happened for lack of memory since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Oom {
    /// How many processes were killed. v1 tells that memory lacks before it kills: the number may come with the next call.
    pub kills: u64,
    /// Whether processes wait for memory now, where the killer is told to stay away (v1).
    pub waiting: bool,
}

impl OomEvents {
    pub(crate) fn v2(dir: &Dir) -> Result<Self> {
        let counters = dir.open("memory.events", OFlags::RDONLY)?;
        let failed = |errno| Error::os("watch", counters.path(), errno);
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?;
        let population = dir.open("cgroup.events", OFlags::RDONLY)?;
        for file in [&counters, &population] {
            // The file that is open, and no other that its path may come to mean.
            let own = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
            inotify::add_watch(&fd, own, WatchFlags::MODIFY).map_err(failed)?;
        }
        Self::new(fd, counters, Some(population))
    }

    pub(crate) fn v1(dir: &Dir) -> Result<Self> {
        let counters = dir.open("memory.oom_control", OFlags::RDONLY)?;
        let fd = register(dir, &counters, None)?;
        Self::new(fd, counters, None)
    }

    fn new(fd: OwnedFd, counters: File, population: Option<File>) -> Result<Self> {
        let each = population.is_none();
        let mut events = Self { fd, counters, kills: 0, population, each };
        // What happened before is no news.
        events.take()?;
        Ok(events)
    }

    /// What happened since the last call; `None` if nothing did. Never waits.
    pub fn take(&mut self) -> Result<Option<Oom>> {
        let told =
            read_away(self.fd.as_fd()).map_err(|errno| Error::os("watch", self.counters.path(), errno))?;
        let Some(content) = read_unless_gone(&self.counters)? else { return Ok(None) };
        let number = |name: &str| -> u64 {
            let value = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
            content.lines().find_map(value).unwrap_or(0)
        };
        let total = number("oom_kill ");
        let oom = Oom { kills: total.saturating_sub(self.kills), waiting: number("under_oom ") != 0 };
        self.kills = total;
        Ok(Some(oom).filter(|oom| self.each && told || *oom != Oom::default()))
    }

    /// Waits for something to happen, at most so long; `None` when nothing did, or nothing can any more: the last process
    /// has gone (v2), or the group has.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<Option<Oom>> {
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if !ready(self.fd.as_fd(), PollFlags::IN, left, self.counters.path())? {
                return Ok(None);
            }
            // Other counters change too.
            if let Some(oom) = self.take()? {
                return Ok(Some(oom));
            }
            if self.is_over()? {
                return Ok(None);
            }
        }
    }

    fn is_over(&self) -> Result<bool> {
        let content = read_unless_gone(self.population.as_ref().unwrap_or(&self.counters))?;
        Ok(content.is_none_or(|content| content.lines().any(|line| line == "populated 0")))
    }
}

/// The content of a file whose group may have been removed meanwhile.
fn read_unless_gone(file: &File) -> Result<Option<String>> {
    match file.read() {
        Err(error) if error.is(Errno::NODEV) => Ok(None),
        content => content.map(Some),
    }
}

impl AsFd for OomEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What pressure a caller wants to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PressureTrigger {
    /// Memory of the group is reclaimed with this much trouble (v1).
    Level(PressureLevel),
    /// Processes of the group waited for so long within a window (v2).
    Stall {
        /// What they waited for.
        resource: Resource,
        /// Whether all of them must have waited, and not only some.
        full: bool,
        /// How long, at least.
        stall: Duration,
        /// Within which time: 0.5 to 10 s. Without CAP_SYS_RESOURCE, only multiples of 2 s.
        window: Duration,
    },
}

impl PressureTrigger {
    /// Some processes waited for memory for 150 ms within 2 s.
    pub fn memory() -> Self {
        let (stall, window) = (Duration::from_millis(150), Duration::from_secs(2));
        Self::Stall { resource: Resource::Memory, full: false, stall, window }
    }
}

/// Levels of memory pressure (v1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PressureLevel {
    /// Memory is reclaimed for new allocations.
    Low,
    /// There is some swapping, or active caches are given up.
    Medium,
    /// The killer is about to come.
    Critical,
}

/// What processes can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A processor.
    Cpu,
    /// Memory.
    Memory,
    /// A block device.
    Io,
}

/// Tells when a group is under pressure.
///
/// Its descriptor ([`AsFd`]) has the event [`PressureEvents::interest`] when it is; [`PressureEvents::take`] clears it.
#[derive(Debug)]
pub struct PressureEvents {
    fd: OwnedFd,
    interest: PollFlags,
    path: PathBuf,
}

impl PressureEvents {
    /// Writes a trigger, which lives as long as the file is open.
    pub(crate) fn v2(dir: &Dir, resource: Resource, trigger: &str) -> Result<Self> {
        let name = match resource {
            Resource::Cpu => "cpu.pressure",
            Resource::Memory => "memory.pressure",
            Resource::Io => "io.pressure",
        };
        let file = dir.open(name, OFlags::RDWR | OFlags::NONBLOCK)?;
        file.write(trigger)?;
        let path = file.path().to_owned();
        Ok(Self { fd: file.into(), interest: PollFlags::PRI, path })
    }

    pub(crate) fn v1(dir: &Dir, level: PressureLevel) -> Result<Self> {
        let level = match level {
            PressureLevel::Low => "low",
            PressureLevel::Medium => "medium",
            PressureLevel::Critical => "critical",
        };
        let file = dir.open("memory.pressure_level", OFlags::RDONLY)?;
        let fd = register(dir, &file, Some(level))?;
        Ok(Self { fd, interest: PollFlags::IN, path: file.path().to_owned() })
    }

    /// The events to poll for (poll(2)): `POLLPRI` on v2, `POLLIN` on v1.
    pub fn interest(&self) -> i16 {
        self.interest.bits() as i16
    }

    /// Waits for pressure, at most so long; false when there was none. Fails where the group is gone (v2).
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<bool> {
        if !ready(self.fd.as_fd(), self.interest, limit, &self.path)? {
            return Ok(false);
        }
        self.take()?;
        Ok(true)
    }

    /// Clears the event. To poll clears it on v2.
    pub fn take(&mut self) -> Result<()> {
        if self.interest == PollFlags::IN {
            read_away(self.fd.as_fd()).map_err(|errno| Error::os("read", &self.path, errno))?;
        }
        Ok(())
    }
}

impl AsFd for PressureEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The line that makes a trigger of v2: `some 150000 2000000`, in microseconds.
pub(crate) fn trigger(full: bool, stall: Duration, window: Duration) -> String {
    let which = if full { "full" } else { "some" };
    format!("{which} {} {}", stall.as_micros(), window.as_micros())
}

/// An eventfd that v1 writes to when something happens to `file`.
fn register(dir: &Dir, file: &File, arguments: Option<&str>) -> Result<OwnedFd> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let fd = eventfd(0, flags).map_err(|errno| Error::os("watch", file.path(), errno))?;
    let mut order = format!("{} {}", fd.as_raw_fd(), file.as_fd().as_raw_fd());
    if let Some(arguments) = arguments {
        order = format!("{order} {arguments}");
    }
    dir.write("cgroup.event_control", &order)?;
    Ok(fd)
}

/// Whether there was anything.
fn read_away(fd: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let mut buffer = [0; 4096];
    let mut any = false;
    loop {
        match rustix::io::read(fd, &mut buffer) {
            Ok(0) | Err(Errno::AGAIN) => return Ok(any),
            Ok(_) => any = true,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn ready(
    fd: BorrowedFd<'_>,
    interest: PollFlags,
    limit: Option<Duration>,
    path: &std::path::Path,
) -> Result<bool> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    let mut polled = [PollFd::from_borrowed_fd(fd, interest)];
    rustix::io::retry_on_intr(|| poll(&mut polled, limit.as_ref()))
        .map_err(|errno| Error::os("poll", path, errno))?;
    let seen = polled[0].revents();
    // A trigger ends with its group.
    if seen.contains(PollFlags::ERR) {
        Err(Error::os("poll", path, Errno::NODEV))
    } else {
        Ok(!seen.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_in_microseconds() {
        let line = trigger(false, Duration::from_millis(150), Duration::from_secs(2));
        assert_eq!(line, "some 150000 2000000");
        assert_eq!(trigger(true, Duration::from_secs(1), Duration::from_secs(10)), "full 1000000 10000000");
    }
}
