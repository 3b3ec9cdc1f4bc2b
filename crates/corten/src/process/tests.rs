use std::os::fd::OwnedFd;

use super::*;
use crate::ErrorKind;

fn null() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

fn refused(builder: ProcessBuilder, words: &str) {
    let error = builder.build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(error.to_string().contains(words), "{error} has no {words:?}");
}

fn sh() -> ProcessBuilder {
    Process::builder("sh")
}

fn from_json(json: &str) -> oci::Process {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_program_needs_no_more_than_its_name() {
    let process = sh().build().unwrap();
    assert_eq!((process.args, process.cwd.as_str()), (vec!["sh".to_owned()], "/"));
    assert_eq!(process.user, User::Ids { uid: 0, gid: 0 });
    assert!(process.env.is_empty() && matches!(process.stdio, Stdio::Null));
}

#[test]
fn of_a_variable_given_twice_the_last_counts() {
    let process = sh().env("A", "1").envs([("B", "2"), ("A", "x=y")]).build().unwrap();
    assert_eq!(process.env, ["A=x=y", "B=2"]);
    assert!(sh().env("A", "1").clear_env().build().unwrap().env.is_empty());
}

#[test]
fn sockets_to_listen_on_are_announced() {
    let process =
        sh().env("LISTEN_FDS", "7").preserve_fds(vec![null(), null()]).listen_fds(1).build().unwrap();
    assert_eq!(process.env, ["LISTEN_FDS=1", "LISTEN_PID=1"]);
    refused(sh().preserve_fds(vec![null()]).listen_fds(2), "fewer descriptors");
    refused(sh().preserve_fds(vec![null()]).listen_fds(1).init_reaper(true), "only process 1");
}

#[test]
fn users_have_many_spellings() {
    let name =
        |user: &str, group: Option<&str>| User::Name { user: user.into(), group: group.map(str::to_owned) };
    assert_eq!(User::from("1000:100"), User::Ids { uid: 1000, gid: 100 });
    assert_eq!(User::from((1, 2)), User::Ids { uid: 1, gid: 2 });
    assert_eq!(User::from("1000"), name("1000", None));
    assert_eq!(User::from("daemon"), name("daemon", None));
    assert_eq!(User::from("daemon:100"), name("daemon", Some("100")));
    assert_eq!(User::from("1000:wheel"), name("1000", Some("wheel")));
}

#[test]
fn contradictions_are_refused() {
    refused(Process::builder(""), "args must not be empty");
    refused(sh().cwd("tmp"), "cwd must be an absolute path");
    refused(sh().cwd(""), "cwd must not be empty");
    refused(sh().arg("a\0b"), "NUL");
    refused(sh().env("", "x"), "environment variable");
    refused(sh().env("A=B", "x"), "environment variable");
    refused(sh().env("A", "\0"), "environment variable");
    refused(sh().user(""), "empty");
    refused(sh().user("daemon:"), "empty");
    refused(sh().umask(0o1000), "umask");
    refused(sh().scheduler(oci::Scheduler::default()), "invalid scheduler policy");
    refused(sh().io_priority(oci::IoPriority::default()), "invalid io priority class");
    let affinity = oci::CpuAffinity { last: Some("x".to_owned()), ..oci::CpuAffinity::default() };
    refused(sh().cpu_affinity(affinity), "execCPUAffinity.final");
    refused(sh().oom_score_adj(1001), "oomScoreAdj");
    refused(sh().sub_cgroup("../x"), "below the container's");
    refused(sh().sub_cgroup_of(["cpu"], "/x/../.."), "below the container's");
    refused(sh().console_socket(null()), "console socket needs a terminal");
    refused(sh().terminal(None).stdio(Stdio::Inherit), "terminal is standard input");
}

#[test]
fn the_number_that_means_no_change_is_no_id() {
    refused(sh().user((u32::MAX, 0)), "4294967295 is not the id");
    refused(sh().user((0, u32::MAX)), "is not the id");
    refused(sh().user("4294967295"), "is not the id");
    refused(sh().additional_gids([1, u32::MAX]), "is not the id");
    refused(sh().additional_groups(["4294967295"]), "is not the id");
}

#[test]
fn what_this_version_lacks_is_refused_by_its_name() {
    let user = from_json(r#"{"cwd":"/","args":["sh"],"user":{"username":"x"}}"#);
    assert!(Process::from_spec(&user).unwrap_err().to_string().starts_with("process.user.username is not"));
}

#[test]
fn a_document_becomes_a_process() {
    let spec = from_json(
        r#"{"terminal":true,"consoleSize":{"height":24,"width":80},"cwd":"/srv","args":["a","b"],"env":["A=1","A=2"],
            "user":{"uid":1,"gid":2,"umask":63,"additionalGids":[3]},"noNewPrivileges":true,"oomScoreAdj":5,
            "rlimits":[{"type":"RLIMIT_CORE","hard":1,"soft":0}],"capabilities":{"bounding":["CAP_KILL"]}}"#,
    );
    let process = Process::from_spec(&spec).unwrap().build().unwrap();
    assert_eq!((process.args.len(), process.cwd.as_str()), (2, "/srv"));
    assert_eq!(process.env, ["A=2"]);
    assert_eq!(process.user, User::Ids { uid: 1, gid: 2 });
    assert_eq!(process.additional_gids, [3]);
    assert!(process.terminal);
    assert_eq!(process.console_size, Some(ConsoleSize { height: 24, width: 80 }));
    assert_eq!(process.attributes, Attributes::from_spec(&spec));
    assert_eq!(process.attributes.umask, Some(0o77));
    let bad = from_json(r#"{"cwd":"/","args":["sh"],"env":["A"]}"#);
    assert!(Process::from_spec(&bad).unwrap_err().to_string().contains("missing '='"));
}

#[test]
fn what_a_process_sets_goes_before_the_containers() {
    let limit = |typ: &str| oci::Rlimit { typ: typ.to_owned(), hard: 2, soft: 1 };
    let config = Config::builder("/r")
        .namespaces([crate::Namespace::Mount])
        .umask(0o27)
        .oom_score_adj(1)
        .rlimits(vec![limit("RLIMIT_CORE")])
        .no_new_privileges(true)
        .build()
        .unwrap();
    let inherited = sh().build().unwrap().attributes_in(&config);
    assert_eq!(&inherited, config.attributes());
    let own = sh().umask(0).oom_score_adj(2).rlimit(limit("RLIMIT_CPU")).no_new_privileges(false);
    let own = own.build().unwrap().attributes_in(&config);
    assert_eq!((own.umask, own.oom_score_adj, own.no_new_privileges), (Some(0), Some(2), Some(false)));
    assert_eq!(own.rlimits, [limit("RLIMIT_CPU")]);
}
