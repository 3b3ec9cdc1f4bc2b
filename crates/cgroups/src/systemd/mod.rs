//! Control groups that systemd makes: a container's group is a transient scope (systemd.scope(5), "Control Group APIs and
//! Delegation" of systemd's documentation).
//!
//! systemd makes the group, delegates it and keeps its own idea of the limits, which it would put back one day; so it is told
//! of them as properties. The exact values are written to the files all the same.

mod bus;
mod devices;
pub(crate) mod properties;
pub(crate) mod text;

use serde::{Deserialize, Serialize};
use zbus::wire::Variant;

use corten_oci::Resources;

use crate::create::Present;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::layout::Layout;
use crate::path;
use crate::step::Version;
use bus::{Answer, Bus, Properties, Refusal, talk};

/// Where systemd keeps what it shows of itself; there only while it runs (sd_booted(3)).
const RUNNING: &str = "/run/systemd/system";

/// Which systemd makes the groups of this process's containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manager {
    /// The machine's.
    System,
    /// The one of the user's session.
    User,
}

impl Manager {
    /// The machine's systemd for whom it belongs to, usually root, and the user's own for everyone else: also for the root
    /// of a user namespace, who is not the machine's. Fails with [`Error::NoSystemd`] where systemd does not run.
    pub fn detect() -> Result<Self> {
        let state = rustix::fs::stat(RUNNING).map_err(|_| Error::NoSystemd)?;
        let own = state.st_uid == rustix::process::geteuid().as_raw();
        Ok(if own { Self::System } else { Self::User })
    }

    /// Where it listens, and whether on a bus; the direct way is for machines without a message bus.
    fn addresses(self) -> Vec<(String, bool)> {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        match self {
            Self::System => {
                let bus = variable("DBUS_SYSTEM_BUS_ADDRESS");
                let bus = bus.unwrap_or_else(|| "unix:path=/run/dbus/system_bus_socket".to_owned());
                vec![(bus, true), ("unix:path=/run/systemd/private".to_owned(), false)]
            }
            Self::User => {
                let directory = variable("XDG_RUNTIME_DIR");
                let below = |name: &str| directory.as_ref().map(|own| format!("unix:path={own}/{name}"));
                let bus = variable("DBUS_SESSION_BUS_ADDRESS").or_else(|| below("bus"));
                let direct = below("systemd/private");
                bus.map(|bus| (bus, true)).into_iter().chain(direct.map(|direct| (direct, false))).collect()
            }
        }
    }
}

/// A property for a unit, as an annotation has it: its name, and a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Property(String, Variant<'static>);

impl Property {
    /// Reads a property and its value in the text format of GVariant: `'inactive-or-failed'`, `true`, `uint64 123`,
    /// `['a', 'b']`. A name in `...Sec` takes seconds, and becomes the `...USec` that systemd knows.
    pub fn parse(name: &str, value: &str) -> Result<Self> {
        let wrong = |reason| Error::value("org.systemd.property", format!("{name}={value}"), reason);
        if name.len() < 3 || !name.chars().all(|letter| letter.is_ascii_alphabetic()) {
            return Err(wrong("the name of a property is three letters or more, and nothing else"));
        }
        let parsed = text::parse(value).map_err(wrong)?;
        match name.strip_suffix("Sec").filter(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase())) {
            Some(stem) => {
                let time =
                    text::microseconds(&parsed).ok_or_else(|| wrong("a time is a number of seconds"))?;
                Ok(Self(format!("{stem}USec"), time.into()))
            }
            None => Ok(Self(name.to_owned(), parsed)),
        }
    }
}

/// A container's scope. A value of this type is a name: dropping it stops nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    name: String,
    slice: String,
    manager: Manager,
}

