//! What a container can have at /proc, and kernel parameters whatever it has there.

use std::fs;
use std::os::unix::fs::symlink;

use corten::ErrorKind;
use corten::oci::{Mount, Spec};
use corten_testkit::{Requirement, Suite};

use crate::common::{Case, Outcome, Stage, output, probe, refusal, report};
use crate::{add, mount};

fn with_sysctl(spec: &mut Spec) {
    spec.linux.as_mut().unwrap().sysctl.insert("kernel.msgmax".to_owned(), "4321".to_owned());
}

/// Without a procfs at /proc, where something else is in its place.
fn without_proc(spec: &mut Spec) {
    let linux = spec.linux.as_mut().unwrap();
    (linux.masked_paths, linux.readonly_paths) = (Vec::new(), Vec::new());
    spec.mounts.retain(|mount| mount.destination != "/proc");
}

/// Files that take every word in place of the kernel's; all have their names as content.
pub fn fake_proc(stage: &Stage) -> Vec<std::path::PathBuf> {
    let proc = stage.bundle.rootfs().path().join("proc");
    let files = [
        "sys/kernel/msgmax",
        "thread-self/attr/exec",
        "thread-self/attr/apparmor/exec",
        "self/attr/exec",
        "self/attr/apparmor/exec",
    ];
    let make = |file: &&str| {
        let path = proc.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "fake").unwrap();
        path
    };
    files.iter().map(make).collect()
}

fn parameters_are_the_kernels_where_the_image_has_a_proc_of_its_own() -> Outcome {
    let stage = Stage::new(|spec| {
        with_sysctl(spec);
        without_proc(spec);
        spec.root.as_mut().unwrap().readonly = false;
        spec.mounts.push(mount("/mnt", "proc", "proc", &[]));
    });
    let fake = fake_proc(&stage);
    let container = stage.container();
    let (_, text) = output(|process| container.run(process), probe(&["read", "/mnt/sys/kernel/msgmax"]));
    assert!(text.contains("4321"), "{text}");
    container.destroy().map_err(corten::Error::from)?;
    for file in fake {
        assert_eq!(fs::read_to_string(&file)?, "fake", "{}", file.display());
    }
    // Nor through a link to somewhere else.
    let proc = stage.bundle.rootfs().path().join("proc");
    fs::rename(&proc, stage.bundle.rootfs().path().join("var/fake"))?;
    symlink("/var/fake", &proc)?;
    let container = stage.container();
    let (_, text) = output(|process| container.run(process), probe(&["read", "/mnt/sys/kernel/msgmax"]));
    assert!(text.contains("4321"), "{text}");
    let untouched = stage.bundle.rootfs().path().join("var/fake/sys/kernel/msgmax");
    assert_eq!(fs::read_to_string(untouched)?, "fake");
    Ok(container.destroy().map_err(corten::Error::from)?)
}

fn no_descriptor_of_the_procfs_is_left() -> Outcome {
    let report = report(with_sysctl);
    assert_eq!(report.fds.unwrap().keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    Ok(())
}

/// CVE-2019-19921, CVE-2023-27561: a procfs at the end of a link is not the one that programs find.
fn a_procfs_is_not_mounted_through_a_link() -> Outcome {
    for place in ["proc", "sys"] {
        let stage = Stage::new(with_sysctl);
        let root = stage.bundle.rootfs().path();
        fs::remove_dir(root.join(place))?;
        fs::create_dir(root.join("var/elsewhere"))?;
        symlink("/var/elsewhere", root.join(place))?;
        let container = stage.container();
        let error = container.run(probe(&["exit", "0"]).build()?).unwrap_err();
        assert!(error.to_string().contains("must be mounted on ordinary directory"), "{error}");
        container.destroy().map_err(corten::Error::from)?;
    }
    Ok(())
}

/// CVE-2019-16884: only a procfs is mounted at /proc, and below it only files that are known to be harmless.
fn what_may_not_be_at_proc_is_refused() -> Outcome {
    let inside = "cannot be mounted because it is inside /proc";
    let whole = "/proc can only be a mount of type proc";
    let bind = |destination: &str, source: &str| mount(destination, "bind", source, &["rbind"]);
    let refused: [(Mount, &str); 9] = [
        (mount("/proc", "tmpfs", "tmpfs", &[]), inside),
        (mount("/proc", "cgroup", "cgroup", &[]), inside),
        (mount("/tmp/../proc/./self", "tmpfs", "tmpfs", &[]), inside),
        (bind("/proc/self/attr", "/tmp"), inside),
        (bind("/proc/sys/kernel/core_pattern", "/dev/null"), inside),
        (bind("/proc/cpuinfo/x", "/dev/null"), inside),
        (bind("/proc", "/tmp"), whole),
        (bind("/proc", "/proc/self"), whole),
        (bind("/proc/", "/proc/sys"), whole),
    ];
    for (mount, words) in refused {
        let text = format!("{mount:?}");
        let error = refusal(|spec| spec.mounts.push(mount));
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
    let report = report(|spec| {
        spec.mounts.push(bind("/proc", "/proc"));
        spec.mounts.push(bind("/proc/uptime", "/etc/hostname"));
        spec.mounts.push(bind("/proc/sys/kernel/ns_last_pid", "/dev/null"));
        spec.linux.as_mut().unwrap().namespaces.retain(|namespace| namespace.typ != "pid");
    });
    assert!(report.mount("/proc/uptime").is_some());
    Ok(())
}

/// A directory of the image that is a link to /proc is /proc, whatever the destination says.
fn a_link_of_the_image_leads_to_no_other_rule() -> Outcome {
    for destination in ["/link", "/link/self", "/link/self/attr", "/link/sys/kernel", "/deep/self"] {
        for (typ, source, options) in
            [("tmpfs", "tmpfs", &[][..]), ("bind", "/tmp", &["bind"]), ("cgroup", "cgroup", &[])]
        {
            let stage = Stage::new(|spec| {
                with_sysctl(spec);
                spec.root.as_mut().unwrap().readonly = false;
                spec.mounts.push(mount(destination, typ, source, options));
            });
            let root = stage.bundle.rootfs().path();
            symlink("/proc", root.join("link"))?;
            symlink("tmp/../../../proc/./self/..", root.join("deep"))?;
            let container = stage.container();
            let error = container.run(probe(&["exit", "0"]).build()?).unwrap_err();
            let words = format!("{destination} cannot be mounted because it is inside /proc");
            assert!(error.to_string().contains(&words), "{destination} {typ}: {error}");
            container.destroy().map_err(corten::Error::from)?;
        }
    }
    Ok(())
}

pub fn cases(suite: Suite) -> Suite {
    let cases: &[Case] = &[
        (
            "proc::parameters_are_the_kernels_where_the_image_has_a_proc_of_its_own",
            parameters_are_the_kernels_where_the_image_has_a_proc_of_its_own,
        ),
        ("proc::no_descriptor_of_the_procfs_is_left", no_descriptor_of_the_procfs_is_left),
        ("proc::a_procfs_is_not_mounted_through_a_link", a_procfs_is_not_mounted_through_a_link),
        ("proc::what_may_not_be_at_proc_is_refused", what_may_not_be_at_proc_is_refused),
        ("proc::a_link_of_the_image_leads_to_no_other_rule", a_link_of_the_image_leads_to_no_other_rule),
    ];
    add(suite, &[Requirement::Root], cases)
}
