//! A container's control group.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use corten_oci::Resources;

use crate::apply::Undo;
use crate::create::Present;
use crate::devices::Policy;
use crate::dir::{Dir, optional};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::notify::{self, OomEvents, PressureEvents, PressureTrigger};
use crate::path::{self, Paths};
use crate::stats::{self, Stats};
use crate::step::{Plan, Version, Warning};
use crate::{apply, create, devices, freezer, kill, processes, remove, resources, v2};

/// A container's control group: its directory in every hierarchy of the host.
///
/// A value of this type is a name, not an owner: dropping it removes nothing. Directories are opened when they are first
/// needed and stay open until it is dropped (one descriptor a hierarchy, close-on-exec).
#[derive(Debug)]
pub struct Group {
    paths: Paths,
    dirs: Vec<OnceLock<Dir>>,
}

impl Group {
    /// Names a container's directories, and makes nothing: what is to be saved before [`Group::create`].
    ///
    /// `cgroups_path` is `linux.cgroupsPath`: absolute, from the hierarchies' roots as this process sees them; relative,
    /// from its own group (v1) or the parent of that (v2); none, the id taken as a relative path. `..` goes up no further
    /// than the root. Fails with [`Error::Path`] if it names the root.
    pub fn plan(layout: &Layout, cgroups_path: Option<&str>, id: &str) -> Result<Paths> {
        path::resolve(layout, cgroups_path, id)
    }

    /// Makes the directories, and those above them that are missing.
    ///
    /// On a v2 host all controllers are enabled down to the group, as far as the kernel allows; a new group of the v1
    /// cpuset inherits its parent's CPUs and memory nodes. Directories that are there already are used if they hold no
    /// process ([`Error::NotEmpty`]) and are not frozen ([`Error::Frozen`]). On failure what was made is removed.
    pub fn create(paths: Paths) -> Result<Self> {
        Self::make(paths, Present::Unused)
    }

    pub(crate) fn make(paths: Paths, present: Present) -> Result<Self> {
        let dirs = create::create(&paths, present)?.into_iter().map(OnceLock::from).collect();
        Ok(Self { paths, dirs })
    }

    /// A group that was made earlier. Touches nothing.
    pub fn open(paths: Paths) -> Self {
        let dirs = paths.places().iter().map(|_| OnceLock::new()).collect();
        Self { paths, dirs }
    }

    /// The directories.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// A sub-group, for a process that is to run there: in every hierarchy, or in those of the named controllers only
    /// (`""` is v2). Nothing is made; it is up to the container to have made it.
    pub fn sub(&self, controllers: Option<&[&str]>, path: &str) -> Result<Self> {
        self.paths.sub(controllers, path).map(Self::open)
    }

    /// The sub-group that a process is in, as a path from here, where the group itself can have no processes any more: with controllers
    /// enabled for those below it, a group of v2 has none of its own (cgroups(7), "no internal processes" rule). None elsewhere, and
    /// where the process is not below the group.
    pub fn deeper(&self, pid: i32) -> Result<Option<String>> {
        let places = self.paths.places();
        let Some(place) = places.first().filter(|_| self.paths.is_unified()) else { return Ok(None) };
        let enabled = self.dir(0)?.read_if_there("cgroup.subtree_control")?;
        if enabled.is_none_or(|controllers| controllers.trim().is_empty()) {
            return Ok(None);
        }
        let path = format!("/proc/{pid}/cgroup");
        let table = std::fs::read(&path).map_err(|source| Error::Os {
            operation: "read",
            path: path.into(),
            source,
        })?;
        place.below(&table)
    }

    /// The v2 directory as a target of `CLONE_INTO_CGROUP` (clone3(2)); none on a host without v2.
    pub fn clone_target(&self) -> Result<Option<OwnedFd>> {
        let Some(dir) = self.v2()? else { return Ok(None) };
        let copy = rustix::io::fcntl_dupfd_cloexec(dir.as_fd(), 0);
        copy.map(Some).map_err(|e| Error::os("dup", dir.path(), e))
    }

    /// Moves a process into the group, in every hierarchy.
    pub fn attach(&self, pid: i32) -> Result<()> {
        (0..self.dirs.len()).try_for_each(|index| self.attach_one(index, pid))
    }

    /// Moves a process into the group in the v1 hierarchies, after it was cloned into [`Group::clone_target`].
    pub fn attach_v1(&self, pid: i32) -> Result<()> {
        let v1 = |index: &usize| !self.paths.places()[*index].is_v2();
        (0..self.dirs.len()).filter(v1).try_for_each(|index| self.attach_one(index, pid))
    }

    fn attach_one(&self, index: usize, pid: i32) -> Result<()> {
        self.dir(index)?.write("cgroup.procs", &pid.to_string())
    }

