//! SELinux. A machine that has it and no policy is given a small one, which knows few words, and enforces it.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use corten::oci::Spec;
use corten::{ErrorKind, Restore};
use corten_testkit::{Report, Requirement, Scratch, Suite};

use crate::common::{Case, Outcome, Stage, checkpoint, output, probe, refusal};
use crate::{add, does, does_as, mount, outcome, report_of};

const POLICY: &str = include_str!("policy.conf");
const PROCESS: &str = "system_u:system_r:corten_t";
const OTHER: &str = "system_u:system_r:corten_other_t";
const FILE: &str = "system_u:object_r:corten_file_t";
const MEMORY: &str = "system_u:object_r:memory_t";

/// Loads the policy, once, and puts it in force.
fn load() {
    static LOADED: OnceLock<()> = OnceLock::new();
    LOADED.get_or_init(|| {
        let scratch = Scratch::new().unwrap();
        let (source, binary) = (scratch.path().join("policy.conf"), scratch.path().join("policy"));
        fs::write(&source, POLICY).unwrap();
        let version = fs::read_to_string("/sys/fs/selinux/policyvers").unwrap();
        let options = ["-c", version.trim(), "-U", "allow", "-o"];
        let compiler = Command::new("checkpolicy").args(options).args([&binary, &source]).status();
        assert!(compiler.unwrap().success());
        fs::write("/sys/fs/selinux/load", fs::read(&binary).unwrap()).unwrap();
        fs::write("/sys/fs/selinux/enforce", "1").unwrap();
    });
}

fn labelled(spec: &mut Spec) {
    spec.process.as_mut().unwrap().selinux_label = Some(PROCESS.to_owned());
    spec.linux.as_mut().unwrap().mount_label = Some(FILE.to_owned());
    spec.mounts.push(mount("/tmp", "tmpfs", "tmpfs", &["size=1m"]));
}

fn programs_and_their_keys_are_labelled() -> Outcome {
    load();
    let stage = Stage::new(labelled);
    let report = report_of(&stage, |process| process);
    assert_eq!(report.label.as_deref(), Some(PROCESS));
    assert_eq!(report.session_keyring_label.as_deref(), Some(PROCESS));
    assert!(report.session_keyring.unwrap().contains("_ses."));
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let seen = |process| -> Report {
        let (_, text) = output(|process| container.exec(process), process);
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(seen(probe(&["report"])).label.as_deref(), Some(PROCESS));
    assert_eq!(seen(probe(&["report"]).selinux_label(OTHER)).label.as_deref(), Some(OTHER));
    stage.runtime.purge(container.id())?;
    drop(child);
    Ok(())
}

fn the_policy_holds_for_init_and_for_execed_programs() -> Outcome {
    load();
    let stage = Stage::new(|spec| {
        labelled(spec);
        spec.root.as_mut().unwrap().readonly = false;
    });
    let container = stage.container();
    for (path, expected) in [("/var/x", "EACCES"), ("/tmp/x", "ok")] {
        let (_, text) = output(|process| container.run(process), probe(&["write", path, "x"]));
        assert_eq!(outcome(&text), expected, "{path}: {text}");
    }
    let child = container.run(probe(&["sleep"]).init_reaper(true).build()?)?;
    assert_eq!(does(&container, &["write", "/var/x", "x"]), "EACCES");
    assert_eq!(does(&container, &["write", "/tmp/x", "x"]), "ok");
    assert_eq!(does_as(&container, &["write", "/var/x", "x"], |process| process.selinux_label(OTHER)), "ok");
    stage.runtime.purge(container.id())?;
    drop(child);
    Ok(())
}

fn mounts_are_labelled() -> Outcome {
    load();
    let option = format!("context={FILE}");
    for kind in ["context", "fscontext", "rootcontext"] {
        let stage = Stage::new(|spec| {
            labelled(spec);
            spec.mounts.push(mount("/var", "tmpfs", "tmpfs", &["context=\"system_u:object_r:unlabeled_t\""]));
            spec.annotations.insert("run.oci.mount_context_type".to_owned(), kind.to_owned());
        });
        let report = report_of(&stage, |process| process);
        let has = |place: &str, option: &str| report.mount(place).unwrap().has(option);
        if kind == "context" {
            assert!(
                ["/tmp", "/dev", "/dev/shm"].iter().all(|place| has(place, &option)),
                "{:?}",
                report.mounts
            );
        }
        if kind == "fscontext" {
            assert!(has("/tmp", &format!("fscontext={FILE}")), "{:?}", report.mount("/tmp"));
        }
        assert!(has("/var", "context=system_u:object_r:unlabeled_t"), "{:?}", report.mount("/var"));
        for place in ["/proc", "/sys", "/dev/mqueue"] {
            assert!(
                !report.mount(place).unwrap().super_options.iter().any(|o| o.contains("context")),
                "{place}"
            );
        }
    }
    let stage = Stage::new(labelled);
    let container = stage.container();
    for place in ["/tmp", "/dev/mqueue"] {
        let (_, text) = output(|process| container.run(process), probe(&["label", place]));
        assert!(text.contains(FILE), "{place}: {text}");
    }
    Ok(container.destroy().map_err(corten::Error::from)?)
}

fn labels_that_the_policy_does_not_know_are_refused() -> Outcome {
    load();
    let label = "system_u:system_r:nobody_t";
    let error = refusal(|spec| spec.process.as_mut().unwrap().selinux_label = Some(label.to_owned()));
    assert!(error.to_string().contains(&format!("unable to apply SELinux label {label:?}")), "{error}");
    assert!(error.to_string().contains("the loaded policy knows no such context"), "{error}");
    let error = refusal(|spec| spec.linux.as_mut().unwrap().mount_label = Some(label.to_owned()));
    assert!(error.to_string().contains(label), "{error}");
    let stage = Stage::new(labelled);
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let error = container.exec(probe(&["exit", "0"]).selinux_label(label).build()?).unwrap_err();
    assert!(error.to_string().contains(label), "{error}");
    assert_eq!(does_as(&container, &["read", "/etc/passwd"], |process| process.selinux_label(OTHER)), "ok");
    stage.runtime.purge(container.id())?;
    drop(child);
    Ok(())
}

/// Debian's CRIU knows no SELinux: what would come back without its label goes on, and what has none in its images does not come
/// back with one. The context of mounts is no matter of labels to it.
fn what_would_lose_its_label_is_neither_saved_nor_restored() -> Outcome {
    load();
    let words = |error: corten::Error, words: &str| {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let stage = Stage::new(labelled);
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    let images = stage.bundle.path().join("images");
    let request = corten::Checkpoint::new(&images).network_lock(corten::NetworkLock::Skip);
    words(
        container.checkpoint(request).unwrap_err(),
        &format!("has saved nothing of the label \"{PROCESS}\""),
    );
    assert_eq!(container.status()?, corten::Status::Running);
    assert_eq!(does(&container, &["read", "/etc/passwd"]), "ok");
    container.signal(corten::Signal::KILL)?;
    child.wait()?;
    container.destroy().map_err(corten::Error::from)?;

    let mut stage = Stage::new(|spec| {
        labelled(spec);
        spec.process.as_mut().unwrap().selinux_label = None;
    });
    let container = stage.container();
    drop(container.run(probe(&["sleep"]).build()?)?);
    let images = checkpoint(&stage, &container);
    container.destroy().map_err(corten::Error::from)?;
    stage.bundle.spec.process.as_mut().unwrap().selinux_label = Some(PROCESS.to_owned());
    let container = stage.container();
    words(container.restore(Restore::new(&images)).unwrap_err(), &format!("and not as selinux:{PROCESS}"));
    assert_eq!(container.status()?, corten::Status::Stopped);
    let asked = Restore::new(&images).lsm_profile(format!("selinux:{OTHER}"));
    let error = container.restore(asked).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Criu | ErrorKind::Unsupported), "{error}");
    assert_eq!(container.status()?, corten::Status::Stopped);
    Ok(container.destroy().map_err(corten::Error::from)?)
}

