//! Reading the documents of a bundle.

use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{Error, Result, oci};

/// Reads `config.json` of a bundle.
///
/// Fails where the file is not there, is not JSON, or lacks a field that the specification requires; the message has
/// the field, the line and the column. Names that the specification does not know are ignored, as it demands.
pub fn read_spec(bundle: impl AsRef<Path>) -> Result<oci::Spec> {
    let path = bundle.as_ref().join("config.json");
    match std::fs::read(&path) {
        Ok(json) => parse(&path, &json),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::invalid(format!(
            "JSON specification file config.json not found in the bundle {}",
            bundle.as_ref().display()
        ))),
        Err(error) => Err(Error::io(format!("read {}", path.display()), error)),
    }
}

/// Reads a file with the `process` object of the specification, as `exec --process` takes it.
pub fn read_process(path: impl AsRef<Path>) -> Result<oci::Process> {
    let path = path.as_ref();
    let json = std::fs::read(path).map_err(|error| Error::io(format!("read {}", path.display()), error))?;
    parse(path, &json)
}

fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| Error::invalid(format!("{}: {error}", path.display())))
}
