//! Seccomp profiles as engines hand them to a runtime.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::process::ExitCode;

use common::{Outcome, Stage};
use corten_oci::{Capabilities, Seccomp, Spec, SyscallRule};
use corten_testkit::{DEFAULT_CAPABILITIES, Engine, Report};

fn native() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "SCMP_ARCH_AARCH64",
        _ => "SCMP_ARCH_X86_64",
    }
}

/// A container as an engine makes one without options.
fn by(engine: Engine, no_new_privileges: bool) -> impl Fn(&mut Spec) {
    move |spec| {
        let names: Vec<String> = DEFAULT_CAPABILITIES.map(str::to_owned).into();
        let sets = Capabilities {
            bounding: names.clone(),
            effective: names.clone(),
            permitted: names,
            ..Capabilities::default()
        };
        let process = spec.process.as_mut().unwrap();
        (process.capabilities, process.no_new_privileges) = (Some(sets), no_new_privileges);
        spec.linux.as_mut().unwrap().seccomp = Some(engine.profile(native(), &DEFAULT_CAPABILITIES));
    }
}

fn the_profiles_of_engines_run() -> Outcome {
    for engine in [Engine::Docker, Engine::Podman] {
        for no_new_privileges in [true, false] {
            let stage = Stage::new(by(engine, no_new_privileges));
            let report: Report = stage.does(&["run", stage.id()]).json()?;
            assert_eq!((report.seccomp, report.seccomp_filters), (Some(2), Some(1)));
            assert_eq!(report.no_new_privs, Some(no_new_privileges));
            stage.nothing_is_left();
        }
    }
    Ok(())
}

/// What both deny, and what both allow, in init and in what joins it.
fn the_profiles_of_engines_hold() -> Outcome {
    for engine in [Engine::Docker, Engine::Podman] {
        let stage = Stage::new(|spec| {
            by(engine, false)(spec);
            spec.process.as_mut().unwrap().args.push("sleep".to_owned());
        });
        let id = stage.id();
        stage.does(&["create", id]);
        stage.does(&["start", id]);
        let probe = |arguments: &[&str]| {
            let command: Vec<&str> = ["exec", id, "/bin/probe"].iter().chain(arguments).copied().collect();
            stage.corten(&command).output().unwrap()
        };
        let denied = probe(&["mount", "none", "/tmp", "tmpfs"]).code(1)?;
        assert!(denied.stdout.contains("EPERM"), "{}", denied.stdout);
        probe(&["mkdir", "/dev/shm/made"]).success()?;
        let process = serde_json::to_vec(stage.bundle.spec.process.as_ref().unwrap())?;
        let mut document: corten_oci::Process = serde_json::from_slice(&process)?;
        document.args = vec!["/bin/probe".to_owned()];
        let document = serde_json::to_vec(&document)?;
        let report: Report =
            stage.corten(&["exec", "-p", "-", id]).stdin(document).output()?.success()?.json()?;
        assert_eq!(report.seccomp, Some(2), "of a whole process document too");
        stage.does(&["delete", "--force", id]);
        stage.nothing_is_left();
    }
    Ok(())
}

fn a_shell_of_busybox_lives_under_them() -> Outcome {
    for engine in [Engine::Docker, Engine::Podman] {
        let script = "mkdir /dev/shm/a && ls -l /dev/shm | wc -l; (sleep 0; exit 3); echo $?";
        let stage = Stage::busybox(|spec| {
            by(engine, false)(spec);
            spec.process.as_mut().unwrap().args = ["sh", "-c", script].map(str::to_owned).to_vec();
        });
        assert_eq!(stage.does(&["run", stage.id()]).stdout, "2\n3\n");
        stage.nothing_is_left();
    }
    Ok(())
}

fn a_killed_program_is_told_of_as_a_shell_does() -> Outcome {
    let stage = Stage::new(|spec| {
        let names = ["mkdir", "mkdirat"].map(str::to_owned).to_vec();
        let rule = SyscallRule { names, action: "SCMP_ACT_KILL".to_owned(), ..SyscallRule::default() };
        let default_action = "SCMP_ACT_ALLOW".to_owned();
        spec.linux.as_mut().unwrap().seccomp =
            Some(Seccomp { default_action, syscalls: vec![rule], ..Seccomp::default() });
        spec.process.as_mut().unwrap().args.extend(["mkdir", "/dev/shm/made"].map(str::to_owned));
    });
    stage.corten(&["run", stage.id()]).output()?.code(159)?;
    stage.nothing_is_left();
    Ok(())
}

fn a_wrong_word_is_named_and_nothing_is_made() -> Outcome {
    let stage = Stage::new(|spec| {
        let default_action = "SCMP_ACT_DANCE".to_owned();
        spec.linux.as_mut().unwrap().seccomp = Some(Seccomp { default_action, ..Seccomp::default() });
    });
    let error = stage.fails(&["create", stage.id()], 1);
    assert!(error.contains("SCMP_ACT_DANCE is not a valid action for seccomp"), "{error}");
    Ok(())
}

fn main() -> ExitCode {
    common::run(&[
        ("the_profiles_of_engines_run", the_profiles_of_engines_run),
        ("the_profiles_of_engines_hold", the_profiles_of_engines_hold),
        ("a_shell_of_busybox_lives_under_them", a_shell_of_busybox_lives_under_them),
        ("a_killed_program_is_told_of_as_a_shell_does", a_killed_program_is_told_of_as_a_shell_does),
        ("a_wrong_word_is_named_and_nothing_is_made", a_wrong_word_is_named_and_nothing_is_made),
    ])
}
