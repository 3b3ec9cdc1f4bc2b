//! Labels of the security modules that act at the execve(2): AppArmor and SELinux.

use rustix::io::Errno;

use crate::payload::Labels;
use crate::proc::Proc;
use crate::{Failure, Kind, Result};

/// Asks for the program's profile and label. They are in force from the execve on, so this is the last but for what the
/// label would forbid nobody.
pub(crate) fn label_next_exec(proc: &Proc, labels: &Labels) -> Result<()> {
    if let Some(profile) = &labels.apparmor {
        // This file is AppArmor's alone, whatever other modules there are (Linux 5.8).
        proc.write_attribute("apparmor/exec", &format!("exec {profile}"))
            .map_err(|failure| no_profile(profile, failure))?;
    }
    if let Some(label) = &labels.selinux {
        proc.write_attribute("exec", label).map_err(|failure| no_label(label, failure))?;
    }
    Ok(())
}

/// Labels the keys that are made while `make` runs.
pub(crate) fn label_keys<T>(proc: &Proc, labels: &Labels, make: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some(label) = &labels.selinux else { return make() };
    proc.write_attribute("keycreate", label).map_err(|failure| no_label(label, failure))?;
    let made = make()?;
    // A line without a word takes the label back.
    proc.write_attribute("keycreate", "\n")?;
    Ok(made)
}

fn no_profile(profile: &str, failure: Failure) -> Failure {
    let what = format!("unable to apply apparmor profile {profile:?}");
    match failure {
        _ if failure.is(Errno::NOENT) => Failure::new(Kind::Invalid, format!("{what}: it is not loaded"))
            .hint("apparmor_parser(8) loads one; /sys/kernel/security/apparmor/profiles lists them"),
        _ if failure.is(Errno::ACCESS) => Failure { what: format!("{what}: {}", failure.what), ..failure }
            .hint("the runtime itself is confined, and its profile does not let it change to this one"),
        _ => Failure { what: format!("{what}: {}", failure.what), ..failure },
    }
}

fn no_label(label: &str, failure: Failure) -> Failure {
    let invalid = failure.is(Errno::INVAL);
    let failure =
        Failure { what: format!("unable to apply SELinux label {label:?}: {}", failure.what), ..failure };
    if invalid { failure.hint("the loaded policy knows no such context") } else { failure }
}
