//! Checkpoints and restores that fail: what was to go on goes on, and nothing half-done stays.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use common::keeping::{Checkpoint, LITTLE, UNLOCKED, count, keeping, words};
use common::{Outcome, Stage, corten};
use corten_oci::Spec;
use corten_testkit::{Requirement, Run, Suite, missing, patience};

/// A container that is left running, or whose checkpoint fails, goes on.
fn what_is_to_go_on_goes_on() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    stage.starts();
    let mut last = count(&stage.ask(""));
    let mut goes_on = |why: &str| {
        assert_eq!(stage.status(), "running", "{why}");
        let now = count(&stage.ask(""));
        assert!(now > last, "{why}");
        last = now;
    };
    stage.checkpoints("images", &["--leave-running", UNLOCKED[0], UNLOCKED[1]]);
    goes_on("left running");
    // A file where a directory of images should be, and a directory where CRIU wants to write a file.
    let images = stage.images("file");
    std::fs::write(&images, "")?;
    let message =
        stage.corten(&["checkpoint", "--image-path", &images, stage.id()]).output()?.code(1)?.stderr;
    assert!(message.contains("file"), "{message}");
    goes_on("no directory");
    let images = stage.images("blocked");
    std::fs::create_dir_all(format!("{images}/inventory.img"))?;
    let command = ["checkpoint", UNLOCKED[0], UNLOCKED[1], "--image-path", &images, stage.id()];
    let message = stage.corten(&command).output()?.code(1)?.stderr;
    assert!(message.contains("criu failed") && message.contains("dump.log"), "{message}");
    goes_on("an image that cannot be written");
    stage.does(&["pause", stage.id()]);
    let ignored = ["checkpoint", "--manage-cgroups-mode", "ignore", stage.id()];
    let message = stage.corten(&ignored).output()?.code(1)?.stderr;
    assert!(message.contains("paused state: resume it first"), "{message}");
    assert_eq!(stage.status(), "paused");
    // An engine pauses a container before it saves it.
    let v2 = missing(&[Requirement::CgroupV2("memory")]).is_none();
    if v2 {
        stage.checkpoints("paused", &["--leave-running", UNLOCKED[0], UNLOCKED[1]]);
        assert_eq!(stage.status(), "paused");
        let message = stage.corten(&command).output()?.code(1)?.stderr;
        assert!(message.contains("criu failed"), "{message}");
    } else {
        let message = stage.corten(&["checkpoint", stage.id()]).output()?.code(1)?.stderr;
        assert!(message.contains("paused state: resume it first"), "{message}");
    }
    assert_eq!(stage.status(), "paused");
    stage.does(&["resume", stage.id()]);
    goes_on("resumed");
    // The images of a container that went on can be restored once it has gone.
    stage.does(&["delete", "--force", stage.id()]);
    stage.restores("images", &[]);
    stage.ask("");
    if v2 {
        // What was paused when it was saved runs when it is restored.
        stage.does(&["pause", stage.id()]);
        stage.checkpoints("stopped", &UNLOCKED);
        stage.restores("stopped", &[]);
        assert_eq!(stage.status(), "running");
        stage.ask("");
    }
    Ok(())
}

