//! Checkpoints as one file.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use common::keeping::{Checkpoint, LITTLE, UNLOCKED, count, keeping, with_user_namespace};
use common::{Outcome, Stage, corten, eventually};
use corten_oci::{Mount, Spec};
use corten_testkit::{Requirement, Run, Suite, patience};
use serde_json::Value;

/// A bind mount of a directory of the bundle's, by its path on this machine.
fn data(spec: &mut Spec, stage: &str) {
    spec.mounts.push(Mount {
        destination: "/data".to_owned(),
        typ: Some("bind".to_owned()),
        source: Some(stage.to_owned()),
        options: ["bind", "ro", "rprivate"].map(str::to_owned).into(),
        ..Mount::default()
    });
}

/// A container that keeps things, and a directory `data` beside its root.
fn with_data() -> Stage {
    let mut stage = keeping(LITTLE, |_| {});
    let directory = stage.bundle.path().join("data");
    fs::create_dir(&directory).unwrap();
    data(&mut stage.bundle.spec, directory.to_str().unwrap());
    stage.bundle.write().unwrap();
    stage
}

/// The names of what is in a bundle, the hidden ones among them.
fn names(stage: &Stage) -> Vec<String> {
    let entries = fs::read_dir(stage.bundle.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What the container's program answers after it was saved to an archive.
fn export(stage: &Stage, options: &[&str]) -> (Value, PathBuf) {
    stage.starts();
    stage.ask("write");
    let before = stage.ask("");
    let archive = stage.bundle.path().join("archive");
    let command = [&["checkpoint", "--export", "archive"], &UNLOCKED[..], options, &[stage.id()]].concat();
    stage.corten(&command).deadline(patience(60)).output().unwrap().success().unwrap();
    (before, archive)
}

fn import(stage: &Stage, archive: &str, options: &[&str]) -> corten_testkit::Output {
    let command = [&["restore", "--detach", "--import", archive], options, &[stage.id()]].concat();
    let run = stage.corten(&command).env("TMPDIR", stage.bundle.path().to_str().unwrap());
    run.deadline(patience(60)).output().unwrap()
}

/// Another bundle, with another state directory and the same files, goes on where the first one was.
fn an_archive_goes_on_in_another_bundle() -> Outcome {
    let first = with_data();
    fs::write(first.bundle.path().join("data/which"), "first")?;
    let (before, archive) = export(&first, &[]);
    assert!(!first.state().join(first.id()).exists(), "the container is deleted");
    assert_eq!(fs::metadata(&archive)?.permissions().mode() & 0o777, 0o600, "memory is nobody else's");
    assert!(!names(&first).iter().any(|name| name.starts_with(".archive")), "{:?}", names(&first));

    let second = with_data();
    fs::write(second.bundle.path().join("data/which"), "second")?;
    fs::remove_file(second.bundle.path().join("config.json"))?;
    let there = names(&second);
    import(&second, archive.to_str().unwrap(), &[]).success()?;
    let mut after = there.clone();
    after.push("state".to_owned());
    assert_eq!(names(&second), after, "the images are gone");
    let answer = second.ask("");
    assert!(count(&answer) >= count(&before), "{answer} after {before}");
    assert_eq!(answer["intact"], true);
    let read = second.does(&["exec", second.id(), "/bin/probe", "read", "/data/which"]);
    assert!(read.stdout.contains("second"), "{}", read.stdout);
    Ok(())
}

/// Of a restore that fails the log is left, and of one that does not nothing.
fn a_failed_restore_leaves_its_log() -> Outcome {
    let stage = keeping(LITTLE, |spec| spec.root.as_mut().unwrap().readonly = true);
    let (_, archive) = export(&stage, &[]);
    let archive = archive.to_str().unwrap();
    let there = names(&stage);
    // No place of the container's is there any more for what it had open.
    let probe = stage.bundle.rootfs().path().join("bin/probe");
    let kept = stage.bundle.path().join("kept");
    fs::rename(&probe, &kept)?; // other tests have the same file
    fs::write(&probe, "shorter")?;
    let message = import(&stage, archive, &[]).code(1)?.stderr;
    let log = message.split("the whole log is in ").nth(1).unwrap();
    let log = PathBuf::from(log.split(['"', '\\', '\n']).next().unwrap());
    assert!(fs::read_to_string(&log)?.contains("Error"), "{message}");
    let directory = log.parent().unwrap();
    assert_eq!(fs::read_dir(directory)?.count(), 1, "the images are gone");
    fs::remove_dir_all(directory)?;
    fs::rename(&kept, &probe)?;
    // CRIU needs a directory for its own, which need not have been there.
    drop(fs::remove_dir(stage.bundle.rootfs().path().join("tmp")));
    import(&stage, archive, &[]).success()?;
    stage.ask("");
    assert_eq!(names(&stage), there);
    Ok(())
}

/// The images can be kept, and the container go on.
fn images_can_be_kept() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    let (_, archive) = export(&stage, &["--leave-running", "--image-path", "images"]);
    assert_eq!(stage.status(), "running");
    stage.ask("");
    stage.does(&["delete", "--force", stage.id()]);
    stage.restores("images", &[]);
    stage.does(&["delete", "--force", stage.id()]);
    import(&stage, archive.to_str().unwrap(), &["--image-path", "unpacked"]).success()?;
    stage.ask("");
    assert!(stage.bundle.path().join("unpacked/descriptors.json").exists());
    stage.does(&["delete", "--force", stage.id()]);
    let output = import(&stage, archive.to_str().unwrap(), &["--image-path", "unpacked"]).code(1)?;
    assert!(output.stderr.contains("make the directory"), "{}", output.stderr);
    Ok(())
}

/// Where the archive cannot be written, what was saved is not lost.
fn a_failed_export_loses_nothing() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    stage.starts();
    let refused = |options: &[&str], told: &str| {
        let command = [&["checkpoint"], options, &[stage.id()]].concat();
        let message = stage.corten(&command).output().unwrap().code(1).unwrap().stderr;
        assert!(message.contains(told), "{message}");
        assert_eq!(stage.status(), "running");
    };
    refused(&["--export", "no/such/directory"], "no/such/.directory.partial-");
    refused(&["--export", "archive", "--pre-dump"], "--pre-dump");
    fs::create_dir_all(stage.bundle.path().join("archive/full"))?;
    let command = [&["checkpoint", "--export", "archive"], &UNLOCKED[..], &[stage.id()]].concat();
    let message = stage.corten(&command).deadline(patience(60)).output()?.code(1)?.stderr;
    assert!(
        message.contains("the container is saved in") && message.contains(".archive.images-"),
        "{message}"
    );
    let hidden: Vec<_> = names(&stage).into_iter().filter(|name| name.starts_with('.')).collect();
    let [images] = &hidden[..] else { panic!("{hidden:?}") };
    stage.restores(images, &[]);
    stage.ask("");
    Ok(())
}

