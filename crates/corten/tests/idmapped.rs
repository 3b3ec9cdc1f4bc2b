//! Id-mapped mounts: who owns a file, seen from inside, and who owns what is made there, seen from outside.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::ExitCode;

use common::{Outcome, Stage, output, probe, refusal};
use corten::oci::{IdMapping, Mount, Namespace, Spec};
use corten::{Error, ExitStatus};
use corten_testkit::Scratch;
use serde_json::Value;

fn range(container_id: u32, host_id: u32, size: u32) -> IdMapping {
    IdMapping { container_id, host_id, size }
}

fn mount(destination: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        typ: Some(typ.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

/// A directory whose owner is 1000:2000, a file `mine` of the same owner, and a file `other` of root's.
fn volume(scratch: &Scratch) -> PathBuf {
    let volume = scratch.path().join("volume");
    fs::create_dir(&volume).unwrap();
    for name in ["mine", "other"] {
        fs::write(volume.join(name), "").unwrap();
    }
    chown(volume.join("mine"), Some(1000), Some(2000)).unwrap();
    chown(&volume, Some(1000), Some(2000)).unwrap();
    volume
}

/// User and group of a file, as the container sees them.
fn owner(stage: &Stage, path: &str) -> (u64, u64) {
    let text = run(stage, &["stat", path]);
    let node: Value = serde_json::from_str(&text).unwrap();
    let number = |field: &str| node["value"][field].as_u64().unwrap_or_else(|| panic!("{text}"));
    (number("uid"), number("gid"))
}

/// Runs the probe in this stage.
fn run(stage: &Stage, arguments: &[&str]) -> String {
    let container = stage.container();
    let (status, text) = output(|process| container.run(process), probe(arguments));
    container.destroy().map_err(Error::from).unwrap();
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    text
}

fn in_user_namespace(spec: &mut Spec) {
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.push(Namespace { typ: "user".to_owned(), path: None });
    linux.uid_mappings = vec![range(0, 100_000, 65_536)];
    linux.gid_mappings = vec![range(0, 200_000, 65_536)];
}

/// The overflow ids, which stand for owners that are not mapped: `/proc/sys/kernel/overflowuid`.
const NOBODY: (u64, u64) = (65_534, 65_534);

fn a_mapping_of_the_mounts_own_changes_owners() -> Outcome {
    let scratch = Scratch::new()?;
    let volume = volume(&scratch);
    let source = volume.to_str().unwrap();
    let stage = Stage::new(|spec| {
        let mapped = Mount {
            uid_mappings: vec![range(1000, 0, 1)],
            gid_mappings: vec![range(2000, 0, 1)],
            ..mount("/var", "bind", source, &["bind"])
        };
        spec.mounts.push(mapped);
        let option = "idmap=uids=1000-7-1;gids=2000-8-1";
        spec.mounts.push(mount("/tmp", "bind", source, &["rbind", "ro", option]));
    });
    assert_eq!(owner(&stage, "/var/mine"), (0, 0));
    assert_eq!(owner(&stage, "/var/other"), NOBODY);
    assert_eq!(owner(&stage, "/tmp/mine"), (7, 8));
    // What root makes there belongs on the disk to whom root stands for.
    run(&stage, &["mkdir", "/var/made"]);
    let made = fs::metadata(volume.join("made"))?;
    assert_eq!((made.uid(), made.gid()), (1000, 2000));
    Ok(())
}

/// The root file system of a container with a user namespace belongs to its root; a volume need not, where it is mapped.
fn the_containers_own_mapping_is_the_default() -> Outcome {
    let scratch = Scratch::new()?;
    let volume = volume(&scratch);
    let source = volume.to_str().unwrap();
    let stage = Stage::new(|spec| {
        in_user_namespace(spec);
        spec.mounts.push(mount("/var", "bind", source, &["bind", "idmap"]));
        spec.mounts.push(mount("/tmp", "bind", source, &["bind", "idmap=uids=@1000-3-1;gids=@2000-4-1"]));
        spec.mounts.push(mount("/mnt", "bind", source, &["bind"]));
    });
    stage.bundle.rootfs().give_to(100_000, 200_000)?;
    assert_eq!(owner(&stage, "/var/mine"), (1000, 2000));
    assert_eq!(owner(&stage, "/var/other"), (0, 0));
    assert_eq!(owner(&stage, "/tmp/mine"), (3, 4));
    assert_eq!(owner(&stage, "/mnt/mine"), NOBODY);
    Ok(())
}

fn a_new_file_system_is_mapped_as_well() -> Outcome {
    let stage = Stage::new(|spec| {
        in_user_namespace(spec);
        spec.mounts.push(mount("/var", "tmpfs", "tmpfs", &["idmap", "mode=750", "uid=5", "gid=6"]));
        spec.mounts.push(mount("/tmp", "tmpfs", "tmpfs", &["idmap", "tmpcopyup"]));
    });
    let tmp = stage.bundle.rootfs().path().join("tmp");
    fs::write(tmp.join("there"), "copied")?;
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1770))?;
    stage.bundle.rootfs().give_to(100_000, 200_000)?;
    assert_eq!(owner(&stage, "/var"), (5, 6));
    assert_eq!(owner(&stage, "/tmp"), (0, 0));
    assert!(run(&stage, &["read", "/tmp/there"]).contains("copied"));
    let node: Value = serde_json::from_str(&run(&stage, &["stat", "/tmp"]))?;
    assert_eq!(node["value"]["mode"].as_u64().unwrap() & 0o7777, 0o1770);
    Ok(())
}

