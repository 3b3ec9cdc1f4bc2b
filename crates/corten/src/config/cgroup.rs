//! The control group of a container.

use corten_cgroups::systemd::Property;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, oci};

/// The control group of a container and its limits.
///
/// It is either [`path`](Self::path), or [`name`](Self::name) below [`parent`](Self::parent). With none of them it is
/// named after the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cgroup {
    /// Name of the group; absent means the container's id.
    pub name: Option<String>,
    /// The group that it is made in, from the root of the hierarchy; for systemd a slice.
    pub parent: Option<String>,
    /// Path of the group in the form that the driver expects: with cgroupfs from the root of the hierarchy where it
    /// begins with a slash, else below the caller's own group; with systemd `slice:prefix:name`, each of which may be empty.
    pub path: Option<String>,
    /// What systemd's scope is called before the name; where there is no name either, `corten`.
    pub scope_prefix: Option<String>,
    /// Limits and device rules.
    pub resources: oci::Resources,
    /// Whether systemd makes the group: the machine's where it belongs to the caller, else that of the caller's session.
    pub systemd: bool,
    /// Further properties of systemd's scope (systemd.scope(5), systemd.resource-control(5)) and their values in the text
    /// format of GVariant: `CollectMode`, `'inactive-or-failed'`. They can take limits away: they are the host's matter.
    pub systemd_properties: oci::Map<String>,
    /// Whether there is a group for the container at all; without one it stays in the caller's and can have no limits.
    pub managed: bool,
    /// User id on the host that gets the group's directory, and of its files those that the kernel lists in
    /// `/sys/kernel/cgroup/delegate`, so that the container can manage the groups below it; on cgroup v2 only.
    pub owner_uid: Option<u32>,
}

impl Default for Cgroup {
    fn default() -> Self {
        Self {
            name: None,
            parent: None,
            path: None,
            scope_prefix: None,
            resources: oci::Resources::default(),
            systemd: false,
            systemd_properties: oci::Map::new(),
            managed: true,
            owner_uid: None,
        }
    }
}

/// What the scope of systemd is named by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnitParts<'a> {
    pub(crate) slice: Option<&'a str>,
    pub(crate) prefix: Option<&'a str>,
    pub(crate) name: &'a str,
}

impl Cgroup {
    /// The parts of `slice:prefix:name`, or those that are given one by one. The name of a scope by default is the container's,
    /// with a prefix.
    pub(crate) fn unit_parts<'a>(&'a self, id: &'a str) -> Result<UnitParts<'a>> {
        let Some(path) = &self.path else {
            let prefix = self.name.is_none().then_some("corten");
            return Ok(UnitParts {
                slice: self.parent.as_deref(),
                prefix: self.scope_prefix.as_deref().or(prefix),
                name: self.name.as_deref().unwrap_or(id),
            });
        };
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            return Err(Error::invalid(format!(
                "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"
            )));
        };
        let name = Some(name).filter(|name| !name.is_empty()).unwrap_or(id);
        Ok(UnitParts { slice: Some(slice), prefix: Some(prefix), name })
    }

    /// The further properties of systemd's scope.
    pub(crate) fn properties(&self) -> Result<Vec<Property>> {
        let property = |(name, value): (&String, &String)| Ok(Property::parse(name, value)?);
        self.systemd_properties.iter().map(property).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_three_parts() {
        let by_path = |path: &str| Cgroup { path: Some(path.to_owned()), ..Cgroup::default() };
        let parts = |cgroup: &Cgroup| {
            let UnitParts { slice, prefix, name } = cgroup.unit_parts("id")?;
            Ok::<_, Error>([slice, prefix, Some(name)].map(|part| part.unwrap_or("-").to_owned()))
        };
        assert_eq!(parts(&by_path("my.slice:pre:name")).unwrap(), ["my.slice", "pre", "name"]);
        assert_eq!(parts(&by_path("::")).unwrap(), ["", "", "id"]);
        assert_eq!(parts(&Cgroup::default()).unwrap(), ["-", "corten", "id"]);
        let named =
            Cgroup { name: Some("n".to_owned()), parent: Some("p.slice".to_owned()), ..Cgroup::default() };
        assert_eq!(parts(&named).unwrap(), ["p.slice", "-", "n"]);
        for path in ["/a/b", "a:b", "a:b:c:d"] {
            assert!(parts(&by_path(path)).is_err(), "{path}");
        }
    }
}
