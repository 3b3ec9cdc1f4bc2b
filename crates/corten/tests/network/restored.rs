//! Interfaces and routes of a container that was saved and brought back.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use corten::{Container, Error, ErrorKind, Network, Restore, Signal, Status};
use corten_testkit::Report;

use crate::common::{Case, Outcome, Stage, checkpoint, output, probe};
use crate::{
    Elsewhere, bridge, container, eth0, host_link, host_links, ip, join_network, route, serve,
    wait_until_gone, with_user_namespace,
};

/// What a program sees that joins it.
fn seen(container: &Container) -> Report {
    let (_, text) = output(|process| container.exec(process), probe(&["report"]));
    serde_json::from_str(&text).unwrap()
}

/// Whether both are the same inside.
fn assert_same(after: &Report, before: &Report) {
    let network = |report: &Report| {
        let mut routes = report.routes.clone().unwrap();
        routes.sort();
        (report.links.clone(), routes)
    };
    assert_eq!(network(after), network(before));
}

/// Pairs and routes of the configuration: as they were inside, and outside once more what it says.
fn come_back(anew: bool, user: bool) -> Outcome {
    bridge();
    let stage = Stage::new(|spec| {
        if user {
            with_user_namespace(spec)
        }
    });
    // The container's root must get to the images.
    fs::set_permissions(stage.bundle.path(), fs::Permissions::from_mode(0o755))?;
    let second = Network { name: "eth1".to_owned(), host_interface_name: String::new(), ..eth0() };
    let second = Network { mac_address: String::new(), address: "10.9.0.7/32".to_owned(), ..second };
    let second = Network { gateway: String::new(), ipv6_address: String::new(), ..second };
    let second = Network { ipv6_gateway: String::new(), hairpin_mode: false, ..second };
    let routes = vec![route("10.20.0.0/16", "10.9.0.2", "10.9.0.3", "eth0")];
    let container = container(&stage, vec![Network::loopback(), eth0(), second], routes);
    drop(container.run(probe(&["sleep"]).build()?)?);
    let before = seen(&container);
    let images = checkpoint(&stage, &container);
    wait_until_gone("corten-h");
    let child = match container.restore(Restore::new(images).empty_network(anew)) {
        // CRIU 4.2 cannot, and who is told can.
        Err(error) if user && !anew => {
            assert!(error.to_string().contains("restore with an empty network"), "{error}");
            container.destroy().map_err(Error::from)?;
            host_links()
                .iter()
                .filter(|name| !["corten-br", "lo"].contains(&name.as_str()))
                .for_each(|name| wait_until_gone(name));
            return Ok(());
        }
        restored => restored?,
    };
    let after = seen(&container);
    let mut before = before;
    if anew {
        // The kernel chose this one, and now another one.
        before.links.get_mut("eth1").unwrap().hardware_address = after.links["eth1"].hardware_address.clone();
    }
    assert_same(&after, &before);
    let link = host_link("corten-h").unwrap();
    for part in ["master corten-br", "mtu 1450", "qlen 77", "state UP", "hairpin on", "link/ether fe:"] {
        assert!(link.contains(part), "{part}: {link}");
    }
    let stats = container.stats()?.network_interfaces;
    let outer = stats.iter().find(|interface| interface.name == "eth1").unwrap().host_name.clone().unwrap();
    assert!(host_link(&outer).unwrap().contains("hairpin off"));
    let (port, server) = serve("10.9.0.1");
    let (_, text) =
        output(|process| container.exec(process), probe(&["connect", &format!("10.9.0.1:{port}")]));
    assert_eq!(server.join().unwrap().to_string(), "10.9.0.2", "{text}");
    container.signal(Signal::KILL)?;
    child.wait()?;
    container.destroy().map_err(Error::from)?;
    assert_eq!(host_links(), ["corten-br", "lo"]);
    Ok(())
}

fn pairs_come_back_from_the_images() -> Outcome {
    come_back(false, false)
}

fn pairs_are_made_anew_in_an_empty_network() -> Outcome {
    come_back(true, false)
}

fn pairs_come_back_to_a_user_namespace() -> Outcome {
    come_back(false, true)
}

fn pairs_are_made_anew_in_a_user_namespace() -> Outcome {
    come_back(true, true)
}

