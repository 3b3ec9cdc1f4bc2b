//! Whether what came back is confined: CRIU restores labels of security modules only where it was built for them, and says nothing
//! otherwise.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::{Config, Error, ErrorKind, Result, lsm};

/// How a profile of AppArmor begins, where CRIU is asked for one.
const APPARMOR: &str = "apparmor:";

/// How a label of SELinux begins, likewise.
const SELINUX: &str = "selinux:";

/// Refuses a label that a restored container is to have, where this machine does not know it: one that CRIU is asked for in the place
/// of what was saved, or the configuration's.
pub(super) fn check(profile: Option<&str>, mount_context: Option<&str>, config: &Config) -> Result<()> {
    match profile.map(|profile| (profile.strip_prefix(APPARMOR), profile.strip_prefix(SELINUX))) {
        None => {
            config.apparmor_profile().map_or(Ok(()), lsm::check_apparmor)?;
            config.process_label().map_or(Ok(()), lsm::check_selinux)?;
        }
        Some((Some(name), _)) if !name.is_empty() => lsm::check_apparmor(name)?,
        Some((_, Some(label))) if !label.is_empty() => lsm::check_selinux(label)?,
        Some(_) => {
            let words = "invalid lsm profile: it is apparmor:PROFILE or selinux:LABEL";
            return Err(Error::invalid(format!("{words}, not {:?}", profile.unwrap_or_default())));
        }
    }
    mount_context.or(config.mount_label()).map_or(Ok(()), lsm::check_selinux)
}

/// What the configuration confines its programs by, in CRIU's words.
fn configured(config: &Config) -> Option<String> {
    match (config.apparmor_profile(), config.process_label()) {
        (Some(profile), _) => Some(format!("{APPARMOR}{profile}")),
        (None, Some(label)) => Some(format!("{SELINUX}{label}")),
        (None, None) => None,
    }
}

/// Fails where the configuration confines the first process, and the images do not say how. The container has not ended yet.
pub(super) fn check_saved(pid: i32, images: &Path, config: &Config) -> Result<()> {
    let Some(wanted) = configured(config) else { return Ok(()) };
    let (has, own) = (label(&pid.to_string(), &wanted)?, label("thread-self", &wanted)?);
    let cores = fs::read_dir(images).into_iter().flatten().flatten();
    let cores = cores.filter(|entry| entry.file_name().as_bytes().starts_with(b"core-"));
    let tells = |image: Vec<u8>| image.windows(has.len()).any(|part| part == has.as_bytes());
    if has.is_empty() || has == own || cores.into_iter().any(|core| fs::read(core.path()).is_ok_and(tells)) {
        return Ok(());
    }
    Err(unsupported(&format!(
        "has saved nothing of the label {has:?}, without which the container would come back"
    )))
}

/// Fails where the first process of a container, which goes on next, is not confined as it is to be: by what was asked for, or
/// else by something other than CRIU, where the configuration confines it.
pub(super) fn check_restored(pid: i32, criu: &str, asked: Option<&str>, config: &Config) -> Result<()> {
    let Some(wanted) = asked.map(str::to_owned).or_else(|| configured(config)) else { return Ok(()) };
    let (has, crius) = (label(&pid.to_string(), &wanted)?, label(criu, &wanted)?);
    if confines(&wanted, asked.is_some(), &has, &crius) {
        return Ok(());
    }
    Err(unsupported(&format!(
        "has restored the container as {has:?}, and not as {wanted} (restore --lsm-profile names another)"
    )))
}

fn unsupported(what: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("criu {what}: is it built with support for this security module?"),
    )
}

/// Whether a label does. A program may have changed its own since the start, as far as the policy lets it.
fn confines(wanted: &str, exactly: bool, has: &str, crius: &str) -> bool {
    let name = wanted.split_once(':').map_or(wanted, |(_, name)| name);
    // Profiles of other namespaces and several at once are told in another form than they are asked for.
    let composed = wanted.starts_with(APPARMOR) && (name.starts_with([':', '&']) || name.contains("//&"));
    let is_it = has == name || (wanted.starts_with(SELINUX) && has == canonical(name));
    is_it || ((!exactly || composed) && has != crius)
}

/// The form in which the kernel tells a label of SELinux; the label itself where it does not know it.
fn canonical(label: &str) -> String {
    let ask = || -> std::io::Result<String> {
        let mut file = fs::File::options().read(true).write(true).open("/sys/fs/selinux/context")?;
        file.write_all(label.as_bytes())?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    };
    ask().map_or_else(|_| label.to_owned(), |text| text.trim_end_matches(['\0', '\n']).to_owned())
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
        assert!(
            confines("apparmor:one//&other", true, "other//&one", none)
                && !confines("apparmor:&one", true, none, none)
        );
    }

    #[test]
    fn words_that_are_no_profile_are_refused() {
        let config = Config::builder("/root").build().unwrap();
        for wrong in ["", "one", "apparmor:", "selinux:", "smack:x"] {
            let error = check(Some(wrong), None, &config).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{wrong}");
        }
        assert!(check(None, None, &config).is_ok());
    }
}
