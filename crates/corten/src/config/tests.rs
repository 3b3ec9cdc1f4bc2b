use serde_json::{Value, json};

use super::*;
use crate::ErrorKind;

/// As small as a document can be.
fn smallest() -> Value {
    json!({
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
    })
}

/// The smallest document with some values in other places: `("/linux/sysctl", …)`.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut document = smallest();
    for (pointer, value) in changes {
        let mut place = &mut document;
        for name in pointer[1..].split('/') {
            place = &mut place[name];
        }
        *place = value.clone();
    }
    document
}

fn build(document: Value) -> Result<Config> {
    let spec: oci::Spec = serde_json::from_value(document).unwrap();
    Config::from_spec(&spec, "/bundle", SpecOptions::default())
}

fn refused(kind: ErrorKind, changes: &[(&str, Value)], words: &str) {
    match build(with(changes)) {
        Ok(_) => panic!("{changes:?} is accepted"),
        Err(error) => {
            assert!(error.to_string().contains(words), "{error} has no {words:?}");
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}

fn all_but_time() -> Value {
    json!([{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
           {"type": "cgroup"}, {"type": "user"}])
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn mount(source: &str, destination: &str, typ: &str, options: &[&str]) -> oci::Mount {
    oci::Mount {
        destination: destination.to_owned(),
        typ: Some(typ.to_owned()),
        source: Some(source.to_owned()),
        options: names(options),
        ..oci::Mount::default()
    }
}

/// The configuration that the documentation of Go's libcontainer begins with, each field of it.
fn go_example() -> ConfigBuilder {
    let capabilities = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ];
    let capabilities = names(&capabilities);
    let mapping = vec![oci::IdMapping { container_id: 0, host_id: 1000, size: 65536 }];
    let resources = oci::Resources { devices: default_device_rules(), ..oci::Resources::default() };
    Config::builder("/your/path/to/rootfs")
        .capabilities(oci::Capabilities {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            permitted: capabilities.clone(),
            ambient: capabilities,
            inheritable: Vec::new(),
        })
        .namespaces([
            Namespace::Mount,
            Namespace::Uts,
            Namespace::Ipc,
            Namespace::Pid,
            Namespace::User,
            Namespace::Net,
            Namespace::Cgroup,
        ])
        .cgroup(Cgroup {
            name: Some("test-container".to_owned()),
            parent: Some("system".to_owned()),
            resources,
            ..Cgroup::default()
        })
        .mask_paths(names(&["/proc/kcore", "/sys/firmware"]))
        .readonly_paths(names(&["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"]))
        .devices(default_devices())
        .hostname("testing")
        .mounts(vec![
            mount("proc", "/proc", "proc", &["noexec", "nosuid", "nodev"]),
            mount("tmpfs", "/dev", "tmpfs", &["nosuid", "strictatime", "mode=755"]),
            mount(
                "devpts",
                "/dev/pts",
                "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            ),
            mount("shm", "/dev/shm", "tmpfs", &["noexec", "nosuid", "nodev", "mode=1777", "size=65536k"]),
            mount("mqueue", "/dev/mqueue", "mqueue", &["noexec", "nosuid", "nodev"]),
            mount("sysfs", "/sys", "sysfs", &["noexec", "nosuid", "nodev", "ro"]),
        ])
        .uid_mappings(mapping.clone())
        .gid_mappings(mapping)
        .networks(vec![Network {
            kind: NetworkKind::Loopback,
            address: "127.0.0.1/0".to_owned(),
            gateway: "localhost".to_owned(),
            ..Network::default()
        }])
        .rlimits(vec![oci::Rlimit { typ: "RLIMIT_NOFILE".to_owned(), hard: 1025, soft: 1025 }])
}

#[test]
fn the_example_of_gos_library_can_be_built() {
    let config = go_example().build().unwrap();
    assert!(config.warnings().is_empty());
    assert_eq!(config.networks()[0].gateway, "localhost");
    assert_eq!(config.host_uid(5), Some(1005));
    assert_eq!(config.host_gid(65536), None);
    assert_eq!(config.rlimits()[0].soft, 1025);
    assert_eq!(capability_mask(&config.capabilities().unwrap().ambient).0.count_ones(), 14);
}

#[test]
fn a_container_of_a_library_user_is_apart_by_default() {
    let config = Config::builder("/r").hostname("h").build().unwrap();
    let shared = Namespace::ALL.into_iter().filter(|kind| !config.namespaces().is_new(*kind));
    assert_eq!(shared.collect::<Vec<_>>(), [Namespace::User, Namespace::Time]);
}

#[test]
fn what_is_saved_is_what_is_read() {
    let config = go_example().build().unwrap();
    let saved = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&saved).unwrap(), config);
    assert_eq!(ConfigBuilder::from(config.clone()).build().unwrap(), config);
    let spoilt = saved.replace("RLIMIT_NOFILE", "RLIMIT_NONE");
    let error = serde_json::from_str::<Config>(&spoilt).unwrap_err();
    assert!(error.to_string().contains("invalid rlimit type: RLIMIT_NONE"), "{error}");
}

#[test]
fn every_setter_has_its_getter() {
    let config = Config::builder("/a")
        .rootfs("/b")
        .bundle("/bundle")
        .version("1.2.1")
        .annotations([("k".to_owned(), "v".to_owned())].into_iter().collect())
        .readonlyfs(true)
        .root_propagation("rslave")
        .no_pivot_root(true)
        .namespaces([Namespace::Mount, Namespace::Time, Namespace::Uts])
        .time_offsets(
            [("boottime".to_owned(), oci::TimeOffset { secs: -1, nanosecs: 1 })].into_iter().collect(),
        )
        .domainname("d")
        .sysctl([("kernel.domainname".to_owned(), "d".to_owned())].into_iter().collect())
        .umask(0o27)
        .no_new_privileges(true)
        .oom_score_adj(-5)
        .parent_death_signal(9)
        .no_new_keyring(true)
        .hooks(oci::Hooks {
            poststop: vec![oci::Hook { path: "/h".into(), ..Default::default() }],
            ..Default::default()
        })
        .rootless_cgroups(true)
        .build()
        .unwrap();
    assert_eq!(config.rootfs(), "/b");
    assert_eq!(config.bundle(), Some("/bundle".as_ref()));
    assert_eq!((config.version(), config.annotations()["k"].as_str()), ("1.2.1", "v"));
    assert!(config.readonlyfs() && config.no_pivot_root() && config.no_new_keyring());
    assert!(config.no_new_privileges() && config.rootless_cgroups() && !config.rootless_euid());
    assert_eq!((config.root_propagation(), config.domainname()), (Some("rslave"), Some("d")));
    assert_eq!((config.umask(), config.oom_score_adj()), (Some(0o27), Some(-5)));
    assert_eq!((config.time_offsets()["boottime"].secs, config.sysctl().len()), (-1, 1));
    assert_eq!((config.parent_death_signal(), config.hooks().poststop.len()), (Some(9), 1));
}

#[test]
fn a_document_becomes_a_configuration() {
    let rules = json!([{"allow": false, "access": "rwm"}]);
    let config = build(with(&[
        ("/root", json!({"path": "rootfs", "readonly": true})),
        ("/hostname", json!("h")),
        (
            "/linux/namespaces",
            json!([{"type": "mount", "path": ""}, {"type": "uts", "path": "/x"}, {"type": "network"}]),
        ),
        (
            "/mounts",
            json!([{"destination": "/m", "source": "data", "options": ["rbind"]},
                           {"destination": "/proc", "source": "proc", "type": "proc"}]),
        ),
        (
            "/linux/devices",
            json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 5},
                                  {"path": "/dev/fifo", "type": "p"}]),
        ),
        ("/linux/resources", json!({"devices": rules, "memory": {"limit": 100, "swap": 200}})),
        ("/linux/cgroupsPath", json!("/a/b")),
        ("/process", json!({"cwd": "/", "args": ["sh"], "user": {"umask": 18}, "oomScoreAdj": 7})),
        ("/annotations", json!({"z": "1", "a": "2"})),
    ]))
    .unwrap();
    assert_eq!((config.rootfs(), config.readonlyfs()), (Path::new("/bundle/rootfs"), true));
    assert!(config.namespaces().is_new(Namespace::Mount));
    assert_eq!(config.namespaces().path_of(Namespace::Uts), Some("/x".as_ref()));
    assert_eq!(config.networks(), [Network::loopback()]);
    assert_eq!(config.mounts()[0].source.as_deref(), Some("/bundle/data"));
    assert_eq!(config.mounts()[1].source.as_deref(), Some("proc"));
    let nulls: Vec<_> = config.devices().iter().filter(|device| device.path == "/dev/null").collect();
    assert_eq!((config.devices().len(), nulls.len(), nulls[0].minor), (7, 1, Some(5)));
    let rules = &config.cgroup().resources.devices;
    assert!(!rules[0].allow && rules[1..] == default_device_rules());
    assert_eq!(config.cgroup().path.as_deref(), Some("/a/b"));
    assert_eq!((config.umask(), config.oom_score_adj()), (Some(0o22), Some(7)));
    assert_eq!(config.annotations()["z"], "1");
}

