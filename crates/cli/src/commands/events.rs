//! `corten events`.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use corten::{Container, ErrorKind, Id, OomEvents, Runtime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Doing, Error, Result};
use crate::interval;

/// Print what a container uses, again and again, and when memory lacks, as lines of JSON
#[derive(Debug, clap::Args)]
pub struct Events {
    /// Time between two lines
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval::parse)]
    interval: Duration,
    /// Print one line of statistics, and end
    #[arg(long)]
    stats: bool,
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

/// A line, in runc's form.
#[derive(Debug, Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

/// Runs the command.
pub fn run(runtime: &Runtime, arguments: &Events) -> Result<i32> {
    let container = runtime.load(&Id::try_from(arguments.id.as_str())?)?;
    let init = container.pidfd()?;
    if arguments.stats {
        statistics(&container)?;
        return Ok(0);
    }
    let mut oom = match container.oom_events() {
        Ok(events) => Some(events),
        Err(error) if error.kind() == ErrorKind::Cgroup => {
            tracing::warn!("lack of memory is not told: {error}");
            None
        }
        Err(error) => return Err(error.into()),
    };
    follow(&container, &init, oom.as_mut(), arguments.interval)?;
    Ok(0)
}

/// Prints until the container has stopped.
fn follow(
    container: &Container,
    init: &OwnedFd,
    mut oom: Option<&mut OomEvents>,
    interval: Duration,
) -> Result<()> {
    let mut next = Instant::now() + interval;
    loop {
        let mut ready = vec![PollFd::new(init, PollFlags::IN)];
        ready.extend(oom.as_deref().map(|events| PollFd::new(events, PollFlags::IN)));
        let left = Timespec::try_from(next.saturating_duration_since(Instant::now())).unwrap_or_default();
        rustix::io::retry_on_intr(|| poll(&mut ready, Some(&left))).doing(|| "wait for events".to_owned())?;
        let ended = !ready[0].revents().is_empty();
        if let Some(events) = oom.as_deref_mut()
            && events.take()?.is_some()
        {
            print(&Line { kind: "oom", id: container.id().as_str(), data: None })?;
        }
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            match statistics(container) {
                // It has stopped meanwhile.
                Err(Error::Container(error)) if error.kind() == ErrorKind::NotRunning => return Ok(()),
                done => done?,
            }
            next += interval;
        }
    }
}

fn statistics(container: &Container) -> Result<()> {
    let stats = container.stats()?;
    let json = serde_json::to_value(&stats)
        .map_err(|source| Error::Json { what: "write the statistics".to_owned(), source })?;
    print(&Line { kind: "stats", id: container.id().as_str(), data: Some(complete(json)) })
}

/// Every part that runc prints, empty where there is nothing to tell.
fn complete(mut data: Value) -> Value {
    if let Value::Object(parts) = &mut data {
        for name in ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt"] {
            parts.entry(name).or_insert_with(|| json!({}));
        }
    }
    data
}

fn print(line: &Line<'_>) -> Result<()> {
    use std::io::Write;
    let text = super::to_json(line)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).doing(|| "write to standard output".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_runcs_form() {
        let line = Line { kind: "oom", id: "one", data: None };
        assert_eq!(serde_json::to_string(&line).unwrap(), r#"{"type":"oom","id":"one"}"#);
        let data = complete(json!({"cpu": {"usage": 1}}));
        assert_eq!((&data["cpu"]["usage"], &data["memory"]), (&json!(1), &json!({})));
    }
}
