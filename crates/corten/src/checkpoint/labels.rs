//! Whether what came back is confined: CRIU restores labels of security modules only where it was built for them, and says nothing
//! otherwise.

use std::fs;

use crate::{Config, Error, ErrorKind, Result, lsm};

/// How a profile of AppArmor begins, where CRIU is asked for one.
const APPARMOR: &str = "apparmor:";

/// How a label of SELinux begins, likewise.
const SELINUX: &str = "selinux:";

/// Refuses what CRIU is asked for in the place of what was saved, where this machine does not know it.
pub(super) fn check(profile: Option<&str>, mount_context: Option<&str>) -> Result<()> {
    if let Some(profile) = profile {
        match (profile.strip_prefix(APPARMOR), profile.strip_prefix(SELINUX)) {
            (Some(name), _) if !name.is_empty() => lsm::check_apparmor(name)?,
            (_, Some(label)) if !label.is_empty() => lsm::check_selinux(label)?,
            _ => {
                let words = "invalid lsm profile: it is apparmor:PROFILE or selinux:LABEL";
                return Err(Error::invalid(format!("{words}, not {profile:?}")));
            }
        }
    }
    mount_context.map_or(Ok(()), lsm::check_selinux)
}

/// Fails where the first process of a container, which goes on next, is not confined as it is to be: by what was asked for, or
/// else by something other than its restorer, where the configuration confines it.
pub(super) fn check_restored(pid: i32, asked: Option<&str>, config: &Config) -> Result<()> {
    let configured = match (config.apparmor_profile(), config.process_label()) {
        (Some(profile), _) => Some(format!("{APPARMOR}{profile}")),
        (None, Some(label)) => Some(format!("{SELINUX}{label}")),
        (None, None) => None,
    };
    let Some(wanted) = asked.or(configured.as_deref()) else { return Ok(()) };
    let (has, own) = (label(&pid.to_string(), wanted)?, label("thread-self", wanted)?);
    if confines(wanted, asked.is_some(), &has, &own) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "criu has restored the container as {has:?}, and not as {wanted}: is it built with support for this security module?"
        ),
    ))
}

/// Whether a label does. A program may have changed its own since the start, as far as the policy lets it.
fn confines(wanted: &str, exactly: bool, has: &str, own: &str) -> bool {
    let name = wanted.split_once(':').map_or(wanted, |(_, name)| name);
    has == name || (!exactly && has != own)
}

/// The label of a process, without the mode that AppArmor adds to it.
fn label(process: &str, wanted: &str) -> Result<String> {
    let directory = format!("/proc/{process}/attr");
    let read = |name: &str| fs::read_to_string(format!("{directory}/{name}"));
    let text = match wanted.starts_with(APPARMOR) {
        // Linux before 5.8 has no directory of the module's.
        true => read("apparmor/current").or_else(|_| read("current")),
        false => read("current"),
    };
    let text = text.map_err(|error| Error::io(format!("read the label in {directory}"), error))?;
    let text = text.trim_end_matches(['\0', '\n']);
    let mode = text.rfind(" (").filter(|_| wanted.starts_with(APPARMOR));
    Ok(mode.map_or(text, |mode| &text[..mode]).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_restored_is_seen() {
        let (one, other, none) = ("one", "other", "unconfined");
        assert!(confines("apparmor:one", true, one, none) && confines("apparmor:one", false, one, none));
        assert!(confines("selinux:u:r:t:s0", true, "u:r:t:s0", "u:r:k:s0"));
        assert!(confines("apparmor:one", false, other, none), "changed by itself");
        assert!(!confines("apparmor:one", true, other, none), "somebody asked for it");
        assert!(!confines("apparmor:one", false, none, none), "lost");
        assert!(confines("apparmor:unconfined", false, none, none));
    }

    #[test]
    fn words_that_are_no_profile_are_refused() {
        for wrong in ["", "one", "apparmor:", "selinux:", "smack:x"] {
            let error = check(Some(wrong), None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{wrong}");
        }
        assert!(check(None, None).is_ok());
    }
}