impl Unit {
    /// Names the scope of a container: `PREFIX-NAME.scope` in a slice, by default `system.slice`, or `user.slice` in the
    /// systemd of a user. Makes nothing: this is what to save before [`Unit::start`].
    pub fn plan(manager: Manager, slice: Option<&str>, prefix: Option<&str>, name: &str) -> Result<Self> {
        let unit = match prefix.filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => format!("{prefix}-{name}.scope"),
            None => format!("{name}.scope"),
        };
        let default = if manager == Manager::User { "user.slice" } else { "system.slice" };
        let slice = slice.filter(|slice| !slice.is_empty()).unwrap_or(default);
        let wrong = |reason| Err(Error::Path { path: format!("{slice}:{unit}"), reason });
        if name.ends_with(".slice") {
            return wrong("a slice has no processes of its own; a container's unit is a scope");
        }
        if !slice.ends_with(".slice") {
            return wrong("the name of a slice ends in .slice");
        }
        let is_name = |name: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:\\@".contains(c);
            name.len() < 256 && name.chars().all(allowed)
        };
        if !is_name(&unit) || !is_name(slice) {
            return wrong(
                "the name of a unit of systemd has letters, digits and -_.:\\@, and no more than 255",
            );
        }
        Ok(Self { name: unit, slice: slice.to_owned(), manager })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has systemd make the group with a process in it, which a scope must have, and tells where it is.
    ///
    /// The controllers that systemd does not know are added. The limits are still to be set with [`Group::apply`]. On failure
    /// there is no unit. `description` is what lists of units show.
    pub fn start(
        &self,
        layout: &Layout,
        pid: i32,
        description: &str,
        resources: &Resources,
        more: &[Property],
    ) -> Result<Group> {
        if self.manager == Manager::User && !layout.is_unified() {
            return Err(self.failed("start", "the systemd of a user controls groups of cgroup v2 only"));
        }
        let version = if layout.is_unified() { Version::V2 } else { Version::V1 };
        let Ok(process) = u32::try_from(pid) else { return Err(self.failed("start", "no process")) };
        let mut properties: Properties = vec![
            ("Description".to_owned(), description.to_owned().into()),
            ("Slice".to_owned(), self.slice.clone().into()),
            ("Delegate".to_owned(), true.into()),
            ("DefaultDependencies".to_owned(), false.into()),
            ("PIDs".to_owned(), vec![process].into()),
        ];
        properties.extend(properties::accounting(version));
        let fixed = properties.len();
        properties.extend(properties::of(resources, version)?);
        let optional = fixed..properties.len();
        properties.extend(more.iter().map(|Property(name, value)| (name.clone(), value.clone())));
        let optional: Vec<String> = properties[optional].iter().map(|(name, _)| name.clone()).collect();
        talk(self.manager, "start", &self.name, async |bus: &Bus| {
            self.begin(bus, properties, &optional).await
        })?;
        let made = || -> Result<Group> {
            let own = std::fs::read(format!("/proc/{pid}/cgroup"))
                .map_err(|error| self.failed("find the group of", &error.to_string()))?;
            let paths = path::of_process(layout, &own)?;
            Group::make(paths, Present::Adopt)
        };
        made().inspect_err(|_| drop(self.stop()))
    }

    /// Asks for the unit: again where one of that name has failed before, and without properties that this systemd does not
    /// know and the files make up for.
    async fn begin(&self, bus: &Bus, mut properties: Properties, optional: &[String]) -> Answer<()> {
        let mut reset = false;
        loop {
            let others: Vec<(&str, Properties)> = Vec::new();
            let body = (&self.name, "fail", &properties, others);
            let refusal = match bus.job(&self.name, "StartTransientUnit", &body).await {
                Ok(result) if result == "done" => return Ok(()),
                Ok(result) => {
                    let _ = bus.call("ResetFailedUnit", &(&self.name,)).await;
                    let message = format!("the job has ended with the result {result:?}");
                    return Err(Refusal { name: String::new(), message });
                }
                Err(refusal) => refusal,
            };
            let unknown = unknown_property(&refusal).filter(|name| optional.iter().any(|one| one == name));
            match unknown {
                Some(name) => properties.retain(|(other, _)| *other != name),
                None if refusal.name.ends_with(".UnitExists") && !reset => {
                    reset = true;
                    let _ = bus.call("ResetFailedUnit", &(&self.name,)).await;
                }
                None => return Err(refusal),
            }
        }
    }

    /// Changes the limits of a group, and what systemd thinks they are. On failure the old ones hold.
    pub fn update(&self, group: &Group, resources: &Resources) -> Result<Vec<crate::Warning>> {
        let version = if group.paths().is_unified() { Version::V2 } else { Version::V1 };
        let properties = properties::of(resources, version)?;
        let (warnings, undo) = group.update_with_undo(resources)?;
        let change =
            || talk(self.manager, "change", &self.name, async |bus: &Bus| self.set(bus, properties).await);
        // While systemd replaces device rules of v1, none hold.
        let freeze = version == Version::V1 && !resources.devices.is_empty();
        match if freeze { group.while_frozen(change) } else { change() } {
            // systemd has written them in its own way, quotas rounded up among them.
            Ok(()) => match group.apply(resources) {
                Ok(_) => Ok(warnings),
                Err(cause) => Err(undo.take_back(cause)),
            },
            Err(cause) => Err(undo.take_back(cause)),
        }
    }

    /// Changes properties, all but those that this systemd does not know.
    async fn set(&self, bus: &Bus, mut properties: Properties) -> Answer<()> {
        loop {
            let Err(refusal) = bus.call("SetUnitProperties", &(&self.name, true, &properties)).await else {
                return Ok(());
            };
            match unknown_property(&refusal) {
                Some(name) if properties.iter().any(|(other, _)| *other == name) => {
                    properties.retain(|(other, _)| *other != name);
                }
                _ => return Err(refusal),
            }
        }
    }

    /// Moves a process into a sub-group of the scope, or into the scope itself: for a user, who may not do so from outside.
    pub fn attach(&self, pid: i32, below: Option<&str>) -> Result<()> {
        if self.manager == Manager::System {
            return Ok(());
        }
        let Ok(process) = u32::try_from(pid) else { return Err(self.failed("join", "no process")) };
        let path = below.map(|below| format!("/{}", below.trim_start_matches('/'))).unwrap_or_default();
        talk(self.manager, "join", &self.name, async |bus: &Bus| {
            let body = (&self.name, &path, vec![process]);
            bus.call("AttachProcessesToUnit", &body).await.map(drop)
        })
    }

    /// Stops the unit, with which systemd removes the group. One that is gone is fine.
    pub fn stop(&self) -> Result<()> {
        talk(self.manager, "stop", &self.name, async |bus: &Bus| {
            match bus.job(&self.name, "StopUnit", &(&self.name, "replace")).await {
                Ok(_) => {}
                Err(refusal) if refusal.name.ends_with(".NoSuchUnit") => return Ok(()),
                Err(refusal) => return Err(refusal),
            }
            // Where it has failed before it is kept until this; otherwise it is gone already.
            let _ = bus.call("ResetFailedUnit", &(&self.name,)).await;
            Ok(())
        })
    }

    fn failed(&self, what: &'static str, message: &str) -> Error {
        Error::Systemd { what, unit: self.name.clone(), message: message.to_owned() }
    }
}