#[test]
fn annotations_keep_their_order() {
    let mut spec: oci::Spec = serde_json::from_value(smallest()).unwrap();
    spec.annotations = ["z", "a", "m"].map(|key| (key.to_owned(), String::new())).into_iter().collect();
    let config = Config::from_spec(&spec, "/bundle", SpecOptions::default()).unwrap();
    let saved = serde_json::to_string(&config).unwrap();
    let read: Config = serde_json::from_str(&saved).unwrap();
    assert_eq!(read.annotations().keys().collect::<Vec<_>>(), ["z", "a", "m"]);
}

#[test]
fn whoever_may_write_its_cgroups_owns_them() {
    let mapping = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    let owner = |namespaces: Value, options: Value| {
        let cgroup = json!([{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options}]);
        let changes = [
            ("/linux/namespaces", namespaces),
            ("/linux/uidMappings", mapping.clone()),
            ("/linux/gidMappings", mapping.clone()),
            ("/mounts", cgroup),
            ("/process", json!({"cwd": "/", "user": {"uid": 3}})),
        ];
        build(with(&changes)).unwrap().cgroup().owner_uid
    };
    let user_only = json!([{"type": "mount"}, {"type": "user"}]);
    assert_eq!(owner(all_but_time(), json!(["nosuid"])), Some(1003));
    assert_eq!(owner(all_but_time(), json!(["ro"])), None);
    assert_eq!(owner(user_only, json!([])), None);
}

