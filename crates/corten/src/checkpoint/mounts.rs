//! Which mounts of a container are the host's: CRIU saves no more than their names, and binds them anew on restore.

use std::path::{Path, PathBuf};

use corten_criu::rpc::ExternalMount;
use corten_init::rootfs::{Hierarchy, clean};

use crate::config::{is_bind, is_idmapped};
use crate::{Config, Error, Namespace, Network, NetworkKind, Result, oci};

/// A mount of the host's: the name that the images have for it, and what is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct External {
    /// Its place as the configuration names it, or the place below that of a mount that came along.
    pub(super) name: PathBuf,
    /// Path on the host.
    pub(super) source: PathBuf,
}

/// The name of what is mounted over masked files.
const NULL: &str = "/dev/null";

/// Refuses what CRIU would not bring back as it was.
pub(super) fn refuse(config: &Config) -> Result<()> {
    if let Some(mount) = config.mounts().iter().find(|mount| is_idmapped(mount)) {
        return Err(Error::unsupported(format!(
            "CRIU cannot restore id-mapped mounts, such as the one at {}",
            mount.destination
        )));
    }
    for kind in [Namespace::User, Namespace::Mount, Namespace::Cgroup] {
        if let Some(path) = config.namespaces().path_of(kind) {
            return Err(Error::unsupported(format!(
                "CRIU cannot restore into the existing {kind} namespace {}",
                path.display()
            )));
        }
    }
    let refused = [
        (deadline(config), "the scheduling policy SCHED_DEADLINE (process.scheduler)"),
        (config.no_pivot_root(), "a container whose root was changed without pivot_root(2) (--no-pivot)"),
        (config.landlock().is_some(), "what Landlock forbids (org.corten.process.landlock)"),
        (notifies(config), "a seccomp filter with an agent (linux.seccomp.listenerPath)"),
        (config.io_priority().is_some(), "an I/O priority (process.ioPriority)"),
        (config.memory_policy().is_some(), "a memory policy (linux.memoryPolicy)"),
        (odd_names(config), "a veth pair whose names have one of []:@ in them"),
        (!config.net_devices().is_empty(), "network devices of the host (linux.netDevices)"),
        (
            made_outside(config),
            "the configuration's veth pairs and routes in a network namespace that is not the container's own",
        ),
    ];
    match refused.iter().find(|(refused, _)| *refused) {
        Some((_, what)) => Err(Error::unsupported(format!("CRIU cannot restore {what}"))),
        None => Ok(()),
    }
}

fn notifies(config: &Config) -> bool {
    config.seccomp_listener() || config.seccomp().is_some_and(|seccomp| seccomp.listener_path.is_some())
}

fn deadline(config: &Config) -> bool {
    config.scheduler().is_some_and(|scheduler| scheduler.policy == "SCHED_DEADLINE")
}

/// Whether CRIU can be told of an interface of this name.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['[', ']', ':', '@'])
}

fn odd_names(config: &Config) -> bool {
    let host =
        |network: &Network| network.host_interface_name.is_empty() || is_plain(&network.host_interface_name);
    config
        .networks()
        .iter()
        .filter(|network| is_veth(network))
        .any(|network| !is_plain(&network.name) || !host(network))
}

fn is_veth(network: &Network) -> bool {
    network.kind == NetworkKind::Veth
}

/// Whether there are interfaces or routes that are in no images: CRIU leaves an existing namespace as it is.
fn made_outside(config: &Config) -> bool {
    let made = config.networks().iter().any(is_veth) || !config.routes().is_empty();
    made && !config.namespaces().is_new(Namespace::Net)
}

/// The mounts of the host's that a configuration asks for. `host` are the mount points of the host, where they matter: a
/// recursive bind takes those below its source along.
pub(super) fn externals(config: &Config, hierarchies: &[Hierarchy], host: &[PathBuf]) -> Vec<External> {
    let mut externals = Vec::new();
    for mount in config.mounts() {
        let name = clean(&mount.destination);
        match kind(mount) {
            Kind::Bind { recursive } => {
                let source = PathBuf::from(mount.source.as_deref().unwrap_or_default());
                let below = host.iter().filter(|point| recursive && **point != source);
                let below = below.filter_map(|point| Some((point, point.strip_prefix(&source).ok()?)));
                let below: Vec<_> = below
                    .map(|(point, rest)| External { name: name.join(rest), source: point.clone() })
                    .collect();
                externals.push(External { name, source });
                externals.extend(below);
            }
            Kind::Cgroups => externals.extend(cgroups(config, &name, hierarchies)),
            Kind::FileSystem => {}
        }
    }
    if config.namespaces().contains(Namespace::User) {
        let devices = config.devices().iter().filter(|device| device.typ != "p");
        let same = |device: &oci::Device| External { name: clean(&device.path), source: clean(&device.path) };
        externals.extend(devices.map(same));
    }
    externals
}