/// A file that is none of these archives is refused before there is anything, and so is half of one.
fn a_damaged_archive_is_refused() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    let (_, archive) = export(&stage, &[]);
    let there = names(&stage);
    let whole = fs::read(&archive)?;
    for (text, told) in [
        (&b"nothing of the kind"[..], "no archive of a checkpoint"),
        (&[], "the archive ends before corten-checkpoint.json"),
        (&whole[..whole.len() / 2], "damaged"),
    ] {
        fs::write(&archive, text)?;
        let message = import(&stage, archive.to_str().unwrap(), &[]).code(1)?.stderr;
        assert!(message.contains(told), "{message}");
        assert_eq!(names(&stage), there);
        assert!(!stage.state().join(stage.id()).exists());
    }
    Ok(())
}

/// CRIU opens some images as the container's root, who is nobody here.
fn an_archive_of_a_user_namespace_goes_on() -> Outcome {
    let stage = keeping(LITTLE, with_user_namespace);
    fs::set_permissions(stage.bundle.path(), fs::Permissions::from_mode(0o755))?;
    let (_, archive) = export(&stage, &[]);
    import(&stage, archive.to_str().unwrap(), &[]).success()?;
    assert_eq!(stage.ask("")["intact"], true);
    stage.does(&["delete", "--force", stage.id()]);
    Ok(())
}

/// The images of a checkpoint that builds on pre-dumps are all in its archive.
fn pre_dumps_are_in_the_archive(edit: impl FnOnce(&mut Spec)) -> Outcome {
    let stage = keeping(LITTLE, edit);
    fs::set_permissions(stage.bundle.path(), fs::Permissions::from_mode(0o755))?;
    stage.starts();
    stage.checkpoints("0", &["--pre-dump"]);
    stage.ask("write");
    stage.checkpoints("1", &["--pre-dump", "--parent-path", "../0"]);
    let parent = [&["checkpoint", "--parent-path", "../1", "--export", "archive"], &UNLOCKED[..]].concat();
    let command = [&parent[..], &[stage.id()]].concat();
    let message = stage.corten(&command).output()?.code(1)?.stderr;
    assert!(message.contains("--export with --parent-path needs --image-path"), "{message}");
    let images = stage.images("2");
    let command = [&parent[..], &["--image-path", &images, stage.id()]].concat();
    stage.corten(&command).deadline(patience(60)).output()?.success()?;
    for round in ["0", "1", "2"] {
        fs::remove_dir_all(stage.images(round))?;
    }
    let there = names(&stage);
    import(&stage, "archive", &[]).success()?;
    assert_eq!(names(&stage), there, "the images are gone");
    let memory = stage.ask("");
    assert_eq!((&memory["writes"], &memory["intact"]), (&1.into(), &true.into()));
    stage.does(&["delete", "--force", stage.id()]);
    Ok(())
}