fn mounts_can_come_back_with_another_context() -> Outcome {
    load();
    let stage = Stage::new(|spec| {
        spec.linux.as_mut().unwrap().mount_label = Some(FILE.to_owned());
        spec.mounts.push(mount("/tmp", "tmpfs", "tmpfs", &["size=1m"]));
    });
    let container = stage.container();
    drop(container.run(probe(&["sleep"]).build()?)?);
    let images = checkpoint(&stage, &container);
    for (asked, context) in [(None, FILE), (Some(MEMORY), MEMORY)] {
        let restore = Restore::new(&images);
        let child = container.restore(match asked {
            Some(context) => restore.lsm_mount_context(context),
            None => restore,
        })?;
        let (_, text) = output(|process| container.exec(process), probe(&["report"]));
        let report: Report = serde_json::from_str(&text)?;
        let tmp = report.mount("/tmp").unwrap();
        assert!(tmp.has(&format!("context={context}")), "{tmp:?}");
        container.signal(corten::Signal::KILL)?;
        child.wait()?;
    }
    Ok(container.destroy().map_err(corten::Error::from)?)
}

fn without_selinux_labels_are_refused() -> Outcome {
    let words = "selinux label is specified in config, but selinux is disabled or not supported";
    let process = |spec: &mut Spec| spec.process.as_mut().unwrap().selinux_label = Some(PROCESS.to_owned());
    let mounts = |spec: &mut Spec| spec.linux.as_mut().unwrap().mount_label = Some(FILE.to_owned());
    for error in [refusal(process), refusal(mounts)] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    Ok(())
}

pub fn cases(suite: Suite) -> Suite {
    let cases: &[Case] = &[
        ("selinux::programs_and_their_keys_are_labelled", programs_and_their_keys_are_labelled),
        (
            "selinux::the_policy_holds_for_init_and_for_execed_programs",
            the_policy_holds_for_init_and_for_execed_programs,
        ),
        ("selinux::mounts_are_labelled", mounts_are_labelled),
        (
            "selinux::labels_that_the_policy_does_not_know_are_refused",
            labels_that_the_policy_does_not_know_are_refused,
        ),
    ];
    let restored: &[Case] = &[
        (
            "selinux::what_would_lose_its_label_is_neither_saved_nor_restored",
            what_would_lose_its_label_is_neither_saved_nor_restored,
        ),
        ("selinux::mounts_can_come_back_with_another_context", mounts_can_come_back_with_another_context),
    ];
    let needs =
        [Requirement::Root, Requirement::Path("/sys/fs/selinux/load"), Requirement::Program("checkpolicy")];
    let there = std::path::Path::new("/sys/fs/selinux/load").exists();
    // The policy of somebody's machine is theirs.
    let label = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    let taken = there && label.trim_end_matches(['\0', '\n']) != "kernel";
    let suite = match taken {
        true => cases
            .iter()
            .chain(restored)
            .fold(suite, |suite, (name, _)| suite.ignored(name, "needs SELinux without a policy")),
        false => {
            let criu = [&needs[..], &[Requirement::Criu(&[])]].concat();
            add(add(suite, &needs, cases), &criu, restored)
        }
    };
    let name = "selinux::without_selinux_labels_are_refused";
    match there {
        true => suite.ignored(name, "needs a machine without SELinux"),
        false => add(suite, &[Requirement::Root], &[(name, without_selinux_labels_are_refused)]),
    }
}
