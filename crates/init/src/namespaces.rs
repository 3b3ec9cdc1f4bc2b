//! Joining and making namespaces, in the order that their permissions demand.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corten_oci::IdMapping;
use corten_sys::namespace::{self, Namespaces};
use corten_sys::thread::SingleThreaded;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::payload::{IdMaps, Join, JoinContainer};
use crate::{Doing, Failure, Result};

/// Namespaces of a running container that are joined in stage 2, when that is in its control group already: from within
/// the container's cgroup namespace (with `nsdelegate`) and as root of a mapped user namespace, stage 1 would not be
/// allowed to clone into the group.
#[derive(Debug)]
pub struct Late {
    pidfd: OwnedFd,
    kinds: Namespaces,
}

struct Target {
    kind: Namespaces,
    fd: OwnedFd,
    path: String,
}

/// Joins the namespaces that have a path. The user namespace comes last, but for those that it gives the privileges to join;
/// it comes before new ones are made, for it decides what they allow.
///
/// Gives a netlink socket in the network namespace where `network` asks for one and it is among them: made as soon as it is
/// joined, for what a socket may do is what its maker may, and a user namespace takes that away.
pub fn join_paths(proof: &SingleThreaded, joins: Vec<Join>, network: bool) -> Result<Option<OwnedFd>> {
    let mut user = None;
    let mut denied = Vec::new();
    let mut socket = None;
    let mut join = |target: &Target| -> rustix::io::Result<()> {
        namespace::join(proof, target.fd.as_fd(), target.kind)?;
        if network && target.kind == Namespaces::NET {
            socket = Some(corten_sys::network::route_socket()?);
        }
        Ok(())
    };
    for Join { kind, fd, path } in joins {
        let target = Target { kind: Namespaces::from_bits_retain(kind), fd: fd.take()?, path };
        if target.kind == Namespaces::USER {
            user = Some(target);
            continue;
        }
        match join(&target) {
            Ok(()) => {}
            Err(Errno::PERM) => denied.push(target),
            Err(errno) => return Err(refused(&target, errno)),
        }
    }
    user.iter().chain(&denied).try_for_each(|target| join(target).map_err(|errno| refused(target, errno)))?;
    Ok(socket)
}

/// A netlink socket in the network namespace of the process behind `pidfd`, into which this process moves for it.
pub fn network_socket_of(proof: &SingleThreaded, pidfd: BorrowedFd<'_>) -> Result<OwnedFd> {
    namespace::join_process(proof, pidfd, Namespaces::NET)
        .and_then(|()| corten_sys::network::route_socket())
        .doing(|| "open a netlink socket in the container's network namespace")
        .map_err(|failure| match failure.is(Errno::PERM) {
            true => failure.hint("interfaces and routes of a new network namespace are made by root only"),
            false => failure,
        })
}

fn refused(target: &Target, errno: Errno) -> Failure {
    let failure = Failure::system(format!("join the {} namespace {}", name(target.kind), target.path), errno);
    match errno {
        Errno::INVAL => {
            failure.hint("the path must be a namespace of that type, and not the present user namespace")
        }
        _ => failure,
    }
}

/// Joins the namespaces of a running container at once, but for those that come later.
pub fn join_container(proof: &SingleThreaded, join: JoinContainer) -> Result<Late> {
    let pidfd = join.pidfd.take()?;
    let kinds = Namespaces::from_bits_retain(join.kinds);
    let late = Namespaces::CGROUP | Namespaces::USER;
    let doing = || "join the container's namespaces";
    match join_process(proof, &pidfd, kinds - late) {
        Ok(()) => Ok(Late { pidfd, kinds: kinds & late }),
        // Without privileges it takes those of the user namespace.
        Err(Errno::PERM) if kinds.contains(Namespaces::USER) => {
            join_process(proof, &pidfd, kinds - Namespaces::CGROUP).doing(doing)?;
            Ok(Late { pidfd, kinds: kinds & Namespaces::CGROUP })
        }
        Err(errno) => Err(Failure::system(doing(), errno)),
    }
}

impl Late {
    /// Joins them.
    pub fn join(self, proof: &SingleThreaded) -> Result<()> {
        join_process(proof, &self.pidfd, self.kinds)
            .doing(|| format!("join the container's {:?} namespaces", names(self.kinds)))
    }
}

fn join_process(proof: &SingleThreaded, pidfd: &OwnedFd, kinds: Namespaces) -> rustix::io::Result<()> {
    if kinds.is_empty() {
        return Ok(());
    }
    namespace::join_process(proof, pidfd.as_fd(), kinds)
}

