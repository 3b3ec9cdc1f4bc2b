//! AppArmor.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use corten::oci::Spec;
use corten::{Error, ErrorKind, ExitStatus, Restore, Signal};
use corten_testkit::{Report, Requirement, Suite};

use crate::common::{Case, Outcome, Stage, checkpoint, output, probe, refusal};
use crate::proc::fake_proc;
use crate::{add, does, does_as, mount, outcome, report_of};

const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";

/// A loaded profile that allows everything but to write to a directory; it goes with the guard.
struct Profile {
    name: String,
    text: String,
}

impl Profile {
    fn load(stage: &Stage, suffix: &str, closed: &str) -> Profile {
        let name = format!("{}-{suffix}", stage.bundle.id());
        let text = format!(
            "profile {name} flags=(attach_disconnected,mediate_deleted) {{\n  file,\n  capability,\n  network,\n  unix,\n  \
             signal,\n  ptrace,\n  mount,\n  umount,\n  deny {closed}/** w,\n}}\n"
        );
        let profile = Profile { name, text };
        profile.parser("--add");
        profile
    }

    fn parser(&self, action: &str) {
        let mut parser = Command::new("apparmor_parser")
            .args([action, "--skip-cache"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        parser.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        assert!(parser.wait().unwrap().success());
    }

    fn label(&self) -> Option<String> {
        Some(format!("{} (enforce)", self.name))
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        if loaded().contains(&self.name) {
            self.parser("--remove");
        }
    }
}

fn loaded() -> String {
    fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap()
}

fn writable(spec: &mut Spec) {
    spec.root.as_mut().unwrap().readonly = false;
}

/// The stage, once more with this profile in its document.
fn with_profile(stage: &mut Stage, profile: &Profile) {
    stage.bundle.spec.process.as_mut().unwrap().apparmor_profile = Some(profile.name.clone());
}

fn init_and_execed_programs_are_confined() -> Outcome {
    let mut stage = Stage::new(writable);
    let (one, other) = (Profile::load(&stage, "one", "/var"), Profile::load(&stage, "other", "/tmp"));
    with_profile(&mut stage, &one);
    let report = report_of(&stage, |process| process);
    assert_eq!(report.label, one.label());
    assert_eq!(report.fds.unwrap().keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(report_of(&stage, |process| process.init_reaper(true).user((1, 1))).label, one.label());
    let container = stage.container();
    let (_, text) = output(|process| container.run(process), probe(&["touch", "/var/x"]));
    assert_eq!(outcome(&text), "EACCES", "{text}");
    let child = container.run(probe(&["sleep"]).build()?)?;
    assert_eq!(does(&container, &["touch", "/var/x"]), "EACCES");
    assert_eq!(does(&container, &["touch", "/tmp/x"]), "ok");
    let choose = |process: corten::ProcessBuilder| process.apparmor_profile(&other.name);
    assert_eq!(does_as(&container, &["touch", "/var/x"], choose), "ok");
    assert_eq!(does_as(&container, &["touch", "/tmp/x"], choose), "EACCES");
    let unconfined = |process: corten::ProcessBuilder| process.apparmor_profile("unconfined");
    assert_eq!(does_as(&container, &["touch", "/var/y"], unconfined), "ok");
    let (_, text) = output(|process| container.exec(process), choose(probe(&["report"])));
    assert_eq!(serde_json::from_str::<Report>(&text)?.label, other.label());
    stage.runtime.purge(container.id())?;
    drop(child);
    Ok(())
}

fn a_profile_that_is_not_loaded_is_refused_by_name() -> Outcome {
    let missing = "corten-test-no-such-profile";
    let words = format!("unable to apply apparmor profile {missing:?}: it is not loaded");
    let error = refusal(|spec| spec.process.as_mut().unwrap().apparmor_profile = Some(missing.to_owned()));
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(error.to_string().contains(&words), "{error}");
    let stage = Stage::new(writable);
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let error = container.exec(probe(&["exit", "0"]).apparmor_profile(missing).build()?).unwrap_err();
    assert!(error.to_string().contains(&words), "{error}");
    container.signal(Signal::KILL)?;
    child.wait()?;
    Ok(container.destroy().map_err(Error::from)?)
}

/// The kernel is asked at the last moment, and nothing runs without.
fn a_profile_that_goes_before_the_start_is_missed() -> Outcome {
    let mut stage = Stage::new(writable);
    let profile = Profile::load(&stage, "gone", "/var");
    with_profile(&mut stage, &profile);
    let container = stage.container();
    let created = container.start_init(stage.process().build()?)?;
    profile.parser("--remove");
    let error = created.release().unwrap_err();
    assert!(error.to_string().contains("it is not loaded"), "{error}");
    Ok(container.destroy().map_err(Error::from)?)
}

/// CVE-2019-16884, CVE-2023-28642, CVE-2025-52881: what the image has at /proc takes the words, and the kernel none.
fn the_profile_holds_whatever_is_at_proc() -> Outcome {
    let mut stage = Stage::new(|spec| {
        writable(spec);
        let linux = spec.linux.as_mut().unwrap();
        (linux.masked_paths, linux.readonly_paths) = (Vec::new(), Vec::new());
        spec.mounts.retain(|mount| mount.destination != "/proc");
        spec.mounts.push(mount("/mnt", "proc", "proc", &[]));
    });
    let profile = Profile::load(&stage, "fake", "/var");
    with_profile(&mut stage, &profile);
    let fake = fake_proc(&stage);
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let label = fs::read_to_string(format!("/proc/{}/attr/apparmor/current", child.pid()))?;
    assert_eq!(Some(label.trim_end().to_owned()), profile.label());
    let (_, text) =
        output(|process| container.exec(process), probe(&["read", "/mnt/thread-self/attr/current"]));
    assert!(text.contains(&profile.name), "{text}");
    assert_eq!(does(&container, &["touch", "/var/x"]), "EACCES");
    for file in fake {
        assert_eq!(fs::read_to_string(&file)?, "fake", "{}", file.display());
    }
    stage.runtime.purge(container.id())?;
    drop(child);
    Ok(())
}

fn it_holds_in_a_user_namespace() -> Outcome {
    let mut stage = Stage::new(|spec| {
        let linux = spec.linux.as_mut().unwrap();
        linux.namespaces.push(corten::oci::Namespace { typ: "user".to_owned(), path: None });
        let mapping = corten::oci::IdMapping { container_id: 0, host_id: 100_000, size: 65_536 };
        (linux.uid_mappings, linux.gid_mappings) = (vec![mapping], vec![mapping]);
    });
    let profile = Profile::load(&stage, "user", "/var");
    with_profile(&mut stage, &profile);
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let (status, text) = output(|process| container.exec(process), probe(&["report"]));
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    assert_eq!(serde_json::from_str::<Report>(&text)?.label, profile.label());
    let label = fs::read_to_string(format!("/proc/{}/attr/apparmor/current", child.pid()))?;
    assert_eq!(Some(label.trim_end().to_owned()), profile.label());
    stage.runtime.purge(container.id())?;
    drop(child);
    Ok(())
}

/// What was saved comes back with its profile, or with another that is asked for.
fn the_profile_of_a_restored_container_can_be_chosen() -> Outcome {
    let mut stage = Stage::new(writable);
    let (one, other) = (Profile::load(&stage, "one", "/var"), Profile::load(&stage, "other", "/tmp"));
    with_profile(&mut stage, &one);
    let container = stage.container();
    drop(container.run(probe(&["sleep"]).build()?)?);
    let images = checkpoint(&stage, &container);
    let restore = || Restore::new(&images);
    let missing = container.restore(restore().lsm_profile("apparmor:corten-test-none")).unwrap_err();
    assert!(missing.to_string().contains("it is not loaded"), "{missing}");
    for (restore, profile) in
        [(restore(), &one), (restore().lsm_profile(format!("apparmor:{}", other.name)), &other)]
    {
        let child = container.restore(restore)?;
        let label = fs::read_to_string(format!("/proc/{}/attr/apparmor/current", child.pid()))?;
        assert_eq!(Some(label.trim_end().to_owned()), profile.label());
        container.signal(Signal::KILL)?;
        child.wait()?;
    }
    Ok(container.destroy().map_err(Error::from)?)
}

/// Where there is no AppArmor, a profile is no word to be ignored.
fn without_apparmor_a_profile_is_refused() -> Outcome {
    let error = refusal(|spec| spec.process.as_mut().unwrap().apparmor_profile = Some("corten".to_owned()));
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("apparmor: config provided but apparmor not supported"), "{error}");
    Ok(())
}

pub fn cases(suite: Suite) -> Suite {
    let cases: &[Case] = &[
        ("apparmor::init_and_execed_programs_are_confined", init_and_execed_programs_are_confined),
        (
            "apparmor::a_profile_that_is_not_loaded_is_refused_by_name",
            a_profile_that_is_not_loaded_is_refused_by_name,
        ),
        (
            "apparmor::a_profile_that_goes_before_the_start_is_missed",
            a_profile_that_goes_before_the_start_is_missed,
        ),
        ("apparmor::the_profile_holds_whatever_is_at_proc", the_profile_holds_whatever_is_at_proc),
        ("apparmor::it_holds_in_a_user_namespace", it_holds_in_a_user_namespace),
    ];
    let needs = [
        Requirement::Root,
        Requirement::Path("/sys/kernel/security/apparmor/profiles"),
        Requirement::Program("apparmor_parser"),
    ];
    let suite = add(suite, &needs, cases);
    let criu = [&needs[..], &[Requirement::Criu(&[])]].concat();
    let name = "apparmor::the_profile_of_a_restored_container_can_be_chosen";
    let suite = add(suite, &criu, &[(name, the_profile_of_a_restored_container_can_be_chosen)]);
    let name = "apparmor::without_apparmor_a_profile_is_refused";
    match fs::read_to_string(ENABLED).is_ok_and(|text| text.starts_with('Y')) {
        true => suite.ignored(name, "needs a machine without AppArmor"),
        false => add(suite, &[Requirement::Root], &[(name, without_apparmor_a_profile_is_refused)]),
    }
}
