//! The commands as an ordinary user.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::ExitCode;

use common::{Outcome, corten, v2};
use corten_oci::{IdMapping, Memory, Resources, Seccomp, Spec, SyscallRule};
use corten_testkit::{Bundle, Report, Requirement, Rootfs, Run, Suite, install};

/// The user is `nobody`, whom every system has.
const USER: u32 = 65534;

/// A bundle, a state directory and the program, all within a user's reach.
struct Stage(Bundle);

impl Stage {
    fn new(edit: impl FnOnce(&mut Spec)) -> Self {
        let rootfs = Rootfs::new().unwrap();
        rootfs.give_to(USER, USER).unwrap();
        let directory = rootfs.scratch().path();
        install(corten(), &directory.join("corten")).unwrap();
        fs::create_dir(directory.join("state")).unwrap();
        chown(directory.join("state"), Some(USER), Some(USER)).unwrap();
        chown(directory, Some(USER), Some(USER)).unwrap();
        let mut stage = Self(Bundle::new(rootfs, |_| {}).unwrap());
        fs::remove_file(stage.0.path().join("config.json")).unwrap();
        stage.corten(&["spec", "--rootless"]).output().unwrap().success().unwrap();
        let text = fs::read(stage.0.path().join("config.json")).unwrap();
        stage.0.spec = serde_json::from_slice(&text).unwrap();
        let process = stage.0.spec.process.as_mut().unwrap();
        process.terminal = false;
        process.args = vec!["/bin/probe".to_owned()];
        edit(&mut stage.0.spec);
        stage.0.write().unwrap();
        stage
    }

    /// What the user types.
    fn words(&self, arguments: &[&str]) -> Vec<String> {
        let (program, state) = (self.0.path().join("corten"), self.0.path().join("state"));
        let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let own = [program.to_str().unwrap(), "--root", state.to_str().unwrap()];
        user.iter().chain(&own).chain(arguments).map(|word| (*word).to_owned()).collect()
    }

    fn corten(&self, arguments: &[&str]) -> Run {
        let words = self.words(arguments);
        Run::new(&words[0]).args(&words[1..]).current_dir(self.0.path())
    }

    /// The same where the user has been granted these ids, for users and for groups.
    fn granted(&self, grant: &str, arguments: &[&str]) -> Run {
        let file = self.0.path().join("grant");
        fs::write(&file, grant).unwrap();
        let script = r#"mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@""#;
        let run = Run::new("unshare").args(["--mount", "sh", "-c", script]).arg(file);
        run.args(self.words(arguments)).current_dir(self.0.path())
    }

    fn id(&self) -> &str {
        self.0.id()
    }

    fn nothing_is_left(&self) {
        assert_eq!(fs::read_dir(self.0.path().join("state")).unwrap().count(), 0);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.corten(&["delete", "--force", self.id()]).output().unwrap();
    }
}

fn map(container_id: u32, host_id: u32, size: u32) -> IdMapping {
    IdMapping { container_id, host_id, size }
}

fn one_runs_with_the_users_own_id() -> Outcome {
    let stage = Stage::new(|_| {});
    let output = stage.corten(&["run", stage.id()]).output()?.success()?;
    let report: Report = output.json()?;
    assert_eq!(report.uid_map, Some(vec!["0 65534 1".to_owned()]));
    assert_eq!(report.gid_map, Some(vec!["0 65534 1".to_owned()]));
    assert_eq!(report.setgroups.as_deref(), Some("deny"));
    assert_eq!((report.uids.real, report.gids.real, report.pid), (0, 0, 1));
    assert!(report.capabilities.unwrap().effective.names.contains(&"CAP_KILL".to_owned()));
    let null = report.devices.unwrap().remove("/dev/null").unwrap();
    assert_eq!((null.major, null.minor), (1, 3));
    stage.nothing_is_left();
    Ok(())
}

/// As under podman, which maps the ids itself, and asks for no user namespace. The group is the user's own.
fn one_runs_in_an_engines_user_namespace() -> Outcome {
    let stage = Stage::new(|spec| {
        let linux = spec.linux.as_mut().unwrap();
        linux.namespaces.retain(|namespace| namespace.typ != "user");
        (linux.uid_mappings, linux.gid_mappings) = (Vec::new(), Vec::new());
        let cgroups =
            serde_json::json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["rw"] });
        // The host's, with its control groups.
        spec.mounts.retain(|mount| mount.destination != "/sys");
        spec.mounts.push(serde_json::from_value(cgroups).unwrap());
    });
    let mut words = stage.words(&["run", stage.id()]);
    let program = words.iter().position(|word| word.ends_with("/corten")).unwrap();
    words.splice(program..program, ["unshare", "--user", "--map-root-user"].map(str::to_owned));
    let output = Run::new(&words[0]).args(&words[1..]).current_dir(stage.0.path()).output()?.success()?;
    let report: Report = output.json()?;
    assert_eq!((report.uids.real, report.uid_map.as_deref()), (0, Some(&["0 65534 1".to_owned()][..])));
    let null = report.device("/dev/null").unwrap();
    assert_eq!((null.major, null.minor, null.uid), (1, 3, 65534), "the host's");
    let shown = |mount: &corten_testkit::Mount| {
        mount.fstype.starts_with("cgroup") && mount.mountpoint.starts_with("/sys/fs/cgroup")
    };
    let mut groups = report.mounts.unwrap().into_iter().filter(shown).peekable();
    assert!(groups.peek().is_some());
    for mount in groups {
        assert!(mount.options.contains(&"ro".to_owned()), "the caller's: {mount:?}");
    }
    stage.nothing_is_left();
    Ok(())
}

