//! Network interfaces, routes and devices of the host: seen from inside and outside, with packets that pass.
//!
//! Each case has a network of its own, which stands for the host's: the machine's is not touched.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

#[path = "network/restored.rs"]
mod restored;

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use common::{LAUNCHER, Outcome, Stage, output, probe, refusal, report};
use corten::oci::{Hook, IdMapping, NetDevice, Spec};
use corten::{
    Config, ConfigBuilder, Container, Error, ErrorKind, ExitStatus, Id, Network, NetworkKind, Process, Route,
    Runtime, Signal, SpecOptions,
};
use corten_testkit::{Report, Requirement, Suite, View, patience};

/// What ip(8) says; it must succeed.
fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What there is of an interface on the host, with what only its kind has.
fn host_link(name: &str) -> Option<String> {
    let output = Command::new("ip").args(["-d", "link", "show", "dev", name]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// The names of all interfaces of the host.
fn host_links() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/net/dev").unwrap();
    let mut names: Vec<_> =
        text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
    names.sort();
    names
}

/// The kernel takes a namespace apart some time after its last process.
fn wait_until_gone(name: &str) {
    let start = Instant::now();
    while host_link(name).is_some() {
        assert!(start.elapsed() < patience(30), "{name} is still there");
    }
}

/// A pair of devices, up: `corten-d` with addresses of every sort, and `corten-p`, which stays. There is no dummy on every machine.
fn device() {
    ip("link add corten-d mtu 1400 address 02:00:00:00:00:0d type veth peer name corten-p");
    ip("link set corten-p up");
    ip("link set corten-d up");
    ip("addr add 10.1.0.5/24 broadcast 10.1.0.255 label corten-d:a dev corten-d");
    ip("addr add 10.1.0.6/24 dev corten-d");
    ip("addr add 10.2.0.1 peer 10.2.0.2/32 dev corten-d");
    ip("addr add 10.3.0.1/24 scope link dev corten-d");
    ip("addr add 10.4.0.1/24 valid_lft 600 preferred_lft 600 dev corten-d");
    ip("addr add fd01::5/64 nodad dev corten-d");
    ip("addr add fd02::5/64 valid_lft 600 preferred_lft 600 nodad dev corten-d");
}

const KEPT: [&str; 4] = ["10.1.0.5/24", "10.1.0.6/24", "10.2.0.1/32", "fd01::5/64"];

fn move_device(spec: &mut Spec, host: &str, name: Option<&str>) {
    let device = NetDevice { name: name.map(str::to_owned) };
    spec.linux.as_mut().unwrap().net_devices.insert(host.to_owned(), device);
}

fn with_user_namespace(spec: &mut Spec) {
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.push(corten::oci::Namespace { typ: "user".to_owned(), path: None });
    linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];
    linux.gid_mappings = linux.uid_mappings.clone();
}

fn join_network(spec: &mut Spec, path: &str) {
    let namespaces = &mut spec.linux.as_mut().unwrap().namespaces;
    let network = namespaces.iter_mut().find(|namespace| namespace.typ == "network").unwrap();
    network.path = Some(path.to_owned());
    // It takes a new namespace to mount one; what is mounted inside it goes as well.
    spec.mounts.retain(|mount| !mount.destination.starts_with("/sys"));
}

/// A network namespace that is there as long as this, with a process in it.
struct Elsewhere(Child);

