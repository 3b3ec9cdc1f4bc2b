//! Intel's resource director technology: shares of the third-level cache and of memory bandwidth, and what is used of them
//! (specification: `config-linux.md#intel-rdt`; kernel: filesystems/resctrl.rst).

pub(crate) mod schemata;
mod stats;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use corten_oci::IntelRdt;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::dir::{Dir, optional};
use crate::error::{Error, Result};
pub use stats::{BandwidthInfo, CacheInfo, Occupancy, RdtStats, Traffic};

/// `RDTGROUP_SUPER_MAGIC` of `linux/magic.h`.
const MAGIC: u64 = 0x0765_5821;

const SCHEMATA: &str = "schemata";
const TASKS: &str = "tasks";
const MONITORS: &str = "mon_groups";

/// The mounted file system.
#[derive(Debug)]
pub struct Resctrl {
    root: Dir,
}

/// A container's class of service, and its monitoring group. Serialisable, to be kept in the container's state; a value of
/// this type is a name, not an owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Its directory below the mount point; empty for the class that all belong to at first.
    path: PathBuf,
    /// Whether it was made for this container.
    made: bool,
    /// Whether other containers may have joined it, since it has a name of its own.
    shared: bool,
    /// Name of the monitoring group that was made for the container.
    monitor: Option<String>,
}

impl Resctrl {
    /// Finds where it is mounted. [`Error::NoResctrl`] where it is not.
    pub fn detect() -> Result<Self> {
        const MOUNTS: &str = "/proc/self/mountinfo";
        let text = std::fs::read_to_string(MOUNTS).map_err(|source| Error::Os {
            operation: "read",
            path: MOUNTS.into(),
            source,
        })?;
        let point = mount_point(&text).ok_or(Error::NoResctrl)?;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(rustix::fs::CWD, point, flags, Mode::empty(), resolve)
            .map_err(|e| Error::os("open", Path::new(point), e))?;
        let kind = rustix::fs::fstatfs(&fd).map_err(|e| Error::os("statfs", Path::new(point), e))?.f_type;
        match u64::try_from(kind) {
            Ok(MAGIC) => Ok(Self { root: Dir::of(fd, point) }),
            _ => Err(Error::NoResctrl),
        }
    }

    /// Names the class of a container: what to save before [`Resctrl::create`].
    pub fn plan(&self, rdt: &IntelRdt, id: &str) -> Result<Class> {
        let name = rdt.clos_id.as_deref().unwrap_or(id);
        let path = PathBuf::from(name.strip_prefix('/').unwrap_or(name));
        let single = path.components().count() == 1
            && path.components().all(|part| matches!(part, Component::Normal(_)));
        // "/" is the class that all belong to at first.
        let root = name == "/";
        if !root && (!single || name.contains('/') || ["info", "mon_data", MONITORS].contains(&name)) {
            return Err(Error::value("intelRdt.closID", name, "not the name of a class of service"));
        }
        let made = !root && self.exists(&path)?.is_none();
        let shared = rdt.clos_id.is_some();
        if made && shared && schemata::lines(rdt).is_empty() {
            return Err(Error::value(
                "intelRdt.closID",
                name,
                "there is no such class, and no schema to make it with",
            ));
        }
        Ok(Class { path, made, shared, monitor: rdt.enable_monitoring.then(|| id.to_owned()) })
    }

    fn exists(&self, path: &Path) -> Result<Option<Dir>> {
        optional(self.root.child(path))
    }

    /// Makes what is not there yet, and sets the schemata. A class of a name of its own that is there already must have them
    /// as they are asked for. On failure what was made is removed.
    pub fn create(&self, class: &Class, rdt: &IntelRdt) -> Result<()> {
        let made = || -> Result<()> {
            if class.made {
                self.root.make(&class.path)?;
            }
            let dir = self.dir(&class.path)?;
            let wanted = schemata::lines(rdt);
            if !class.made && class.shared && !wanted.is_empty() {
                schemata::compare(&dir.read(SCHEMATA)?, &wanted)?;
            } else {
                self.set(&dir, &wanted)?;
            }
            class.monitor().map_or(Ok(()), |monitor| dir.make(&monitor).map(drop))
        };
        made().inspect_err(|_| drop(self.remove(class)))
    }