    /// Freezes every process of the group and its sub-groups, and returns when they stand still.
    ///
    /// After 10 s it gives up with [`Error::Timeout`] and thaws them again. Where v2 is mounted its freezer is used.
    pub fn freeze(&self) -> Result<()> {
        match (self.v2()?, self.controller("freezer")?) {
            (Some(dir), _) => freezer::v2_freeze(dir),
            (None, Some(dir)) => freezer::v1_freeze(dir),
            (None, None) => Err(self.missing("freezer", "freezing")),
        }
    }

    /// Thaws the group. It runs on unless a group above it is frozen too.
    pub fn thaw(&self) -> Result<()> {
        match (self.v2()?, self.controller("freezer")?) {
            (Some(dir), _) => freezer::v2_thaw(dir),
            (None, Some(dir)) => freezer::v1_thaw(dir),
            (None, None) => Err(self.missing("freezer", "freezing")),
        }
    }

    /// Whether this group was asked to freeze. Answers at once, and does not count a frozen group above it; a group that
    /// is gone, or cannot be frozen, is not frozen.
    pub fn is_frozen(&self) -> Result<bool> {
        let frozen = match (optional(self.v2())?.flatten(), optional(self.controller("freezer"))?.flatten()) {
            (Some(dir), _) => optional(freezer::v2_frozen(dir))?,
            (None, Some(dir)) => optional(freezer::v1_frozen(dir))?,
            (None, None) => None,
        };
        Ok(frozen.unwrap_or(false))
    }