fn one_lives_step_by_step() -> Outcome {
    let stage = Stage::new(|spec| spec.process.as_mut().unwrap().args.push("sleep".to_owned()));
    let id = stage.id();
    let does = |arguments: &[&str]| stage.corten(arguments).output().unwrap().success().unwrap();
    does(&["create", id]);
    does(&["start", id]);
    let state: serde_json::Value = does(&["state", id]).json()?;
    assert_eq!(state["status"], "running");
    let report: Report = does(&["exec", id, "/bin/probe"]).json()?;
    assert_eq!(report.uids.real, 0);
    let theirs = fs::read_link(format!("/proc/{}/ns/user", state["pid"]))?;
    assert_eq!(report.namespace("user"), theirs.to_str());
    does(&["kill", id, "KILL"]);
    common::eventually("wait for the end", || {
        let state: serde_json::Value = does(&["state", id]).json().unwrap();
        state["status"] == "stopped"
    });
    does(&["delete", id]);
    stage.nothing_is_left();
    Ok(())
}

/// Loading a filter takes a privilege over the user namespace, and nothing of the host's; nor does sending its listener.
fn filters_and_agents_are_for_everybody() -> Outcome {
    for (action, no_new_privileges) in
        [("ERRNO", true), ("ERRNO", false), ("NOTIFY", true), ("NOTIFY", false)]
    {
        let mut stage = Stage::new(|spec| {
            let process = spec.process.as_mut().unwrap();
            process.no_new_privileges = no_new_privileges;
            process.args.extend(["mkdir", "/dev/shm/made"].map(str::to_owned));
            let names = ["mkdir", "mkdirat"].map(str::to_owned).to_vec();
            let rule = SyscallRule { names, action: format!("SCMP_ACT_{action}"), ..SyscallRule::default() };
            let default_action = "SCMP_ACT_ALLOW".to_owned();
            spec.linux.as_mut().unwrap().seccomp =
                Some(Seccomp { default_action, syscalls: vec![rule], ..Seccomp::default() });
        });
        let mut agent = None;
        if action == "NOTIFY" {
            let socket = stage.0.path().join("agent");
            let seccomp = stage.0.spec.linux.as_mut().unwrap().seccomp.as_mut().unwrap();
            seccomp.listener_path = Some(socket.to_str().unwrap().to_owned());
            stage.0.write()?;
            // As gone as an agent can be: the call fails with ENOSYS.
            let mut process = std::process::Command::new(corten_testkit::probe())
                .args(["agent", socket.to_str().unwrap(), "gone", "0"])
                .stdout(std::process::Stdio::piped())
                .spawn()?;
            let mut lines = BufReader::new(process.stdout.take().unwrap());
            lines.read_line(&mut String::new())?;
            fs::set_permissions(&socket, PermissionsExt::from_mode(0o666))?;
            agent = Some((process, lines));
        }
        let output = stage.corten(&["run", stage.id()]).output()?.code(1)?;
        let error = if action == "NOTIFY" { "ENOSYS" } else { "EPERM" };
        assert!(output.stdout.contains(error), "{}", output.describe());
        if let Some((mut process, _lines)) = agent {
            assert!(process.wait()?.success());
        }
        stage.nothing_is_left();
    }
    Ok(())
}

fn granted_ids_are_mapped_by_the_helpers() -> Outcome {
    let stage = Stage::new(|spec| {
        let linux = spec.linux.as_mut().unwrap();
        linux.uid_mappings = vec![map(0, USER, 1), map(1, 300_000, 65_535)];
        linux.gid_mappings = linux.uid_mappings.clone();
        let user = &mut spec.process.as_mut().unwrap().user;
        (user.uid, user.gid, user.additional_gids) = (5, 6, vec![7, 8]);
    });
    let report: Report =
        stage.granted("nobody:300000:65536\n", &["run", stage.id()]).output()?.success()?.json()?;
    assert_eq!(report.uid_map, Some(vec!["0 65534 1".to_owned(), "1 300000 65535".to_owned()]));
    assert_eq!((report.uids.real, report.gids.real), (5, 6));
    assert_eq!((report.groups, report.setgroups.as_deref()), (vec![7, 8], Some("allow")));
    stage.nothing_is_left();
    // The same without the grant.
    let output = stage.granted("other:300000:65536\n", &["run", stage.id()]).output()?.code(1)?;
    assert!(output.stderr.contains("newuidmap does not map these ids"), "{}", output.stderr);
    assert!(output.stderr.contains("/etc/subuid"), "{}", output.stderr);
    stage.nothing_is_left();
    Ok(())
}

