//! One container: what can be asked of it and done to it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use corten_cgroups::Group;

use crate::child::{self, Child, Ends, Started};
use crate::handle::{Handle, bundle_of};
use crate::store::Saved;
use crate::{
    Checkpoint, Config, Cost, Error, ErrorKind, Id, Namespace, OomEvents, PressureEvents, PressureTrigger,
    Process, Restore, Result, Signal, State, Stats, Status, cgroup, checkpoint, hooks, network, oci, rdt,
    start, stats, update,
};

/// One container.
///
/// It is a handle: what it tells is read from the kernel each time, and dropping it changes nothing.
#[derive(Debug)]
pub struct Container(pub(crate) Handle);

/// A container that would not be destroyed, and why.
#[derive(Debug)]
pub struct Refused {
    /// The container, unchanged.
    pub container: Box<Container>,
    /// Why.
    pub error: Error,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// A container whose init waits at the start gate.
#[derive(Debug)]
pub struct Created<'a> {
    pub(crate) container: &'a Container,
    pub(crate) process: Arc<Started>,
    pub(crate) ends: Ends,
}

impl Created<'_> {
    /// Process id of its init, as this program's pid namespace has it.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// The pidfd of its init.
    pub fn pidfd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.process.pidfd)
    }

    /// The master of its terminal, once.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.ends.terminal.take()
    }

    /// The listener of its seccomp filter, once, where the configuration leaves it to
    /// [this program](crate::ConfigBuilder::seccomp_listener).
    pub fn take_seccomp_listener(&mut self) -> Option<OwnedFd> {
        self.ends.listener.take()
    }

    /// Lets init run the user's program, and returns when it does; then runs the poststart hooks.
    pub fn release(self) -> Result<Child> {
        self.container.release()?;
        Ok(Child::new(self.process, self.ends))
    }

    /// Leaves init at the gate, for [`Container::release`] by this or another program.
    pub fn detach(self) {}
}

impl Container {
    /// Its id.
    pub fn id(&self) -> &Id {
        &self.0.id
    }

    /// Its configuration.
    pub fn config(&self) -> Config {
        Config::clone(&self.0.saved().config)
    }

    /// What it is doing.
    pub fn status(&self) -> Result<Status> {
        self.0.status_of(&self.0.refresh()?)
    }

    /// All that can be said of it now.
    pub fn state(&self) -> Result<State> {
        let saved = self.0.refresh()?;
        let status = self.0.status_of(&saved)?;
        let paths = saved.facts.cgroup.iter().flat_map(|paths| paths.iter());
        Ok(State {
            id: self.0.id.to_string(),
            status,
            pid: saved.facts.init.filter(|_| status != Status::Stopped).map(|init| init.pid),
            bundle: bundle_of(&saved.config).to_owned(),
            rootfs: saved.config.rootfs().to_owned(),
            created: saved.facts.created,
            annotations: saved.config.annotations().clone(),
            owner: saved.facts.owner,
            cgroup_paths: paths.map(|(controller, path)| (controller.to_owned(), path.to_owned())).collect(),
        })
    }

    /// Its state in the form of the OCI specification, as hooks get it.
    pub fn oci_state(&self) -> Result<oci::State> {
        let saved = self.0.refresh()?;
        let status = self.0.status_of(&saved)?;
        let pid = saved.facts.init.filter(|_| status != Status::Stopped).map(|init| init.pid);
        Ok(self.0.oci_state_of(&saved.config, &status.to_string(), pid))
    }

