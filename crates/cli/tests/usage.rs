//! `corten update`, `events` and `top`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use common::{Outcome, Stage, Typed, corten, eventually};
use corten_oci::{Memory, Resources, Spec};
use corten_testkit::{Requirement, Suite, View};
use serde_json::Value;

fn sleeping(edit: impl FnOnce(&mut Spec)) -> Stage {
    let stage = Stage::new(|spec| {
        spec.process.as_mut().unwrap().args.push("sleep".to_owned());
        edit(spec);
    });
    stage.does(&["run", "--detach", stage.id()]);
    stage
}

fn limit(spec: &mut Spec, bytes: i64) {
    let memory = Memory { limit: Some(bytes), swap: Some(bytes), ..Memory::default() };
    let resources = spec.linux.as_mut().unwrap().resources.get_or_insert_default();
    *resources = Resources { memory: Some(memory), ..resources.clone() };
}

/// `data` of one line of statistics.
fn statistics(stage: &Stage) -> Value {
    let line: Value = stage.does(&["events", "--stats", stage.id()]).json().unwrap();
    assert_eq!((&line["type"], &line["id"]), (&"stats".into(), &stage.id().into()));
    line["data"].clone()
}

fn limits_are_changed() -> Outcome {
    let stage = sleeping(|spec| limit(spec, 64 << 20));
    let id = stage.id();
    stage.does(&["update", "--pids-limit", "44", "--memory", "32m", id]);
    let data = statistics(&stage);
    assert_eq!(data["pids"]["limit"], 44);
    assert_eq!(data["memory"]["usage"]["limit"], 32 << 20);
    assert_eq!(data["memory"]["swap"]["limit"], 64 << 20, "that of both together stays");
    let file = stage.bundle.path().join("resources.json");
    fs::write(&file, r#"{"pids": {"limit": 55}, "devices": [{"allow": true}]}"#)?;
    let said = stage.does(&["update", "--resources", file.to_str().unwrap(), id]).stderr;
    assert!(said.contains("device rules"), "{said}");
    assert_eq!(statistics(&stage)["pids"]["limit"], 55);
    stage.corten(&["update", "-r", "-", id]).stdin(r#"{"pids": {"limit": 66}}"#).output()?.success()?;
    assert_eq!(statistics(&stage)["pids"]["limit"], 66);
    let mistakes: [(&[&str], &str); 6] = [
        (&["update", "--memory", "much", id], "much"),
        (&["update", "--resources", "/nonexistent", id], "/nonexistent"),
        (&["update", "--resources", "-", "--pids-limit", "5", id], "cannot be used with"),
        (&["update", "--cpuset-cpus", "4095", "--pids-limit", "5", id], "cpuset.cpus"),
        (&["update", "--l3-cache-schema", "L3:0=f", id], "resctrl"),
        (&["update", "-r", file.to_str().unwrap(), "--mem-bw-schema", "MB:0=9", id], "resctrl"),
    ];
    for (arguments, words) in mistakes {
        let said = stage.corten(arguments).output()?.code(1)?.stderr;
        assert!(said.contains(words), "{words}: {said}");
    }
    // The place of what is to be saved is taken.
    let taken = stage.state().join(id).join("config-4.json");
    fs::create_dir(&taken)?;
    let said = stage.corten(&["update", "--pids-limit", "77", id]).output()?.code(1)?.stderr;
    assert!(said.contains("config-4.json"), "{said}");
    fs::remove_dir(&taken)?;
    assert_eq!(statistics(&stage)["pids"]["limit"], 66, "what failed has changed nothing");
    stage.does(&["delete", "--force", id]);
    let said = stage.corten(&["update", "--pids-limit", "5", id]).output()?.code(1)?.stderr;
    assert!(said.contains("does not exist"), "{said}");
    Ok(())
}

fn events_are_lines() -> Outcome {
    let stage = sleeping(|spec| limit(spec, 32 << 20));
    let id = stage.id();
    let data = statistics(&stage);
    for part in ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"] {
        assert!(!data[part].is_null(), "{part}: {data}");
    }
    assert_eq!(data["network_interfaces"][0]["Name"], "lo");
    assert_eq!(data["pids"]["current"], 1);
    let mut events = Command::new(corten())
        .arg("--root")
        .arg(stage.state())
        .args(["events", "--interval", "50ms", id])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut kind = || -> String {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["id"], id);
        line["type"].as_str().unwrap().to_owned()
    };
    assert_eq!((kind().as_str(), kind().as_str()), ("stats", "stats"));
    stage.corten(&["exec", id, "/bin/probe", "alloc", "200000000"]).output()?.code(137)?;
    while kind() != "oom" {}
    stage.does(&["kill", id, "KILL"]);
    // It ends with the container.
    for line in lines {
        let line: Value = serde_json::from_str(&line?)?;
        assert!(line["type"] == "stats" || line["type"] == "oom", "{line}");
    }
    assert_eq!(events.wait()?.code(), Some(0));
    eventually("wait for the end", || stage.status() == "stopped");
    let said = stage.corten(&["events", "--stats", id]).output()?.code(1)?.stderr;
    assert!(said.contains("container not running"), "{said}");
    let said = stage.corten(&["events", "--interval", "0s", id]).output()?.code(1)?.stderr;
    assert!(said.contains("greater than 0"), "{said}");
    Ok(())
}

