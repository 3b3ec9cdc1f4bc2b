//! Where a container's group is in each hierarchy: naming only, nothing is made here.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::layout::{Layout, Mount, own_groups};

/// A container's directories, one in each hierarchy. Serialisable, to be kept in the container's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    hierarchies: Vec<Place>,
}

/// The directory in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Controllers of a v1 hierarchy, or its `name=...`; empty for v2.
    pub(crate) controllers: Vec<String>,
    /// The hierarchy's mount point.
    pub(crate) mount: PathBuf,
    /// The group's directory, beneath the mount point.
    pub(crate) dir: PathBuf,
}

impl Place {
    /// Whether it is in the unified hierarchy.
    pub(crate) fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// The directory relative to the mount point. Checked, since it may come from a saved state.
    pub(crate) fn relative(&self) -> Result<&Path> {
        let invalid = |reason| Error::Path { path: self.dir.to_string_lossy().into_owned(), reason };
        let relative =
            self.dir.strip_prefix(&self.mount).map_err(|_| invalid("not beneath its mount point"))?;
        if relative.as_os_str().is_empty() {
            return Err(invalid("the root of a hierarchy is no container's group"));
        }
        if relative.components().any(|c| !matches!(c, Component::Normal(_))) {
            return Err(invalid("not a plain path"));
        }
        Ok(relative)
    }

    /// The path from here of a group of v2 below this one, as `/proc/PID/cgroup` names it.
    pub(crate) fn below(&self, cgroup: &[u8]) -> Result<Option<String>> {
        let here = Path::new("/").join(self.relative()?);
        let groups = own_groups(cgroup);
        let unified = groups.iter().find(|(controllers, _)| controllers.is_empty());
        let below = unified.and_then(|(_, path)| path.strip_prefix(here).ok()).and_then(Path::to_str);
        Ok(below.filter(|below| !below.is_empty()).map(str::to_owned))
    }

    /// Opens the directory.
    pub(crate) fn open(&self) -> Result<Dir> {
        let relative = self.relative()?;
        Dir::mount_point(&self.mount)?.child(relative)
    }
}

impl Paths {
    /// The directories of the group that this process is in, one in each hierarchy whose mount shows it.
    pub fn own(layout: &Layout) -> Self {
        let place = |mount: &Mount| Place {
            controllers: mount.controllers.clone(),
            mount: mount.point.clone(),
            dir: mount.point.join(mount.own_relative()),
        };
        Self { hierarchies: layout.mounts().iter().filter(|mount| mount.shows_own()).map(place).collect() }
    }

    /// Name of each controller and its directory; the name is empty for v2, and `name=systemd` for systemd's v1
    /// hierarchy. Controllers mounted together share a directory.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.hierarchies.iter().flat_map(|place| {
            let v2 = place.is_v2().then_some("");
            place.controllers.iter().map(String::as_str).chain(v2).map(|name| (name, place.dir.as_path()))
        })
    }

    /// The directory of a v1 controller, or of v2 for the empty name.
    pub fn get(&self, controller: &str) -> Option<&Path> {
        self.iter().find(|(name, _)| *name == controller).map(|(_, path)| path)
    }

    /// Each hierarchy: its mount point, its controllers (none for v2), and the group's directory.
    pub fn hierarchies(&self) -> impl Iterator<Item = (&Path, &[String], &Path)> {
        self.hierarchies.iter().map(|place| (&*place.mount, &*place.controllers, &*place.dir))
    }

    /// Whether the unified hierarchy is the only one.
    pub fn is_unified(&self) -> bool {
        self.hierarchies.iter().all(Place::is_v2)
    }

    /// The directories, one a hierarchy.
    pub(crate) fn places(&self) -> &[Place] {
        &self.hierarchies
    }

    /// The paths of a sub-group: in all hierarchies, or in those of the named controllers.
    pub(crate) fn sub(&self, controllers: Option<&[&str]>, path: &str) -> Result<Self> {
        let below = clean(path);
        let mut paths = self.clone();
        let has = |place: &Place, name: &str| match name {
            "" => place.is_v2(),
            _ => place.controllers.iter().any(|c| c == name || c.strip_prefix("name=") == Some(name)),
        };
        for name in controllers.unwrap_or_default() {
            if !self.hierarchies.iter().any(|place| has(place, name)) {
                return Err(Error::Controller {
                    controller: (*name).to_owned(),
                    field: "sub-cgroup".to_owned(),
                });
            }
        }
        for place in &mut paths.hierarchies {
            if controllers.is_none_or(|names| names.iter().any(|name| has(place, name))) {
                place.dir.push(&below);
            }
        }
        Ok(paths)
    }
}

