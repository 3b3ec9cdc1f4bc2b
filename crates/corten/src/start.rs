//! Bringing a process to life: a container's init, or a program that joins it.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use corten_cgroups::Group;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::child::{Ends, Started};
use crate::error::ErrorStage;
use crate::handle::Handle;
use crate::launch::{Conversation, Event, Ready};
use crate::network::{self, Taken};
use crate::store::{Lock, Saved, SavedInit};
use crate::{
    Config, Error, ErrorKind, Id, Process, Result, Signal, Status, cgroup, child, hooks, idmap, oci, plan,
    rdt, seccomp,
};

/// A process, and the other ends of what it has.
type Begun = (Arc<Started>, Ends);

/// Starts the init of a container: up to the start gate, or with the user's program at once.
pub(crate) fn init(container: &Handle, process: Process, gate: bool) -> Result<Begun> {
    let lock = container.store.lock()?;
    let mut saved = container.refresh()?;
    if container.status_of(&saved)? != Status::Stopped {
        return Err(Error::new(ErrorKind::Running, "container already has init process"));
    }
    let mut warnings = saved.config.warnings();
    // A program from the same document has the same ones.
    warnings.extend(process.attributes.warnings());
    warnings.sort_unstable();
    warnings.dedup();
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    // It takes a while to get ready, and this side has enough to do meanwhile.
    let ready = Ready::start(&container.home.launcher)?;
    let group = cgroup::make(container, &mut saved, &lock, ready.pid())?;
    tell_of(&container.id, group.as_ref());
    let classed = rdt::make(container, &mut saved, &lock);
    let begun =
        classed.and_then(|()| begin(container, ready, process, gate, &mut saved, group.as_ref(), lock));
    let (started, ends) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            let error = explain(error, group.as_ref());
            undo(container, &mut saved, group.as_ref());
            return Err(error);
        }
    };
    let started = Arc::new(started);
    *container.saved() = saved.clone();
    container.remember(Arc::clone(&started));
    if !gate {
        poststart(container, &saved, &started.pidfd)?;
    }
    Ok((started, ends))
}

/// Says where the container's group is, to whoever looks for a mistake.
fn tell_of(id: &Id, group: Option<&Group>) {
    match group {
        Some(group) => group.paths().hierarchies().for_each(|(_, _, directory)| {
            tracing::debug!("container {id}: its control group is {}", directory.display());
        }),
        None => tracing::debug!("container {id}: it has no control group"),
    }
}

/// The conversation, from the clone to the gate or the user's program.
fn begin(
    container: &Handle,
    ready: Ready,
    mut process: Process,
    gate: bool,
    saved: &mut Saved,
    group: Option<&Group>,
    lock: Lock,
) -> Result<(Started, Ends)> {
    let gate = if gate { Some(container.store.make_gate()?) } else { None };
    let waits = gate.is_some();
    let state = container.oci_state_of(&saved.config, "creating", None);
    let console = process.console_socket.take();
    saved.facts.terminal = process.terminal;
    let plan = plan::create(&saved.config, &container.id, process, group, gate, state)?;
    saved.facts.descriptors = plan::links_of(plan.fds.standard());
    let mut conversation = ready.order(plan.fds, plan.payload)?;
    let pid = conversation.pid();
    tracing::debug!("container {}: its first process is {pid}", container.id);
    idmap::write(pid, &saved.config)?;
    plan.attach.carry_out(group, pid)?;
    rdt::attach(saved, pid)?;
    let taken = match network::is_needed(&saved.config) {
        true => Some(network::make(container, saved, &lock, conversation.network_socket()?, pid)?),
        false => None,
    };
    conversation.proceed()?;
    let starting = !waits && hooks::any_before_start(&saved.config);
    saved.facts.init = Some(SavedInit { starting, ..SavedInit::of(pid)? });
    container.store.save(&saved.facts, &lock)?;
    drop(lock);
    let config = Arc::clone(&saved.config);
    let state = || container.oci_state_of(&config, "creating", Some(pid));
    if hooks::any_before_pivot(&config) {
        tracing::debug!("container {}: its namespaces are there; hooks run", container.id);
        reach(&mut conversation, Event::Prepared, ErrorStage::Init)?;
        hooks::run_before_pivot(&config, &state())?;
        conversation.proceed()?;
    }
    conversation.proceed()?;
    let end = if waits { Event::Waiting } else { Event::Executed };
    reach_listening(&mut conversation, end, ErrorStage::Init, &config, &state)?;
    if starting {
        let lock = container.store.lock()?;
        *saved = container.refresh()?;
        saved.facts.init.iter_mut().for_each(|init| init.starting = false);
        container.store.save(&saved.facts, &lock)?;
    }
    let ends = ends(console, &mut conversation)?;
    let (pid, pidfd) = conversation.finish()?;
    let now = if waits { "waits to be started" } else { "runs" };
    tracing::debug!("container {}: its program {now}", container.id);
    taken.into_iter().for_each(Taken::leave);
    Ok((Started::new(pid, pidfd), ends))
}

