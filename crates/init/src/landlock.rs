//! Landlock rulesets: made while the root is the container's and nothing is given up yet, in force last of all.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use corten_sys::landlock::{self, Handled};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::payload::Landlock;
use crate::rootfs::find;
use crate::{Doing, Failure, Kind, Result};

/// A ruleset, where there is one.
#[derive(Debug)]
pub(crate) struct Ruleset(Option<OwnedFd>);

impl Ruleset {
    /// Makes the ruleset. Its paths are resolved now, inside the container's root: a rule is of the file, not of its path.
    pub(crate) fn make(order: Option<&Landlock>) -> Result<Self> {
        let Some(Landlock { fs, net, scoped, paths, ports }) = order else { return Ok(Self(None)) };
        let handled = Handled { fs: *fs, net: *net, scoped: *scoped };
        let ruleset = landlock::create_ruleset(handled).doing(|| "make the Landlock ruleset")?;
        for (path, allowed) in paths {
            allow_path(&ruleset, path, *allowed)?;
        }
        for (port, allowed) in ports {
            landlock::allow_port(ruleset.as_fd(), *port, *allowed)
                .doing(|| format!("add the Landlock rule for port {port}"))?;
        }
        Ok(Self(Some(ruleset)))
    }

    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Puts it in force.
    pub(crate) fn enforce(self) -> Result<()> {
        let Some(ruleset) = self.0 else { return Ok(()) };
        landlock::restrict_self(ruleset.as_fd()).doing(|| "put the Landlock ruleset in force").map_err(
            |failure| match failure.is(Errno::PERM) {
                true => {
                    failure.hint("it needs noNewPrivileges, or CAP_SYS_ADMIN in the program's effective set")
                }
                false => failure,
            },
        )
    }
}

fn allow_path(ruleset: &OwnedFd, path: &str, allowed: u64) -> Result<()> {
    let doing = || format!("add the Landlock rule for {path}");
    let place = find(Path::new(path)).doing(doing).map_err(|failure| Failure {
        kind: if failure.is(Errno::NOENT) { Kind::Invalid } else { failure.kind },
        ..failure
    })?;
    landlock::allow_path(ruleset.as_fd(), place.as_fd(), allowed).map_err(|errno| {
        let failure = Failure::system(doing(), errno);
        let kind = rustix::fs::fstat(&place).map(|status| FileType::from_raw_mode(status.st_mode));
        match kind {
            Ok(kind) if errno == Errno::INVAL && kind != FileType::Directory => {
                failure.hint("it is no directory, and some of these rights are of directories alone")
            }
            _ => failure,
        }
    })
}
