//! Stage 2 of a program that joins a running container (exec).

use corten_sys::thread::SingleThreaded;
use rustix::fs::Mode;

use crate::namespaces::Late;
use crate::outlet::Outlet;
use crate::payload::{Process, Rlimit};
use crate::proc::Proc;
use crate::protocol::Channel;
use crate::{Doing, Result, Stage, credentials, process, scheduling, terminal};

/// The container, where its namespaces are not joined yet.
#[derive(Debug)]
pub(crate) struct Container {
    /// What is still to be joined.
    pub(crate) late: Option<Late>,
    /// Whether it has a user namespace of its own.
    pub(crate) own_user: bool,
    /// The CPUs to run on in its control group.
    pub(crate) cpus: Option<Vec<u64>>,
}

/// Becomes the user's program, in the namespaces that stage 1 has joined.
pub(crate) fn run(
    channel: &mut Channel,
    process: Process,
    rlimits: Vec<Rlimit>,
    container: Container,
    proc: Proc,
    proof: &SingleThreaded,
) -> ! {
    let mut outlet = Outlet::Runtime(channel);
    let failure = match program(&mut outlet, process, rlimits, container, proc, proof) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    outlet.fail(Stage::Exec, failure);
    corten_sys::exec::exit(255)
}

fn program(
    outlet: &mut Outlet<'_>,
    process: Process,
    rlimits: Vec<Rlimit>,
    container: Container,
    proc: Proc,
    proof: &SingleThreaded,
) -> Result<std::convert::Infallible> {
    outlet.wait()?;
    scheduling::keep_to(container.cpus.as_deref())?;
    rustix::process::setsid().doing(|| "become a session leader")?;
    if let Some(late) = container.late {
        late.join(proof)?;
    }
    if container.own_user {
        credentials::become_root(process.keep_groups)?;
    }
    credentials::set_not_dumpable()?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    process::join_own_keyring(outlet, &process, &proc)?;
    terminal::attach(outlet, &process, false)?;
    let program = process::prepare(outlet, process, rlimits, proc, proof)?;
    program.execute(outlet, proof)
}