    /// Process ids of all its processes, as this program's pid namespace has them, in order. The set can change at any
    /// time but while it is paused.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let saved = self.0.refresh()?;
        match Handle::group(&saved) {
            Some(group) if group.exists() => Ok(group.processes()?),
            _ => match saved.facts.init {
                Some(init) if init.is_alive()? => Ok(vec![init.pid]),
                _ => Ok(Vec::new()),
            },
        }
    }

    /// What it uses. The parts of controllers that are not available here are absent.
    ///
    /// [`ErrorKind::NotRunning`] where it has stopped, and [`ErrorKind::Unsupported`] where it has no control group.
    pub fn stats(&self) -> Result<Stats> {
        let saved = self.0.refresh()?;
        let cgroup = self.0.running_group(&saved)?.stats()?;
        let own = saved.config.namespaces().contains(Namespace::Net);
        let network_interfaces = match saved.facts.init.filter(|_| own) {
            Some(init) => stats::interfaces(init.pid, |name| network::host_name(&saved, name))?,
            None => Vec::new(),
        };
        let intel_rdt = rdt::stats(&saved)?;
        Ok(Stats { cgroup, intel_rdt, network_interfaces })
    }

    /// Tells when processes of it are killed for lack of memory, by a descriptor that can be polled.
    pub fn oom_events(&self) -> Result<OomEvents> {
        Ok(OomEvents(self.0.running_group(&self.0.refresh()?)?.oom_events()?))
    }

    /// Tells when it is under pressure, by a descriptor that can be polled.
    pub fn pressure_events(&self, trigger: PressureTrigger) -> Result<PressureEvents> {
        Ok(PressureEvents(self.0.running_group(&self.0.refresh()?)?.pressure_events(trigger)?))
    }

    /// The pidfd of its init, which is readable once that has ended; [`ErrorKind::NotRunning`] where it has already.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        let init = self.0.refresh()?.facts.init;
        init.map(|init| init.pidfd()).transpose()?.flatten().ok_or_else(Error::not_running)
    }

    /// Changes its resource limits; what is absent stays. Where one cannot be set, the old ones are put back.
    pub fn update(&self, resources: &oci::Resources) -> Result<()> {
        update::update(&self.0, Some(resources), None)
    }

    /// Changes its shares of the third-level cache and of memory bandwidth; what is absent stays. One that has no class of
    /// service of its own yet gets one.
    ///
    /// [`ErrorKind::Unsupported`] where the machine has no resctrl file system, and where `closID`, `schemata` or
    /// `enableMonitoring` are to change.
    pub fn update_rdt(&self, changes: &oci::IntelRdt) -> Result<()> {
        update::update(&self.0, None, Some(changes))
    }

    /// Changes both, or neither: see [`Container::update`] and [`Container::update_rdt`].
    pub fn update_all(&self, resources: &oci::Resources, rdt: &oci::IntelRdt) -> Result<()> {
        update::update(&self.0, Some(resources), Some(rdt))
    }

    /// Freezes its processes; [`ErrorKind::NotRunning`] where it is neither running nor created.
    pub fn pause(&self) -> Result<()> {
        let _lock = self.0.store.lock()?;
        let saved = self.0.refresh()?;
        match self.0.status_of(&saved)? {
            Status::Running | Status::Created => Ok(self.0.running_group(&saved)?.freeze()?),
            _ => Err(Error::not_running()),
        }
    }

    /// Lets its frozen processes go on; [`ErrorKind::NotPaused`] where they are not frozen.
    pub fn resume(&self) -> Result<()> {
        let _lock = self.0.store.lock()?;
        let saved = self.0.refresh()?;
        match self.0.status_of(&saved)? {
            Status::Paused => Ok(self.0.running_group(&saved)?.thaw()?),
            _ => Err(Error::new(ErrorKind::NotPaused, "container not paused")),
        }
    }

    /// Sends a signal to its init. A SIGKILL reaches every process of a container without a pid namespace of its own,
    /// and frozen ones as well.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let saved = self.0.refresh()?;
        let pidfd = saved.facts.init.map(|init| init.pidfd()).transpose()?.flatten();
        if signal == Signal::KILL
            && !saved.config.namespaces().is_new(Namespace::Pid)
            && let Some(group) = Handle::group(&saved)
        {
            return Ok(group.kill()?);
        }
        child::send(&pidfd.ok_or_else(Error::not_running)?, signal)?;
        match Handle::group(&saved) {
            // On cgroup v1 a frozen process dies only when it thaws.
            Some(group) if signal == Signal::KILL && group.is_frozen().unwrap_or(false) => Ok(group.thaw()?),
            _ => Ok(()),
        }
    }

    /// Sends a signal to all its processes.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        let saved = self.0.refresh()?;
        let Some(group) = Handle::group(&saved).filter(Group::exists) else { return self.signal(signal) };
        if signal == Signal::KILL {
            return Ok(group.kill()?);
        }
        for pid in group.processes()? {
            match corten_sys::signal::kill(pid, signal.as_raw()) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(errno) => return Err(Error::io(format!("send {signal} to process {pid}"), errno)),
            }
        }
        Ok(())
    }

    /// Starts its init and leaves it at the start gate, its namespaces, cgroup and root file system made.
    pub fn start_init(&self, process: Process) -> Result<Created<'_>> {
        let (process, ends) = start::init(&self.0, process, true)?;
        Ok(Created { container: self, process, ends })
    }

    /// Lets the init that waits at the gate run the user's program, from this or another program than started it, and
    /// returns when it does; then runs the poststart hooks.
    pub fn release(&self) -> Result<()> {
        start::release(&self.0)
    }

    /// Starts its init with the user's program at once.
    pub fn run(&self, process: Process) -> Result<Child> {
        let (process, ends) = start::init(&self.0, process, false)?;
        Ok(Child::new(process, ends))
    }

    /// Starts a further program in the running container. A paused container can be joined: the program is then frozen
    /// as well, until it is resumed.
    pub fn exec(&self, process: Process) -> Result<Child> {
        let (process, ends) = start::exec(&self.0, process)?;
        Ok(Child::new(process, ends))
    }

    /// Saves its processes to images, by the machine's CRIU, and ends them; or lets them go on, where that is asked for. Tells what
    /// that has cost.
    ///
    /// A container that is left running, or whose checkpoint fails, goes on as before, paused if it was.
    /// One that was ended has stopped, and is still to be destroyed.
    ///
    /// Everything that can be known beforehand is checked before anything is touched:
    /// [`ErrorKind::Unsupported`] where CRIU is missing, too old, or cannot do what is asked for, or where the container has
    /// something that would not come back; [`ErrorKind::Paused`] where it is paused and CRIU could not save it so: on cgroup v1, or with
    /// control groups that are ignored. [`ErrorKind::Criu`] where CRIU fails; the message has the last lines of its log. Needs root.
    pub fn checkpoint(&self, checkpoint: Checkpoint<'_>) -> Result<Cost> {
        checkpoint::checkpoint(&self.0, checkpoint)
    }

    /// Writes the images of a checkpoint, and what [`Archive`](crate::Archive) needs to bring them back elsewhere, as one
    /// archive (tar, Zstandard). The root file system is not in it. The container must still be there: before it is
    /// destroyed, or where it was left running. `images` is the directory that the checkpoint was made in; the pre-dumps that it
    /// builds on go into the archive too.
    ///
    /// [`ErrorKind::Unsupported`] where those are more than [`Archive::MOST_PRE_DUMPS`](crate::Archive::MOST_PRE_DUMPS).
    pub fn export(&self, images: impl AsRef<std::path::Path>, to: impl std::io::Write) -> Result<()> {
        checkpoint::export(&self.0, images.as_ref(), to)
    }

    /// Brings processes back from images into this container, which must have no process. Its configuration must be that of
    /// the container that was saved, and its root file system must hold the same files.
    ///
    /// What the processes are and may do comes from the images: of the configuration it is mounts, namespaces by path, and
    /// the control group with its limits that count. Hooks of the kinds `prestart` and `createRuntime` run when the namespaces
    /// are there, and `poststart` when everything runs. Where it fails, nothing of it is left. Needs root.
    pub fn restore(&self, restore: Restore) -> Result<Child> {
        let (process, terminal) = checkpoint::restore(&self.0, restore)?;
        Ok(Child::new(process, Ends { terminal, listener: None }))
    }

    /// Removes a container that has stopped, or was never released: its control group, its state, and last the poststop hooks.
    ///
    /// Refused with [`ErrorKind::Running`] or [`ErrorKind::Paused`]; the handle comes back then.
    pub fn destroy(self) -> std::result::Result<(), Refused> {
        match self.try_destroy() {
            Ok(()) => Ok(()),
            Err(error) => Err(Refused { container: Box::new(self), error }),
        }
    }

    fn try_destroy(&self) -> Result<()> {
        let lock = self.0.store.lock()?;
        let saved = self.0.refresh()?;
        let refuse = |kind, status: Status| {
            Err(Error::new(
                kind,
                format!("cannot delete container {} that is not stopped: {status}", self.0.id),
            ))
        };
        match self.0.status_of(&saved)? {
            Status::Running => return refuse(ErrorKind::Running, Status::Running),
            Status::Paused => return refuse(ErrorKind::Paused, Status::Paused),
            Status::Created | Status::Stopped => {}
        }
        self.tear_down(&saved)?;
        drop(lock);
        hooks::run_poststop(&saved.config, &self.0.oci_state_of(&saved.config, "stopped", None))
    }

    /// Kills what runs and removes what there is.
    pub(crate) fn purge(&self) -> Result<()> {
        let lock = match self.0.store.lock() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            lock => lock?,
        };
        let saved = self.0.refresh()?;
        self.tear_down(&saved)?;
        drop(lock);
        hooks::run_poststop(&saved.config, &self.0.oci_state_of(&saved.config, "stopped", None))
    }

    /// Ends every process, and removes the control group and the state directory.
    fn tear_down(&self, saved: &Saved) -> Result<()> {
        /// A killed process that has not ended by then is stuck in the kernel.
        const DEADLINE: Duration = Duration::from_secs(10);
        let group = Handle::group(saved);
        let pidfd = saved.facts.init.map(|init| init.pidfd()).transpose()?.flatten();
        if let Some(pidfd) = &pidfd {
            drop(child::send(pidfd, Signal::KILL));
        }
        if let Some(group) = &group {
            // What is not in the pid namespace of init outlives it, and a frozen process dies only when it thaws (v1).
            if group.exists() {
                group.kill()?;
            }
        }
        self.0.collect(DEADLINE)?;
        if let Some(pidfd) = pidfd
            && !child::ended(&pidfd, Some(DEADLINE))?
        {
            return Err(Error::new(
                ErrorKind::Running,
                format!("init of container {} did not end after SIGKILL", self.0.id),
            ));
        }
        cgroup::remove(saved, group.as_ref())?;
        rdt::remove(saved)?;
        network::remove(saved)?;
        self.0.store.remove()
    }
}