/// The names of these kinds.
pub fn names(kinds: Namespaces) -> Vec<&'static str> {
    kinds.iter().map(name).collect()
}

/// Id mappings as the kernel reads them: a line for each range, all in one write (user_namespaces(7)).
pub fn map_lines(mappings: &[IdMapping]) -> String {
    mappings.iter().map(|m| format!("{} {} {}\n", m.container_id, m.host_id, m.size)).collect()
}

/// Makes a user namespace with these id mappings that holds no process.
///
/// A process of its own is its first, and ends once it has been opened.
pub(crate) fn make_user(
    proof: &SingleThreaded,
    users: &[IdMapping],
    groups: &[IdMapping],
) -> Result<OwnedFd> {
    let doing = || "make a user namespace for id-mapped mounts";
    let (until_closed, open) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing(doing)?;
    let Some(pid) = corten_sys::clone::fork(proof, Namespaces::USER).doing(doing)? else {
        drop(open);
        let _ = rustix::io::retry_on_intr(|| rustix::io::read(&until_closed, &mut [0; 1]));
        corten_sys::exec::exit(0)
    };
    let namespace = map_user(pid, users, groups);
    drop(open);
    let child = rustix::process::Pid::from_raw(pid);
    rustix::io::retry_on_intr(|| rustix::process::waitpid(child, rustix::process::WaitOptions::empty()))
        .doing(doing)?;
    namespace
}

fn map_user(pid: i32, users: &[IdMapping], groups: &[IdMapping]) -> Result<OwnedFd> {
    for (file, mappings) in [("uid_map", users), ("gid_map", groups)] {
        let lines = map_lines(mappings);
        std::fs::write(format!("/proc/{pid}/{file}"), &lines)
            .doing(|| format!("write {:?} to the {file} for id-mapped mounts", lines.trim_end()))
            .map_err(|failure| match failure.is(Errno::INVAL) {
                true => {
                    failure.hint("ranges must not overlap, and be mapped in the runtime's own user namespace")
                }
                false => failure,
            })?;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{pid}/ns/user"), flags, Mode::empty())
        .doing(|| "open the user namespace for id-mapped mounts")
}

/// Fails where the user namespace of this process, which it has joined, has other id maps.
pub fn check_maps(wanted: &IdMaps) -> Result<()> {
    for (file, wanted) in [("uid_map", &wanted.users), ("gid_map", &wanted.groups)] {
        let text = std::fs::read_to_string(format!("/proc/self/{file}")).doing(|| format!("read {file}"))?;
        let lines = map_lines(wanted);
        let there = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let (mut wanted, mut there): (Vec<_>, Vec<_>) =
            (lines.lines().map(str::to_owned).collect(), there.collect());
        wanted.sort();
        there.sort();
        if wanted != there {
            let what =
                format!("the user namespace that is joined by path has the {file} {there:?}, not {wanted:?}");
            return Err(Failure::invalid(what).hint("leave the mappings out, or give those that it has"));
        }
    }
    Ok(())
}

/// Makes a time namespace with these clock offsets and moves into it: the offsets can be written only while it is empty.
pub fn make_time(proof: &SingleThreaded, offsets: &str) -> Result<()> {
    namespace::unshare(proof, Namespaces::TIME).doing(|| "make the time namespace")?;
    if !offsets.is_empty() {
        std::fs::write("/proc/self/timens_offsets", offsets)
            .doing(|| format!("set the clock offsets {:?}", offsets.trim_end()))?;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = rustix::fs::open("/proc/self/ns/time_for_children", flags, Mode::empty())
        .doing(|| "open the time namespace")?;
    namespace::join(proof, own.as_fd(), Namespaces::TIME).doing(|| "enter the time namespace")
}

/// The name of a kind of namespace as the OCI specification has it.
fn name(kind: Namespaces) -> &'static str {
    match kind {
        Namespaces::TIME => "time",
        Namespaces::MOUNT => "mount",
        Namespaces::CGROUP => "cgroup",
        Namespaces::UTS => "uts",
        Namespaces::IPC => "ipc",
        Namespaces::USER => "user",
        Namespaces::PID => "pid",
        Namespaces::NET => "network",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_lines() {
        let mappings = [
            IdMapping { container_id: 0, host_id: 1000, size: 1 },
            IdMapping { container_id: 1, host_id: 100_000, size: 65_535 },
        ];
        assert_eq!(map_lines(&mappings), "0 1000 1\n1 100000 65535\n");
    }
}
