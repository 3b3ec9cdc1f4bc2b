//! Descriptors that the caller hands over: to the container by `LISTEN_FDS` (sd_listen_fds(3)) and `--preserve-fds`, and to
//! this program by `--status-fd`.

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::error::{Doing, Error, Result};

/// Descriptors 3, 4, … for the program in the container, and how many of them are sockets to listen on.
#[derive(Debug, Default)]
pub struct Inherited {
    pub fds: Vec<OwnedFd>,
    pub listen: u32,
    /// That of `--status-fd`, which can be written to.
    pub status: Option<OwnedFd>,
}

impl Inherited {
    /// Takes those that the environment tells of, where there is a first program for them, and as many as asked for after them, none
    /// for `None`; and the one of this number that is to be told of something.
    ///
    /// To be called before this program opens anything itself.
    pub fn take(first: bool, preserve: Option<u32>, status: Option<i32>) -> Result<Self> {
        let status = status.map(writable).transpose()?;
        let Some(preserve) = preserve else { return Ok(Self { status, ..Self::default() }) };
        let variable = |name: &str| std::env::var(name).ok().filter(|_| first);
        let listen = listen_fds(
            variable("LISTEN_PID").as_deref(),
            variable("LISTEN_FDS").as_deref(),
            std::process::id(),
        );
        let count = i32::try_from(listen.saturating_add(preserve))
            .map_err(|_| Error::usage("--preserve-fds: too many descriptors"))?;
        let take = |number: i32| {
            corten_sys::fd::inherited(number)
                .doing(|| format!("preserve-fds: file descriptor {number} is not open"))
        };
        Ok(Self { fds: (3..3 + count).map(take).collect::<Result<_>>()?, listen, status })
    }
}

/// A descriptor that is open for writing. It must be closed as soon as it was told: whoever reads may wait for the end.
fn writable(number: i32) -> Result<OwnedFd> {
    let doing = || format!("status-fd: file descriptor {number} is not open");
    let fd = match number {
        ..=2 => corten_sys::fd::copy_inherited(number),
        _ => corten_sys::fd::inherited(number),
    };
    let fd = fd.doing(doing)?;
    let mode = rustix::fs::fcntl_getfl(&fd).doing(doing)? & rustix::fs::OFlags::ACCMODE;
    if mode == rustix::fs::OFlags::RDONLY {
        return Err(Error::usage(format!("status-fd: file descriptor {number} is not writable")));
    }
    if number == 1 {
        let null = File::options().write(true).open("/dev/null").doing(|| "open /dev/null".to_owned())?;
        rustix::stdio::dup2_stdout(&null).doing(doing)?;
    }
    Ok(fd)
}

/// They are for this process only where its number is given.
fn listen_fds(pid: Option<&str>, count: Option<&str>, own: u32) -> u32 {
    match pid.and_then(|pid| pid.parse::<u32>().ok()) {
        Some(pid) if pid == own => count.and_then(|count| count.parse().ok()).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_another_process_are_not_taken() {
        assert_eq!(listen_fds(Some("7"), Some("2"), 7), 2);
        assert_eq!(listen_fds(Some("8"), Some("2"), 7), 0);
        assert_eq!(listen_fds(None, Some("2"), 7), 0);
        assert_eq!(listen_fds(Some("7"), None, 7), 0);
        assert_eq!(listen_fds(Some("7"), Some("x"), 7), 0);
    }
}