fn top_shows_all() -> Outcome {
    let stage = sleeping(|_| {});
    let ids = [stage.id().to_owned(), format!("{}-busy", stage.id()), format!("{}-third", stage.id())];
    for id in &ids[1..] {
        stage.does(&["run", "--detach", id]);
    }
    let burn = ["exec", "--detach", &ids[1], "/bin/probe", "burn", "1", "60000"];
    stage.does(&burn);
    let output = stage.does(&["top", "--count", "2", "--interval", "200ms"]);
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(shown, [ids[0].as_str(), &ids[1], &ids[2], &ids[0], &ids[1], &ids[2]]);
    let (idle, busy) = (lines[3]["cpu"].as_f64().unwrap(), lines[4]["cpu"].as_f64().unwrap());
    assert!(idle < 5.0 && busy > 20.0, "{idle} {busy}");
    assert_eq!(lines[4]["status"], "running");

    let program = corten().to_str().unwrap().to_owned();
    let root = stage.state().to_str().unwrap().to_owned();
    let words = [program, "--root".into(), root, "top".into(), "--interval".into(), "100ms".into()];
    let mut typed = Typed::new(&words, stage.bundle.path());
    typed.until("3 containers");
    typed.until(&ids[1][..16]);
    typed.types(b"n");
    typed.resize(5, 60);
    typed.seen.clear();
    typed.until("CONTAINER");
    typed.types(b"q");
    typed.until("\x1b[?1049l");
    assert_eq!(typed.child.wait()?.code(), Some(0));
    assert!(typed.is_usual());
    for id in &ids {
        stage.does(&["delete", "--force", id]);
    }
    stage.nothing_is_left();
    let nothing = stage.does(&["top", "--count", "1", "--interval", "10ms"]);
    assert_eq!(nothing.stdout, "");
    Ok(())
}

fn main() -> ExitCode {
    corten();
    let v1 =
        [Requirement::CgroupV1("memory"), Requirement::CgroupV1("pids"), Requirement::CgroupV1("cpuset")];
    let v2 =
        [Requirement::CgroupV2("memory"), Requirement::CgroupV2("pids"), Requirement::CgroupV2("cpuset")];
    Suite::new()
        .needs(&v1, "limits_are_changed", limits_are_changed)
        .seeing(View::V2, &v2, "limits_are_changed_on_v2", limits_are_changed)
        .needs(&v1, "events_are_lines", events_are_lines)
        .seeing(View::V2, &v2, "events_are_lines_on_v2", events_are_lines)
        .needs(&[Requirement::Root], "top_shows_all", top_shows_all)
        .run()
}