    /// Changes the schemata of a container's class, and returns the old ones of the same resources. On failure those hold.
    pub fn update(&self, class: &Class, rdt: &IntelRdt) -> Result<Vec<String>> {
        let dir = self.dir(&class.path)?;
        let wanted = schemata::lines(rdt);
        let old = schemata::of_the_same(&dir.read(SCHEMATA)?, &wanted);
        match self.set(&dir, &wanted) {
            Ok(()) => Ok(old),
            Err(cause) => match self.set(&dir, &old) {
                Ok(()) => Err(cause),
                Err(restore) => Err(Error::Restore { cause: cause.into(), restore: restore.into() }),
            },
        }
    }

    /// Puts schemata back that [`Resctrl::update`] has returned.
    pub fn put_back(&self, class: &Class, old: &[String]) -> Result<()> {
        self.set(&self.dir(&class.path)?, old)
    }

    fn set(&self, dir: &Dir, lines: &[String]) -> Result<()> {
        lines
            .iter()
            .try_for_each(|line| dir.write(SCHEMATA, &format!("{line}\n")))
            .map_err(|e| self.explain(e))
    }

    /// Moves a thread into the class, and into its monitoring group; threads and processes that it makes later are born there.
    pub fn attach(&self, class: &Class, thread: i32) -> Result<()> {
        let dir = self.dir(&class.path)?;
        let monitor = class.monitor().map(|monitor| dir.child(&monitor)).transpose()?;
        for dir in std::iter::once(&dir).chain(&monitor) {
            dir.write(TASKS, &thread.to_string()).map_err(|e| self.explain(e))?;
        }
        Ok(())
    }

    /// Moves all threads there that `threads` tells of, until it tells of no new ones: some may be born meanwhile. Those that have
    /// ended are fine.
    pub fn attach_all<E: From<Error>>(
        &self,
        class: &Class,
        threads: impl FnMut() -> std::result::Result<Vec<i32>, E>,
    ) -> std::result::Result<(), E> {
        until_no_new_one(threads, |thread| match self.attach(class, thread) {
            Err(error) if error.is(rustix::io::Errno::SRCH) => Ok(()),
            done => Ok(done?),
        })
    }

    /// What the class may use, and what was used of it.
    pub fn stats(&self, class: &Class) -> Result<RdtStats> {
        let dir = self.dir(&class.path)?;
        let monitor = class.monitor().map(|monitor| dir.child(&monitor)).transpose()?;
        stats::read(&self.root, &dir, monitor.as_ref().unwrap_or(&dir))
    }

    /// Removes what was made for the container, and nothing else: a class of a name of its own stays while others are in it.
    pub fn remove(&self, class: &Class) -> Result<()> {
        let Some(dir) = self.exists(&class.path)? else { return Ok(()) };
        if let Some(monitor) = class.monitor() {
            dir.remove(&monitor)?;
        }
        let used = || -> Result<bool> {
            Ok(class.shared && dir.read_if_there(TASKS)?.is_some_and(|tasks| !tasks.trim().is_empty()))
        };
        if class.made && !used()? { self.root.remove(&class.path) } else { Ok(()) }
    }

    fn dir(&self, path: &Path) -> Result<Dir> {
        self.root.child(if path.as_os_str().is_empty() { Path::new(".") } else { path })
    }

    /// Adds what the kernel says of the last command that it has refused.
    fn explain(&self, error: Error) -> Error {
        let Ok(status) = self.root.read("info/last_cmd_status") else { return error };
        match (error, status.trim()) {
            (error, "" | "ok") => error,
            (Error::Write { value, path, source }, status) => {
                let source = std::io::Error::new(source.kind(), format!("{source} ({status})"));
                Error::Write { value, path, source }
            }
            (error, _) => error,
        }
    }
}

impl Class {
    /// The monitoring group, below the class.
    fn monitor(&self) -> Option<PathBuf> {
        self.monitor.as_ref().map(|name| Path::new(MONITORS).join(name))
    }
}

/// Does something once with each that is listed, and lists again until there is no new one.
fn until_no_new_one<E>(
    mut list: impl FnMut() -> std::result::Result<Vec<i32>, E>,
    mut work: impl FnMut(i32) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut seen = BTreeSet::new();
    loop {
        let new: Vec<i32> = list()?.into_iter().filter(|one| seen.insert(*one)).collect();
        if new.is_empty() {
            return Ok(());
        }
        new.into_iter().try_for_each(&mut work)?;
    }
}

