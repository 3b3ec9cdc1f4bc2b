//! Landlock.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use corten::oci::Spec;
use corten::{Error, ErrorKind, ExitStatus, Landlock, Process};
use corten_testkit::{Requirement, Suite};
use serde_json::{Value, json};

use crate::common::{Case, Outcome, Stage, output, probe, refusal};
use crate::{add, does, does_as, outcome, report_of};

const ANNOTATION: &str = "org.corten.process.landlock";

/// Writing is for /tmp alone, executing for /bin.
fn files() -> Value {
    json!({
        "ruleset": { "handledAccessFS": ["write_file", "make_reg", "make_dir", "execute"] },
        "rules": { "pathBeneath": [
            { "allowedAccess": ["write_file", "make_reg"], "paths": ["/tmp"] },
            { "allowedAccess": ["execute"], "paths": ["/bin"] },
        ] },
    })
}

fn confined(policy: &Value) -> impl FnOnce(&mut Spec) {
    let text = policy.to_string();
    move |spec| {
        spec.root.as_mut().unwrap().readonly = false;
        spec.annotations.insert(ANNOTATION.to_owned(), text);
    }
}

fn policy(value: Value) -> Landlock {
    serde_json::from_value(value).unwrap()
}

fn files_are_closed_to_init_and_to_execed_programs() -> Outcome {
    let stage = Stage::new(confined(&files()));
    let container = stage.container();
    for (path, expected) in [("/var/x", "EACCES"), ("/tmp/init", "ok")] {
        let (_, text) =
            output(|process| container.run(process), probe(&["touch", path]).no_new_privileges(true));
        assert_eq!(outcome(&text), expected, "{path}: {text}");
    }
    let child = container.run(probe(&["sleep"]).build()?)?;
    assert_eq!(does(&container, &["touch", "/var/x"]), "EACCES");
    assert_eq!(does(&container, &["touch", "/tmp/x"]), "ok");
    assert_eq!(does(&container, &["mkdir", "/tmp/d"]), "EACCES", "it is handled, and allowed nowhere");
    assert_eq!(does(&container, &["read", "/etc/passwd"]), "ok", "it is not handled");
    fs::copy(corten_testkit::probe(), stage.bundle.rootfs().path().join("var/probe"))?;
    assert_eq!(does(&container, &["exec", "/var/probe", "exit", "0"]), "EACCES");
    let var = policy(json!({
        "ruleset": { "handledAccessFS": ["write_file", "make_reg"] },
        "rules": { "pathBeneath": [{ "allowedAccess": ["write_file", "make_reg"], "paths": ["/var"] }] },
    }));
    for (path, expected) in [("/var/y", "ok"), ("/tmp/y", "EACCES")] {
        let var = var.clone();
        assert_eq!(
            does_as(&container, &["touch", path], |process| process.landlock(var)),
            expected,
            "{path}"
        );
    }
    stage.runtime.purge(container.id())?;
    drop(child);
    Ok(())
}

/// Of the same ruleset, for the library: with a user, a terminal's PID 1 before the program, and nothing left open.
fn every_kind_of_program_is_confined() -> Outcome {
    let stage = Stage::new(confined(&files()));
    let closed = stage.bundle.rootfs().path().join("root");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700))?;
    let config = corten::ConfigBuilder::from(stage.config());
    let mut own = files();
    // Only root gets there; the rule is made before the program is somebody else.
    own["rules"]["pathBeneath"][0]["paths"] = json!(["/root"]);
    let container = stage.runtime.create(&stage.id(), config.landlock(policy(own)).build()?)?;
    let run = |process| output(|process| container.run(process), process);
    let (_, text) = run(probe(&["touch", "/tmp/x"]).user((1, 1)));
    assert_eq!(outcome(&text), "EACCES", "{text}");
    let (_, text) = run(probe(&["touch", "/root/x"]).init_reaper(true));
    assert_eq!(outcome(&text), "ok", "{text}");
    let (_, text) = run(probe(&["touch", "/tmp/x"]).init_reaper(true));
    assert_eq!(outcome(&text), "EACCES", "{text}");
    container.destroy().map_err(Error::from)?;
    let report = report_of(&stage, |process| process);
    assert_eq!(report.fds.unwrap().keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    Ok(())
}

