//! Each kind of namespace, new and joined by path, seen from inside.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs::read_link;
use std::process::ExitCode;

use common::{Outcome, Stage, output, probe, refusal, report};
use corten::oci::{IdMapping, Namespace, Spec, TimeOffset};
use corten::{Error, ErrorKind, ExitStatus, Signal};
use corten_testkit::{Requirement, Suite, View};

const KINDS: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
    ("user", "user"),
    ("time", "time"),
];

fn namespaces(spec: &mut Spec) -> &mut Vec<Namespace> {
    &mut spec.linux.as_mut().unwrap().namespaces
}

fn namespace(kind: &str, path: Option<String>) -> Namespace {
    Namespace { typ: kind.to_owned(), path }
}

/// A user namespace whose root is user 100000 of the host, and a root file system that is theirs.
fn with_user_namespace(stage: &mut Spec) {
    namespaces(stage).push(namespace("user", None));
    let mapping = IdMapping { container_id: 0, host_id: 100_000, size: 65_536 };
    let linux = stage.linux.as_mut().unwrap();
    linux.uid_mappings = vec![mapping];
    linux.gid_mappings = vec![mapping];
}

fn each_kind_is_new() -> Outcome {
    let report = report(|spec| {
        with_user_namespace(spec);
        namespaces(spec).push(namespace("time", None));
    });
    for (_, file) in KINDS {
        let ours = read_link(format!("/proc/self/ns/{file}"))?;
        assert_ne!(report.namespace(file), ours.to_str(), "{file}");
    }
    Ok(())
}

fn what_is_not_asked_for_is_shared() -> Outcome {
    let report = report(|spec| {
        namespaces(spec).retain(|namespace| namespace.typ == "mount");
        spec.hostname = None;
        spec.mounts.retain(|mount| !matches!(mount.typ.as_deref(), Some("mqueue" | "sysfs" | "cgroup")));
    });
    for (_, file) in KINDS.into_iter().filter(|(_, file)| *file != "mnt") {
        let ours = read_link(format!("/proc/self/ns/{file}"))?;
        assert_eq!(report.namespace(file), ours.to_str(), "{file}");
    }
    Ok(())
}

fn each_kind_is_joined_by_path() -> Outcome {
    let first = Stage::new(|spec| namespaces(spec).push(namespace("time", None)));
    let container = first.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let joined = ["pid", "network", "ipc", "uts", "cgroup", "time"];
    let seen = report(|spec| {
        spec.hostname = None;
        *namespaces(spec) = KINDS
            .into_iter()
            .filter(|(kind, _)| joined.contains(kind))
            .map(|(kind, file)| namespace(kind, Some(format!("/proc/{}/ns/{file}", child.pid()))))
            .chain([namespace("mount", None)])
            .collect();
    });
    for (_, file) in KINDS.into_iter().filter(|(kind, _)| joined.contains(kind)) {
        let theirs = read_link(format!("/proc/{}/ns/{file}", child.pid()))?;
        assert_eq!(seen.namespace(file), theirs.to_str(), "{file}");
    }
    assert_eq!(seen.hostname, "corten");
    container.signal(Signal::KILL)?;
    child.wait()?;
    Ok(container.destroy().map_err(Error::from)?)
}

fn a_namespace_of_another_type_is_refused() -> Outcome {
    let error = refusal(|spec| {
        namespaces(spec).retain(|namespace| namespace.typ != "ipc");
        namespaces(spec).push(namespace("ipc", Some("/proc/self/ns/uts".to_owned())));
    });
    assert_eq!(error.raw_os_error(), Some(22), "{error}");
    assert!(error.to_string().contains("join the ipc namespace /proc/self/ns/uts"), "{error}");
    let error = refusal(|spec| namespaces(spec)[1].path = Some("/nonexistent".to_owned()));
    assert!(error.to_string().contains("open the network namespace /nonexistent"), "{error}");
    let error = refusal(|spec| namespaces(spec).push(namespace("mounts", None)));
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    Ok(())
}

fn ids_are_mapped() -> Outcome {
    let stage = Stage::new(with_user_namespace);
    stage.bundle.rootfs().give_to(100_000, 100_000)?;
    let container = stage.container();
    let (status, text) = output(|process| container.run(process), stage.process().user((1, 1)));
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    let report: corten_testkit::Report = serde_json::from_str(&text)?;
    assert_eq!((report.uids.real, report.gids.real), (1, 1));
    let map = report.uid_map.unwrap().join(" ");
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    // Its devices are the host's, mounted, since it can make none.
    let null = report.devices.unwrap().remove("/dev/null").unwrap();
    assert_eq!((null.major, null.minor), (1, 3));
    Ok(container.destroy().map_err(Error::from)?)
}

fn a_program_joins_a_user_namespace() -> Outcome {
    let stage = Stage::new(with_user_namespace);
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let (status, text) = output(|process| container.exec(process), stage.process());
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    let report: corten_testkit::Report = serde_json::from_str(&text)?;
    let theirs = read_link(format!("/proc/{}/ns/user", child.pid()))?;
    assert_eq!(report.namespace("user"), theirs.to_str());
    assert_eq!(report.uids.effective, 0);
    container.signal(Signal::KILL)?;
    child.wait()?;
    Ok(container.destroy().map_err(Error::from)?)
}

