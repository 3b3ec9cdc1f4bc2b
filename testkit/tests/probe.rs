//! The probe, run outside any container: what it reports must be what this process knows of the machine.

use std::path::Path;
use std::process::ExitCode;

use corten_testkit::{Bundle, Failed, Report, Requirement, Rootfs, Run, Scratch, Suite, View, probe};

fn main() -> ExitCode {
    Suite::new()
        .case("the_report_is_what_is_so", the_report_is_what_is_so)
        .case("no_descriptor_is_opened_or_hidden", no_descriptor_is_opened_or_hidden)
        .case("signals_ignored_at_the_start_are_seen", signals_ignored_at_the_start_are_seen)
        .case("deeds_tell_how_they_went", deeds_tell_how_they_went)
        .needs(&[Requirement::Root], "the_probe_needs_no_library", the_probe_needs_no_library)
        .case("a_bundle_goes_with_its_guard", a_bundle_goes_with_its_guard)
        .needs(&[Requirement::Busybox], "busybox_has_its_programs", busybox_has_its_programs)
        .needs(&[Requirement::Root], "a_mount_below_is_unmounted_not_emptied", a_mount_below_is_unmounted)
        .seeing(View::V2, &[], "the_view_shows_v2_alone", || sees(&["cgroup2"]))
        .seeing(View::V1, &[], "the_view_shows_v1_alone", || sees(&["cgroup"]))
        .run()
}

fn report(run: Run) -> Result<Report, Failed> {
    Ok(run.output()?.success()?.json()?)
}

fn check(condition: bool, message: &str) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(message.into()) }
}

fn the_report_is_what_is_so() -> Result<(), Failed> {
    let run = Run::new(probe())
        .args(["report", "sysctl=kernel.ostype", "sysctl=kernel.none"])
        .env("CORTEN_X", "a=b");
    let report = report(run.current_dir("/usr"))?;
    assert_eq!(report.ppid.unsigned_abs(), std::process::id());
    assert_eq!(report.uids.real, rustix::process::getuid().as_raw());
    assert_eq!(report.cwd.as_deref(), Some("/usr"));
    assert_eq!(report.env("CORTEN_X"), Some("a=b"));
    assert_eq!(report.args[1..2], ["report"]);
    assert_eq!(report.sysctls["kernel.ostype"].as_deref(), Some("Linux"));
    assert_eq!(report.sysctls["kernel.none"], None);
    let own = std::fs::read_link("/proc/self/ns/mnt")?;
    assert_eq!(report.namespace("mnt"), own.to_str());
    assert_eq!(report.rlimits.len(), 16);
    assert!(report.mount("/").is_some());
    assert_eq!(report.device("/dev/null").map(|node| (node.major, node.minor)), Some((1, 3)));
    assert_eq!(report.seccomp, Some(0));
    let status = std::fs::read_to_string("/proc/self/status")?;
    let bounding = report.capabilities.map(|sets| sets.bounding).unwrap_or_default();
    check(status.contains(&format!("CapBnd:\t{}", bounding.hex)), "bounding set")?;
    assert_eq!(report.terminals, [false; 3]);
    Ok(())
}

/// Whoever runs the tests may have left descriptors open and signals ignored: what counts is the difference.
fn no_descriptor_is_opened_or_hidden() -> Result<(), Failed> {
    let mut expected = report(Run::new(probe()))?.fds.ok_or("no fds")?;
    expected.remove(&0);
    expected.insert(9, "/dev/zero".into());
    let script = r#"exec "$0" 9</dev/zero 0<&-"#;
    let fds = report(Run::new("sh").args(["-c", script]).arg(probe()))?.fds.ok_or("no fds")?;
    assert!(fds.keys().eq(expected.keys()), "{fds:?}");
    assert_eq!(fds[&9], expected[&9]);
    Ok(())
}

