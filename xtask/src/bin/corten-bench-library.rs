//! The work of the benchmark by library calls, in one program that lives on: `run BUNDLE STATE COUNT` or
//! `exec ID STATE COUNT`. It prints the seconds of each as a JSON list.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use corten::{Config, Container, Id, Launcher, Process, Runtime, SpecOptions, Stdio};

fn main() -> Result<(), Box<dyn Error>> {
    let launcher = Launcher::self_exe(corten::init());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, object, state, count] = arguments.as_slice() else {
        return Err("usage: corten-bench-library run BUNDLE STATE COUNT | exec ID STATE COUNT".into());
    };
    let runtime = Runtime::open(state, launcher)?;
    let count: usize = count.parse()?;
    let seconds = match work.as_str() {
        "run" => repeat(count, || run(&runtime, Path::new(object)))?,
        "exec" => {
            let container = runtime.load(&Id::try_from(object.as_str())?)?;
            repeat(count, || exec(&container))?
        }
        _ => return Err(format!("{work}: neither run nor exec").into()),
    };
    println!("{}", serde_json::to_string(&seconds)?);
    Ok(())
}

/// The first time makes the sealed copy of the program, which the others use: it does not count.
fn repeat(count: usize, work: impl Fn() -> Result<(), Box<dyn Error>>) -> Result<Vec<f64>, Box<dyn Error>> {
    work()?;
    let timed = |_| {
        let start = Instant::now();
        work().map(|()| start.elapsed().as_secs_f64())
    };
    (0..count).map(timed).collect()
}

/// What the command does: read the bundle, create, run, wait, destroy.
fn run(runtime: &Runtime, bundle: &Path) -> Result<(), Box<dyn Error>> {
    let spec: corten::oci::Spec = serde_json::from_slice(&std::fs::read(bundle.join("config.json"))?)?;
    let process = spec.process.as_ref().ok_or("the bundle has no process")?;
    let config = Config::from_spec(&spec, bundle, SpecOptions::default())?;
    let id = format!("corten-bench-library-{}", std::process::id());
    let container = runtime.create(&Id::try_from(id.as_str())?, config)?;
    let child = container.run(Process::from_spec(process)?.stdio(Stdio::Null).build()?)?;
    let status = child.wait()?;
    container.destroy().map_err(corten::Error::from)?;
    succeeded(status)
}

fn exec(container: &Container) -> Result<(), Box<dyn Error>> {
    succeeded(container.exec(Process::builder("/bin/true").stdio(Stdio::Null).build()?)?.wait()?)
}

fn succeeded(status: corten::ExitStatus) -> Result<(), Box<dyn Error>> {
    match status {
        corten::ExitStatus::Exited(0) => Ok(()),
        other => Err(format!("/bin/true ended with {other:?}").into()),
    }
}