fn what_takes_privileges_is_refused() -> Outcome {
    // A limit that nobody may set is not left aside.
    let memory = Memory { limit: Some(64 << 20), ..Memory::default() };
    let limited = Stage::new(|spec| {
        let resources = Resources { memory: Some(memory), ..Resources::default() };
        spec.linux.as_mut().unwrap().resources = Some(resources);
    });
    let output = limited.corten(&["run", limited.id()]).output()?.code(1)?;
    // systemd delegates groups of cgroup v2, and none of v1.
    let advice = if v2() { "Delegate=yes" } else { "where the machine has cgroup v2 alone" };
    assert!(output.stderr.contains(advice), "{}", output.stderr);
    limited.nothing_is_left();
    let plain = Stage::new(|spec| {
        let linux = spec.linux.as_mut().unwrap();
        linux.namespaces.retain(|namespace| namespace.typ != "user");
        (linux.uid_mappings, linux.gid_mappings) = (Vec::new(), Vec::new());
    });
    let output = plain.corten(&["run", plain.id()]).output()?.code(1)?;
    assert!(output.stderr.contains("user namespace"), "{}", output.stderr);
    plain.nothing_is_left();
    let grouped = Stage::new(|spec| spec.process.as_mut().unwrap().user.additional_gids = vec![7]);
    let output = grouped.corten(&["run", grouped.id()]).output()?.code(1)?;
    assert!(output.stderr.contains("set the additional groups [7]"), "{}", output.stderr);
    grouped.nothing_is_left();
    Ok(())
}

/// Neither needs a privilege: Landlock, and a kernel parameter of one's own namespace.
fn one_is_confined_and_has_its_parameters() -> Outcome {
    let stage = Stage::new(|spec| {
        let policy = r#"{"ruleset":{"handledAccessFS":["write_file","make_reg"]},
            "rules":{"pathBeneath":[{"allowedAccess":["write_file","make_reg"],"paths":["/tmp"]}]}}"#;
        spec.annotations.insert("org.corten.process.landlock".to_owned(), policy.to_owned());
        spec.root.as_mut().unwrap().readonly = false;
        spec.linux.as_mut().unwrap().sysctl.insert("kernel.msgmax".to_owned(), "4321".to_owned());
        spec.process.as_mut().unwrap().args.push("sleep".to_owned());
    });
    let id = stage.id();
    stage.corten(&["run", "--detach", id]).output()?.success()?;
    let exec = |deed: &[&str]| stage.corten(&[&["exec", id, "/bin/probe"], deed].concat()).output().unwrap();
    assert!(exec(&["read", "/proc/sys/kernel/msgmax"]).success()?.stdout.contains("4321"));
    assert!(exec(&["touch", "/var/x"]).code(1)?.stdout.contains("EACCES"));
    exec(&["touch", "/tmp/x"]).success()?;
    stage.corten(&["delete", "--force", id]).output()?.success()?;
    stage.nothing_is_left();
    Ok(())
}

fn main() -> ExitCode {
    corten();
    let user = [Requirement::Root, Requirement::UserNamespaces, Requirement::Program("setpriv")];
    let unshared = [&user[..], &[Requirement::Program("unshare")]].concat();
    let helpers = [&user[..], &["newuidmap", "newgidmap", "unshare"].map(Requirement::Program)].concat();
    Suite::new()
        .needs(&user, "one_runs_with_the_users_own_id", one_runs_with_the_users_own_id)
        .needs(&unshared, "one_runs_in_an_engines_user_namespace", one_runs_in_an_engines_user_namespace)
        .needs(&user, "one_lives_step_by_step", one_lives_step_by_step)
        .needs(&user, "filters_and_agents_are_for_everybody", filters_and_agents_are_for_everybody)
        .needs(
            &[&user[..], &[Requirement::Landlock(1)]].concat(),
            "one_is_confined_and_has_its_parameters",
            one_is_confined_and_has_its_parameters,
        )
        .needs(&helpers, "granted_ids_are_mapped_by_the_helpers", granted_ids_are_mapped_by_the_helpers)
        .needs(&user, "what_takes_privileges_is_refused", what_takes_privileges_is_refused)
        .run()
}