/// Whether there was a terminal is known of a container, and of one that was restored.
fn an_archive_knows_of_a_terminal() -> Outcome {
    let stage = keeping(LITTLE, |spec| spec.process.as_mut().unwrap().terminal = true);
    let socket = stage.bundle.path().join("console");
    let listener = std::os::unix::net::UnixListener::bind(&socket)?;
    let console = ["--console-socket", socket.to_str().unwrap()];
    let mut masters = Vec::new();
    let mut attended = |command: &[&str]| -> Outcome {
        let command = [command, &console, &[stage.id()]].concat();
        stage.corten(&command).deadline(patience(60)).output()?.success()?;
        // The terminal is there as long as its other end.
        masters.push(common::receive(&listener.accept()?.0).1);
        eventually("reach the container's program", || {
            let asked = ["exec", stage.id(), "/bin/probe", "ask", common::keeping::SOCKET, ""];
            stage.corten(&asked).output().unwrap().status.success()
        });
        Ok(())
    };
    attended(&["run", "--detach"])?;
    for round in ["1", "2"] {
        let archive = stage.images(round);
        stage.does(&["checkpoint", UNLOCKED[0], UNLOCKED[1], "--export", &archive, stage.id()]);
        let message = import(&stage, &archive, &[]).code(1)?.stderr;
        assert!(message.contains("without setting console socket"), "{message}");
        attended(&["restore", "--detach", "--import", &archive])?;
        assert_eq!(stage.ask("")["intact"], true, "{round}");
    }
    stage.does(&["delete", "--force", stage.id()]);
    Ok(())
}

/// What the programs may use and this machine lacks is told before the restore: here its processor can do nothing.
fn a_machine_that_does_not_fit_is_told_of() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    let (before, archive) = export(&stage, &[]);
    let there = names(&stage);
    let script = "sed -E 's/^((flags|[Ff]eatures|isa).*: ).*/\\1none/' /proc/cpuinfo >\"$1/cpuinfo\" && \
        mount --bind \"$1/cpuinfo\" /proc/cpuinfo && rm \"$1/cpuinfo\" && shift && exec \"$@\"";
    let place =
        |run: Run| run.current_dir(stage.bundle.path()).env("TMPDIR", stage.bundle.path().to_str().unwrap());
    let run = Run::new("unshare").args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    let run = run.arg(stage.bundle.path()).arg(corten()).arg("--root").arg(stage.state());
    let message =
        place(run.args(["restore", "--detach", "--import", "archive", stage.id()])).output()?.code(1)?.stderr;
    assert!(message.contains("its programs may use what this processor lacks: "), "{message}");
    assert_eq!(names(&stage), there);
    assert!(!stage.state().join(stage.id()).exists());
    import(&stage, archive.to_str().unwrap(), &[]).success()?;
    assert!(count(&stage.ask("")) >= count(&before));
    stage.does(&["delete", "--force", stage.id()]);
    Ok(())
}

fn main() -> ExitCode {
    // Built before the first case, whose deadline is short.
    corten();
    let fit = &[Requirement::Root, Requirement::Criu(&[])];
    let tracking = &[Requirement::Root, Requirement::Criu(&["mem_dirty_track"])];
    Suite::new()
        .needs(fit, "an_archive_goes_on_in_another_bundle", an_archive_goes_on_in_another_bundle)
        .needs(fit, "a_failed_restore_leaves_its_log", a_failed_restore_leaves_its_log)
        .needs(fit, "images_can_be_kept", images_can_be_kept)
        .needs(fit, "a_failed_export_loses_nothing", a_failed_export_loses_nothing)
        .needs(fit, "a_damaged_archive_is_refused", a_damaged_archive_is_refused)
        .needs(fit, "an_archive_of_a_user_namespace_goes_on", an_archive_of_a_user_namespace_goes_on)
        .needs(fit, "an_archive_knows_of_a_terminal", an_archive_knows_of_a_terminal)
        .needs(tracking, "pre_dumps_are_in_the_archive", || pre_dumps_are_in_the_archive(|_| {}))
        .needs(tracking, "pre_dumps_of_a_user_namespace_are", || {
            pre_dumps_are_in_the_archive(with_user_namespace)
        })
        .needs(fit, "a_machine_that_does_not_fit_is_told_of", a_machine_that_does_not_fit_is_told_of)
        .run()
}
