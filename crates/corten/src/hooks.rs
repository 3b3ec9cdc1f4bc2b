//! The hooks that the runtime runs itself, in its own namespaces: all but `createContainer` and `startContainer`.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use corten_init::hooks::Output;

use crate::oci::{Hook, State};
use crate::{Config, Error, ErrorKind, Result};

/// Whether there are hooks that run before the user's program.
pub(crate) fn any_before_start(config: &Config) -> bool {
    let hooks = config.hooks();
    any_before_pivot(config) || !hooks.create_container.is_empty() || !hooks.start_container.is_empty()
}

/// Whether there are hooks that run before the container's root is changed.
pub(crate) fn any_before_pivot(config: &Config) -> bool {
    let hooks = config.hooks();
    !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty()
}

/// Runs the hooks that run before the container's root is changed.
pub(crate) fn run_before_pivot(config: &Config, state: &State) -> Result<()> {
    run("prestart", &config.hooks().prestart, config, state)?;
    run("createRuntime", &config.hooks().create_runtime, config, state)
}

/// Runs hooks of one kind one after the other, until one fails; the error names it.
pub(crate) fn run(kind: &str, hooks: &[Hook], config: &Config, state: &State) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    Ok(corten_init::hooks::run_all(kind, hooks, &json(state)?, &output(config)?)?)
}

/// The files that the configuration has for the output of hooks.
pub(crate) fn output(config: &Config) -> Result<Output> {
    let open = |path: Option<&Path>| -> Result<Option<OwnedFd>> {
        let Some(path) = path else { return Ok(None) };
        let file = File::options().append(true).create(true).open(path);
        let file = file.map_err(|error| Error::io(format!("open {} for hooks", path.display()), error))?;
        Ok(Some(file.into()))
    };
    Ok(Output { stdout: open(config.hook_stdout())?, stderr: open(config.hook_stderr())? })
}

/// Runs `poststop` hooks, all of them: the container is gone already, so a failure is no more than a warning.
pub(crate) fn run_poststop(config: &Config, state: &State) -> Result<()> {
    let hooks = &config.hooks().poststop;
    if hooks.is_empty() {
        return Ok(());
    }
    let (state, output) = (json(state)?, output(config)?);
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(failure) = corten_init::hooks::run(hook, &state, &output) {
            tracing::warn!("error running poststop hook #{index}: {failure}");
        }
    }
    Ok(())
}

fn json(state: &State) -> Result<Vec<u8>> {
    serde_json::to_vec(state)
        .map_err(|error| Error::new(ErrorKind::Hook, format!("write the state for hooks: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci;

    fn config(hooks: oci::Hooks) -> Config {
        Config::builder("/nonexistent").hooks(hooks).build().unwrap()
    }

    fn sh(script: &str) -> Hook {
        let args = ["sh", "-c", script].map(String::from).to_vec();
        Hook { path: "/bin/sh".to_owned(), args, ..Hook::default() }
    }

    #[test]
    fn a_hook_gets_the_state_as_json() {
        let state = State { id: "corten-test".to_owned(), status: "creating".to_owned(), ..State::default() };
        run(
            "prestart",
            &[sh(r#"grep -q '"id":"corten-test","status":"creating"'"#)],
            &config(oci::Hooks::default()),
            &state,
        )
        .unwrap();
    }

    #[test]
    fn an_error_has_the_kind_and_the_place() {
        let hooks = [sh("exit 0"), sh("echo no >&2; exit 4")];
        let error =
            run("createRuntime", &hooks, &config(oci::Hooks::default()), &State::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Hook);
        assert_eq!(error.to_string(), "error running createRuntime hook #1: exit status 4, stderr: no");
    }

    #[test]
    fn after_the_stop_every_hook_runs() {
        let (read, write) = std::io::pipe().unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&write));
        let poststop = vec![sh("exit 1"), sh(&format!("echo ran >{path}"))];
        let config = config(oci::Hooks { poststop, ..oci::Hooks::default() });
        run_poststop(&config, &State::default()).unwrap();
        drop(write);
        assert_eq!(std::io::read_to_string(read).unwrap(), "ran\n");
    }
}