#[test]
fn a_unit_of_systemd_comes_from_the_path_and_the_annotations() {
    let document = |path: &str, value: &str| {
        let annotations = json!({"org.systemd.property.CollectMode": value, "other": "x"});
        serde_json::from_value(with(&[("/linux/cgroupsPath", json!(path)), ("/annotations", annotations)]))
            .unwrap()
    };
    let options = SpecOptions { systemd_cgroup: true, ..SpecOptions::default() };
    let read = |path: &str, value: &str, options| {
        let spec: oci::Spec = document(path, value);
        Config::from_spec(&spec, "/b", options)
    };
    let config = read("my.slice:pre:name", "'inactive'", options).unwrap();
    let cgroup = config.cgroup();
    assert!(cgroup.systemd);
    assert_eq!(cgroup.path.as_deref(), Some("my.slice:pre:name"));
    let properties: Vec<_> = cgroup.systemd_properties.iter().collect();
    assert_eq!(properties, [(&"CollectMode".to_owned(), &"'inactive'".to_owned())]);
    assert!(read("/plain", "'x'", options).unwrap_err().to_string().contains("slice:prefix:name"));
    assert!(read("a.slice:b:c", "[", options).unwrap_err().to_string().contains("CollectMode=["));
    let plain = read("/plain", "[", SpecOptions::default()).unwrap();
    assert!(plain.cgroup().systemd_properties.is_empty());
}

