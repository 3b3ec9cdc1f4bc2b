//! What this version of Corten lacks, by name: asked for, it is refused and never ignored.

use crate::{Error, Result, oci};

/// A name in the words of `config.json`, and whether a configuration asks for it.
type Lacking<T> = (&'static str, fn(&T) -> bool);

/// What other platforms have, of a whole `config.json`.
pub(super) const PLATFORMS: [Lacking<oci::Spec>; 5] = [
    ("solaris", |s| s.solaris.is_some()),
    ("windows", |s| s.windows.is_some()),
    ("vm", |s| s.vm.is_some()),
    ("zos", |s| s.zos.is_some()),
    ("freebsd", |s| s.freebsd.is_some()),
];

/// What other platforms have, of a user.
pub(crate) const USER: [Lacking<oci::User>; 1] = [("process.user.username", |u| u.username.is_some())];

/// Fails by the name of the first that is asked for.
pub(crate) fn refuse<T>(table: &[Lacking<T>], asked: &T) -> Result<()> {
    match table.iter().find(|(_, is_asked)| is_asked(asked)) {
        Some((name, _)) => {
            Err(Error::unsupported(format!("{name} is not supported by this version of corten")))
        }
        None => Ok(()),
    }
}