fn ports_are_closed() -> Outcome {
    let stage = Stage::new(confined(&json!({
        "ruleset": { "handledAccessNet": ["bind_tcp", "connect_tcp"] },
        "rules": { "netPort": [{ "allowedAccess": ["bind_tcp", "connect_tcp"], "ports": [4000, 4002] }] },
    })));
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    for (port, bind, connect) in
        [("4000", "ok", "ECONNREFUSED"), ("4001", "EACCES", "EACCES"), ("4002", "ok", "ECONNREFUSED")]
    {
        assert_eq!(does(&container, &["bind", port]), bind, "{port}");
        assert_eq!(does(&container, &["dial", port]), connect, "{port}");
    }
    stage.runtime.purge(container.id())?;
    drop(child);
    Ok(())
}

fn signals_stay_within() -> Outcome {
    for (policy, expected) in [
        (json!({"ruleset": {"scoped": ["abstract_unix_socket"]}}), "ok"),
        (json!({"ruleset": {"scoped": ["signal", "abstract_unix_socket"]}}), "EPERM"),
    ] {
        let stage = Stage::new(confined(&policy));
        let container = stage.container();
        let child = container.run(probe(&["sleep"]).build()?)?;
        assert_eq!(does(&container, &["signal", "1"]), expected, "{policy}");
        stage.runtime.purge(container.id())?;
        drop(child);
    }
    Ok(())
}