/// Names a container's directories for the cgroupfs driver.
///
/// An absolute path counts from each hierarchy's root as this process's cgroup namespace and mounts show it; a relative
/// one from this process's own group (v1) or that group's parent (v2, where a group with processes has no groups
/// beside them); none is the id, as a relative path. `..` goes up no further than the root.
pub(crate) fn resolve(layout: &Layout, cgroups_path: Option<&str>, id: &str) -> Result<Paths> {
    let path = cgroups_path.filter(|path| !path.is_empty()).unwrap_or(id);
    let cleaned = clean(path);
    if cleaned.as_os_str().is_empty() {
        let reason = "it names the root of the hierarchies, which is no container's group";
        return Err(Error::Path { path: path.to_owned(), reason });
    }
    let absolute = cgroups_path == Some(path) && path.starts_with('/');
    let place = |mount: &Mount| {
        let own = mount.own_relative();
        let base = match (absolute, mount.controllers.is_empty()) {
            (true, _) => Path::new(""),
            (false, true) => own.parent().unwrap_or(Path::new("")),
            (false, false) => own,
        };
        let dir = mount.point.join(base).join(&cleaned);
        Place { controllers: mount.controllers.clone(), mount: mount.point.clone(), dir }
    };
    Ok(Paths { hierarchies: layout.mounts().iter().map(place).collect() })
}

/// The directories of the group that a process is in, as its `/proc/PID/cgroup` says: on v1 the one that systemd keeps its
/// units in, in each hierarchy.
pub(crate) fn of_process(layout: &Layout, cgroup: &[u8]) -> Result<Paths> {
    let groups = own_groups(cgroup);
    let is_unit =
        |(controllers, _): &&(Vec<String>, PathBuf)| controllers.first().is_some_and(|c| c == "name=systemd");
    let unified = |(controllers, _): &&(Vec<String>, PathBuf)| controllers.is_empty();
    let group =
        groups.iter().find(is_unit).or_else(|| groups.iter().find(unified)).ok_or(Error::NotMounted)?;
    let place = |mount: &Mount| {
        let outside = |_| Error::Path {
            path: group.1.display().to_string(),
            reason: "it is not beneath what the mount of the hierarchy shows",
        };
        let dir = mount.point.join(group.1.strip_prefix(&mount.root).map_err(outside)?);
        let place = Place { controllers: mount.controllers.clone(), mount: mount.point.clone(), dir };
        place.relative()?;
        Ok(place)
    };
    Ok(Paths { hierarchies: layout.mounts().iter().map(place).collect::<Result<_>>()? })
}

