//! What is wrong is told clearly, with runc's exit status, and leaves nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::ExitCode;

use common::{Outcome, Stage, corten, exists};
use corten_oci::{Hook, Hooks, Mount, Namespace};
use corten_testkit::Run;

fn a_broken_document_is_told() -> Outcome {
    let stage = Stage::new(|_| {});
    let config = stage.bundle.path().join("config.json");
    std::fs::write(&config, "{ \"ociVersion\": ")?;
    let message = stage.fails(&["run", stage.id()], 1);
    assert!(message.contains("config.json") && message.contains("line 1"), "{message}");
    // First of all that is wrong, and in runc's words.
    for document in [
        r#"{ "ociVersion": "1.0.0" }"#,
        r#"{ "process": null }"#,
        r#"{ "ociVersion": "1.0.0", "linux": { "namespaces": [{ "type": "dance" }] } }"#,
    ] {
        std::fs::write(&config, document)?;
        for command in ["run", "create"] {
            let message = stage.fails(&[command, stage.id()], 1);
            assert!(message.contains("process property must not be empty: "), "{document}: {message}");
            assert!(message.contains("config.json does not say what to run"), "{document}: {message}");
        }
    }
    std::fs::write(&config, r#"{ "ociVersion": "1.0.0", "process": { "args": ["x"], "cwd": "/" } }"#)?;
    let message = stage.fails(&["run", stage.id()], 1);
    assert!(message.contains("root"), "{message}");
    std::fs::remove_file(&config)?;
    let message = stage.fails(&["run", stage.id()], 1);
    assert!(message.contains("config.json not found"), "{message}");
    Ok(())
}

fn unknown_names_are_warned_of_or_refused() -> Outcome {
    let stage = Stage::new(|spec| {
        let process = spec.process.as_mut().unwrap();
        process.args.extend(["exit".to_owned(), "0".to_owned()]);
        process.capabilities.as_mut().unwrap().bounding.push("CAP_DANCE".to_owned());
    });
    let output = stage.does(&["run", stage.id()]);
    assert!(
        output.stderr.contains("level=warning") && output.stderr.contains("CAP_DANCE"),
        "{}",
        output.stderr
    );
    let stage = Stage::new(|spec| {
        let namespace = Namespace { typ: "dance".to_owned(), path: None };
        spec.linux.as_mut().unwrap().namespaces.push(namespace);
    });
    let message = stage.fails(&["run", stage.id()], 1);
    assert!(message.contains("invalid namespace type") && message.contains("dance"), "{message}");
    Ok(())
}

/// As runc since 1.2, word by word: earlier ones took what the kernel answered for granted.
fn what_cannot_be_ambient_is_warned_of() -> Outcome {
    let stage = Stage::new(|spec| {
        let process = spec.process.as_mut().unwrap();
        process.args.extend(["exit".to_owned(), "0".to_owned()]);
        let sets = process.capabilities.as_mut().unwrap();
        sets.inheritable = Vec::new();
        sets.ambient = ["CAP_CHOWN", "CAP_KILL"].map(str::to_owned).to_vec();
    });
    let expected = ["CAP_CHOWN", "CAP_KILL"]
        .map(|name| format!("can't raise ambient capability {name}: operation not permitted"));
    let output = stage.does(&["run", stage.id()]);
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, message) in lines.iter().zip(&expected) {
        assert!(line.ends_with(&format!("level=warning msg=\"{message}\"")), "{line}");
    }
    // Where an engine asks for a log they are there alone; podman shows what standard error has.
    let log = stage.bundle.path().join("log");
    let logged = ["--log", log.to_str().unwrap(), "--log-format", "json", "run", stage.id()];
    assert_eq!(stage.does(&logged).stderr, "");
    let text = std::fs::read_to_string(log)?;
    for (line, message) in text.lines().zip(&expected) {
        let line: serde_json::Value = serde_json::from_str(line)?;
        assert_eq!((&line["level"], &line["msg"]), (&"warning".into(), &message.as_str().into()));
    }
    assert_eq!(text.lines().count(), 2, "{text}");
    Ok(())
}

fn a_missing_root_is_named() -> Outcome {
    let stage = Stage::new(|spec| spec.root.as_mut().unwrap().path = "nowhere".to_owned());
    for command in ["run", "create"] {
        let message = stage.fails(&[command, stage.id()], 1);
        assert!(message.contains("nowhere"), "{message}");
    }
    Ok(())
}

fn a_missing_command_is_runcs_message() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args = vec!["nope".to_owned()]);
    for command in ["run", "create"] {
        let message = stage.fails(&[command, stage.id()], 1);
        assert!(message.contains(r#"exec: \"nope\": executable file not found in $PATH"#), "{message}");
    }
    Ok(())
}

fn ids_are_checked() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args.push("sleep".to_owned()));
    for wrong in ["a/b", "../x", "..", "", "a b"] {
        let message = stage.fails(&["run", wrong], 1);
        assert!(message.to_lowercase().contains("container id"), "{wrong}: {message}");
    }
    stage.does(&["run", "--detach", stage.id()]);
    let message = stage.corten(&["run", stage.id()]).output()?.code(1)?.stderr;
    assert!(message.contains("container with given ID already exists"), "{message}");
    assert_eq!(stage.status(), "running", "it is left alone");
    stage.does(&["delete", "--force", stage.id()]);
    stage.nothing_is_left();
    Ok(())
}