/// Whether mounts of the host's have the propagation that they have there. The newer of CRIU's two ways to restore mounts fails
/// where several of them follow one mount of the host's, as they then do.
pub(super) fn follow_the_host(config: &Config) -> bool {
    let private =
        |option: &String| ["private", "rprivate", "unbindable", "runbindable"].contains(&option.as_str());
    let follows =
        |mount: &oci::Mount| matches!(kind(mount), Kind::Bind { .. }) && !mount.options.iter().any(private);
    config.mounts().iter().any(follows) || config.namespaces().contains(Namespace::User)
}

/// On v1 each hierarchy is one; on v2 it is one of the container's own where there is a namespace for it.
fn cgroups(config: &Config, name: &Path, hierarchies: &[Hierarchy]) -> Vec<External> {
    let own = config.namespaces().contains(Namespace::Cgroup);
    let unified = matches!(hierarchies, [only] if only.name.is_empty());
    let external = |hierarchy: &Hierarchy| External {
        name: if hierarchy.name.is_empty() { name.to_owned() } else { name.join(&hierarchy.name) },
        source: hierarchy.directory.clone(),
    };
    if unified && own { Vec::new() } else { hierarchies.iter().map(external).collect() }
}

/// What a mount is, as far as it matters here.
enum Kind {
    Bind { recursive: bool },
    Cgroups,
    FileSystem,
}

fn kind(mount: &oci::Mount) -> Kind {
    match mount.typ.as_deref() {
        _ if is_bind(mount) => Kind::Bind { recursive: mount.options.iter().any(|option| option == "rbind") },
        Some("cgroup" | "cgroup2") => Kind::Cgroups,
        _ => Kind::FileSystem,
    }
}

/// What CRIU is told on dump. `points` are the container's mount points; `place` finds where a path of the configuration
/// is in the container, whose image can have links in it.
pub(super) fn on_dump(
    externals: &[External],
    masked: &[String],
    points: &[PathBuf],
    place: impl Fn(&Path) -> Option<(PathBuf, bool)>,
) -> Vec<ExternalMount> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let at = |name: &Path| place(name).filter(|(path, _)| points.contains(path));
    let external = |external: &External| {
        let (path, _) = at(&external.name)?;
        Some(ExternalMount { key: text(&path), value: text(&external.name) })
    };
    let mask = |path: &String| {
        let (path, directory) = at(&clean(path))?;
        (!directory).then(|| ExternalMount { key: text(&path), value: NULL.to_owned() })
    };
    let mut mounts: Vec<_> = externals.iter().filter_map(external).collect();
    mounts.extend(masked.iter().filter_map(mask));
    mounts
}

/// What CRIU is told on restore.
pub(super) fn on_restore(externals: &[External], masked: bool) -> Vec<ExternalMount> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut mounts: Vec<_> = externals
        .iter()
        .map(|external| ExternalMount { key: text(&external.name), value: text(&external.source) })
        .collect();
    if masked && !mounts.iter().any(|mount| mount.key == NULL) {
        mounts.push(ExternalMount { key: NULL.to_owned(), value: NULL.to_owned() });
    }
    mounts
}