#[test]
fn what_this_version_lacks_is_refused_by_its_name() {
    let lacking = [
        ("solaris", ("/solaris", json!({}))),
        ("windows", ("/windows", json!({}))),
        ("vm", ("/vm", json!({}))),
        ("zos", ("/zos", json!({}))),
        ("freebsd", ("/freebsd", json!({}))),
    ];
    for (name, change) in lacking {
        let words = format!("{name} is not supported by this version of corten");
        refused(ErrorKind::Unsupported, &[change], &words);
    }
    let error = Config::builder("/r").namespaces([Namespace::Pid]).build().unwrap_err();
    assert!(error.to_string().contains("without a mount namespace"), "{error}");
}

#[test]
fn absent_and_empty_ask_for_nothing() {
    let config = build(with(&[
        ("/linux/seccomp", Value::Null),
        ("/linux/mountLabel", json!("")),
        ("/linux/rootfsPropagation", json!("")),
        ("/linux/cgroupsPath", json!("")),
        ("/linux/netDevices", json!({})),
        ("/linux/hwConfig", json!({"unknown": true})),
        ("/hostname", json!("")),
        ("/process", json!({"cwd": "/", "apparmorProfile": "", "selinuxLabel": ""})),
    ]))
    .unwrap();
    assert_eq!((config.hostname(), config.root_propagation()), (None, None));
    assert_eq!((config.apparmor_profile(), &config.cgroup().path), (None, &None));
}

#[test]
fn labels_and_landlock_are_taken() {
    let landlock = r#"{"ruleset":{"handledAccessFS":["write_file"]}}"#;
    let config = build(with(&[
        ("/linux/mountLabel", json!("u:r:t:s0")),
        ("/process", json!({"cwd": "/", "apparmorProfile": "profile", "selinuxLabel": "u:r:p:s0"})),
        (
            "/annotations",
            json!({"org.corten.process.landlock": landlock, "run.oci.mount_context_type": "fscontext"}),
        ),
    ]))
    .unwrap();
    assert_eq!((config.mount_label(), config.mount_context_type()), (Some("u:r:t:s0"), "fscontext"));
    assert_eq!((config.apparmor_profile(), config.process_label()), (Some("profile"), Some("u:r:p:s0")));
    assert_eq!(config.landlock().unwrap().ruleset.handled_access_fs, ["write_file"]);
    let saved: Config = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
    assert_eq!(saved, config);
}