/// Where the file system is mounted, by the lines of mountinfo (proc_pid_mountinfo(5)).
pub(crate) fn mount_point(mountinfo: &str) -> Option<&str> {
    let is_it = |line: &&str| line.split_once(" - ").is_some_and(|(_, rest)| rest.starts_with("resctrl "));
    mountinfo.lines().find(is_it)?.split(' ').nth(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A tree of plain files, as the kernel shows it.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("corten-test-resctrl-{}-{name}", std::process::id()));
            let fake = Self(path);
            fake.write("schemata", "    MB:0=100;1=100\n    L3:0=fff;1=fff\n");
            fake.write("tasks", "");
            fake.write("info/last_cmd_status", "ok\n");
            fake.write("info/L3/cbm_mask", "fff\n");
            fake.write("info/L3/min_cbm_bits", "2\n");
            fake.write("info/L3/num_closids", "16\n");
            fake.write("info/MB/bandwidth_gran", "10\n");
            fake.write("info/MB/delay_linear", "1\n");
            fake.write("info/MB/min_bandwidth", "10\n");
            fake.write("info/MB/num_closids", "8\n");
            fake.class("gold", "L3:0=f0;1=f\nMB:0=20;1=70\n");
            fake
        }

        fn write(&self, file: &str, text: &str) {
            let path = self.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).unwrap()
        }

        fn class(&self, name: &str, schemata: &str) {
            self.write(&format!("{name}/schemata"), schemata);
            self.write(&format!("{name}/tasks"), "");
            fs::create_dir_all(self.0.join(name).join(MONITORS)).unwrap();
            for (node, bytes) in [("00", 5), ("01", 7)] {
                self.write(&format!("{name}/mon_data/mon_L3_{node}/llc_occupancy"), &format!("{bytes}\n"));
                self.write(
                    &format!("{name}/mon_data/mon_L3_{node}/mbm_total_bytes"),
                    &format!("{}\n", bytes * 2),
                );
                self.write(&format!("{name}/mon_data/mon_L3_{node}/mbm_local_bytes"), "Unavailable\n");
            }
        }

        fn mounted(&self) -> Resctrl {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = rustix::fs::open(&self.0, flags, Mode::empty()).unwrap();
            Resctrl { root: Dir::of(fd, &self.0) }
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn rdt(clos_id: Option<&str>, l3: Option<&str>) -> IntelRdt {
        IntelRdt {
            clos_id: clos_id.map(str::to_owned),
            l3_cache_schema: l3.map(str::to_owned),
            ..IntelRdt::default()
        }
    }

    #[test]
    fn a_class_that_is_there_is_joined_and_left() {
        let fake = Fake::new("joined");
        let resctrl = fake.mounted();
        let asked = rdt(Some("gold"), Some("L3:0=0f0;1=00f"));
        let class = resctrl.plan(&asked, "id").unwrap();
        resctrl.create(&class, &asked).unwrap();
        resctrl.attach(&class, 4711).unwrap();
        assert_eq!(fake.read("gold/tasks"), "4711");
        assert_eq!(fake.read("gold/schemata"), "L3:0=f0;1=f\nMB:0=20;1=70\n", "it is not ours to write");
        let stats = resctrl.stats(&class).unwrap();
        assert_eq!(stats.l3_cache_schema.as_deref(), Some("L3:0=f0;1=f"));
        assert_eq!(stats.mem_bw_schema_root.as_deref(), Some("MB:0=100;1=100"));
        let cmt: Vec<u64> = stats.cmt_stats.unwrap().iter().map(|node| node.llc_occupancy).collect();
        assert_eq!(cmt, [5, 7]);
        assert_eq!(stats.mbm_stats.unwrap()[1], Traffic { mbm_total_bytes: 14, mbm_local_bytes: 0 });
        assert_eq!(stats.l3_cache_info.unwrap().num_closids, 16);
        assert_eq!(stats.mem_bw_info.unwrap().bandwidth_gran, 10);
        resctrl.remove(&class).unwrap();
        assert!(fake.0.join("gold").is_dir(), "it was not made here");
        let other = rdt(Some("gold"), Some("L3:0=1"));
        let error = resctrl.create(&class, &other).unwrap_err().to_string();
        assert!(error.contains("L3:0=1"), "{error}");
    }

    #[test]
    fn a_class_of_the_container_is_made_and_removed() {
        let fake = Fake::new("made");
        let resctrl = fake.mounted();
        let asked = IntelRdt { enable_monitoring: true, ..rdt(None, Some("L3:0=f\nMB:0=9")) };
        let class = resctrl.plan(&asked, "id").unwrap();
        assert!(class.made && !class.shared);
        // These files make themselves only in the kernel's tree, so the class comes out half-made, and goes again.
        let error = resctrl.create(&class, &asked).unwrap_err();
        assert!(error.to_string().contains("id/schemata"), "{error}");
        assert!(!fake.0.join("id").exists());
        fake.class("id", "");
        resctrl.create(&Class { made: false, ..class.clone() }, &asked).unwrap();
        assert_eq!(fake.read("id/schemata"), "L3:0=f\n", "bandwidth has a field of its own");
        assert!(fake.0.join("id/mon_groups/id").is_dir());
        fake.write("id/mon_groups/id/tasks", "");
        resctrl.attach(&class, 7).unwrap();
        assert_eq!([fake.read("id/tasks"), fake.read("id/mon_groups/id/tasks")], ["7", "7"]);
        let bandwidth = IntelRdt { mem_bw_schema: Some("MB:0=50".to_owned()), ..IntelRdt::default() };
        fake.write("id/schemata", "MB:0=99\n");
        assert_eq!(resctrl.update(&class, &bandwidth).unwrap(), ["MB:0=99"]);
        assert_eq!(fake.read("id/schemata"), "MB:0=50\n");
        resctrl.put_back(&class, &["MB:0=99".to_owned()]).unwrap();
        assert_eq!(fake.read("id/schemata"), "MB:0=99\n");
        // In the kernel's tree rmdir(2) takes the files along.
        fs::remove_file(fake.0.join("id/mon_groups/id/tasks")).unwrap();
        fs::remove_file(fake.0.join("id/tasks")).unwrap();
        fs::remove_file(fake.0.join("id/schemata")).unwrap();
        fs::remove_dir_all(fake.0.join("id/mon_data")).unwrap();
        fs::create_dir(fake.0.join("id/other")).unwrap();
        assert!(resctrl.remove(&class).is_err(), "it holds what is not ours");
        fs::remove_dir(fake.0.join("id/other")).unwrap();
        fs::remove_dir(fake.0.join("id/mon_groups")).unwrap();
        resctrl.remove(&class).unwrap();
        assert!(!fake.0.join("id").exists());
        resctrl.remove(&class).unwrap();
    }

    #[test]
    fn a_named_class_that_was_made_stays_while_it_is_used() {
        let fake = Fake::new("used");
        let resctrl = fake.mounted();
        let class = Class { path: "gold".into(), made: true, shared: true, monitor: None };
        fake.write("gold/tasks", "5\n");
        resctrl.remove(&class).unwrap();
        assert!(fake.0.join("gold").is_dir());
    }

    #[test]
    fn names_and_the_first_class() {
        let fake = Fake::new("names");
        let resctrl = fake.mounted();
        let first = resctrl.plan(&rdt(Some("/"), None), "id").unwrap();
        assert!(!first.made);
        resctrl.attach(&first, 9).unwrap();
        assert_eq!(fake.read("tasks"), "9");
        resctrl.remove(&first).unwrap();
        for name in ["..", ".", "a/b", "/a", "", "info", "mon_groups"] {
            assert!(resctrl.plan(&rdt(Some(name), Some("L3:0=f")), "id").is_err(), "{name:?}");
        }
        let error = resctrl.plan(&rdt(Some("silver"), None), "id").unwrap_err().to_string();
        assert!(error.contains("silver") && error.contains("no such class"), "{error}");
    }

    #[test]
    fn threads_that_are_born_meanwhile_are_moved_too() {
        let mut lists = vec![vec![1, 2, 3], vec![1, 2, 3], vec![1, 2], vec![1]].into_iter().rev();
        let mut moved = Vec::new();
        let list = || Ok::<_, Error>(lists.next().unwrap());
        until_no_new_one(list, |thread| {
            moved.push(thread);
            Ok(())
        })
        .unwrap();
        assert_eq!(moved, [1, 2, 3]);
    }

    #[test]
    fn what_the_kernel_says_is_told() {
        let fake = Fake::new("told");
        fake.write("info/last_cmd_status", "mask f0f is not contiguous\n");
        let resctrl = fake.mounted();
        fs::remove_file(fake.0.join("gold/schemata")).unwrap();
        let class = Class { path: "gold".into(), made: false, shared: false, monitor: None };
        let error = resctrl.put_back(&class, &["L3:0=f0f".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("not contiguous"), "{error}");
    }

    #[test]
    fn the_mount_is_found() {
        let text =
            "1 0 0:1 / / rw - ext4 a rw\n40 1 0:9 / /sys/fs/resctrl rw shared:1 - resctrl resctrl rw\n";
        assert_eq!(mount_point(text), Some("/sys/fs/resctrl"));
        assert_eq!(mount_point("1 0 0:1 / /resctrl rw - ext4 resctrl rw\n"), None);
    }
}