/// The property that a refusal is about, if this systemd does not know it: what it says is "Cannot set property NAME, or
/// unknown property." The weight of a group that is idle, 0, is out of range before version 252.
fn unknown_property(refusal: &Refusal) -> Option<String> {
    const WEIGHT: &str = "CPUWeight";
    if refusal.name.ends_with(".InvalidArgs")
        && refusal.message.contains(WEIGHT)
        && refusal.message.contains("out of range")
    {
        return Some(WEIGHT.to_owned());
    }
    let name = refusal.message.strip_prefix("Cannot set property ")?.split(',').next()?;
    refusal.name.ends_with(".PropertyReadOnly").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |slice, prefix, name| {
            Unit::plan(Manager::System, slice, prefix, name).map(|unit| (unit.slice, unit.name))
        };
        let of = |slice: &str, unit: &str| (slice.to_owned(), unit.to_owned());
        assert_eq!(name(None, Some("corten"), "x").unwrap(), of("system.slice", "corten-x.scope"));
        assert_eq!(name(Some("a-b.slice"), Some(""), "x").unwrap(), of("a-b.slice", "x.scope"));
        assert_eq!(name(Some("-.slice"), None, "x").unwrap(), of("-.slice", "x.scope"));
        let user = Unit::plan(Manager::User, None, Some("p"), "x").unwrap();
        assert_eq!(user.slice, "user.slice");
        for (slice, unit) in [("a", "x"), ("a.slice", "x.slice"), ("a/b.slice", "x"), ("a.slice", "x y")] {
            assert!(matches!(name(Some(slice), None, unit), Err(Error::Path { .. })), "{slice} {unit}");
        }
    }

    #[test]
    fn properties_by_annotation() {
        let property = Property::parse("CollectMode", "'inactive-or-failed'").unwrap();
        assert_eq!(property, Property("CollectMode".into(), "inactive-or-failed".into()));
        let time = Property::parse("TimeoutStopSec", "2.5").unwrap();
        assert_eq!(time, Property("TimeoutStopUSec".into(), 2_500_000_u64.into()));
        let time = Property::parse("TimeoutStopUSec", "uint64 7").unwrap();
        assert_eq!(time, Property("TimeoutStopUSec".into(), 7_u64.into()));
        for (name, value) in [("A", "1"), ("Some Name", "1"), ("TimeoutStopSec", "'x'"), ("Name", "[1")] {
            assert!(matches!(Property::parse(name, value), Err(Error::Value { .. })), "{name}={value}");
        }
    }

    #[test]
    fn what_systemd_does_not_know_is_named() {
        let refusal = |name: &str, message: &str| Refusal { name: name.into(), message: message.into() };
        let unknown = refusal(
            "org.freedesktop.DBus.Error.PropertyReadOnly",
            "Cannot set property AllowedCPUs, or unknown property.",
        );
        assert_eq!(unknown_property(&unknown).as_deref(), Some("AllowedCPUs"));
        let other = refusal("org.freedesktop.DBus.Error.InvalidArgs", "Cannot set property X, or");
        assert_eq!(unknown_property(&other), None);
        let idle =
            refusal("org.freedesktop.DBus.Error.InvalidArgs", "Value specified in CPUWeight is out of range");
        assert_eq!(unknown_property(&idle).as_deref(), Some("CPUWeight"));
    }
}