#[test]
fn labels_that_cannot_be_are_refused() {
    let annotation = |name: &str, value: &str| ("/annotations", json!({ name: value }));
    let process = |field: &str| ("/process", json!({"cwd": "/", field: "a\nb"}));
    let bad = [
        (
            annotation("org.corten.process.landlock", "{}"),
            "annotation org.corten.process.landlock: missing field",
        ),
        (
            annotation("org.corten.process.landlock", r#"{"ruleset":{"scoped":["x"]}}"#),
            "no access right \"x\"",
        ),
        (annotation("run.oci.mount_context_type", "size"), "takes an SELinux label"),
        (process("apparmorProfile"), "apparmorProfile is empty, or has a character"),
        (process("selinuxLabel"), "selinuxLabel is empty, or has a character"),
    ];
    for (change, words) in bad {
        refused(ErrorKind::InvalidConfig, &[change], words);
    }
}

#[test]
fn contradictions_are_refused() {
    let mapping = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
    let namespaces = |list: Value| ("/linux/namespaces", list);
    let cases: Vec<(Vec<(&str, Value)>, &str)> = vec![
        (vec![("/root", Value::Null)], "root must be specified"),
        (vec![("/root/path", json!(""))], "root.path must not be empty"),
        (vec![("/ociVersion", json!("1.3"))], "not a semantic version"),
        (vec![("/ociVersion", json!("one"))], "not a semantic version"),
        (vec![namespaces(json!([{"type": "net"}]))], "invalid namespace type \"net\""),
        (vec![namespaces(json!([{"type": "pid"}, {"type": "pid"}]))], "duplicate namespace type \"pid\""),
        (
            vec![namespaces(json!([{"type": "mount"}, {"type": "pid", "path": "x"}]))],
            "pid namespace is not absolute",
        ),
        (vec![("/hostname", json!("h"))], "unable to set hostname without a private uts namespace"),
        (vec![("/domainname", json!("d"))], "unable to set domainname"),
        (vec![("/linux/uidMappings", mapping.clone())], "uidMappings without a private user namespace"),
        (vec![namespaces(all_but_time())], "a new user namespace needs linux.uidMappings"),
        (vec![namespaces(all_but_time()), ("/linux/uidMappings", mapping)], "needs linux.gidMappings"),
        (
            vec![("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}))],
            "timeOffsets without a private time",
        ),
        (vec![("/linux/rootfsPropagation", json!("public"))], "invalid rootfsPropagation \"public\""),
        (vec![("/linux/maskedPaths", json!(["proc"]))], "maskedPaths: \"proc\" is not an absolute path"),
        (vec![("/linux/readonlyPaths", json!(["proc"]))], "readonlyPaths: \"proc\" is not an absolute path"),
        (vec![("/mounts", json!([{"destination": ""}]))], "no destination"),
        (vec![("/mounts", json!([{"destination": "/a", "type": "bind"}]))], "source of the bind mount at /a"),
        (vec![("/mounts", json!([{"destination": "/a\0b"}]))], "mounts[0].destination contains a NUL byte"),
        (vec![("/process", json!({"cwd": "/", "oomScoreAdj": 1001}))], "oomScoreAdj is not between"),
        (vec![("/process", json!({"cwd": "/", "user": {"umask": 512}}))], "umask"),
    ];
    for (changes, words) in cases {
        refused(ErrorKind::InvalidConfig, &changes, words);
    }
    for version in ["0.9.0", "2.0.0", "1.0.0-rc5"] {
        refused(ErrorKind::Unsupported, &[("/ociVersion", json!(version))], "it must be 1.0.0 or newer");
    }
    for version in ["1.0.0", "1.0.2-dev", "1.3.0", "1.9.0+build.5"] {
        assert!(build(with(&[("/ociVersion", json!(version))])).is_ok(), "{version}");
    }
}

#[test]
fn clocks_of_a_new_time_namespace_can_be_set() {
    let with_path = |path: Option<&str>, offsets: Value| {
        let mut time = json!({"type": "time"});
        if let Some(path) = path {
            time["path"] = json!(path);
        }
        [("/linux/namespaces", json!([{"type": "mount"}, time])), ("/linux/timeOffsets", offsets)]
    };
    assert!(
        build(with(&with_path(None, json!({"monotonic": {"secs": 1}, "boottime": {"secs": -1}})))).is_ok()
    );
    let invalid = ErrorKind::InvalidConfig;
    refused(invalid, &with_path(Some("/x"), json!({"monotonic": {"secs": 1}})), "not for one by path");
    refused(invalid, &with_path(None, json!({"realtime": {"secs": 1}})), "no such clock: \"realtime\"");
    refused(invalid, &with_path(None, json!({"monotonic": {"nanosecs": 1_000_000_000}})), "a second or more");
}

#[test]
fn limits_and_devices_are_checked() {
    let invalid = |pointer: &str, value: Value, words: &str| {
        refused(ErrorKind::InvalidConfig, &[(pointer, value)], words)
    };
    let memory = "/linux/resources/memory";
    invalid(memory, json!({"limit": 2, "swap": 1}), "below the memory limit");
    invalid(memory, json!({"swap": 1}), "needs a memory limit");
    invalid(memory, json!({"swappiness": 101}), "swappiness");
    assert!(build(with(&[(memory, json!({"limit": 2, "swap": -1}))])).is_ok());
    assert!(build(with(&[(memory, json!({"limit": -1, "swap": -1}))])).is_ok());
    invalid("/linux/resources/cpu", json!({"idle": 2}), "cpu.idle");
    invalid("/linux/resources/blockIO", json!({"weight": 9}), "blockIO weight 9");
    invalid("/linux/resources/unified", json!({"../x.y": "1"}), "not the name of a cgroup file");
    invalid(
        "/linux/resources/hugepageLimits",
        json!([{"pageSize": "../2MB", "limit": 1}]),
        "size of a huge page",
    );
    let rule = "/linux/resources/devices";
    invalid(rule, json!([{"allow": true, "type": "x"}]), "invalid type of a device rule");
    invalid(rule, json!([{"allow": true, "access": "rx"}]), "invalid access of a device rule");
    invalid(rule, json!([{"allow": true, "major": -2}]), "invalid device number");
    invalid("/linux/cgroupsPath", json!("/a/../b"), "leads upwards");
    let device = "/linux/devices";
    invalid(device, json!([{"path": "/dev/x", "type": "x"}]), "not one of c, u, b, p");
    invalid(device, json!([{"path": "dev/x", "type": "p"}]), "not absolute");
    invalid(device, json!([{"path": "/dev/x", "type": "c", "major": 1}]), "major and a minor");
    let rlimits = |list: Value| json!({"cwd": "/", "rlimits": list});
    let limit = |typ: &str, soft: u64| json!({"type": typ, "hard": 5, "soft": soft});
    invalid("/process", rlimits(json!([limit("RLIMIT_X", 1)])), "invalid rlimit type: RLIMIT_X");
    let twice = json!([limit("RLIMIT_CPU", 1), limit("RLIMIT_CPU", 2)]);
    invalid("/process", rlimits(twice), "duplicate rlimit type: RLIMIT_CPU");
    invalid("/process", rlimits(json!([limit("RLIMIT_CPU", 6)])), "above the hard limit");
}

#[test]
fn cgroups_and_networks_of_a_library_user_are_checked() {
    let builder = || Config::builder("/r").namespaces([Namespace::Mount, Namespace::Net]);
    let refused = |builder: ConfigBuilder, words: &str| {
        let error = builder.build().unwrap_err();
        assert!(error.to_string().contains(words), "{error} has no {words:?}");
    };
    let name = || Some("x".to_owned());
    refused(builder().cgroup(Cgroup { name: name(), path: name(), ..Cgroup::default() }), "either a path");
    refused(
        builder().cgroup(Cgroup { name: Some("a/b".to_owned()), ..Cgroup::default() }),
        "contains a slash",
    );
    refused(
        builder().cgroup(Cgroup { managed: false, name: name(), ..Cgroup::default() }),
        "without a cgroup",
    );
    assert!(builder().cgroup(Cgroup { managed: false, ..Cgroup::default() }).build().is_ok());
    refused(
        builder().networks(vec![Network { mtu: 9000, ..Network::loopback() }]),
        "loopback interface has no settings",
    );
    refused(
        Config::builder("/r").namespaces([Namespace::Mount]).networks(vec![Network::loopback()]),
        "network namespace",
    );
    refused(builder().parent_death_signal(0), "parent death signal");
    refused(Config::builder("r").namespaces([Namespace::Mount]), "rootfs \"r\" is not an absolute path");
}

#[test]
fn hooks_are_checked() {
    let hook = |hook: Value, words: &str| {
        let words = format!("invalid poststart hook #0 {words}");
        refused(ErrorKind::InvalidConfig, &[("/hooks", json!({"poststart": [hook]}))], &words);
    };
    hook(json!({"path": "h"}), "\"h\": its path is not absolute");
    hook(json!({"path": "/h", "timeout": 0}), "\"/h\": its timeout is not greater than zero");
    hook(json!({"path": "/h", "env": ["A"]}), "\"/h\": an entry of its environment");
}

#[test]
fn a_caller_who_is_not_root_needs_a_user_namespace() {
    let options = SpecOptions { rootless_euid: true, ..SpecOptions::default() };
    let build =
        |document: Value| Config::from_spec(&serde_json::from_value(document).unwrap(), "/b", options);
    let error = build(smallest()).unwrap_err();
    assert!(error.to_string().contains("needs a user namespace"), "{error}");
    let mapping = json!([{"containerID": 0, "hostID": 1000, "size": 6}]);
    let mounted = |option: &str| {
        let mounts = json!([{"destination": "/a", "type": "tmpfs", "options": [option]}]);
        let mapping = || mapping.clone();
        let ids = [("/linux/uidMappings", mapping()), ("/linux/gidMappings", mapping())];
        let [uids, gids] = ids;
        build(with(&[("/linux/namespaces", all_but_time()), uids, gids, ("/mounts", mounts)]))
    };
    assert!(mounted("gid=5").is_ok());
    for unmapped in ["gid=6", "uid=6", "uid=x"] {
        assert!(
            mounted(unmapped).unwrap_err().to_string().contains(&format!("{unmapped} is not a mapped id"))
        );
    }
}

#[test]
fn a_sysctl_belongs_to_a_namespace_of_the_containers_own() {
    let paths = [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ];
    for (name, path) in paths {
        assert_eq!(sysctl_path(name).unwrap(), path);
    }
    for bad in ["", ".", "..", "net..x", "net/../../x", "/net/x", "net.x.", "net//x"] {
        assert!(sysctl_path(bad).is_err(), "{bad}");
    }
    let sysctl = |name: &str, namespace: &str| {
        let mut map = json!({});
        map[name] = json!("1");
        let ids = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
        let mut changes = vec![
            ("/linux/namespaces", json!([{"type": "mount"}, {"type": namespace}])),
            ("/linux/sysctl", map),
        ];
        if namespace == "user" {
            changes.extend([("/linux/uidMappings", ids.clone()), ("/linux/gidMappings", ids)]);
        }
        build(with(&changes)).map(drop).map_err(|error| error.to_string())
    };
    let owned = [
        ("net.ipv4.ip_forward", "network"),
        ("net/core/somaxconn", "network"),
        ("kernel.shm_rmid_forced", "ipc"),
        ("kernel/msgmax", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("kernel.domainname", "uts"),
        ("user.max_user_namespaces", "user"),
    ];
    for (name, namespace) in owned {
        sysctl(name, namespace).unwrap();
        let error = sysctl(name, "pid").unwrap_err();
        assert!(error.contains(&format!("without a {namespace} namespace")), "{error}");
    }
    for name in
        ["kernel.pid_max", "vm.swappiness", "fs.file-max", "kernel.shmall.x", "net", "kernel/../net/x"]
    {
        assert!(sysctl(name, "ipc").is_err(), "{name}");
    }
    assert!(sysctl("kernel.hostname", "uts").unwrap_err().contains("hostname is a field of its own"));
}

#[test]
fn a_joined_namespace_that_is_the_callers_own_keeps_its_sysctls() {
    let config = |path: &str| {
        let list = json!([{"type": "mount"}, {"type": "network", "path": path}]);
        build(with(&[("/linux/namespaces", list), ("/linux/sysctl", json!({"net.core.somaxconn": "1"}))]))
            .unwrap()
    };
    let error = config("/proc/thread-self/ns/net").check_host().unwrap_err();
    assert!(error.to_string().contains("not allowed in the host's network namespace"), "{error}");
    assert!(config("/nonexistent").check_host().is_err());
    assert!(build(smallest()).unwrap().check_host().is_ok());
}

#[test]
fn what_is_ignored_is_told() {
    let capabilities = json!({"bounding": ["CAP_X", "CAP_KILL", "CAP_A"], "permitted": ["CAP_X"]});
    let idle = json!({"policy": "SCHED_IDLE", "nice": 5});
    let config = build(with(&[
        ("/process", json!({"cwd": "/", "capabilities": capabilities, "scheduler": idle})),
        ("/mounts", json!([{"destination": "proc", "type": "proc"}])),
        ("/linux/resources/memory", json!({"kernel": 1})),
        ("/linux/personality", json!({"domain": "LINUX32", "flags": ["ADDR_X"]})),
    ]))
    .unwrap();
    let warnings = config.warnings();
    let [capabilities, nice, mount, memory, personality] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(capabilities, "ignoring unknown or unavailable capabilities: [CAP_A CAP_X]");
    assert!(mount.contains("relative destination is deprecated"));
    assert!(memory.contains("memory.kernel"));
    assert_eq!(nice, "ignoring scheduler.nice: SCHED_IDLE has no nice value");
    assert!(personality.contains(r#"linux.personality.flags ["ADDR_X"]"#), "{personality}");
}

#[test]
fn a_bundle_that_cannot_be_read_says_why() {
    let bundle = std::env::temp_dir().join(format!("corten-read-spec-{}", std::process::id()));
    std::fs::create_dir(&bundle).unwrap();
    let read = |json: &str| {
        std::fs::write(bundle.join("config.json"), json).unwrap();
        read_spec(&bundle).map_err(|error| error.to_string())
    };
    let missing = read_spec(&bundle).unwrap_err().to_string();
    let broken = read("{\n  \"ociVersion\": \"1.3.0\",\n}").unwrap_err();
    let incomplete = read("{}").unwrap_err();
    let wrong = read(r#"{"ociVersion": "1.3.0", "process": {"args": ["sh"]}}"#).unwrap_err();
    let good = read(&smallest().to_string());
    let directory = read_process(&bundle).unwrap_err();
    std::fs::remove_dir_all(&bundle).unwrap();
    assert!(missing.contains("JSON specification file config.json not found"), "{missing}");
    assert!(broken.contains("config.json: trailing comma at line 3 column 1"), "{broken}");
    assert!(incomplete.contains("missing field `ociVersion` at line 1"), "{incomplete}");
    assert!(wrong.contains("missing field `cwd`"), "{wrong}");
    assert_eq!(good.unwrap().version, "1.3.0");
    assert_eq!(directory.kind(), ErrorKind::System);
}

#[test]
fn a_seccomp_profile_is_compiled_with_the_rest() {
    let notify = |more: Value| {
        let mut profile = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
        });
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        profile
    };
    let built = |profile: Value| build(with(&[("/linux/seccomp", profile)]));
    let agent = built(notify(json!({"listenerPath": "/a", "listenerMetadata": "m"}))).unwrap();
    assert_eq!(agent.seccomp_agent().unwrap().1, "/a");
    assert!(agent.seccomp_filter().unwrap().unwrap().notifies);
    let nothing = built(json!({"defaultAction": ""})).unwrap();
    assert!(nothing.seccomp_filter().unwrap().is_none() && nothing.seccomp_agent().is_none());
    let wrong = |profile: Value, words: &str| {
        refused(ErrorKind::InvalidConfig, &[("/linux/seccomp", profile)], words)
    };
    wrong(notify(json!({"listenerPath": ""})), "seccomp listenerPath is not set");
    wrong(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"}), "without listenerPath");
    wrong(json!({"defaultAction": "SCMP_ACT_NO"}), "linux.seccomp: string SCMP_ACT_NO is not a valid action");
    let own = |profile: Value| {
        let profile = serde_json::from_value(profile).unwrap();
        Config::builder("/r")
            .seccomp(profile)
            .seccomp_listener(true)
            .build()
            .map_err(|error| error.to_string())
    };
    assert!(own(notify(json!({}))).unwrap().seccomp_listener());
    assert!(own(notify(json!({"listenerPath": "/a"}))).unwrap_err().contains("no listener for this program"));
}