impl Elsewhere {
    fn new() -> Self {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
        Self(child)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// What a command says there.
    fn run(&self, command: &str) -> String {
        let pid = self.0.id().to_string();
        let output =
            Command::new("nsenter").args(["-n", "-t", &pid]).args(command.split(' ')).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn has_moved(report: &Report, name: &str) {
    let link = &report.links[name];
    assert!(link.up, "{link:?}");
    let mut addresses = link.addresses.clone();
    addresses.sort();
    assert_eq!(addresses, KEPT, "{name}");
    // What was mounted by another network namespace's root tells of nothing.
    if link.mtu.is_some() {
        assert_eq!((link.mtu, link.hardware_address.as_deref()), (Some(1400), Some("02:00:00:00:00:0d")));
    }
    let routes = report.routes.as_ref().unwrap();
    for route in [
        format!("10.1.0.0/24 dev {name}"),
        format!("10.2.0.2/32 dev {name}"),
        format!("fd01::/64 dev {name}"),
    ] {
        assert!(routes.contains(&route), "{route}: {routes:?}");
    }
}

fn a_device_moves_with_what_it_has() -> Outcome {
    for name in [None, Some("net1")] {
        device();
        let seen = report(|spec| move_device(spec, "corten-d", name));
        has_moved(&seen, name.unwrap_or("corten-d"));
        assert_eq!(seen.links.len(), 2, "{:?}", seen.links);
        // A virtual device goes with the namespace, and so does the other end of a pair.
        wait_until_gone("corten-p");
        assert_eq!(host_links(), ["lo"]);
    }
    Ok(())
}

/// This is no virtual device to the kernel. It returns to the machine's first namespace, so that the case is one for a machine
/// whose network nobody needs.
fn a_physical_device_comes_back() -> Outcome {
    let before = host_links();
    let mut line = Command::new(corten_testkit::probe()).arg("slip").stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    BufReader::new(line.stdout.take().unwrap()).read_line(&mut said)?;
    assert!(said.contains("ready"), "{said}");
    let new = host_links().into_iter().find(|name| !before.contains(name)).unwrap();
    ip(&format!("link set {new} name corten-s"));
    ip("addr add 10.5.0.1 peer 10.5.0.2/32 dev corten-s");
    let seen = report(|spec| move_device(spec, "corten-s", Some("corten-net1")));
    let link = &seen.links["corten-net1"];
    assert!(link.up && link.addresses == ["10.5.0.1/32"], "{link:?}");
    let start = Instant::now();
    while host_link("corten-net1").is_none() {
        assert!(start.elapsed() < patience(30), "it does not come back");
    }
    line.kill()?;
    line.wait()?;
    wait_until_gone("corten-net1");
    Ok(())
}

fn a_device_moves_into_any_namespace() -> Outcome {
    device();
    let seen = report(|spec| {
        with_user_namespace(spec);
        move_device(spec, "corten-d", Some("net1"));
    });
    has_moved(&seen, "net1");
    wait_until_gone("corten-p");
    for user in [false, true] {
        let elsewhere = Elsewhere::new();
        device();
        let seen = report(|spec| {
            if user {
                with_user_namespace(spec);
            }
            join_network(spec, &elsewhere.path());
            move_device(spec, "corten-d", Some("net1"));
        });
        has_moved(&seen, "net1");
        // It belongs to the namespace now, which outlives the container.
        assert!(host_link("corten-p").is_some() && host_link("corten-d").is_none());
        let there = elsewhere.run("ip addr show dev net1");
        assert!(there.contains("10.1.0.5/24 brd 10.1.0.255 scope global net1:a"), "{there}");
        assert!(there.contains("10.2.0.1 peer 10.2.0.2/32"), "{there}");
        ip("link del corten-p");
    }
    Ok(())
}

fn the_kernel_fills_a_template_in() -> Outcome {
    for name in ["a", "b", "c"] {
        ip(&format!("link add corten-{name} type veth peer name corten-{name}p"));
    }
    let seen = report(|spec| {
        move_device(spec, "corten-a", Some("net%d"));
        move_device(spec, "corten-b", Some("net0"));
        move_device(spec, "corten-c", Some("net%d"));
    });
    // Names that are given are taken before numbers are.
    let names: Vec<_> = seen.links.keys().map(String::as_str).collect();
    assert_eq!(names, ["lo", "net0", "net1", "net2"]);
    assert!(seen.links.values().all(|link| link.up), "{:?}", seen.links);
    Ok(())
}

/// Whether the device is where and as it was.
fn is_back() {
    let link = host_link("corten-d").unwrap();
    for part in ["mtu 1400", "state UP", "02:00:00:00:00:0d", "master corten-br"] {
        assert!(link.contains(part), "{part}: {link}");
    }
    let addresses = ip("addr show dev corten-d");
    for part in KEPT {
        let address = part.strip_suffix("/32").unwrap_or(part);
        assert!(addresses.contains(address), "{part}: {addresses}");
    }
    assert!(addresses.contains("scope global corten-d:a"), "{addresses}");
    assert_eq!(host_links(), ["corten-br", "corten-d", "corten-p", "lo"]);
}

/// A `createRuntime` hook that fails, and tells as much of the interface as the container has by then.
fn failing_hook(spec: &mut Spec, script: &str) {
    let args = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let env = std::env::var("PATH").map(|path| format!("PATH={path}")).into_iter().collect();
    let hook = Hook { path: "/bin/sh".to_owned(), args, env, ..Hook::default() };
    spec.hooks.get_or_insert_default().create_runtime.push(hook);
}

fn a_failed_start_moves_devices_back() -> Outcome {
    ip("link add corten-br type bridge");
    ip("link set corten-br up");
    device();
    ip("link set corten-d master corten-br");
    is_back();
    // The hook finds that the device has moved already.
    let script =
        "ip link show dev corten-d 2>/dev/null && echo still there >&2 || echo has moved >&2; exit 1";
    for user in [false, true] {
        let error = refusal(|spec| {
            if user {
                with_user_namespace(spec);
            }
            move_device(spec, "corten-d", Some("net1"));
            failing_hook(spec, script);
        });
        assert!(error.to_string().contains("has moved"), "{error}");
        is_back();
    }
    // Another one that is not there.
    let error = refusal(|spec| {
        move_device(spec, "corten-d", Some("net1"));
        move_device(spec, "corten-x", None);
    });
    assert_eq!(error.raw_os_error(), Some(19), "{error}");
    assert!(
        error.to_string().contains("find network device corten-x on the host: no such device"),
        "{error}"
    );
    is_back();
    // A program that cannot be executed, from a namespace that stays.
    let elsewhere = Elsewhere::new();
    let error = refusal(|spec| {
        join_network(spec, &elsewhere.path());
        move_device(spec, "corten-d", Some("net%d"));
        spec.process.as_mut().unwrap().args = vec!["/nonexistent".to_owned()];
    });
    assert_eq!(error.kind(), ErrorKind::CommandNotFound, "{error}");
    is_back();
    assert!(!elsewhere.run("ip link").contains("net0"));
    Ok(())
}

fn devices_that_cannot_move_are_refused() -> Outcome {
    device();
    let elsewhere = Elsewhere::new();
    elsewhere.run("ip link add net1 type bridge");
    let error = refusal(|spec| {
        join_network(spec, &elsewhere.path());
        move_device(spec, "corten-d", Some("net1"));
    });
    let words = "move network device corten-d into the container as net1: file exists (the container has an interface of that name)";
    assert_eq!(error.to_string(), words);
    // A bridge belongs to its namespace for ever.
    ip("link add corten-br type bridge");
    let error = refusal(|spec| move_device(spec, "corten-br", None));
    assert!(
        error.to_string().starts_with("move network device corten-br into the container: invalid argument"),
        "{error}"
    );
    let error = refusal(|spec| {
        join_network(spec, "/proc/self/ns/net");
        move_device(spec, "corten-d", Some("net1"));
    });
    assert!(error.to_string().contains("not allowed in the host's network namespace"), "{error}");
    assert_eq!(host_links(), ["corten-br", "corten-d", "corten-p", "lo"]);
    Ok(())
}

/// A bridge that is the gateway of two networks.
fn bridge() {
    ip("link add corten-br type bridge");
    ip("link set corten-br up");
    ip("addr add 10.9.0.1/24 dev corten-br");
    ip("addr add fd09::1/64 nodad dev corten-br");
}

/// An interface that has every setting.
fn eth0() -> Network {
    Network {
        kind: NetworkKind::Veth,
        name: "eth0".to_owned(),
        bridge: "corten-br".to_owned(),
        mac_address: "02:00:00:00:09:02".to_owned(),
        address: "10.9.0.2/24".to_owned(),
        gateway: "10.9.0.1".to_owned(),
        ipv6_address: "fd09::2/64".to_owned(),
        ipv6_gateway: "fd09::1".to_owned(),
        mtu: 1450,
        txqueuelen: 77,
        host_interface_name: "corten-h".to_owned(),
        hairpin_mode: true,
    }
}

fn route(destination: &str, source: &str, gateway: &str, interface: &str) -> Route {
    let [destination, source, gateway, interface_name] =
        [destination, source, gateway, interface].map(str::to_owned);
    Route { destination, source, gateway, interface_name }
}

/// A container of the stage's with these interfaces and routes.
fn container(stage: &Stage, networks: Vec<Network>, routes: Vec<Route>) -> Container {
    let config = ConfigBuilder::from(stage.config()).networks(networks).routes(routes).build().unwrap();
    stage.runtime.create(&stage.id(), config).unwrap()
}

/// What the probe tells of a container with these interfaces and routes.
fn report_with(stage: &Stage, networks: Vec<Network>, routes: Vec<Route>) -> Report {
    let container = container(stage, networks, routes);
    let (status, text) = output(|process| container.run(process), stage.process());
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    container.destroy().map_err(Error::from).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn an_interface_has_what_was_asked_for() -> Outcome {
    bridge();
    for user in [false, true] {
        let stage = Stage::new(|spec| {
            if user {
                with_user_namespace(spec)
            }
        });
        let second = Network { name: "eth1".to_owned(), kind: NetworkKind::Veth, ..Network::default() };
        let routes = vec![
            route("10.20.0.0/16", "10.9.0.2", "10.9.0.3", "eth0"),
            route("10.30.0.1", "", "", "eth1"),
            route("10.40.0.0/16", "", "10.30.0.1", ""),
            route("fd20::/32", "", "fd09::3", "eth0"),
        ];
        let seen = report_with(&stage, vec![Network::loopback(), eth0(), second], routes);
        let link = &seen.links["eth0"];
        assert!(link.up && seen.links["eth1"].up && seen.links["lo"].up, "{:?}", seen.links);
        assert_eq!(link.addresses, ["10.9.0.2/24", "fd09::2/64"]);
        assert_eq!(link.hardware_address.as_deref(), Some("02:00:00:00:09:02"));
        assert_eq!((link.mtu, link.txqueuelen), (Some(1450), Some(77)));
        assert_eq!(seen.links.len(), 3);
        let mut routes = seen.routes.unwrap();
        routes.sort();
        let expected = [
            "0.0.0.0/0 via 10.9.0.1 dev eth0",
            "10.20.0.0/16 via 10.9.0.3 dev eth0",
            "10.30.0.1/32 dev eth1",
            "10.40.0.0/16 via 10.30.0.1 dev eth1",
            "10.9.0.0/24 dev eth0",
            "::/0 via fd09::1 dev eth0",
            "fd09::/64 dev eth0",
            "fd20::/32 via fd09::3 dev eth0",
        ];
        assert_eq!(routes, expected);
        assert_eq!(host_links(), ["corten-br", "lo"], "the other ends go with the container");
    }
    Ok(())
}

fn the_other_end_is_a_port_of_the_bridge() -> Outcome {
    bridge();
    let stage = Stage::new(|_| {});
    let container = container(&stage, vec![eth0()], Vec::new());
    let created = container.start_init(probe(&["sleep"]).build()?)?;
    let link = host_link("corten-h").unwrap();
    for part in ["master corten-br", "mtu 1450", "qlen 77", "state UP", "hairpin on", "link/ether fe:"] {
        assert!(link.contains(part), "{part}: {link}");
    }
    assert_eq!(container.stats()?.network_interfaces.len(), 2);
    created.detach();
    container.destroy().map_err(Error::from)?;
    assert_eq!(host_links(), ["corten-br", "lo"]);
    Ok(())
}

/// Answers one connection with its sender's address.
fn serve(address: &str) -> (u16, std::thread::JoinHandle<IpAddr>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = move || {
        let (mut stream, from) = listener.accept().unwrap();
        stream.write_all(&[b'x'; 100_000]).unwrap();
        from.ip()
    };
    (port, std::thread::spawn(answer))
}

fn packets_pass() -> Outcome {
    bridge();
    ip("addr add 10.99.0.1/32 dev lo");
    let stage = Stage::new(|_| {});
    let network = Network { host_interface_name: String::new(), ..eth0() };
    let second = Network {
        kind: NetworkKind::Veth,
        name: "eth1".to_owned(),
        bridge: "corten-br".to_owned(),
        address: "10.9.0.7/32".to_owned(),
        ..Network::default()
    };
    // Beyond the gateway, with the other of the container's addresses.
    let routes = vec![route("10.99.0.1/32", "10.9.0.7", "10.9.0.1", "eth0")];
    let container = container(&stage, vec![network, second], routes);
    let child = container.run(probe(&["sleep"]).build()?)?;
    let cases = [
        ("10.9.0.1", "10.9.0.1", "10.9.0.2"),
        ("fd09::1", "[fd09::1]", "fd09::2"),
        ("10.99.0.1", "10.99.0.1", "10.9.0.7"),
    ];
    for (address, written, from) in cases {
        let (port, server) = serve(address);
        let connect = probe(&["connect", &format!("{written}:{port}")]);
        let (status, text) = output(|process| container.exec(process), connect);
        assert_eq!(status, ExitStatus::Exited(0), "{text}");
        assert_eq!(server.join().unwrap(), from.parse::<IpAddr>()?);
        let told: serde_json::Value = serde_json::from_str(&text)?;
        assert_eq!(told["value"]["said"].as_str().map(str::len), Some(100_000));
    }
    // What the container received is what the host's end sent.
    let stats = container.stats()?.network_interfaces;
    let inside = stats.iter().find(|interface| interface.name == "eth0").unwrap();
    let outer = inside.host_name.as_deref().unwrap();
    assert!(outer.starts_with("veth") && outer.len() == 12, "{outer}");
    assert!(host_links().iter().any(|name| name == outer), "{outer}");
    assert!(inside.rx_bytes > 200_000 && inside.tx_bytes > 1000, "{inside:?}");
    let text = std::fs::read_to_string("/proc/self/net/dev")?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix(outer)?.strip_prefix(':')).unwrap();
    let counters: Vec<u64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!(counters[8] >= inside.rx_bytes && counters[0] >= inside.tx_bytes, "{counters:?} {inside:?}");
    assert_eq!(stats.iter().find(|interface| interface.name == "lo").unwrap().host_name, None);
    container.signal(Signal::KILL)?;
    child.wait()?;
    Ok(container.destroy().map_err(Error::from)?)
}

/// Why a container with these interfaces and routes does not start; nothing of it is left.
fn refusal_with(networks: Vec<Network>, routes: Vec<Route>, edit: impl FnOnce(&mut Spec)) -> String {
    let stage = Stage::new(edit);
    let before = host_links();
    let container = container(&stage, networks, routes);
    let error = container.run(stage.process().build().unwrap()).unwrap_err();
    assert_eq!(host_links(), before, "after {error}");
    container.destroy().map_err(Error::from).unwrap();
    error.to_string()
}

fn interfaces_that_cannot_be_are_refused() -> Outcome {
    bridge();
    let missing = Network { bridge: "corten-x".to_owned(), ..eth0() };
    let error = refusal_with(vec![missing], Vec::new(), |_| {});
    assert!(error.starts_with("find the bridge corten-x on the host: no such device ("), "{error}");
    let wrong = Network { bridge: "lo0".to_owned(), ..eth0() };
    ip("link add lo0 type veth peer name lo1");
    let error = refusal_with(vec![wrong], Vec::new(), |_| {});
    assert_eq!(error, "the network interface lo0 on the host is not a bridge");
    let used = Network { host_interface_name: "lo1".to_owned(), ..eth0() };
    let error = refusal_with(vec![used], Vec::new(), |_| {});
    assert!(error.contains("make the network interface eth0, lo1 on the host: file exists"), "{error}");
    assert!(error.contains("the host has an interface of that name"), "{error}");
    let elsewhere = Elsewhere::new();
    elsewhere.run("ip link add eth0 type bridge");
    let error = refusal_with(vec![eth0()], Vec::new(), |spec| join_network(spec, &elsewhere.path()));
    assert!(error.contains("the container has an interface of that name"), "{error}");
    let gateway = route("10.20.0.0/16", "", "10.50.0.1", "eth0");
    let error = refusal_with(vec![eth0()], vec![gateway], |_| {});
    assert!(error.starts_with("make the route 10.20.0.0/16 via 10.50.0.1 dev eth0: "), "{error}");
    assert!(error.contains("a gateway must be in the network of an address of the interface"), "{error}");
    let twice = route("", "", "10.9.0.3", "eth0");
    let error = refusal_with(vec![eth0()], vec![twice], |_| {});
    assert!(error.starts_with("make the route 0.0.0.0/0 via 10.9.0.3 dev eth0: file exists"), "{error}");
    // Here all is well until a hook fails, and until the program does; the namespace would keep the pair.
    let elsewhere = Elsewhere::new();
    let error = refusal_with(vec![eth0()], Vec::new(), |spec| {
        join_network(spec, &elsewhere.path());
        failing_hook(spec, "ip link show dev corten-h >&2; exit 1");
    });
    assert!(error.contains("master corten-br"), "{error}");
    let error = refusal_with(vec![eth0()], Vec::new(), |spec| {
        join_network(spec, &elsewhere.path());
        spec.process.as_mut().unwrap().args = vec!["/nonexistent".to_owned()];
    });
    assert!(error.contains("/nonexistent"), "{error}");
    assert!(!elsewhere.run("ip link").contains("eth0"));
    Ok(())
}

fn a_namespace_that_stays_keeps_nothing() -> Outcome {
    bridge();
    let elsewhere = Elsewhere::new();
    assert!(!elsewhere.run("ip link show dev lo").contains("UP"));
    for user in [false, true] {
        let stage = Stage::new(|spec| {
            if user {
                with_user_namespace(spec);
            }
            join_network(spec, &elsewhere.path());
        });
        let container = container(&stage, vec![Network::loopback(), eth0()], Vec::new());
        for _ in 0..2 {
            let (status, text) = output(|process| container.run(process), stage.process());
            assert_eq!(status, ExitStatus::Exited(0), "{text}");
            let seen: Report = serde_json::from_str(&text)?;
            assert_eq!(seen.links["eth0"].addresses, ["10.9.0.2/24", "fd09::2/64"]);
            assert!(seen.loopback_up, "the configuration has it");
            assert!(host_link("corten-h").is_some(), "until it is destroyed, or started again");
        }
        container.destroy().map_err(Error::from)?;
        assert_eq!(host_links(), ["corten-br", "lo"]);
        assert!(!elsewhere.run("ip link").contains("eth0"));
    }
    Ok(())
}

const CRASH: &str = "corten-crash";

/// Runs in a process of its own, which ends half-way through the start.
fn crash(arguments: &[String]) -> ExitCode {
    let [bundle, state, id] = arguments else { return ExitCode::FAILURE };
    let spec = corten::config::read_spec(bundle).unwrap();
    let config = Config::from_spec(&spec, bundle, SpecOptions::default()).unwrap();
    let config = ConfigBuilder::from(config).networks(vec![eth0()]).build().unwrap();
    let runtime = Runtime::open(state, LAUNCHER.get().unwrap().clone()).unwrap();
    let container = runtime.create(&Id::try_from(id.as_str()).unwrap(), config).unwrap();
    let process = Process::from_spec(spec.process.as_ref().unwrap()).unwrap().build().unwrap();
    // The hook kills this process.
    drop(container.run(process));
    ExitCode::SUCCESS
}

fn after_a_crash_a_purge_removes_the_pair() -> Outcome {
    bridge();
    let elsewhere = Elsewhere::new();
    let stage = Stage::new(|spec| {
        join_network(spec, &elsewhere.path());
        failing_hook(spec, "kill -9 $PPID");
    });
    let state = stage.runtime.root().to_str().unwrap();
    let arguments = [CRASH, stage.bundle.path().to_str().unwrap(), state, stage.bundle.id()];
    let status = Command::new("/proc/self/exe").args(arguments).status()?;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert!(host_link("corten-h").is_some(), "nobody was there to remove it");
    stage.runtime.purge(&stage.id())?;
    assert_eq!(host_links(), ["corten-br", "lo"]);
    assert!(stage.runtime.list()?.is_empty());
    Ok(())
}

fn a_device_that_took_the_name_is_left_alone() -> Outcome {
    bridge();
    let elsewhere = Elsewhere::new();
    let stage = Stage::new(|spec| join_network(spec, &elsewhere.path()));
    let container = container(&stage, vec![eth0()], Vec::new());
    let (status, text) = output(|process| container.run(process), stage.process());
    assert_eq!(status, ExitStatus::Exited(0), "{text}");
    ip("link del corten-h");
    ip("link add corten-h type veth peer name corten-i");
    container.destroy().map_err(Error::from)?;
    assert_eq!(host_links(), ["corten-br", "corten-h", "corten-i", "lo"]);
    Ok(())
}

fn main() -> ExitCode {
    let suite = common::suite();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == CRASH) {
        return crash(&arguments[1..]);
    }
    let cases: &[common::Case] = &[
        ("a_device_moves_with_what_it_has", a_device_moves_with_what_it_has),
        ("a_device_moves_into_any_namespace", a_device_moves_into_any_namespace),
        ("the_kernel_fills_a_template_in", the_kernel_fills_a_template_in),
        ("a_failed_start_moves_devices_back", a_failed_start_moves_devices_back),
        ("devices_that_cannot_move_are_refused", devices_that_cannot_move_are_refused),
        ("an_interface_has_what_was_asked_for", an_interface_has_what_was_asked_for),
        ("the_other_end_is_a_port_of_the_bridge", the_other_end_is_a_port_of_the_bridge),
        ("packets_pass", packets_pass),
        ("interfaces_that_cannot_be_are_refused", interfaces_that_cannot_be_are_refused),
        ("a_namespace_that_stays_keeps_nothing", a_namespace_that_stays_keeps_nothing),
        ("after_a_crash_a_purge_removes_the_pair", after_a_crash_a_purge_removes_the_pair),
        ("a_device_that_took_the_name_is_left_alone", a_device_that_took_the_name_is_left_alone),
    ];
    let needs = [Requirement::Root, Requirement::Program("ip"), Requirement::Program("nsenter")];
    let add = |suite: Suite, (name, case): &common::Case| suite.seeing(View::Net, &needs, name, *case);
    let machine =
        [Requirement::Root, Requirement::Path("/run/systemd/system"), Requirement::Module("slip"), needs[1]];
    let criu = [&needs[..], &[Requirement::Criu(&[])]].concat();
    let add_saved = |suite: Suite, (name, case): &common::Case| suite.seeing(View::Net, &criu, name, *case);
    let suite = cases.iter().fold(suite, add);
    restored::CASES
        .iter()
        .fold(suite, add_saved)
        .needs(&machine, "a_physical_device_comes_back", a_physical_device_comes_back)
        .run()
}
