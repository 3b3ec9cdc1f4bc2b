//! Several containers at once in a program of tokio's: what waits for a program's end does so beside the event loop.
//!
//! ```text
//! cargo run --example tokio -- ROOTFS
//! ```
//!
//! as root, with a root file system that has `/bin/sh`.

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::{Path, PathBuf};

use corten::{Config, Id, Launcher, Process, Runtime};
use tokio::task;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    // First: in the re-executed copy of this program, which becomes a container's init, it never returns.
    let hook = corten::init();
    let Some(rootfs) = std::env::args().nth(1).map(PathBuf::from) else {
        eprintln!("usage: tokio ROOTFS");
        std::process::exit(2);
    };
    let state = std::env::var_os("CORTEN_STATE").unwrap_or("/run/corten-example".into());
    let runtime = Runtime::open(PathBuf::from(state), Launcher::self_exe(hook))?;
    let events = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    events.block_on(async {
        let begun = |number| task::spawn(one(runtime.clone(), rootfs.clone(), number));
        for container in (0..4).map(begun).collect::<Vec<_>>() {
            container.await??;
        }
        Ok(())
    })
}

async fn one(runtime: Runtime, rootfs: PathBuf, number: u32) -> Result<(), Failure> {
    let id = Id::try_from(format!("corten-task-{}-{number}", std::process::id()).as_str())?;
    let lived = live(&runtime, &rootfs, &id, number).await;
    // Whatever has happened, nothing is left.
    runtime.purge(&id)?;
    println!("{id} has ended with status {}", lived?);
    Ok(())
}

async fn live(runtime: &Runtime, rootfs: &Path, id: &Id, number: u32) -> Result<i32, Failure> {
    let container = runtime.create(id, Config::builder(rootfs).build()?)?;
    let process = Process::builder("/bin/sh").args(["-c", &format!("exit {number}")]).env("PATH", "/bin");
    // Milliseconds, in which the loop stands still; `spawn_blocking` is there for more.
    let child = container.run(process.build()?)?;
    Ok(task::spawn_blocking(move || child.wait()).await??.code())
}
