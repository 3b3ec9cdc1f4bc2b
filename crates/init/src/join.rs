//! Stage 2 of a program that joins a running container (exec).

use corten_sys::thread::SingleThreaded;
use rustix::fs::Mode;

use crate::namespaces::Late;
use crate::outlet::Outlet;
use crate::payload::{Process, Rlimit};
use crate::proc::Proc;
use crate::protocol::Channel;
use crate::{Doing, Result, Stage, credentials, process, terminal};

/// The container's user namespace.
#[derive(Debug)]
pub(crate) struct User {
    /// Whether it has one of its own.
    pub(crate) own: bool,
    /// What is still to be joined.
    pub(crate) late: Option<Late>,
}

/// Becomes the user's program, in the namespaces that stage 1 has joined.
pub(crate) fn run(
    channel: &mut Channel,
    process: Process,
    rlimits: &[Rlimit],
    user: User,
    proc: &Proc,
    proof: &SingleThreaded,
) -> ! {
    let mut outlet = Outlet::Runtime(channel);
    let failure = match program(&mut outlet, process, rlimits, user, proc, proof) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    outlet.fail(Stage::Exec, failure);
    corten_sys::exec::exit(255)
}

fn program(
    outlet: &mut Outlet<'_>,
    process: Process,
    rlimits: &[Rlimit],
    user: User,
    proc: &Proc,
    proof: &SingleThreaded,
) -> Result<std::convert::Infallible> {
    outlet.wait()?;
    rustix::process::setsid().doing(|| "become a session leader")?;
    if let Some(late) = user.late {
        late.join(proof)?;
    }
    if user.own {
        credentials::become_root(process.keep_groups)?;
    }
    credentials::set_not_dumpable()?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    process::join_keyring(outlet, &process, proc)?;
    terminal::attach(outlet, &process, false)?;
    let program = process::prepare(outlet, process)?;
    program.execute(outlet, rlimits, proc, proof)
}
