//! `config.json`, up to the orders of a container's init.

use corten::{Config, ConfigBuilder, Process, SpecOptions};
use corten_oci::Spec;

use crate::comes_back;

/// A document is refused or means a configuration. Document, configuration and the orders that follow from it are the same
/// after they were written and read again.
pub fn config(data: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Spec>(data) else { return };
    assert_eq!(comes_back(&spec), spec);
    // As most callers read it, and in one of the other ways, chosen by what does not change with the next byte.
    let way = data.len();
    let other = SpecOptions {
        no_pivot_root: way & 1 != 0,
        no_new_keyring: way & 2 != 0,
        systemd_cgroup: way & 4 != 0,
        no_cgroup: way & 8 != 0,
        rootless_euid: way & 0x30 == 0x30,
        rootless_cgroups: way & 0x40 != 0,
    };
    read(&spec, SpecOptions::default());
    read(&spec, other);
}

fn read(spec: &Spec, options: SpecOptions) {
    let config = match Config::from_spec(spec, "/bundle", options) {
        Ok(config) => config,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(comes_back(&config), config);
    let built = ConfigBuilder::from(config.clone()).build();
    assert_eq!(built.ok().as_ref(), Some(&config), "it is not valid any more when it is built again");
    config.warnings().iter().for_each(|warning| assert!(!warning.is_empty()));
    let Some(Ok(process)) = spec.process.as_ref().map(Process::from_spec) else { return };
    let Ok(process) = process.build() else { return };
    if let Some(Ok(orders)) = corten::fuzz::orders(&config, process) {
        comes_back(&orders);
        crate::protocol::arrives(&orders);
    }
}