fn a_user_namespace_is_joined_by_path_with_the_maps_it_has() -> Outcome {
    let first = Stage::new(with_user_namespace);
    let container = first.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let join = |spec: &mut Spec, host_id: Option<u32>| {
        let map = |host_id| vec![IdMapping { container_id: 0, host_id, size: 65_536 }];
        namespaces(spec).push(namespace("user", Some(format!("/proc/{}/ns/user", child.pid()))));
        let linux = spec.linux.as_mut().unwrap();
        linux.uid_mappings = host_id.map(map).unwrap_or_default();
        linux.gid_mappings = linux.uid_mappings.clone();
    };
    let theirs = read_link(format!("/proc/{}/ns/user", child.pid()))?;
    for host_id in [None, Some(100_000)] {
        let seen = report(|spec| join(spec, host_id));
        assert_eq!(seen.namespace("user"), theirs.to_str());
        assert_eq!(seen.uid_map, Some(vec!["0 100000 65536".to_owned()]));
    }
    let error = refusal(|spec| join(spec, Some(200_000)));
    assert!(error.to_string().contains(r#"has the uid_map ["0 100000 65536"]"#), "{error}");
    container.signal(Signal::KILL)?;
    child.wait()?;
    Ok(container.destroy().map_err(Error::from)?)
}

fn clocks_are_offset() -> Outcome {
    let seen = report(|spec| {
        namespaces(spec).push(namespace("time", None));
        let offsets = &mut spec.linux.as_mut().unwrap().time_offsets;
        offsets.insert("monotonic".to_owned(), TimeOffset { secs: 86_400, nanosecs: 5 });
        offsets.insert("boottime".to_owned(), TimeOffset { secs: -1, nanosecs: 0 });
    });
    let offsets = seen.time_offsets.unwrap();
    assert_eq!(offsets["monotonic"].split_whitespace().collect::<Vec<_>>(), ["86400", "5"]);
    assert_eq!(offsets["boottime"].split_whitespace().collect::<Vec<_>>(), ["-1", "0"]);
    Ok(())
}

fn names_are_the_containers_own() -> Outcome {
    let ours = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    let seen = report(|spec| {
        spec.hostname = Some("testing".to_owned());
        spec.domainname = Some("example".to_owned());
    });
    assert_eq!((seen.hostname.as_str(), seen.domainname.as_str()), ("testing", "example"));
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname")?, ours);
    Ok(())
}

fn kernel_parameters_are_the_containers_own() -> Outcome {
    let before = std::fs::read_to_string("/proc/sys/kernel/msgmax")?;
    let seen = report(|spec| {
        let sysctl = &mut spec.linux.as_mut().unwrap().sysctl;
        sysctl.insert("kernel.msgmax".to_owned(), "4321".to_owned());
        sysctl.insert("net/ipv4/ip_forward".to_owned(), "1".to_owned());
        let process = spec.process.as_mut().unwrap();
        process
            .args
            .extend(["report", "sysctl=kernel.msgmax", "sysctl=net.ipv4.ip_forward"].map(str::to_owned));
    });
    assert_eq!(seen.sysctls["kernel.msgmax"].as_deref().map(str::trim), Some("4321"));
    assert_eq!(seen.sysctls["net.ipv4.ip_forward"].as_deref().map(str::trim), Some("1"));
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/msgmax")?, before);
    let error = refusal(|spec| {
        spec.linux.as_mut().unwrap().sysctl.insert("kernel.panic".to_owned(), "1".to_owned());
    });
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    Ok(())
}

fn main() -> ExitCode {
    let cases: &[common::Case] = &[
        ("each_kind_is_new", each_kind_is_new),
        ("what_is_not_asked_for_is_shared", what_is_not_asked_for_is_shared),
        ("each_kind_is_joined_by_path", each_kind_is_joined_by_path),
        ("a_namespace_of_another_type_is_refused", a_namespace_of_another_type_is_refused),
        ("ids_are_mapped", ids_are_mapped),
        ("a_program_joins_a_user_namespace", a_program_joins_a_user_namespace),
        (
            "a_user_namespace_is_joined_by_path_with_the_maps_it_has",
            a_user_namespace_is_joined_by_path_with_the_maps_it_has,
        ),
        ("clocks_are_offset", clocks_are_offset),
        ("names_are_the_containers_own", names_are_the_containers_own),
        ("kernel_parameters_are_the_containers_own", kernel_parameters_are_the_containers_own),
    ];
    let root = [Requirement::Root];
    let add = |suite: Suite, (name, case): &common::Case| suite.needs(&root, name, *case);
    cases
        .iter()
        .fold(common::suite(), add)
        .seeing(
            View::V2,
            &root,
            "a_user_namespace_is_joined_by_path_on_v2",
            a_user_namespace_is_joined_by_path_with_the_maps_it_has,
        )
        .run()
}
