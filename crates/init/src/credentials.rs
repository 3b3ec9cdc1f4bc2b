//! Who the user's program is and what it may do: user, groups, capabilities (credentials(7), capabilities(7)).

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::outlet::Outlet;
use crate::passwd::Identity;
use crate::payload::Capabilities;
use crate::{Doing, Failure, Result};

/// Keeps this process's memory and descriptors from every other process of its namespaces (CVE-2016-9962).
pub(crate) fn set_not_dumpable() -> Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).doing(|| "become non-dumpable")
}

/// Becomes root of the user namespace that this process has entered, and leaves the caller's groups behind unless they are
/// kept: because it is wanted, or because setgroups(2) is denied.
pub(crate) fn become_root(keep_groups: bool) -> Result<()> {
    if !keep_groups {
        match set_thread_groups(&[]) {
            // The namespace that was joined denies it; no group can be gained or dropped there.
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(Failure::system("leave the caller's groups", errno)),
        }
    }
    let unmapped = "the id mappings must map id 0";
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
        .doing(|| "become group 0 of the user namespace")
        .map_err(|failure| failure.hint(unmapped))?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
        .doing(|| "become user 0 of the user namespace")
        .map_err(|failure| failure.hint(unmapped))
}

/// Becomes the user and takes the capability sets.
pub(crate) fn apply(
    outlet: &mut Outlet<'_>,
    identity: &Identity,
    keep_groups: bool,
    wanted: Option<&Capabilities>,
) -> Result<()> {
    if let Some(wanted) = wanted {
        drop_bounding(wanted.bounding)?;
        set_keep_capabilities(true).doing(|| "keep the capabilities across the change of user")?;
    }
    if !keep_groups {
        set_groups(&identity.groups)?;
    }
    become_user(identity)?;
    if let Some(wanted) = wanted {
        set_keep_capabilities(false).doing(|| "no longer keep capabilities")?;
        take(wanted)?;
        raise_ambient(outlet, wanted.ambient)?;
    }
    Ok(())
}

fn set_groups(groups: &[u32]) -> Result<()> {
    let ids: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    match set_thread_groups(&ids) {
        Ok(()) => {}
        // Denied in an unprivileged user namespace, where there is nothing to give up and nothing was asked for.
        Err(Errno::PERM) if ids.is_empty() => {}
        Err(errno) => {
            let failure = Failure::system(format!("set the additional groups {groups:?}"), errno);
            return Err(match errno {
                Errno::PERM => failure.hint(
                    "the user namespace denies it, as one does that maps nothing but its maker's own group",
                ),
                _ => unmapped(failure),
            });
        }
    }
    Ok(())
}

fn become_user(identity: &Identity) -> Result<()> {
    let Identity { uid, gid, .. } = identity;
    let gid_typed = Gid::from_raw(*gid);
    set_thread_res_gid(gid_typed, gid_typed, gid_typed)
        .doing(|| format!("become group {gid}"))
        .map_err(unmapped)?;
    let uid_typed = Uid::from_raw(*uid);
    set_thread_res_uid(uid_typed, uid_typed, uid_typed)
        .doing(|| format!("become user {uid}"))
        .map_err(unmapped)
}

/// The usual reason of EINVAL for an id.
fn unmapped(failure: Failure) -> Failure {
    let hint = "the id must be mapped into the container's user namespace";
    if failure.is(Errno::INVAL) { failure.hint(hint) } else { failure }
}

/// Capabilities in the order of their numbers.
fn each() -> impl Iterator<Item = CapabilitySet> {
    (0..64).map(|bit| CapabilitySet::from_bits_retain(1 << bit))
}

fn drop_bounding(keep: u64) -> Result<()> {
    for capability in each() {
        match capability_is_in_bounding_set(capability) {
            Ok(true) if keep & capability.bits() == 0 => remove_capability_from_bounding_set(capability)
                .doing(|| format!("drop {capability:?} from the bounding set"))?,
            Ok(_) => {}
            // Past the last capability that the kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(Failure::system("read the bounding set", errno)),
        }
    }
    Ok(())
}

fn take(wanted: &Capabilities) -> Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(wanted.effective),
        permitted: CapabilitySet::from_bits_retain(wanted.permitted),
        inheritable: CapabilitySet::from_bits_retain(wanted.inheritable),
    };
    set_capabilities(None, sets).map_err(|errno| {
        let failure = Failure::system("set the capabilities", errno);
        let own = capabilities(None).map_or(0, |sets| sets.permitted.bits());
        match CapabilitySet::from_bits_retain(wanted.permitted & !own) {
            missing if !missing.is_empty() => {
                failure.hint(format!("{} is not among the runtime's own", names(missing)))
            }
            _ => failure
                .hint("the effective set must be part of the permitted, the inheritable of the bounding"),
        }
    })
}

/// The names of capabilities as configurations have them.
fn names(capabilities: CapabilitySet) -> String {
    let names: Vec<_> = capabilities.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
    names.join(", ")
}

/// The kernel refuses what is not inheritable as well; runc warns in these words and goes on.
fn raise_ambient(outlet: &mut Outlet<'_>, wanted: u64) -> Result<()> {
    clear_ambient_capability_set().doing(|| "clear the ambient set")?;
    for capability in each().filter(|capability| wanted & capability.bits() != 0) {
        if let Err(errno) = configure_capability_in_ambient_set(capability, true) {
            let what = format!("can't raise ambient capability {}", names(capability));
            outlet.warn(Failure::system(what, errno).to_string())?;
        }
    }
    Ok(())
}