/// What the container has removed does not come back, and is no matter.
fn a_pair_that_was_removed_is_not_missed() -> Outcome {
    bridge();
    let stage = Stage::new(|_| {});
    let container = container(&stage, vec![eth0()], Vec::new());
    drop(container.run(probe(&["sleep"]).build()?)?);
    ip("link del corten-h");
    let before = seen(&container);
    let images = checkpoint(&stage, &container);
    let child = container.restore(Restore::new(images))?;
    assert_same(&seen(&container), &before);
    assert_eq!(host_links(), ["corten-br", "lo"]);
    container.signal(Signal::KILL)?;
    child.wait()?;
    Ok(container.destroy().map_err(Error::from)?)
}

/// One that an engine or a hook has made.
fn a_pair_of_somebody_else_is_named() -> Outcome {
    let stage = Stage::new(|_| {});
    let container = stage.container();
    let child = container.run(probe(&["sleep"]).build()?)?;
    ip(&format!("link add corten-o type veth peer name net0 netns {}", child.pid()));
    drop(child);
    let before = seen(&container);
    let images = checkpoint(&stage, &container);
    wait_until_gone("corten-o");
    let child = container.restore(Restore::new(images).veth("net0", "corten-n"))?;
    assert_same(&seen(&container), &before);
    assert_eq!(host_links(), ["corten-n", "lo"]);
    container.signal(Signal::KILL)?;
    child.wait()?;
    Ok(container.destroy().map_err(Error::from)?)
}

fn pairs_that_cannot_come_back_are_refused() -> Outcome {
    bridge();
    let stage = Stage::new(|_| {});
    let saved = container(&stage, vec![eth0()], Vec::new());
    drop(saved.run(probe(&["sleep"]).build()?)?);
    let images = checkpoint(&stage, &saved);
    wait_until_gone("corten-h");
    let restore = || Restore::new(&images);
    let named = saved.restore(restore().veth("eth0", "corten-n")).unwrap_err();
    assert_eq!(named.to_string(), "the configuration names the other end of eth0");
    assert_eq!(saved.restore(restore().veth("a:b", "c")).unwrap_err().kind(), ErrorKind::InvalidConfig);
    ip("link add corten-h type bridge");
    let taken = saved.restore(restore()).unwrap_err().to_string();
    assert!(
        taken.contains("corten-h on the host: file exists (the host has an interface of that name)"),
        "{taken}"
    );
    ip("link del corten-h");
    assert_eq!(
        (saved.status()?, host_links()),
        (Status::Stopped, vec!["corten-br".to_owned(), "lo".to_owned()])
    );
    ip("link del corten-br");
    let bridge = saved.restore(restore()).unwrap_err().to_string();
    assert!(bridge.contains("find the bridge corten-br on the host"), "{bridge}");
    assert_eq!((saved.status()?, host_links()), (Status::Stopped, vec!["lo".to_owned()]));
    saved.destroy().map_err(Error::from)?;
    Ok(())
}

/// What was made in a namespace that stays is in no images.
fn pairs_in_an_existing_namespace_are_not_saved() -> Outcome {
    bridge();
    let elsewhere = Elsewhere::new();
    let stage = Stage::new(|spec| join_network(spec, &elsewhere.path()));
    let container = container(&stage, vec![eth0()], Vec::new());
    let child = container.run(probe(&["sleep"]).build()?)?;
    let images = stage.bundle.path().join("images");
    let error = container.checkpoint(corten::Checkpoint::new(&images)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("a network namespace that is not the container's own"), "{error}");
    assert!(!images.exists());
    container.signal(Signal::KILL)?;
    child.wait()?;
    Ok(container.destroy().map_err(Error::from)?)
}

pub const CASES: &[Case] = &[
    ("restored::pairs_come_back_from_the_images", pairs_come_back_from_the_images),
    ("restored::pairs_are_made_anew_in_an_empty_network", pairs_are_made_anew_in_an_empty_network),
    ("restored::pairs_come_back_to_a_user_namespace", pairs_come_back_to_a_user_namespace),
    ("restored::pairs_are_made_anew_in_a_user_namespace", pairs_are_made_anew_in_a_user_namespace),
    ("restored::a_pair_that_was_removed_is_not_missed", a_pair_that_was_removed_is_not_missed),
    ("restored::a_pair_of_somebody_else_is_named", a_pair_of_somebody_else_is_named),
    ("restored::pairs_that_cannot_come_back_are_refused", pairs_that_cannot_come_back_are_refused),
    ("restored::pairs_in_an_existing_namespace_are_not_saved", pairs_in_an_existing_namespace_are_not_saved),
];
