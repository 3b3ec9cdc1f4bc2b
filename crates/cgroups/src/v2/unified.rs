//! `linux.resources.unified`: any file of v2, as it is.

use corten_oci::Map;

use crate::error::{Error, Result};
use crate::step::{Absent, Plan, Version, Write};

/// Adds the steps: a write for each line of a value, since files with keys take one line at a time.
pub(crate) fn plan(files: &Map<String>, plan: &mut Plan) -> Result<()> {
    for (file, value) in files {
        if file.contains('/') {
            return Err(Error::value("unified", file, "must be a file name, not a path"));
        }
        let Some((controller, parameter)) = file.split_once('.') else {
            return Err(Error::value("unified", file, "must be in the form CONTROLLER.PARAMETER"));
        };
        if controller.is_empty() || parameter.is_empty() {
            return Err(Error::value("unified", file, "must be in the form CONTROLLER.PARAMETER"));
        }
        for line in value.split('\n').filter(|line| !line.is_empty()) {
            plan.write(Write {
                version: Version::V2,
                controller: controller.to_owned().into(),
                field: format!("unified.{file}").into(),
                file: file.clone().into(),
                value: line.to_owned(),
                absent: Absent::Refuse,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::testing::lines;

    #[test]
    fn line_by_line() {
        let files = [("io.max", "8:0 rbps=1\n8:16 rbps=2\n"), ("memory.high", "5")];
        let files = files.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let mut made = Plan::default();
        plan(&files, &mut made).unwrap();
        assert_eq!(lines(&made), ["io.max=8:0 rbps=1", "io.max=8:16 rbps=2", "memory.high=5"]);
    }

    #[test]
    fn names_that_are_no_files_are_refused() {
        for name in ["../x.y", "a/b.c", "plain", ".hidden", "cpu."] {
            let files = Map::from_iter([(name.to_owned(), "1".to_owned())]);
            assert!(matches!(plan(&files, &mut Plan::default()), Err(Error::Value { .. })), "{name}");
        }
    }
}
