//! Stage 2 of a new container: its init, from the clone to the user's program.

use corten_oci::{Hook, State};
use corten_sys::namespace::{self, Namespaces};
use corten_sys::thread::SingleThreaded;

use crate::hooks::Output;
use crate::inherited::Slot;
use crate::outlet::Outlet;
use crate::payload::{Create, Gate, Process, Rlimit};
use crate::proc::Proc;
use crate::protocol::{Channel, Report};
use crate::{Doing, Failure, Kind, Result, Stage, credentials, hooks, namespaces, process, terminal};

/// Makes the container around this process and becomes the user's program.
pub(crate) fn run(
    channel: &mut Channel,
    create: Create,
    process: Process,
    rlimits: Vec<Rlimit>,
    proc: Proc,
    proof: &SingleThreaded,
) -> ! {
    let mut outlet = Outlet::Runtime(channel);
    let failure = match container(&mut outlet, create, process, rlimits, proc, proof) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    outlet.fail(Stage::Init, failure);
    corten_sys::exec::exit(1)
}

fn container(
    outlet: &mut Outlet<'_>,
    mut create: Create,
    process: Process,
    rlimits: Vec<Rlimit>,
    mut proc: Proc,
    proof: &SingleThreaded,
) -> Result<std::convert::Infallible> {
    outlet.wait()?;
    enter_namespaces(&create, process.keep_groups, proof)?;
    let (stdout, stderr) = std::mem::take(&mut create.hook_output);
    let output =
        Output { stdout: stdout.map(Slot::take).transpose()?, stderr: stderr.map(Slot::take).transpose()? };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    process::join_own_keyring(outlet, &process, &proc)?;
    if create.loopback {
        corten_sys::network::loopback_up().doing(|| "bring the loopback interface up")?;
    }
    let mut prepared = create.rootfs.prepare()?;
    if create.runtime_hooks {
        outlet.report(&Report::Prepared, None)?;
        outlet.wait()?;
    }
    run_hooks("createContainer", &create.create_container, &mut create.state, "creating", &output)?;
    prepared.enter()?;
    process::make_cwd(&process)?;
    terminal::attach(outlet, &process, true)?;
    name_host(create.hostname.as_deref(), create.domainname.as_deref())?;
    proc.write_sysctls(&create.sysctls)?;
    prepared.seal()?;
    outlet.wait()?;
    let mut program = process::prepare(outlet, process, rlimits, proc, proof)?;
    program.filter(outlet, !create.start_container.is_empty(), proof)?;
    if let Some(gate) = create.gate {
        wait_at(gate, outlet)?;
    }
    run_hooks("startContainer", &create.start_container, &mut create.state, "created", &output)?;
    program.execute(outlet, proof)
}

/// Becomes root of the user namespace, makes what can only be made now, and hides this process from the container.
fn enter_namespaces(create: &Create, keep_groups: bool, proof: &SingleThreaded) -> Result<()> {
    rustix::process::setsid().doing(|| "become a session leader")?;
    if let Some(maps) = &create.joined_maps {
        namespaces::check_maps(maps)?;
    }
    if let Some(offsets) = &create.time_offsets {
        namespaces::make_time(proof, offsets)?;
    }
    if create.user_namespace {
        credentials::become_root(create.setgroups_denied || keep_groups)?;
    }
    credentials::set_not_dumpable()?;
    if create.unshare_cgroup {
        namespace::unshare(proof, Namespaces::CGROUP).doing(|| "make the cgroup namespace")?;
    }
    Ok(())
}

fn name_host(hostname: Option<&str>, domainname: Option<&str>) -> Result<()> {
    if let Some(name) = hostname {
        rustix::system::sethostname(name.as_bytes()).doing(|| format!("set the host name {name:?}"))?;
    }
    if let Some(name) = domainname {
        rustix::system::setdomainname(name.as_bytes()).doing(|| format!("set the domain name {name:?}"))?;
    }
    Ok(())
}

fn run_hooks(kind: &str, hooks: &[Hook], state: &mut State, status: &str, output: &Output) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    state.status = status.to_owned();
    state.pid = Some(rustix::process::getpid().as_raw_nonzero().get());
    let json = serde_json::to_vec(state)
        .map_err(|error| Failure::new(Kind::Hook, format!("write the state for hooks: {error}")))?;
    hooks::run_all(kind, hooks, &json, output)
}

/// Tells the runtime that all is ready and waits until somebody writes into the gate.
fn wait_at(gate: Gate, outlet: &mut Outlet<'_>) -> Result<()> {
    let fifo = gate.fifo.take()?;
    let record = gate.failure.take()?;
    outlet.report(&Report::Waiting, None)?;
    // The stream ends here: what fails from now on is for whoever starts the container.
    if let Outlet::Runtime(channel) = outlet {
        rustix::net::shutdown(&*channel, rustix::net::Shutdown::Both).doing(|| "end the sync socket")?;
    }
    let mut byte = [0];
    // The descriptor is open for writing too, so that a read waits even while nobody else has the FIFO open.
    let read = rustix::io::retry_on_intr(|| rustix::io::read(&fifo, &mut byte));
    *outlet = Outlet::File { record, _gate: fifo };
    match read.doing(|| "wait at the start gate")? {
        1 => Ok(()),
        _ => Err(Failure::new(Kind::Protocol, "the start gate ended without a word")),
    }
}