/// A state directory without room for a state, in a mount namespace that goes with the command.
fn a_full_disk_is_told() -> Outcome {
    let stage = Stage::new(|_| {});
    let state = stage.state();
    std::fs::create_dir(&state)?;
    let command = format!(
        "mount -t tmpfs -o size=4k,nr_inodes=4 corten-test {0} && head -c 4096 /dev/zero > {0}/full; \
         {1} --root {0} run {2}; code=$?; ls {0}; exit $code",
        state.display(),
        corten().display(),
        stage.id(),
    );
    let run = Run::new("unshare").args(["--mount", "sh", "-c", &command]).current_dir(stage.bundle.path());
    let output = run.output()?.code(1)?;
    assert!(output.stderr.contains("no space left on device"), "{}", output.describe());
    assert_eq!(output.stdout, "full\n", "{}", output.describe());
    std::fs::remove_dir(&state)?;
    stage.nothing_is_left();
    Ok(())
}

fn hook(script: &str, timeout: Option<i64>) -> Hook {
    let args = ["sh", "-c", script].map(str::to_owned).to_vec();
    Hook { path: "/bin/sh".to_owned(), args, timeout, ..Hook::default() }
}

fn hooks_that_fail_or_hang_end_the_start() -> Outcome {
    type Add = fn(&mut Hooks, Hook);
    let kinds: [(&str, Add); 3] = [
        ("prestart", |hooks, hook| hooks.prestart.push(hook)),
        ("createRuntime", |hooks, hook| hooks.create_runtime.push(hook)),
        ("poststart", |hooks, hook| hooks.poststart.push(hook)),
    ];
    for (kind, add) in kinds {
        let with = |hook: Hook| {
            Stage::new(|spec| {
                spec.process.as_mut().unwrap().args.push("sleep".to_owned());
                add(spec.hooks.get_or_insert_default(), hook);
            })
        };
        let stage = with(hook("echo the disk is gone >&2; exit 3", None));
        let message = stage.fails(&["run", stage.id()], 1);
        assert!(message.contains(kind) && message.contains("the disk is gone"), "{kind}: {message}");
        let stage = with(hook("sleep 1000 & wait", Some(1)));
        let message = stage.fails(&["run", stage.id()], 1);
        assert!(message.contains(kind) && message.contains("timed out"), "{kind}: {message}");
    }
    Ok(())
}

/// Each component in turn is a link to a directory outside, in an absolute and in a relative way.
fn destinations_stay_inside() -> Outcome {
    for depth in 0..3 {
        for climb in ["", "../../../../../../../../../.."] {
            let stage = Stage::new(|spec| {
                spec.process.as_mut().unwrap().args.extend(["exit".to_owned(), "0".to_owned()]);
                spec.mounts.push(Mount {
                    destination: "/one/two/three".to_owned(),
                    typ: Some("tmpfs".to_owned()),
                    source: Some("tmpfs".to_owned()),
                    ..Mount::default()
                });
            });
            let outside = stage.bundle.path().join("outside");
            std::fs::create_dir(&outside)?;
            let parent = ["", "one", "one/two"][depth];
            std::fs::create_dir_all(stage.inside(parent))?;
            let name = ["one", "one/two", "one/two/three"][depth];
            symlink(format!("{climb}{}", outside.display()), stage.inside(name))?;
            // The path is taken inside the root: what is made is made there, or it is refused.
            let output = stage.corten(&["run", stage.id()]).output()?;
            assert!(!output.timed_out(), "{}", output.describe());
            assert_eq!(std::fs::read_dir(&outside)?.count(), 0, "{depth} {climb}: {}", output.describe());
            stage.nothing_is_left();
        }
    }
    Ok(())
}

fn a_link_in_the_place_of_proc_is_refused() -> Outcome {
    let stage = Stage::new(|_| {});
    std::fs::remove_dir(stage.inside("proc"))?;
    symlink("/tmp", stage.inside("proc"))?;
    let message = stage.fails(&["run", stage.id()], 1);
    assert!(message.contains("must be mounted on ordinary directory"), "{message}");
    Ok(())
}

fn what_is_not_supported_is_named() -> Outcome {
    let stage = Stage::new(|spec| {
        spec.annotations.insert("run.oci.handler".to_owned(), "wasm".to_owned());
    });
    let message = stage.fails(&["run", stage.id()], 1);
    assert!(message.contains("annotation run.oci.handler is not supported"), "{message}");
    Ok(())
}

fn a_program_that_cannot_run_is_told() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args = vec!["/bin/text".to_owned()]);
    std::fs::write(stage.inside("bin/text"), "just text\n")?;
    let message = stage.fails(&["run", stage.id()], 1);
    assert!(message.contains("permission denied"), "{message}");
    std::fs::set_permissions(stage.inside("bin/text"), std::fs::Permissions::from_mode(0o755))?;
    let message = stage.fails(&["run", stage.id()], 1);
    assert!(message.contains("exec format error"), "{message}");
    assert!(exists(&stage.inside("bin/text")));
    Ok(())
}

fn main() -> ExitCode {
    common::run(&[
        ("a_broken_document_is_told", a_broken_document_is_told),
        ("unknown_names_are_warned_of_or_refused", unknown_names_are_warned_of_or_refused),
        ("what_cannot_be_ambient_is_warned_of", what_cannot_be_ambient_is_warned_of),
        ("a_missing_root_is_named", a_missing_root_is_named),
        ("a_missing_command_is_runcs_message", a_missing_command_is_runcs_message),
        ("ids_are_checked", ids_are_checked),
        ("a_full_disk_is_told", a_full_disk_is_told),
        ("hooks_that_fail_or_hang_end_the_start", hooks_that_fail_or_hang_end_the_start),
        ("destinations_stay_inside", destinations_stay_inside),
        ("a_link_in_the_place_of_proc_is_refused", a_link_in_the_place_of_proc_is_refused),
        ("what_is_not_supported_is_named", what_is_not_supported_is_named),
        ("a_program_that_cannot_run_is_told", a_program_that_cannot_run_is_told),
    ])
}
