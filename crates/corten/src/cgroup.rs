//! The control group of a container: made in the file system or by systemd, limited, handed to its owner, removed.

use corten_cgroups::systemd::{Manager, Unit};
use corten_cgroups::{Group, Layout, Paths, Warning};

use crate::handle::Handle;
use crate::process::SubCgroup;
use crate::store::{Lock, Saved};
use crate::{Cgroup, Config, Error, ErrorKind, Id, Result, oci, resources};

/// Makes the control group with its limits. What it will be is saved first, so that it can be found after a crash.
///
/// systemd makes none without a process in it: that is `stage1`, which ends in it.
pub(crate) fn make(container: &Handle, saved: &mut Saved, lock: &Lock, stage1: i32) -> Result<Option<Group>> {
    make_with(container, saved, lock, stage1, limit)
}

/// Makes the control group, for a process that is to be there at once and without limits. Those of systemd's units come with
/// the unit. One that is there already is used where nobody else does, unless it has to be `new`.
pub(crate) fn make_around(
    container: &Handle,
    saved: &mut Saved,
    lock: &Lock,
    process: i32,
    new: bool,
) -> Result<Option<Group>> {
    // Systemd never takes one that is there.
    if new && saved.config.cgroup().managed && !saved.config.cgroup().systemd {
        let group = Group::open(planned(&saved.config, &container.id)?);
        if let Some((_, path)) = group.paths().iter().find(|(_, path)| path.exists()) {
            return Err(Error::new(
                ErrorKind::Exists,
                format!("the control group {} is there already, and strictly it must not be", path.display()),
            ));
        }
    }
    make_with(container, saved, lock, process, |_, group| Ok(group.attach(process)?))
}

fn make_with(
    container: &Handle,
    saved: &mut Saved,
    lock: &Lock,
    stage1: i32,
    then: impl FnOnce(&Config, &Group) -> Result<()>,
) -> Result<Option<Group>> {
    let config = std::sync::Arc::clone(&saved.config);
    if !config.cgroup().managed {
        return Ok(None);
    }
    let made = match config.cgroup().systemd {
        true => by_systemd(container, saved, lock, stage1),
        false => in_file_system(container, saved, lock),
    };
    let limited = made.and_then(|group| match then(&config, &group) {
        Ok(()) => Ok(group),
        Err(error) => {
            drop(remove(saved, Some(&group)));
            Err(error)
        }
    });
    let error = match limited {
        Ok(group) => return Ok(Some(group)),
        Err(error) => error,
    };
    (saved.facts.cgroup, saved.facts.unit) = (None, None);
    container.store.save(&saved.facts, lock)?;
    // An ordinary user without a group of their own to make others in: no limit was asked for, so none is missed.
    if config.rootless_cgroups() && !config.cgroup().systemd && !resources::limits_anything(config.cgroup()) {
        tracing::debug!("no control group: {error}");
        return Ok(None);
    }
    if config.rootless_cgroups() && error.kind() == ErrorKind::PermissionDenied {
        return Err(not_delegated(&error));
    }
    Err(error)
}

/// Why an ordinary user gets no group, and how to get one.
fn not_delegated(error: &Error) -> Error {
    // Control groups of v1 are not safe to delegate, and systemd does not.
    let advice = match Layout::detect().is_ok_and(|layout| layout.is_unified()) {
        true => {
            "below a control group that was delegated to them, as systemd does: run the command with `systemd-run --user \
             --scope -p Delegate=yes`, or have systemd make the group (--systemd-cgroup)"
        }
        false => {
            "where the machine has cgroup v2 alone (systemd.unified_cgroup_hierarchy=1 on the kernel's command line), for \
             nobody is delegated groups of cgroup v1; leave the limits out, or run as root"
        }
    };
    let message = format!("{error}; an ordinary user can limit a container only {advice}");
    Error::new(ErrorKind::PermissionDenied, message)
}

/// Where the group will be.
fn planned(config: &Config, id: &Id) -> Result<Paths> {
    let path = resources::location(config.cgroup());
    Ok(Group::plan(&Layout::detect()?, path.as_deref(), id.as_str())?)
}