/// CRIU is killed at a step of its own: its configuration has it run a program there.
fn killed_at(stage: &Stage, step: &str) {
    let here = |name: &str| stage.bundle.path().join(name);
    let script = format!(
        "#!/bin/sh\n[ $CRTOOLS_SCRIPT_ACTION = {step} ] || exit 0\np=$PPID\n\
         until grep -qx criu /proc/$p/comm; do p=$(awk '/^PPid:/ {{ print $2 }}' /proc/$p/status); done\n\
         echo $p >>{}\nkill -KILL $p\n",
        here("killed").display()
    );
    std::fs::write(here("at-step"), script).unwrap();
    std::fs::set_permissions(here("at-step"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!("action-script {}\n", here("at-step").display());
    std::fs::write(here("criu.conf"), config).unwrap();
    let _ = std::fs::remove_file(here("killed"));
}

/// A container whose CRIU reads the configuration that [`killed_at`] writes.
fn with_configuration() -> Stage {
    let mut stage = keeping(LITTLE, |_| {});
    let config = stage.bundle.path().join("criu.conf").display().to_string();
    std::fs::write(&config, "").unwrap();
    stage.bundle.spec.annotations.insert("org.criu.config".to_owned(), config);
    stage.bundle.write().unwrap();
    stage
}

fn is_killed(stage: &Stage) -> bool {
    stage.bundle.path().join("killed").exists()
}

/// A container whose CRIU is killed goes on, wherever the checkpoint was.
fn a_killed_dump_lets_the_container_go_on() -> Outcome {
    let stage = with_configuration();
    stage.starts();
    let mut last = count(&stage.ask(""));
    for step in ["pre-dump", "post-dump"] {
        killed_at(&stage, step);
        let images = stage.images(step);
        let command = ["checkpoint", UNLOCKED[0], UNLOCKED[1], "--image-path", &images, stage.id()];
        let message = stage.corten(&command).deadline(patience(60)).output()?.code(1)?.stderr;
        assert!(is_killed(&stage), "{step}: {message}");
        assert!(message.contains("status 137") && message.contains("criu ended"), "{step}: {message}");
        assert_eq!(stage.status(), "running", "{step}");
        let now = count(&stage.ask(""));
        assert!(now > last, "{step}");
        last = now;
    }
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// A restore whose CRIU is killed leaves nothing, and the images are as good as before.
fn a_killed_restore_leaves_nothing() -> Outcome {
    let stage = with_configuration();
    stage.starts();
    stage.checkpoints("images", &UNLOCKED);
    let images = stage.images("images");
    for step in ["pre-restore", "setup-namespaces", "post-setup-namespaces", "post-restore", "pre-resume"] {
        killed_at(&stage, step);
        let message = stage.fails(&["restore", "--detach", "--image-path", &images, stage.id()], 1);
        assert!(is_killed(&stage), "{step}: {message}");
        assert!(message.contains("status 137") && message.contains("criu ended"), "{step}: {message}");
    }
    std::fs::write(stage.bundle.path().join("criu.conf"), "")?;
    stage.restores("images", &[]);
    assert_eq!(stage.ask("")["intact"], true, "the images were good all the time");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// `corten ARGUMENTS` where the directory has room for little.
fn cramped(stage: &Stage, directory: &str, room: &str, arguments: &[&str]) -> Run {
    std::fs::create_dir_all(directory).unwrap();
    let script = format!("mount -t tmpfs -o size={room} corten-test '{directory}' && exec \"$0\" \"$@\"");
    Run::new("unshare")
        .args(["--mount", "--propagation", "slave", "sh", "-c", &script])
        .arg(corten())
        .arg("--root")
        .arg(stage.state())
        .args(arguments)
        .current_dir(stage.bundle.path())
        .deadline(patience(60))
}

/// A disk that fills up, at the first image or among the memory's, stops a checkpoint and not the container; an archive's too.
fn a_full_disk_stops_the_checkpoint_only() -> Outcome {
    let stage = keeping(4 * LITTLE, |_| {});
    stage.starts();
    stage.ask("write");
    let mut last = count(&stage.ask(""));
    let images = stage.images("images");
    let archive = format!("{images}/archive");
    let dump = ["checkpoint", UNLOCKED[0], UNLOCKED[1]];
    let plain = [&dump[..], &["--image-path", &images, stage.id()]].concat();
    let export = [&dump[..], &["--export", &archive, stage.id()]].concat();
    for (room, command) in [("4k", &plain), ("2m", &plain), ("512k", &export)] {
        let message = cramped(&stage, &images, room, command).output()?.code(1)?.stderr;
        let told = ["No space left on device", "criu failed"].iter().any(|why| message.contains(why));
        assert!(told, "{room}: {message}");
        assert_eq!(stage.status(), "running", "{room}");
        let now = count(&stage.ask(""));
        assert!(now > last, "{room}");
        last = now;
    }
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// A restore that fails leaves nothing: truncated images, none, or a hook that says no.
fn a_failed_restore_leaves_nothing() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    stage.starts();
    stage.checkpoints("images", &UNLOCKED);
    let images = stage.images("images");
    let restore = ["restore", "--detach", "--image-path", &images, stage.id()];
    let mounts = find_image(&images, "mountpoints");
    let kept = std::fs::read(&mounts)?;
    std::fs::write(&mounts, &kept[..kept.len() / 2])?;
    let message = stage.fails(&restore, 1);
    assert!(message.contains("criu failed") && message.contains("restore.log"), "{message}");
    std::fs::write(&mounts, &kept)?;
    let pages = find_image(&images, "pages");
    let kept = std::fs::read(&pages)?;
    std::fs::write(&pages, &kept[..kept.len() / 2])?;
    let message = stage.fails(&restore, 1);
    assert!(message.contains("is truncated"), "{message}");
    std::fs::write(&pages, &kept)?;
    stage.fails(&["restore", "--detach", "--image-path", "nowhere", stage.id()], 1);
    let config = stage.bundle.path().join("config.json");
    let text = std::fs::read(&config)?;
    let mut spec: Spec = serde_json::from_slice(&text)?;
    let hook = corten_oci::Hook {
        path: "/bin/sh".to_owned(),
        args: words(&["sh", "-c", "echo not today >&2; exit 3"]),
        ..corten_oci::Hook::default()
    };
    spec.hooks.get_or_insert_default().create_runtime = vec![hook];
    std::fs::write(&config, serde_json::to_vec(&spec)?)?;
    let message = stage.fails(&restore, 1);
    assert!(message.contains("createRuntime hook") && message.contains("not today"), "{message}");
    std::fs::write(&config, text)?;
    stage.restores("images", &[]);
    assert_eq!(stage.ask("")["intact"], true, "the images were good all the time");
    Ok(())
}

fn find_image(images: &str, name: &str) -> PathBuf {
    let mut entries = std::fs::read_dir(images).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name)).unwrap()
}

/// Without CRIU, with one that is too old, and with one that is none, it is told before anything is touched.
fn an_unfit_criu_is_told_of() -> Outcome {
    let stage = keeping(LITTLE, |_| {});
    stage.starts();
    let images = stage.images("images");
    let bin = stage.bundle.path().join("bin");
    std::fs::create_dir(&bin)?;
    let fake = bin.join("criu");
    let checkpoint = || {
        let run = stage
            .corten(&["checkpoint", "--image-path", &images, stage.id()])
            .env("PATH", bin.to_str().unwrap());
        run.output().unwrap().code(1).unwrap().stderr
    };
    assert!(checkpoint().contains("need the program criu, version 3.11 or newer"), "{}", checkpoint());
    for (script, told) in [
        (
            "#!/bin/sh\necho 'Version: 3.10'\n",
            "is version 3.10, and checkpoint and restore needs version 3.11",
        ),
        (
            "#!/bin/sh\necho 'no such option' >&2; exit 3\n",
            "does not tell its version (status 3): no such option",
        ),
        (
            "#!/bin/sh\n[ $1 = --version ] && echo 'Version: 4.1' && exit\nexit 1\n",
            "criu ended without an answer",
        ),
        ("not a program", "exec"),
    ] {
        std::fs::write(&fake, script)?;
        std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755))?;
        let message = checkpoint();
        assert!(message.contains(told), "{script}: {message}");
        assert_eq!(stage.status(), "running");
    }
    stage.ask("");
    Ok(())
}

fn main() -> ExitCode {
    // Built before the first case, whose deadline is short.
    corten();
    let fit = &[Requirement::Root, Requirement::Criu(&[])];
    Suite::new()
        .needs(fit, "what_is_to_go_on_goes_on", what_is_to_go_on_goes_on)
        .needs(fit, "a_killed_dump_lets_the_container_go_on", a_killed_dump_lets_the_container_go_on)
        .needs(fit, "a_killed_restore_leaves_nothing", a_killed_restore_leaves_nothing)
        .needs(fit, "a_full_disk_stops_the_checkpoint_only", a_full_disk_stops_the_checkpoint_only)
        .needs(fit, "a_failed_restore_leaves_nothing", a_failed_restore_leaves_nothing)
        .needs(&[Requirement::Root], "an_unfit_criu_is_told_of", an_unfit_criu_is_told_of)
        .run()
}