fn mounts_below_are_mapped_only_when_that_is_asked_for() -> Outcome {
    let scratch = Scratch::new()?;
    let volume = volume(&scratch);
    let below = volume.join("below");
    fs::create_dir(&below)?;
    rustix::mount::mount("corten-test", &below, "tmpfs", rustix::mount::MountFlags::empty(), None)?;
    fs::write(below.join("mine"), "")?;
    chown(below.join("mine"), Some(1000), Some(2000))?;
    for (option, expected) in [("idmap", (1000, 2000)), ("ridmap", (0, 0))] {
        let stage = Stage::new(|spec| {
            let option = format!("{option}=uids=1000-0-1;gids=2000-0-1");
            spec.mounts.push(mount("/var", "bind", volume.to_str().unwrap(), &["rbind", &option]));
        });
        assert_eq!(owner(&stage, "/var/mine"), (0, 0));
        assert_eq!(owner(&stage, "/var/below/mine"), expected, "{option}");
    }
    Ok(())
}

/// A namespace that is joined says itself how it maps.
fn the_mapping_of_a_joined_namespace() -> Outcome {
    let scratch = Scratch::new()?;
    let volume = volume(&scratch);
    let first = Stage::new(in_user_namespace);
    first.bundle.rootfs().give_to(100_000, 200_000)?;
    let container = first.container();
    let created = container.start_init(first.process().build()?)?;
    let path = format!("/proc/{}/ns/user", created.pid());
    let stage = Stage::new(|spec| {
        spec.linux.as_mut().unwrap().namespaces.push(Namespace { typ: "user".to_owned(), path: Some(path) });
        spec.mounts.push(mount("/var", "bind", volume.to_str().unwrap(), &["bind", "idmap"]));
    });
    stage.bundle.rootfs().give_to(100_000, 200_000)?;
    assert_eq!(owner(&stage, "/var/mine"), (1000, 2000));
    created.detach();
    container.destroy().map_err(Error::from)?;
    Ok(())
}

fn a_wrong_mapping_leaves_nothing() -> Outcome {
    let scratch = Scratch::new()?;
    let volume = volume(&scratch);
    let error = refusal(|spec| {
        spec.mounts.push(Mount {
            uid_mappings: vec![range(0, 0, 2), range(1, 9, 1)],
            gid_mappings: vec![range(0, 0, 2)],
            ..mount("/var", "bind", volume.to_str().unwrap(), &["bind"])
        });
    });
    assert!(error.to_string().contains("uid_map") && error.to_string().contains("overlap"), "{error}");
    Ok(())
}

fn main() -> ExitCode {
    common::run(&[
        ("a_mapping_of_the_mounts_own_changes_owners", a_mapping_of_the_mounts_own_changes_owners),
        ("the_containers_own_mapping_is_the_default", the_containers_own_mapping_is_the_default),
        ("a_new_file_system_is_mapped_as_well", a_new_file_system_is_mapped_as_well),
        (
            "mounts_below_are_mapped_only_when_that_is_asked_for",
            mounts_below_are_mapped_only_when_that_is_asked_for,
        ),
        ("the_mapping_of_a_joined_namespace", the_mapping_of_a_joined_namespace),
        ("a_wrong_mapping_leaves_nothing", a_wrong_mapping_leaves_nothing),
    ])
}