/// A path without `.`, `..` and a leading slash; `..` at the top stays at the top.
fn clean(path: &str) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout() -> Layout {
        Layout::from_text(
            "1 0 0:1 / /c/cpu,cpuacct rw - cgroup c rw,cpu,cpuacct\n2 0 0:2 / /c/v2 rw - cgroup2 c rw\n",
            "3:cpu,cpuacct:/own/group\n0::/own/group\n",
        )
    }

    fn dirs(path: Option<&str>) -> Vec<String> {
        let paths = resolve(&layout(), path, "id").unwrap();
        paths.iter().map(|(name, dir)| format!("{name}={}", dir.display())).collect()
    }

    #[test]
    fn absolute_relative_and_none() {
        assert_eq!(
            dirs(Some("/a/b")),
            ["cpu=/c/cpu,cpuacct/a/b", "cpuacct=/c/cpu,cpuacct/a/b", "=/c/v2/a/b"]
        );
        assert_eq!(
            dirs(Some("a")),
            ["cpu=/c/cpu,cpuacct/own/group/a", "cpuacct=/c/cpu,cpuacct/own/group/a", "=/c/v2/own/a"]
        );
        assert_eq!(dirs(None), dirs(Some("id")));
        assert_eq!(dirs(Some("")), dirs(None));
    }

    #[test]
    fn dots_do_not_escape() {
        assert_eq!(dirs(Some("/../../a/./b/../c")), dirs(Some("/a/c")));
        assert_eq!(dirs(Some("../../a")), dirs(Some("a")));
    }

    #[test]
    fn the_root_is_refused() {
        for path in ["/", "..", "/a/..", "."] {
            assert!(matches!(resolve(&layout(), Some(path), "id"), Err(Error::Path { .. })), "{path}");
        }
    }

    #[test]
    fn the_group_of_a_process() {
        let paths =
            of_process(&layout(), b"3:cpu,cpuacct:/\n2:name=systemd:/a.slice/b.scope\n0::/x\n").unwrap();
        assert_eq!(paths.get("cpu"), Some(Path::new("/c/cpu,cpuacct/a.slice/b.scope")));
        assert_eq!(paths.get(""), Some(Path::new("/c/v2/a.slice/b.scope")));
        let paths = of_process(&layout(), b"0::/x/y\n").unwrap();
        assert_eq!(paths.get(""), Some(Path::new("/c/v2/x/y")));
        for outside in [&b"0::/\n"[..], b"0::/../x\n", b""] {
            assert!(of_process(&layout(), outside).is_err());
        }
    }

    #[test]
    fn a_saved_state_comes_back_and_is_checked() {
        let paths = resolve(&layout(), Some("/x"), "id").unwrap();
        let saved = serde_json::to_string(&paths).unwrap();
        assert_eq!(serde_json::from_str::<Paths>(&saved).unwrap(), paths);
        for dir in ["/c/v2", "/c/v2/../x", "/etc"] {
            let place = Place { controllers: vec![], mount: "/c/v2".into(), dir: dir.into() };
            assert!(place.relative().is_err(), "{dir}");
        }
    }

    #[test]
    fn groups_below_are_found() {
        let paths = resolve(&layout(), Some("/x"), "id").unwrap();
        let below = |table: &str| paths.places()[1].below(table.as_bytes()).unwrap();
        assert_eq!(below("3:cpu:/x/z\n0::/x/y/init\n").as_deref(), Some("y/init"));
        for elsewhere in ["0::/x\n", "0::/xy/z\n", "0::/../x/y\n", "3:cpu:/x/y\n", ""] {
            assert_eq!(below(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn sub_groups() {
        let paths = resolve(&layout(), Some("/x"), "id").unwrap();
        let all = paths.sub(None, "/../y").unwrap();
        assert_eq!(all.get(""), Some(Path::new("/c/v2/x/y")));
        let one = paths.sub(Some(&["cpu"]), "y").unwrap();
        assert_eq!(one.get("cpuacct"), Some(Path::new("/c/cpu,cpuacct/x/y")));
        assert_eq!(one.get(""), Some(Path::new("/c/v2/x")));
        assert!(matches!(paths.sub(Some(&["memory"]), "y"), Err(Error::Controller { .. })));
    }

    proptest! {
        #[test]
        fn no_path_leaves_its_mount(path in "[a./]{0,24}") {
            if let Ok(paths) = resolve(&layout(), Some(&path), "id") {
                for place in paths.places() {
                    prop_assert!(place.relative().is_ok(), "{:?}", place);
                }
            }
        }
    }
}
