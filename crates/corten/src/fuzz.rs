//! What the fuzz targets of this repository (`fuzz/`) call to reach what plans a start; no part of the interface.

use corten_init::payload::Payload;

use crate::{Config, Id, Namespace, Process, Result, config, oci, plan};

/// The orders for the init of a container, without control groups and gate; `None` where planning would open or make
/// what the configuration names.
pub fn orders(config: &Config, process: Process) -> Option<Result<Payload>> {
    let namespaces = config.namespaces();
    let joins = namespaces.iter().any(|(_, path)| path.is_some());
    let logs = config.hook_stdout().is_some() || config.hook_stderr().is_some();
    let binds = namespaces.contains(Namespace::User) && config.mounts().iter().any(config::is_bind);
    if joins || logs || binds || config.mounts().iter().any(config::is_idmapped) {
        return None;
    }
    let planned = Id::try_from("fuzz").and_then(|id| {
        let state = oci::State { id: id.to_string(), ..oci::State::default() };
        Ok(plan::create(config, &id, process, None, None, state)?.payload)
    });
    Some(planned)
}