fn in_file_system(container: &Handle, saved: &mut Saved, lock: &Lock) -> Result<Group> {
    let paths = planned(&saved.config, &container.id)?;
    saved.facts.cgroup = Some(paths.clone());
    container.store.save(&saved.facts, lock)?;
    Ok(Group::create(paths)?)
}

fn by_systemd(container: &Handle, saved: &mut Saved, lock: &Lock, stage1: i32) -> Result<Group> {
    let layout = Layout::detect()?;
    let cgroup = saved.config.cgroup();
    let unit = unit_of(cgroup, &container.id)?;
    let properties = cgroup.properties()?;
    let resources = allowed(&saved.config);
    saved.facts.unit = Some(unit.clone());
    container.store.save(&saved.facts, lock)?;
    let description = format!("corten container {}", container.id);
    let group = unit.start(&layout, stage1, &description, &resources, &properties)?;
    saved.facts.cgroup = Some(group.paths().clone());
    container.store.save(&saved.facts, lock)?;
    Ok(group)
}

/// The scope of a container: from the path `slice:prefix:name`, or from the parts.
fn unit_of(cgroup: &Cgroup, id: &Id) -> Result<Unit> {
    let parts = cgroup.unit_parts(id.as_str())?;
    Ok(Unit::plan(Manager::detect()?, parts.slice, parts.prefix, parts.name)?)
}

/// The limits that the caller may set.
fn allowed(config: &Config) -> oci::Resources {
    let mut resources = config.cgroup().resources.clone();
    if config.rootless_cgroups() {
        // An ordinary user can make no device nodes, and may set no rules about them.
        resources.devices.clear();
    }
    resources
}

/// Sets the limits of a group.
pub(crate) fn limit(config: &Config, group: &Group) -> Result<()> {
    warn(group.apply(&allowed(config))?);
    match config.cgroup().owner_uid.map_or(Ok(()), |owner| group.give_to(owner)) {
        // Only the container's own groups are the matter; an ordinary user may give away nothing.
        Err(error) if config.rootless_cgroups() && error.is_permission() => {
            tracing::warn!("the container cannot make control groups: {error}");
            Ok(())
        }
        given => Ok(given?),
    }
}

/// Changes limits, in the kernel and in what systemd thinks they are. On failure the old ones hold.
pub(crate) fn update(saved: &Saved, group: &Group, resources: &oci::Resources) -> Result<()> {
    warn(match &saved.facts.unit {
        Some(unit) => unit.update(group, resources)?,
        None => group.update(resources)?,
    });
    Ok(())
}

/// The group that a further program joins. Its process is let into it where only systemd may: below the caller's own session.
pub(crate) fn to_join(saved: &Saved, pid: i32, asked: &[SubCgroup]) -> Result<Option<Group>> {
    let Some(own) = Handle::group(saved) else {
        return match asked {
            [] => Ok(None),
            _ => Err(Error::unsupported("the container has no control group to choose one below")),
        };
    };
    let deeper = match (asked, saved.facts.init) {
        ([], Some(init)) => own.deeper(init.pid)?,
        _ => None,
    };
    let deeper = deeper.map(|path| SubCgroup { controllers: Vec::new(), path });
    let mut group = own;
    for SubCgroup { controllers, path } in asked.iter().chain(&deeper) {
        let controllers: Vec<&str> = controllers.iter().map(String::as_str).collect();
        group = group.sub(Some(&*controllers).filter(|names| !names.is_empty()), path)?;
    }
    if let Some(unit) = &saved.facts.unit {
        let everywhere = asked.iter().chain(&deeper).find(|group| group.controllers.is_empty());
        unit.attach(pid, everywhere.map(|group| group.path.as_str()))?;
    }
    Ok(Some(group))
}

/// Removes the group, with the unit that it belongs to. Every process in it has been killed.
pub(crate) fn remove(saved: &Saved, group: Option<&Group>) -> Result<()> {
    saved.facts.unit.as_ref().map_or(Ok(()), Unit::stop)?;
    Ok(group.map_or(Ok(()), Group::remove)?)
}

fn warn(warnings: Vec<Warning>) {
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}