/// Waits for an event, which must be the next one.
fn reach(conversation: &mut Conversation, expected: Event, stage: ErrorStage) -> Result<()> {
    expect(conversation.next(stage)?, expected)
}

/// As [`reach`]; before it the listener of the seccomp filter is handed to the agent, where there is one.
fn reach_listening(
    conversation: &mut Conversation,
    expected: Event,
    stage: ErrorStage,
    config: &Config,
    state: &dyn Fn() -> oci::State,
) -> Result<()> {
    let event = conversation.next(stage)?;
    if event != Event::Listening {
        return expect(event, expected);
    }
    if let Some((profile, path)) = config.seccomp_agent()
        && let Some(listener) = conversation.take_listener()
    {
        let state = seccomp::process_state(conversation.pid(), profile, state());
        seccomp::send(path, &state, listener)?;
    }
    conversation.proceed()?;
    reach(conversation, expected, stage)
}

fn expect(event: Event, expected: Event) -> Result<()> {
    if event == expected {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Protocol, format!("the container's process is {event:?}, not {expected:?}")))
}

/// What is left for the caller: a terminal goes to the console socket, where there is one.
fn ends(console: Option<OwnedFd>, conversation: &mut Conversation) -> Result<Ends> {
    let terminal = hand_over(console, conversation.take_terminal())?;
    Ok(Ends { terminal, listener: conversation.take_listener() })
}

/// A start that fails because the kernel ended init says so: the usual reason is a limit that is too low.
fn explain(error: Error, group: Option<&Group>) -> Error {
    match group.map(Group::oom_kill_count) {
        Some(Ok(count)) if count > 0 && error.kind() == ErrorKind::Protocol => {
            Error::new(ErrorKind::Protocol, "container init was OOM-killed (memory limit too low?)")
        }
        _ => error,
    }
}

/// Takes back what a failed start has made; the process is gone already.
pub(crate) fn undo(container: &Handle, saved: &mut Saved, group: Option<&Group>) {
    let undone = || -> Result<()> {
        let lock = container.store.lock()?;
        group.map_or(Ok(()), Group::kill)?;
        cgroup::remove(saved, group)?;
        rdt::remove(saved)?;
        network::remove(saved)?;
        container.store.remove_gate()?;
        saved.facts.init = None;
        (saved.facts.cgroup, saved.facts.unit, saved.facts.rdt) = (None, None, None);
        saved.facts.host_ends.clear();
        container.store.save(&saved.facts, &lock)
    };
    let mut undone = undone;
    if let Err(error) = undone() {
        tracing::warn!("after the failed start: {error}");
    }
}