    /// The ids of the processes in the group and its sub-groups, sorted, each once. None where the group is gone.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let pids = self.main().and_then(processes::in_tree);
        optional(pids).map(Option::unwrap_or_default)
    }

    /// Kills every process of the group and its sub-groups, frozen or not; returns when each has its SIGKILL, not when it
    /// has ended. A group that is gone is fine.
    pub fn kill(&self) -> Result<()> {
        let freezer = optional(self.controller("freezer"))?.flatten();
        match optional(self.v2())?.flatten() {
            Some(dir) => {
                optional(dir.write("cgroup.kill", "1"))?;
                // A process frozen by v1 dies when it is thawed.
                freezer.map_or(Ok(None), |dir| optional(freezer::v1_thaw(dir))).map(drop)
            }
            None => optional(self.main().and_then(|dir| kill::v1(dir, freezer))).map(drop),
        }
    }

    /// Whether any of the directories is there.
    pub fn exists(&self) -> bool {
        self.paths.places().iter().any(|place| place.dir.is_dir())
    }

    /// Gives the v2 directory to a user of the host, with those files that a group's owner is to have, so that its processes
    /// can make groups below it (specification: `config-linux.md#cgroup-ownership`). Nothing happens on a host without v2.
    pub fn give_to(&self, user: u32) -> Result<()> {
        match self.v2()? {
            Some(dir) if self.paths.is_unified() => dir.give_to(user),
            _ => Ok(()),
        }
    }

    /// Removes the directories and all groups beneath them, but none above them. Missing ones are fine.
    ///
    /// Waits up to 5 s for processes that are ending; [`Error::Timeout`] after that.
    pub fn remove(&self) -> Result<()> {
        // v2 first: it tells when the last process has gone, and then v1 need not be asked twice.
        let (v2, v1): (Vec<_>, Vec<_>) = self.paths.places().iter().partition(|place| place.is_v2());
        v2.into_iter().chain(v1).try_for_each(remove::remove)
    }

    /// How many processes of the group were killed for lack of memory. 0 where the memory controller is not available,
    /// since no limit of this group can have killed one then.
    pub fn oom_kill_count(&self) -> Result<u64> {
        let content = match self.controller("memory")? {
            Some(dir) => dir.read_if_there("memory.oom_control")?,
            None => self.v2()?.map_or(Ok(None), |dir| dir.read_if_there("memory.events"))?,
        };
        let mut lines = content.iter().flat_map(|content| content.lines());
        Ok(lines.find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0))
    }

    /// A descriptor that tells when processes of the group are killed for lack of memory.
    pub fn oom_events(&self) -> Result<OomEvents> {
        match (self.controller("memory")?, self.v2()?) {
            (Some(dir), _) => OomEvents::v1(dir),
            (None, Some(dir)) if dir.read_if_there("memory.events")?.is_some() => OomEvents::v2(dir),
            _ => Err(self.missing("memory", "events of lack of memory")),
        }
    }

    /// A descriptor that tells when the group is under pressure. [`Error::Controller`] where this host cannot tell it.
    pub fn pressure_events(&self, trigger: PressureTrigger) -> Result<PressureEvents> {
        match (trigger, self.controller("memory")?, self.v2()?) {
            (PressureTrigger::Level(level), Some(dir), _) => PressureEvents::v1(dir, level),
            (PressureTrigger::Level(_), None, _) => {
                Err(self.missing("memory", "pressure levels of cgroup v1"))
            }
            (PressureTrigger::Stall { resource, full, stall, window }, _, Some(dir)) => {
                PressureEvents::v2(dir, resource, &notify::trigger(full, stall, window))
            }
            (PressureTrigger::Stall { .. }, _, None) => Err(self.missing("", "pressure stall information")),
        }
    }

    /// What the group and its sub-groups use. The parts of controllers that are not available here are absent.
    pub fn stats(&self) -> Result<Stats> {
        stats::read(self.v2()?, |name| self.controller(name))
    }

    /// Sets resources. Returns what has no effect on this host, which runc ignores too; everything else is set or refused
    /// by name. On failure some values may have been set: the group is to be removed, or [`Group::update`] used instead.
    ///
    /// Device rules are not touched where none are given, and else replace those before; the caller appends
    /// the default ones to the user's.
    pub fn apply(&self, resources: &Resources) -> Result<Vec<Warning>> {
        let plan = self.plan_for(resources)?;
        apply::run(self, &plan, apply::Old::Forget, |policy| self.set_devices(policy))?;
        Ok(plan.warnings)
    }

    /// Sets resources like [`Group::apply`]; on failure the values that were changed before are put back.
    ///
    /// Each field stands for itself: what v2 computes from two (swap from memory and swap together, `cpu.max` from quota
    /// and period) needs both.
    pub fn update(&self, resources: &Resources) -> Result<Vec<Warning>> {
        self.update_with_undo(resources).map(|(warnings, _)| warnings)
    }

    /// Like [`Group::update`], with the way back for a caller that has more to do.
    pub(crate) fn update_with_undo(&self, resources: &Resources) -> Result<(Vec<Warning>, Undo<'_>)> {
        let plan = self.plan_for(resources)?;
        let undo = apply::run(self, &plan, apply::Old::Keep, |policy| self.set_devices(policy))?;
        Ok((plan.warnings, undo))
    }

    /// Turns resources into steps, and the controllers on that they need.
    fn plan_for(&self, resources: &Resources) -> Result<Plan> {
        let plan = resources::plan(resources, |name| self.version(name))?;
        self.enable(&plan)?;
        Ok(plan)
    }

    /// Does something while the group stands still. One that is frozen already stays so.
    pub(crate) fn while_frozen<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.is_frozen()? {
            return work();
        }
        self.freeze()?;
        let done = work();
        self.thaw()?;
        done
    }

    fn set_devices(&self, policy: &Policy) -> Result<()> {
        match (self.controller("devices")?, self.v2()?) {
            (Some(dir), _) => devices::set_v1(dir, policy),
            (None, Some(dir)) => devices::set_v2(dir, policy),
            (None, None) => Err(self.missing("devices", "devices")),
        }
    }

    /// By which version a controller is reached; the empty name is v2 itself.
    fn version(&self, name: &str) -> Option<Version> {
        let places = self.paths.places();
        if places.iter().any(|place| place.controllers.iter().any(|c| c == name)) {
            return Some(Version::V1);
        }
        // What v2 does not have is missing on a host that could have it in v1.
        let only_v1 = matches!(name, "net_cls" | "net_prio") && !self.paths.is_unified();
        (places.iter().any(|place| place.is_v2()) && !only_v1).then_some(Version::V2)
    }

    /// Enables the controllers of v2 that a plan needs, on a hybrid host; elsewhere all are enabled from the start.
    fn enable(&self, plan: &Plan) -> Result<()> {
        let wanted: Vec<&str> = plan.v2_controllers().collect();
        let Some(place) = self.paths.places().iter().find(|place| place.is_v2()) else { return Ok(()) };
        let Some(dir) = self.v2()?.filter(|_| !wanted.is_empty() && !self.paths.is_unified()) else {
            return Ok(());
        };
        v2::enable(&Dir::mount_point(&place.mount)?, place.relative()?, dir, &wanted)
    }

    /// The directory of one hierarchy, opened when it is first needed.
    fn dir(&self, index: usize) -> Result<&Dir> {
        if let Some(dir) = self.dirs[index].get() {
            return Ok(dir);
        }
        let dir = self.paths.places()[index].open()?;
        Ok(self.dirs[index].get_or_init(|| dir))
    }

    /// The v2 directory.
    pub(crate) fn v2(&self) -> Result<Option<&Dir>> {
        self.paths.places().iter().position(|place| place.is_v2()).map(|index| self.dir(index)).transpose()
    }

    /// The directory of a v1 controller.
    pub(crate) fn controller(&self, name: &str) -> Result<Option<&Dir>> {
        let place = self.paths.places().iter().position(|place| place.controllers.iter().any(|c| c == name));
        place.map(|index| self.dir(index)).transpose()
    }

    /// The directory to ask about processes: that of v2, else any.
    fn main(&self) -> Result<&Dir> {
        match self.v2()? {
            Some(dir) => Ok(dir),
            None if self.dirs.is_empty() => Err(Error::NotMounted),
            None => self.dir(0),
        }
    }

    fn missing(&self, controller: &str, field: &str) -> Error {
        Error::Controller { controller: controller.to_owned(), field: field.to_owned() }
    }
}

impl apply::Target for Group {
    fn directory(&self, version: Version, controller: &str) -> Result<Option<&Dir>> {
        match version {
            Version::V1 => self.controller(controller),
            Version::V2 => self.v2(),
        }
    }
}
