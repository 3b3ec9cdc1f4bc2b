//! Resources as a list of steps: what to write where, decided without touching anything.

use std::borrow::Cow;
use std::fmt;

use crate::devices::Policy;
use crate::error::{Error, Result};

/// Which interface a controller is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// A controller, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Controller {
    pub(crate) name: &'static str,
    pub(crate) version: Version,
}

/// One value for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) version: Version,
    pub(crate) controller: Cow<'static, str>,
    /// The field of the configuration, for messages.
    pub(crate) field: Cow<'static, str>,
    pub(crate) file: Cow<'static, str>,
    pub(crate) value: String,
    pub(crate) absent: Absent,
}

/// What to do where the kernel does not have the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Fail.
    Refuse,
    /// The value is what holds without the file too.
    Ignore,
    /// Another file has the same meaning.
    Instead(&'static str, String),
}

impl Controller {
    /// A write that must succeed.
    pub(crate) fn write(
        self,
        field: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
    ) -> Write {
        Write {
            version: self.version,
            controller: self.name.into(),
            field: field.into(),
            file: file.into(),
            value: value.to_string(),
            absent: Absent::Refuse,
        }
    }
}

impl Write {
    /// The same write, with the file allowed to be missing.
    pub(crate) fn or(self, absent: Absent) -> Self {
        Self { absent, ..self }
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Values that the kernel checks against one another: one that it refuses is tried again after the others.
    Writes(Vec<Write>),
    /// Fail if the present memory usage is above this many bytes (v2).
    CheckMemory(i64),
    /// Set the device rules.
    Devices(Policy),
}

/// What to do, and what will be left undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) warnings: Vec<Warning>,
}

impl Plan {
    /// Adds writes that depend on one another.
    pub(crate) fn writes(&mut self, writes: impl IntoIterator<Item = Write>) {
        let writes: Vec<_> = writes.into_iter().collect();
        if !writes.is_empty() {
            self.steps.push(Step::Writes(writes));
        }
    }

    /// Adds a write.
    pub(crate) fn write(&mut self, write: Write) {
        self.steps.push(Step::Writes(vec![write]));
    }

    /// The controllers of v2 that it writes to; core files (`cgroup.*`) belong to none.
    pub(crate) fn v2_controllers(&self) -> impl Iterator<Item = &str> {
        let writes = self.steps.iter().flat_map(|step| match step {
            Step::Writes(writes) => writes.as_slice(),
            _ => &[],
        });
        let of_v2 = writes.filter(|write| write.version == Version::V2 && write.controller != "cgroup");
        of_v2.map(|write| &*write.controller)
    }

    /// Notes a field that has no effect here.
    pub(crate) fn ignored(&mut self, field: &'static str, reason: &'static str) {
        self.warnings.push(Warning { field, reason });
    }
}

/// A field that has no effect on this host, as with runc, which ignores it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    field: &'static str,
    reason: &'static str,
}

impl Warning {
    /// The field, below `linux.resources`: `memory.kernel`.
    pub fn field(&self) -> &str {
        self.field
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is ignored: {}", self.field, self.reason)
    }
}

/// A limit of the specification: unset where absent or 0, no limit where -1.
pub(crate) fn limit(field: &'static str, value: Option<i64>) -> Result<Option<i64>> {
    match value {
        None | Some(0) => Ok(None),
        Some(value) if value < -1 => Err(Error::value(field, value, "below -1, which means unlimited")),
        value => Ok(value),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Plans as text, for tests.

    use super::*;

    /// One line a step: `file=value`, joined by ` & ` where they settle together.
    pub(crate) fn lines(plan: &Plan) -> Vec<String> {
        let one = |w: &Write| match &w.absent {
            Absent::Refuse => format!("{}={}", w.file, w.value),
            Absent::Ignore => format!("{}={}?", w.file, w.value),
            Absent::Instead(file, value) => format!("{}={}|{file}={value}", w.file, w.value),
        };
        let step = |step: &Step| match step {
            Step::Writes(writes) => writes.iter().map(one).collect::<Vec<_>>().join(" & "),
            other => format!("{other:?}"),
        };
        plan.steps.iter().map(step).collect()
    }
}
