//! A container from each of eight threads of one program.
//!
//! ```text
//! cargo run --example threads -- ROOTFS
//! ```
//!
//! as root, with a root file system that has `/bin/sh`.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::thread;

use corten::{Config, Id, Launcher, Process, Result, Runtime, Stdio};

fn main() -> Result<()> {
    // First: in the re-executed copy of this program, which becomes a container's init, it never returns.
    let hook = corten::init();
    let Some(rootfs) = std::env::args().nth(1).map(PathBuf::from) else {
        eprintln!("usage: threads ROOTFS");
        std::process::exit(2);
    };
    let state = std::env::var_os("CORTEN_STATE").unwrap_or("/run/corten-example".into());
    let runtime = Runtime::open(PathBuf::from(state), Launcher::self_exe(hook))?;
    thread::scope(|scope| {
        let (runtime, rootfs) = (&runtime, rootfs.as_path());
        let begun = |number| scope.spawn(move || one(runtime, rootfs, number));
        let threads: Vec<_> = (0..8).map(begun).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn one(runtime: &Runtime, rootfs: &Path, number: u32) -> Result<()> {
    let id = Id::try_from(format!("corten-thread-{}-{number}", std::process::id()).as_str())?;
    let container = runtime.create(&id, Config::builder(rootfs).hostname(id.as_str()).build()?)?;
    let process = Process::builder("/bin/sh").args(["-c", "echo this is $(hostname), pid $$"]);
    let process = process.env("PATH", "/bin").stdio(Stdio::Inherit);
    let lived = process.build().and_then(|process| container.run(process)?.wait());
    // Whatever has happened, nothing is left.
    runtime.purge(&id)?;
    println!("{id} has ended with status {}", lived?.code());
    Ok(())
}
