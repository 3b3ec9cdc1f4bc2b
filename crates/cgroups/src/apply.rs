//! Carrying out a plan, and taking it back.

use rustix::io::Errno;

use crate::devices::Policy;
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::step::{Absent, Plan, Step, Version, Write};
use crate::undo;

/// Where writes go: the directories of a group.
pub(crate) trait Target {
    /// The directory of a controller.
    fn directory(&self, version: Version, controller: &str) -> Result<Option<&Dir>>;
}

/// Whether values that are changed are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Old {
    Keep,
    Forget,
}

/// Values that were changed, and where they came from: the last first.
#[derive(Default)]
pub(crate) struct Undo<'a>(Vec<Changed<'a>>);

struct Changed<'a> {
    dir: &'a Dir,
    file: String,
    value: String,
}

impl Undo<'_> {
    /// Puts the old values back after a failure, of which it tells, and of its own if that fails too.
    pub(crate) fn take_back(mut self, cause: Error) -> Error {
        self.0.reverse();
        match settle(&self.0, |old: &Changed<'_>| old.dir.write(&old.file, &old.value)) {
            Ok(()) => cause,
            Err(restore) => Error::Restore { cause: cause.into(), restore: restore.into() },
        }
    }
}

/// Carries out the writes and checks of a plan; `devices` carries out its device rules.
///
/// Where old values are kept, a failure puts back those that were changed before.
pub(crate) fn run<'a>(
    target: &'a impl Target,
    plan: &Plan,
    old: Old,
    mut devices: impl FnMut(&Policy) -> Result<()>,
) -> Result<Undo<'a>> {
    let mut undo = Undo::default();
    let done = plan.steps.iter().try_for_each(|step| match step {
        Step::Writes(writes) => {
            settle(writes, |write| one(target, write, (old == Old::Keep).then_some(&mut undo)))
        }
        Step::CheckMemory(limit) => check_memory(target, *limit),
        Step::Devices(policy) => devices(policy),
    });
    match done {
        Ok(()) => Ok(undo),
        Err(cause) => Err(undo.take_back(cause)),
    }
}

/// Does all, in order; what the kernel finds invalid is tried again after the rest, as long as that gets anywhere.
fn settle<T>(items: &[T], mut write: impl FnMut(&T) -> Result<()>) -> Result<()> {
    let mut pending: Vec<&T> = items.iter().collect();
    while !pending.is_empty() {
        let mut refused = Vec::new();
        let mut first = None;
        for item in &pending {
            match write(item) {
                Ok(()) => {}
                Err(e) if e.is(Errno::INVAL) => {
                    refused.push(*item);
                    first = first.or(Some(e));
                }
                Err(e) => return Err(e),
            }
        }
        if refused.len() == pending.len()
            && let Some(error) = first
        {
            return Err(error);
        }
        pending = refused;
    }
    Ok(())
}

/// One write, with its old value noted if that is wanted.
fn one<'a>(target: &'a impl Target, write: &Write, mut undo: Option<&mut Undo<'a>>) -> Result<()> {
    let missing =
        || Error::Controller { controller: write.controller.to_string(), field: write.field.to_string() };
    let dir = target.directory(write.version, &write.controller)?.ok_or_else(missing)?;
    let done = put(dir, &write.file, &write.value, undo.as_deref_mut());
    let Err(error) = done else { return Ok(()) };
    if !error.is_not_found() {
        return Err(error);
    }
    match &write.absent {
        Absent::Ignore => Ok(()),
        _ if is_off(dir, write)? => Err(missing()),
        Absent::Instead(file, value) => put(dir, file, value, undo),
        Absent::Refuse => Err(error),
    }
}

fn put<'a>(dir: &'a Dir, file: &str, value: &str, undo: Option<&mut Undo<'a>>) -> Result<()> {
    if let Some(undo) = undo
        && let Ok(before) = dir.read(file)
        && let Some(value) = undo::restoring(file, &before, value)
    {
        undo.0.push(Changed { dir, file: file.to_owned(), value });
    }
    dir.write(file, value)
}

/// Whether a controller of v2 is off in this group, which is then why it has no file of it.
fn is_off(dir: &Dir, write: &Write) -> Result<bool> {
    if write.version == Version::V1 || write.controller == "cgroup" {
        return Ok(false);
    }
    Ok(!dir.read("cgroup.controllers")?.split_whitespace().any(|name| name == write.controller))
}

/// Fails if the present usage is above the new limit, in bytes.
fn check_memory(target: &impl Target, limit: i64) -> Result<()> {
    let Some(dir) = target.directory(Version::V2, "memory")? else { return Ok(()) };
    let Some(content) = dir.read_if_there("memory.current")? else { return Ok(()) };
    let usage: u64 = content
        .trim_end()
        .parse()
        .map_err(|_| Error::Content { path: dir.path().join("memory.current"), content: content.clone() })?;
    if i64::try_from(usage).is_ok_and(|usage| usage <= limit) {
        return Ok(());
    }
    Err(Error::MemoryInUse { limit, usage })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A kernel that wants `memory <= both`.
    fn settled(start: (i64, i64), wanted: (i64, i64)) -> Result<(i64, i64)> {
        let state = RefCell::new(start);
        let writes = [('m', wanted.0), ('b', wanted.1)];
        settle(&writes, |(which, value)| {
            let mut now = state.borrow_mut();
            let next = if *which == 'm' { (*value, now.1) } else { (now.0, *value) };
            if next.0 > next.1 {
                return Err(Error::os("write", std::path::Path::new("x"), Errno::INVAL));
            }
            *now = next;
            Ok(())
        })?;
        Ok(state.into_inner())
    }

    #[test]
    fn values_that_depend_on_one_another_settle() {
        assert_eq!(settled((10, 20), (30, 40)).unwrap(), (30, 40));
        assert_eq!(settled((30, 40), (10, 20)).unwrap(), (10, 20));
        assert!(settled((10, 20), (30, 25)).is_err());
    }
}