/// Opens the start gate.
pub(crate) fn release(container: &Handle) -> Result<()> {
    let lock = container.store.lock()?;
    let saved = container.refresh()?;
    let refuse = |message: &str| Err(Error::new(ErrorKind::NotRunning, message));
    match container.status_of(&saved)? {
        Status::Created => {}
        Status::Stopped => return refuse("cannot start a container that has stopped"),
        Status::Running => {
            return Err(Error::new(ErrorKind::Running, "cannot start an already running container"));
        }
        Status::Paused => {
            return Err(Error::new(ErrorKind::Paused, "cannot start a container in the paused state"));
        }
    }
    let pidfd =
        saved.facts.init.map(|init| init.pidfd()).transpose()?.flatten().ok_or_else(Error::not_running)?;
    let Some(gate) = container.store.open_gate()? else {
        return refuse("cannot start a container that does not wait for it");
    };
    rustix::io::write(&gate, b"0").map_err(|errno| Error::io("open the start gate", errno))?;
    container.store.remove_gate()?;
    drop(lock);
    // Init alone has the read end, until its execve or its end closes it.
    let mut closed = [PollFd::new(&gate, PollFlags::empty())];
    rustix::io::retry_on_intr(|| poll(&mut closed, None))
        .map_err(|errno| Error::io("wait for init", errno))?;
    if let Some(error) = container.store.failure() {
        // Its descriptors are closed; the rest of it is gone in a moment, and then the container has stopped.
        child::ended(&pidfd, None)?;
        return Err(error);
    }
    poststart(container, &saved, &pidfd)
}

/// Runs the poststart hooks; where one fails, the container is killed (specification: `runtime.md#lifecycle`, step 9).
pub(crate) fn poststart(container: &Handle, saved: &Saved, pidfd: &OwnedFd) -> Result<()> {
    let state = container.oci_state_of(&saved.config, "running", saved.facts.init.map(|init| init.pid));
    hooks::run("poststart", &saved.config.hooks().poststart, &saved.config, &state).inspect_err(|_| {
        drop(child::send(pidfd, Signal::KILL));
        drop(child::ended(pidfd, None));
    })
}

/// Whether a process has another time namespace than this one: a restored one has, whatever its configuration says.
fn has_own_clocks(pid: i32) -> bool {
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/time")).ok();
    namespace(&pid.to_string()).is_some_and(|its| namespace("thread-self").is_some_and(|own| own != its))
}

/// Starts a further program in a running container.
pub(crate) fn exec(container: &Handle, mut process: Process) -> Result<Begun> {
    let saved = container.refresh()?;
    if container.status_of(&saved)? == Status::Stopped {
        return Err(Error::not_running());
    }
    let pidfd =
        saved.facts.init.map(|init| init.pidfd()).transpose()?.flatten().ok_or_else(Error::not_running)?;
    process.attributes.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let ready = Ready::start(&container.home.launcher)?;
    let group = cgroup::to_join(&saved, ready.pid(), &process.sub_cgroups)?;
    let console = process.console_socket.take();
    let own_clocks = saved.facts.init.is_some_and(|init| has_own_clocks(init.pid));
    let plan = plan::exec(&saved.config, &container.id, process, group.as_ref(), pidfd, own_clocks)?;
    let mut conversation = ready.order(plan.fds, plan.payload)?;
    plan.attach.carry_out(group.as_ref(), conversation.pid())?;
    rdt::attach(&saved, conversation.pid())?;
    conversation.proceed()?;
    let init = saved.facts.init.map(|init| init.pid);
    let state = || container.oci_state_of(&saved.config, "running", init);
    reach_listening(&mut conversation, Event::Executed, ErrorStage::Exec, &saved.config, &state)?;
    let ends = ends(console, &mut conversation)?;
    let (pid, pidfd) = conversation.finish()?;
    tracing::debug!("container {}: process {pid} has joined it", container.id);
    let started = Arc::new(Started::new(pid, pidfd));
    container.remember(Arc::clone(&started));
    Ok((started, ends))
}

/// Sends the master of a terminal to the console socket, where there is one: in one message, with the master's name.
pub(crate) fn hand_over(console: Option<OwnedFd>, terminal: Option<OwnedFd>) -> Result<Option<OwnedFd>> {
    let (Some(console), Some(terminal)) = (&console, &terminal) else { return Ok(terminal) };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [terminal.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let name = [IoSlice::new(b"/dev/ptmx")];
    rustix::io::retry_on_intr(|| sendmsg(console, &name, &mut control, SendFlags::NOSIGNAL))
        .map_err(|errno| Error::io("send the terminal to the console socket", errno))?;
    Ok(None)
}