/// The mount points of a table (proc_pid_mountinfo(5)).
pub(super) fn points(table: &str) -> Vec<PathBuf> {
    let point = |line: &str| Some(corten_cgroups::mountinfo_path(line.split(' ').nth(4)?.as_bytes()));
    table.lines().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(destination: &str, typ: &str, source: &str, options: &[&str]) -> oci::Mount {
        oci::Mount {
            destination: destination.to_owned(),
            typ: Some(typ.to_owned()),
            source: Some(source.to_owned()),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..oci::Mount::default()
        }
    }

    fn config(mounts: Vec<oci::Mount>, namespaces: &[Namespace]) -> Config {
        let namespaces = namespaces.iter().copied().collect::<crate::Namespaces>();
        Config::builder("/images/root").namespaces(namespaces).mounts(mounts).build().unwrap()
    }

    fn names(externals: &[External]) -> Vec<(&str, &str)> {
        externals.iter().map(|e| (e.name.to_str().unwrap(), e.source.to_str().unwrap())).collect()
    }

    #[test]
    fn binds_are_the_hosts_and_file_systems_are_not() {
        let mounts = vec![
            mount("/proc", "proc", "proc", &[]),
            mount("/data/../d", "bind", "/srv", &["ro"]),
            mount("/all", "none", "/mnt", &["rbind"]),
            mount("/own", "", "/images/root/shared", &["bind"]),
        ];
        let config = config(mounts, &[Namespace::Mount]);
        let host = ["/", "/mnt", "/mnt/usb", "/srv/below"].map(PathBuf::from);
        assert_eq!(
            names(&externals(&config, &[], &host)),
            [("/d", "/srv"), ("/all", "/mnt"), ("/all/usb", "/mnt/usb"), ("/own", "/images/root/shared"),]
        );
    }

    #[test]
    fn binds_follow_the_host_unless_they_are_private() {
        let bind = |options: &[&str]| config(vec![mount("/d", "bind", "/srv", options)], &[Namespace::Mount]);
        assert!(follow_the_host(&bind(&["ro"])));
        assert!(!follow_the_host(&bind(&["ro", "rprivate"])));
        assert!(!follow_the_host(&config(vec![mount("/proc", "proc", "proc", &[])], &[Namespace::Mount])));
    }

    #[test]
    fn groups_are_the_hosts_but_in_a_namespace_of_v2() {
        let groups = || vec![mount("/sys/fs/cgroup", "cgroup", "cgroup", &[])];
        let of = |name: &str| Hierarchy {
            name: name.to_owned(),
            options: Vec::new(),
            directory: format!("/h/{name}").into(),
        };
        let new = config(groups(), &[Namespace::Mount, Namespace::Cgroup]);
        let none = config(groups(), &[Namespace::Mount]);
        assert!(externals(&new, &[of("")], &[]).is_empty());
        assert_eq!(names(&externals(&none, &[of("")], &[])), [("/sys/fs/cgroup", "/h/")]);
        let v1 = [of("memory"), of("pids")];
        for config in [new, none] {
            let expected = [("/sys/fs/cgroup/memory", "/h/memory"), ("/sys/fs/cgroup/pids", "/h/pids")];
            assert_eq!(names(&externals(&config, &v1, &[])), expected);
        }
    }

    #[test]
    fn a_dump_names_what_is_mounted_where_it_is() {
        let externals = [("/var/run/x", "/srv"), ("/gone", "/srv")]
            .map(|(name, source)| External { name: name.into(), source: source.into() });
        let points = ["/", "/run/x", "/proc/kcore", "/proc/acpi"].map(PathBuf::from);
        let place = |path: &Path| {
            let path = path.to_str().unwrap().replace("/var/run", "/run");
            Some((path.clone().into(), path == "/proc/acpi"))
        };
        let masked = ["/proc/kcore", "/proc/acpi", "/proc/none"].map(str::to_owned);
        let told = on_dump(&externals, &masked, &points, place);
        let told: Vec<_> = told.iter().map(|mount| (mount.key.as_str(), mount.value.as_str())).collect();
        assert_eq!(told, [("/run/x", "/var/run/x"), ("/proc/kcore", "/dev/null")]);
    }

    #[test]
    fn a_restore_has_one_null_device() {
        let device = External { name: NULL.into(), source: NULL.into() };
        assert_eq!(on_restore(&[device], true).len(), 1);
        assert_eq!(on_restore(&[], true).len(), 1);
        assert_eq!(on_restore(&[], false).len(), 0);
    }

    #[test]
    fn mount_points_are_read_with_their_spaces() {
        let table = "1 2 0:1 / / rw - a b c\n2 1 0:1 / /a\\040b\\134c rw - a b c\n";
        assert_eq!(points(table), [Path::new("/"), Path::new("/a b\\c")]);
    }

    #[test]
    fn what_would_not_come_back_is_refused() {
        let idmapped = config(vec![mount("/d", "bind", "/srv", &["idmap=uids=0-1-1"])], &[Namespace::Mount]);
        assert!(refuse(&idmapped).unwrap_err().to_string().contains("/d"));
        assert!(refuse(&config(Vec::new(), &[Namespace::Mount])).is_ok());
        let priority = crate::ConfigBuilder::from(config(Vec::new(), &[Namespace::Mount]))
            .io_priority(oci::IoPriority { class: "IOPRIO_CLASS_BE".to_owned(), priority: 4 })
            .build()
            .unwrap();
        assert!(refuse(&priority).unwrap_err().to_string().contains("process.ioPriority"));
    }
}
