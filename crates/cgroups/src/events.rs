//! Waiting: on `cgroup.events` where there is one (v2), else by re-reading until a deadline (v1 sends no events).

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::dir::Dir;
use crate::error::{Error, Result};

/// A point in time after which waiting ends with an error.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    end: Instant,
    whole: Duration,
}

impl Deadline {
    /// That far from now.
    pub(crate) fn after(whole: Duration) -> Self {
        Self { end: Instant::now() + whole, whole }
    }

    /// What is left; an error that names the group and what was waited for when nothing is.
    fn left(self, dir: &Dir, what: &'static str) -> Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Timeout { what, path: dir.path().to_owned(), seconds: self.whole.as_secs() });
        }
        Ok(left)
    }
}

/// Waits until a line of `cgroup.events` reads as given, for example `frozen 1`.
///
/// kernfs marks the file at each change since it was last read, so that nothing is lost between reading and polling
/// (cgroups(7), "cgroup.events").
pub(crate) fn wait(dir: &Dir, line: &str, deadline: Deadline, what: &'static str) -> Result<()> {
    let file = dir.open("cgroup.events", OFlags::RDONLY)?;
    while !file.read()?.lines().any(|l| l == line) {
        let left = deadline.left(dir, what)?;
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match rustix::event::poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(Error::os("poll", &dir.path().join("cgroup.events"), e)),
        }
    }
    Ok(())
}

/// Calls `attempt` until it is done, with pauses that double from 0.1 ms to 10 ms: for v1 only, which sends no events.
pub(crate) fn retry(
    dir: &Dir,
    deadline: Deadline,
    what: &'static str,
    mut attempt: impl FnMut(u32) -> Result<bool>,
) -> Result<()> {
    let mut count = 0;
    while !attempt(count)? {
        let left = deadline.left(dir, what)?;
        let pause = Duration::from_micros(100 << count.min(7)).min(Duration::from_millis(10)).min(left);
        // There is no descriptor to wait on.
        let pause = Timespec { tv_sec: 0, tv_nsec: i64::from(pause.subsec_nanos()) };
        let _ = rustix::event::poll(&mut [], Some(&pause));
        count += 1;
    }
    Ok(())
}
