//! Stage 1: a fresh, single-threaded copy of the program, which joins namespaces and clones init.

use std::os::fd::{AsFd, RawFd};

use corten_sys::clone::{Clone, clone_sibling};
use corten_sys::limits;
use corten_sys::namespace::Namespaces;
use corten_sys::thread::SingleThreaded;
use rustix::io::Errno;

use crate::namespaces::{self, Late};
use crate::payload::{Bootstrap, Job, Payload, Process, Rlimit, Seal, Task};
use crate::proc::Proc;
use crate::protocol::{ARGV0, Channel, Report};
use crate::{
    Doing, Failure, Kind, Result, Stage, create, credentials, host_program, join, rootfs, scheduling,
};

/// Runs the new process where this is the re-executed copy, and returns at once in any other program.
///
/// To be called first in `main`: the copy must not have started a thread.
pub fn enter_if_copy() {
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| name == ARGV0) {
        let fd = arguments.nth(1).and_then(|fd| fd.to_str()?.parse().ok());
        corten_sys::exec::exit(run(fd));
    }
}

/// The exit status of a copy that has failed, where the runtime did not hear why.
const UNHEARD: i32 = 255;

fn run(fd: Option<RawFd>) -> i32 {
    let (mut channel, task) = match fd.map(greet) {
        Some(Ok(Some(order))) => order,
        Some(Err(_)) => return UNHEARD,
        None | Some(Ok(None)) => {
            let _ = rustix::io::write(
                rustix::stdio::stderr(),
                b"corten-init: this is not for the command line: a runtime starts it, of the same build\n",
            );
            return UNHEARD;
        }
    };
    match begin(&mut channel, task) {
        Ok(()) => 0,
        Err(failure) => {
            let failed = Report::Failed(Stage::Bootstrap, failure);
            if channel.send(&failed, None).is_ok() { 1 } else { UNHEARD }
        }
    }
}

/// Takes the sync socket and what comes over it; `None` where there is no runtime of this build behind it.
fn greet(fd: RawFd) -> Result<Option<(Channel, Task)>> {
    if fd < 3 {
        return Ok(None);
    }
    corten_sys::fd::close_on_exec_from(3).doing(|| "close file descriptors on exec")?;
    corten_sys::signal::reset().doing(|| "reset signals")?;
    match corten_sys::fd::inherited(fd) {
        Ok(socket) => Channel::new(socket).receive_task(),
        Err(_) => Ok(None),
    }
}

fn begin(channel: &mut Channel, task: Task) -> Result<()> {
    let Some(proof) = SingleThreaded::verify().doing(|| "count the threads of the re-executed program")?
    else {
        let failure =
            Failure::new(Kind::Invalid, "the program has more than one thread when corten::init() is called");
        return Err(failure.hint(
            "call it first in main, before anything that starts threads: not inside #[tokio::main], and not after \
             constructors or libraries that start their own",
        ));
    };
    let _ = rustix::thread::set_name(c"corten:[init]");
    match task {
        Task::Container(payload) => bootstrap(channel, *payload, &proof),
        Task::Program(program) => Err(host_program::run(channel, program, &proof)),
        Task::Seal(Seal { namespace, root, paths }) => {
            let namespace = namespace.take()?;
            corten_sys::namespace::join(&proof, namespace.as_fd(), Namespaces::MOUNT)
                .doing(|| "join the container's mount namespace")?;
            rootfs::make_mounts_readonly(&paths)?;
            if root {
                rootfs::make_root_readonly()?;
            }
            channel.send(&Report::Prepared, None)
        }
        Task::Network(namespace) => {
            let namespace = namespace.take()?;
            corten_sys::namespace::join(&proof, namespace.as_fd(), Namespaces::NET)
                .doing(|| "join the container's network namespace")?;
            let socket = corten_sys::network::route_socket()
                .doing(|| "open a netlink socket in the container's network namespace")?;
            channel.send(&Report::Opened, Some(socket.as_fd()))?;
            channel.send(&Report::Prepared, None)
        }
    }
}