/// A right that no kernel has, and one that this one has only if it is new enough.
fn what_the_kernel_does_not_know_is_refused_unless_best_effort_is_said() -> Outcome {
    let error = refusal(confined(&json!({"ruleset": {"handledAccessFS": ["write_file", "fly"]}})));
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(error.to_string().contains(r#"no access right "fly""#), "{error}");
    let newest = |best_effort: Value| {
        json!({
            "ruleset": { "handledAccessFS": ["write_file"], "handledAccessNet": ["connect_send_udp"] },
            "rules": { "netPort": [{ "allowedAccess": ["connect_send_udp"], "ports": [53] }] },
            "disableBestEffort": best_effort,
        })
    };
    if corten_sys::landlock::abi()? < 10 {
        let error = refusal(confined(&newest(json!(true))));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("no connect_send_udp (since ABI 10)"), "{error}");
    }
    let stage = Stage::new(confined(&newest(json!(false))));
    let container = stage.container();
    let (_, text) =
        output(|process| container.run(process), probe(&["touch", "/var/x"]).no_new_privileges(true));
    assert_eq!(outcome(&text), "EACCES", "what the kernel knows holds: {text}");
    Ok(container.destroy().map_err(Error::from)?)
}

fn rules_are_for_what_is_inside() -> Outcome {
    let mut own = files();
    own["rules"]["pathBeneath"][0]["paths"] = json!(["/var/link"]);
    let stage = Stage::new(confined(&own));
    let link = stage.bundle.rootfs().path().join("var/link");
    // An absolute link of the image leads to the image's own directory.
    symlink("/tmp", &link)?;
    let container = stage.container();
    let run = |deed: &[&str]| container.run(probe(deed).no_new_privileges(true).build().unwrap());
    let (_, text) =
        output(|process| container.run(process), probe(&["touch", "/tmp/x"]).no_new_privileges(true));
    assert_eq!(outcome(&text), "ok", "{text}");
    fs::remove_file(&link)?;
    symlink(stage.bundle.path(), &link)?;
    let error = run(&["exit", "0"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(error.to_string().contains("Landlock rule for /var/link: no such file"), "{error}");
    fs::remove_file(&link)?;
    fs::write(&link, "")?;
    let directory = policy(json!({
        "ruleset": { "handledAccessFS": ["read_dir"] },
        "rules": { "pathBeneath": [{ "allowedAccess": ["read_dir"], "paths": ["/var/link"] }] },
    }));
    let process = probe(&["exit", "0"]).no_new_privileges(true).landlock(directory).build()?;
    let error = container.run(process).unwrap_err();
    assert!(error.to_string().contains("it is no directory"), "{error}");
    Ok(container.destroy().map_err(Error::from)?)
}

fn it_needs_a_program_that_can_gain_nothing() -> Outcome {
    let error = refusal(|spec| {
        confined(&files())(spec);
        spec.process.as_mut().unwrap().no_new_privileges = false;
    });
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(error.to_string().contains("landlock needs noNewPrivileges"), "{error}");
    // Or one that could do everything.
    let stage = Stage::new(|spec| {
        confined(&files())(spec);
        let process = spec.process.as_mut().unwrap();
        process.no_new_privileges = false;
        process.capabilities = None;
    });
    let container = stage.container();
    let run = |process| output(|process| container.run(process), process);
    let (_, text) = run(probe(&["touch", "/var/x"]));
    assert_eq!(outcome(&text), "EACCES", "{text}");
    // Which the kernel judges: this one has no capability left.
    let process = probe(&["exit", "0"]).user((1, 1)).build()?;
    let error = container.run(process).unwrap_err();
    assert!(error.to_string().contains("it needs noNewPrivileges"), "{error}");
    Ok(container.destroy().map_err(Error::from)?)
}

fn a_program_that_may_not_be_executed_says_why() -> Outcome {
    let error = refusal(confined(&json!({"ruleset": {"handledAccessFS": ["execute"]}})));
    assert_eq!(error.kind(), ErrorKind::CommandNotFound, "{error}");
    assert!(error.to_string().contains("a Landlock rule must allow to execute it"), "{error}");
    Ok(())
}

/// A process's own ruleset needs no other of the container's.
fn a_process_can_have_one_alone() -> Outcome {
    let stage = Stage::new(|spec| spec.root.as_mut().unwrap().readonly = false);
    let container = stage.container();
    let process = Process::builder("/bin/probe")
        .args(["touch", "/var/x"])
        .no_new_privileges(true)
        .landlock(policy(files()));
    let (status, text) = output(|process| container.run(process), process);
    assert_eq!((status, outcome(&text).as_str()), (ExitStatus::Exited(1), "EACCES"), "{text}");
    Ok(container.destroy().map_err(Error::from)?)
}

pub fn cases(suite: Suite) -> Suite {
    let first: &[Case] = &[
        (
            "landlock::files_are_closed_to_init_and_to_execed_programs",
            files_are_closed_to_init_and_to_execed_programs,
        ),
        ("landlock::every_kind_of_program_is_confined", every_kind_of_program_is_confined),
        ("landlock::rules_are_for_what_is_inside", rules_are_for_what_is_inside),
        ("landlock::it_needs_a_program_that_can_gain_nothing", it_needs_a_program_that_can_gain_nothing),
        (
            "landlock::a_program_that_may_not_be_executed_says_why",
            a_program_that_may_not_be_executed_says_why,
        ),
        ("landlock::a_process_can_have_one_alone", a_process_can_have_one_alone),
        (
            "landlock::what_the_kernel_does_not_know_is_refused_unless_best_effort_is_said",
            what_the_kernel_does_not_know_is_refused_unless_best_effort_is_said,
        ),
    ];
    let suite = add(suite, &[Requirement::Root, Requirement::Landlock(1)], first);
    let suite = add(
        suite,
        &[Requirement::Root, Requirement::Landlock(4)],
        &[("landlock::ports_are_closed", ports_are_closed)],
    );
    let scoped: &[Case] = &[("landlock::signals_stay_within", signals_stay_within)];
    add(suite, &[Requirement::Root, Requirement::Landlock(6)], scoped)
}