fn signals_ignored_at_the_start_are_seen() -> Result<(), Failed> {
    let usual = report(Run::new(probe()))?.signals.ok_or("no signals")?;
    assert!(!usual.ignored.contains(&13), "{usual:?}");
    assert_eq!((&usual.caught, &usual.blocked), (&vec![], &vec![]));
    let run = Run::new("sh").args(["-c", r#"trap '' PIPE QUIT; exec "$0""#]).arg(probe());
    let mut ignored = report(run)?.signals.ok_or("no signals")?.ignored;
    ignored.retain(|signal| !usual.ignored.contains(signal));
    assert_eq!(ignored, [3, 13]);
    Ok(())
}

fn deeds_tell_how_they_went() -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("file");
    let act = |arguments: &[&str]| Run::new(probe()).args(arguments).arg(&file).output();
    act(&["touch"])?.success()?;
    let again = Run::new(probe()).args(["write"]).arg(&file).arg("hello").output()?.success()?;
    assert_eq!(again.stdout, "{\"ok\":true}\n");
    assert_eq!(act(&["read"])?.success()?.json::<serde_json::Value>()?["value"], "hello");
    assert_eq!(act(&["stat"])?.success()?.json::<serde_json::Value>()?["value"]["kind"], "file");
    let refused = act(&["mkdir"])?.code(1)?.json::<serde_json::Value>()?;
    assert_eq!((&refused["error"], &refused["errno"]), (&"EEXIST".into(), &17.into()));
    Run::new(probe()).args(["exit", "42"]).output()?.code(42)?;
    Run::new(probe()).args(["alloc", "1048576"]).output()?.success()?;
    let unknown = Run::new(probe()).arg("dance").output()?.code(1)?;
    check(unknown.stdout.contains("no such action: dance"), &unknown.stdout)
}

/// In an empty root there is no loader and no library.
fn the_probe_needs_no_library() -> Result<(), Failed> {
    let output = Run::new("chroot").arg(parent(probe())?).args(["/corten-probe", "exit", "7"]).output()?;
    output.code(7)?;
    Ok(())
}

fn parent(path: &Path) -> Result<&Path, Failed> {
    path.parent().ok_or_else(|| "no parent".into())
}

fn a_bundle_goes_with_its_guard() -> Result<(), Failed> {
    let bundle = Bundle::new(Rootfs::new()?, |spec| spec.hostname = Some("here".into()))?;
    let path = bundle.path().to_owned();
    let text = std::fs::read_to_string(path.join("config.json"))?;
    check(text.contains("\"hostname\": \"here\""), &text)?;
    Run::new(path.join("rootfs/bin/probe")).args(["exit", "0"]).output()?.success()?;
    drop(bundle);
    check(!path.exists(), "the bundle is still there")
}

fn busybox_has_its_programs() -> Result<(), Failed> {
    let rootfs = Rootfs::busybox()?;
    let shell = rootfs.path().join("bin/sh");
    let output = Run::new(&shell).args(["-c", "echo $((6 * 7))"]).output()?.success()?;
    assert_eq!(output.stdout, "42\n");
    Ok(())
}

fn a_mount_below_is_unmounted() -> Result<(), Failed> {
    let (kept, scratch) = (Scratch::new()?, Scratch::new()?);
    std::fs::write(kept.path().join("precious"), "data")?;
    let target = scratch.path().join("target");
    std::fs::create_dir(&target)?;
    rustix::mount::mount_bind(kept.path(), &target)?;
    drop(scratch);
    check(!target.exists(), "the directory is still there")?;
    check(kept.path().join("precious").exists(), "what was mounted was emptied")
}

fn sees(kinds: &[&str]) -> Result<(), Failed> {
    let report = report(Run::new(probe()))?;
    let mounts = report.mounts.ok_or("no mounts")?;
    let mut seen: Vec<&str> = mounts
        .iter()
        .filter(|mount| mount.fstype.starts_with("cgroup"))
        .map(|mount| mount.fstype.as_str())
        .collect();
    seen.dedup();
    assert_eq!(seen, kinds);
    check(Path::new("/sys/fs/cgroup").exists(), "no cgroups")
}
