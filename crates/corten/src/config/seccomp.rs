//! The seccomp profile of a configuration.

use std::sync::{Arc, OnceLock};

use corten_seccomp::{Arch, Filter};

use super::fields::Fields;
use crate::{Error, Result, oci};

/// The profile and the path of its agent. Go programs leave out an empty path or write it; it means the same.
pub(super) fn agent(fields: &Fields) -> Option<(&oci::Seccomp, &str)> {
    let profile = fields.seccomp.as_ref()?;
    let path = profile.listener_path.as_deref().filter(|path| !path.is_empty())?;
    Some((profile, path))
}

/// The filter of a configuration once it was asked for; clones share it.
#[derive(Clone, Default)]
pub(super) struct Compiled(OnceLock<Option<Arc<Filter>>>);

impl Compiled {
    /// The filter that the profile of these fields means, which are always the same ones.
    pub(super) fn filter(&self, fields: &Fields) -> Result<Option<&Filter>> {
        let compiled = match self.0.get() {
            Some(compiled) => compiled,
            None => {
                let filter = filter(fields)?.map(Arc::new);
                self.0.get_or_init(|| filter)
            }
        };
        Ok(compiled.as_deref())
    }
}

/// The filter that the profile means; `None` where there is no profile, or one that asks for nothing.
fn filter(fields: &Fields) -> Result<Option<Filter>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn a_profile_is_compiled_once_and_not_by_reading() {
        let rule = oci::SyscallRule {
            names: vec!["reboot".to_owned()],
            action: "SCMP_ACT_ERRNO".to_owned(),
            ..oci::SyscallRule::default()
        };
        let profile = oci::Seccomp {
            default_action: "SCMP_ACT_ALLOW".to_owned(),
            syscalls: vec![rule],
            ..oci::Seccomp::default()
        };
        let built = Config::builder("/").seccomp(profile).build().unwrap();
        let of = |config: &Config| std::ptr::from_ref(config.seccomp_filter().unwrap().unwrap());
        assert!(built.1.0.get().is_some());
        assert_eq!(of(&built), of(&built.clone()));
        let read: Config = serde_json::from_str(&serde_json::to_string(&built).unwrap()).unwrap();
        assert_eq!(read, built);
        assert!(read.1.0.get().is_none());
        assert_eq!(read.seccomp_filter().unwrap(), built.seccomp_filter().unwrap());
        assert_eq!(of(&read), of(&read));
    }
}
