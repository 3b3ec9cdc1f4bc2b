//! The leak check must find what is left behind. Its cases look at the whole process, so they are one.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use corten_testkit::{Failed, Requirement, Scratch, Snapshot, Suite, Watch};

fn main() -> ExitCode {
    Suite::new()
        .needs(&[Requirement::Root], "what_is_left_behind_is_found", what_is_left_behind_is_found)
        .run()
}

fn what_is_left_behind_is_found() -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let state = scratch.path().join("state");
    let watch = Watch { marker: scratch.name().to_owned(), state: Some(state.clone()), process: true };
    let before = Snapshot::take(watch);
    before.assert_unchanged();

    let file = fs::File::open("/dev/null")?;
    finds(&before, "+ fd ")?;
    drop(file);

    let mut child = Command::new("true").stdin(Stdio::null()).spawn()?;
    finds(&before, "+ child ")?;
    child.wait()?;

    fs::create_dir(&state)?;
    before.assert_unchanged();
    fs::create_dir(state.join("container"))?;
    finds(&before, "+ state ")?;
    fs::remove_dir(state.join("container"))?;

    rustix::mount::mount_bind(&state, &state)?;
    finds(&before, "+ mount ")?;
    rustix::mount::unmount(&state, rustix::mount::UnmountFlags::empty())?;

    if Path::new("/sys/fs/cgroup/pids").exists() {
        let cgroup = Path::new("/sys/fs/cgroup/pids").join(scratch.name());
        fs::create_dir(&cgroup)?;
        let found = finds(&before, "+ cgroup ");
        fs::remove_dir(&cgroup)?;
        found?;
    }
    before.assert_unchanged();
    Ok(())
}

fn finds(before: &Snapshot, prefix: &str) -> Result<(), Failed> {
    let changes = before.changes();
    if changes.len() == 1 && changes[0].starts_with(prefix) {
        Ok(())
    } else {
        Err(format!("{changes:?}").into())
    }
}