fn bootstrap(channel: &mut Channel, payload: Payload, proof: &SingleThreaded) -> Result<()> {
    let Payload { bootstrap, job, process } = payload;
    let Bootstrap {
        oom_score_adj,
        rlimits,
        idmapped,
        join,
        join_container,
        create,
        cgroup,
        cpus,
        network,
        dumpable_until_mapped,
    } = bootstrap;
    if let Some(adjustment) = oom_score_adj {
        set_oom_score_adj(adjustment)?;
    }
    raise_hard_limits(&rlimits)?;
    crate::idmapped::apply(proof, &idmapped)?;
    if !dumpable_until_mapped {
        credentials::set_not_dumpable()?;
    }
    scheduling::keep_to(cpus.as_deref())?;
    // Nothing of the container's is in reach here.
    let proc = open_proc(&job, &process)?;
    let joined = namespaces::join_paths(proof, join, network)?;
    let late = join_container.map(|container| namespaces::join_container(proof, container)).transpose()?;
    let kinds = Namespaces::from_bits_retain(create);
    let cgroup = cgroup.map(crate::inherited::Slot::take).transpose()?;
    match clone_sibling(proof, kinds, cgroup.as_ref().map(AsFd::as_fd))
        .map_err(|e| clone_failure(kinds, e))?
    {
        Clone::Original { pid, pidfd } => {
            channel.send(&Report::Cloned { pid }, Some(pidfd.as_fd()))?;
            if !network {
                return Ok(());
            }
            let new = || namespaces::network_socket_of(proof, pidfd.as_fd());
            let socket = joined.map_or_else(new, Ok)?;
            channel.send(&Report::Network, Some(socket.as_fd()))
        }
        Clone::Copy => {
            drop((cgroup, joined));
            second_stage(channel, job, process, rlimits, late, proc, proof)
        }
    }
}

/// The clone has happened: from here on this is the container's process.
fn second_stage(
    channel: &mut Channel,
    job: Job,
    process: Process,
    rlimits: Vec<Rlimit>,
    late: Option<Late>,
    proc: Proc,
    proof: &SingleThreaded,
) -> ! {
    match job {
        Job::Create(create) => create::run(channel, *create, process, rlimits, proc, proof),
        Job::Exec { user_namespace, cpus } => {
            let container = join::Container { late, own_user: user_namespace, cpus };
            join::run(channel, process, rlimits, container, proc, proof)
        }
    }
}

/// The procfs for what stage 2 will write.
fn open_proc(job: &Job, process: &Process) -> Result<Proc> {
    let sysctls = matches!(job, Job::Create(create) if !create.sysctls.is_empty());
    let labels = &process.labels;
    Proc::open(sysctls, labels.apparmor.is_some() || labels.selinux.is_some())
}

/// The badness is inherited by stage 2; lowering it needs a privilege that a user namespace does not give.
fn set_oom_score_adj(adjustment: i32) -> Result<()> {
    std::fs::write("/proc/self/oom_score_adj", adjustment.to_string())
        .doing(|| format!("set oom_score_adj to {adjustment}"))
        .map_err(|failure| match failure.is(Errno::ACCESS) || failure.is(Errno::PERM) {
            true => failure.hint("lowering it needs CAP_SYS_RESOURCE"),
            false => failure,
        })
}

/// Raising a hard limit needs a privilege that a user namespace does not give; both limits are set at the end.
fn raise_hard_limits(rlimits: &[Rlimit]) -> Result<()> {
    for limit in rlimits {
        let doing = || format!("set resource limit {} to {}:{}", limit.resource, limit.soft, limit.hard);
        let present = limits::get(limit.resource).doing(doing)?;
        if limit.hard > present.hard {
            limits::set(limit.resource, limits::Limit { soft: present.soft, hard: limit.hard })
                .doing(doing)
                .map_err(|failure| failure.hint("raising a hard limit needs CAP_SYS_RESOURCE"))?;
        }
    }
    Ok(())
}

/// What the clone's error numbers mean to a person.
fn clone_failure(kinds: Namespaces, errno: Errno) -> Failure {
    let names = namespaces::names(kinds);
    let failure =
        Failure::system(format!("make the container's process with new namespaces {names:?}"), errno);
    match errno {
        Errno::NOSPC | Errno::USERS => failure.hint("a limit of user.max_*_namespaces (sysctl) is reached"),
        Errno::PERM if kinds.contains(Namespaces::USER) => failure.hint(
            "this kernel forbids user namespaces to ordinary users: see kernel.unprivileged_userns_clone, \
             kernel.apparmor_restrict_unprivileged_userns and user.max_user_namespaces (sysctl)",
        ),
        Errno::PERM => failure.hint("only root can do this without a new user namespace"),
        Errno::AGAIN => failure.hint("the pids limit of the cgroup or of the user is reached"),
        _ => failure,
    }
}
