//! The copy as a helper: it becomes a program of the host's, such as CRIU, with nothing of the caller's but what it is
//! handed, and, if wanted, with a view of the mounts of its own.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::AsFd;

use corten_sys::namespace::{self, Namespaces};
use corten_sys::thread::SingleThreaded;
use rustix::fs::{Mode, OFlags};

use crate::outlet::Outlet;
use crate::payload::{HostProgram, Keyring};
use crate::protocol::{Channel, Report};
use crate::{Doing, Failure, Kind, Result, process, rootfs};

/// Becomes the program; returns only where that fails.
pub(crate) fn run(channel: &mut Channel, program: HostProgram, proof: &SingleThreaded) -> Failure {
    match become_it(&mut Outlet::Runtime(channel), program, proof) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

fn become_it(outlet: &mut Outlet<'_>, program: HostProgram, proof: &SingleThreaded) -> Result<Infallible> {
    let HostProgram { path, args, env, inherit, session, keyring, root, directories } = program;
    if session {
        rustix::process::setsid().doing(|| "become a session leader")?;
    }
    if let Some(Keyring { name, uid, gid }) = &keyring
        && let Some(key) = process::join_keyring(outlet, Some(name), |join| join())?
    {
        corten_sys::keyring::set_owner(key, *uid, *gid)
            .doing(|| format!("give the session keyring {name:?} to user {uid}, group {gid}"))?;
    }
    if let Some(root) = root {
        namespace::unshare(proof, Namespaces::MOUNT).doing(|| "make a mount namespace")?;
        rootfs::mount_over_itself(&root)?;
    }
    for directory in &directories {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(directory, flags, Mode::empty());
        let opened = opened.doing(|| format!("open the directory {}", directory.display()))?;
        outlet.report(&Report::Opened, Some(opened.as_fd()))?;
    }
    rustix::process::chdir("/").doing(|| "chdir to /")?;
    let c_strings = |texts: &[String]| texts.iter().map(|text| c_string(text)).collect::<Result<Vec<_>>>();
    let (file, arguments, environment) = (c_string(&path)?, c_strings(&args)?, c_strings(&env)?);
    corten_sys::fd::close_on_exec_from(3).doing(|| "close the runtime's file descriptors")?;
    process::pass_on(inherit)?;
    outlet.report(&Report::Executing, None)?;
    let errno = corten_sys::exec::execve(&file, &arguments, &environment);
    Err(Failure { kind: Kind::NotFound, ..Failure::system(format!("exec {path:?}"), errno) })
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Failure::invalid(format!("{text:?} contains a NUL byte")))
}
