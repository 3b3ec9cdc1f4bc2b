//! The seccomp profile of a configuration.

use corten_seccomp::{Arch, Filter};

use super::fields::Fields;
use crate::{Error, Result, oci};

/// The profile and the path of its agent. Go programs leave out an empty path or write it; it means the same.
pub(super) fn agent(fields: &Fields) -> Option<(&oci::Seccomp, &str)> {
    let profile = fields.seccomp.as_ref()?;
    let path = profile.listener_path.as_deref().filter(|path| !path.is_empty())?;
    Some((profile, path))
}

/// The filter that the profile means; `None` where there is no profile, or one that asks for nothing.
pub(super) fn filter(fields: &Fields) -> Result<Option<Filter>> {
    let Some(profile) = fields.seccomp.as_ref().filter(|profile| !corten_seccomp::is_empty(profile)) else {
        return match fields.seccomp_listener {
            true => Err(Error::invalid("there is no seccomp profile to listen to")),
            false => Ok(None),
        };
    };
    let filter = corten_seccomp::compile(profile, Arch::native())
        .map_err(|error| Error::invalid(format!("linux.seccomp: {error}")))?;
    let path = agent(fields).is_some();
    let metadata = profile.listener_metadata.as_ref().is_some_and(|metadata| !metadata.is_empty());
    let problem = match () {
        () if filter.notifies && !path && !fields.seccomp_listener => {
            "seccomp listenerPath is not set, and SCMP_ACT_NOTIFY needs an agent"
        }
        () if metadata && !path => "seccomp listenerMetadata must not be set without listenerPath",
        () if path && fields.seccomp_listener => {
            "seccomp has a listenerPath, and so no listener for this program"
        }
        () if fields.seccomp_listener && !filter.notifies => {
            "no seccomp rule has SCMP_ACT_NOTIFY to listen to"
        }
        () => return Ok(Some(filter)),
    };
    Err(Error::invalid(problem))
}
