//! `corten top`.

mod sample;
mod screen;

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use corten::Runtime;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{Doing, Result};
use crate::foreground::{Signals, terminal_size};
use crate::interval;
use crate::raw::Raw;
use sample::{Pass, Usage};
use screen::{Order, Screen};

/// Show what all containers use, again and again
///
/// On a terminal it is a table: the keys c, m, p, i and n order it by processor, memory, processes, input and output, and
/// name; q ends it. Otherwise it prints a line of JSON for each container.
#[derive(Debug, clap::Args)]
pub struct Top {
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval::parse)]
    interval: Duration,
    /// End after so many looks
    #[arg(short = 'n', long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print JSON on a terminal too
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(runtime: &Runtime, arguments: &Top) -> Result<i32> {
    if !arguments.json && std::io::stdout().is_terminal() {
        return show(runtime, arguments).map(|()| 0);
    }
    let mut before = Pass::take(runtime)?;
    for look in 0.. {
        // A rate is that between two looks, so that the first line comes after an interval.
        pause(arguments.interval)?;
        let now = Pass::take(runtime)?;
        print(&now.usages(&before))?;
        before = now;
        if arguments.count.is_some_and(|count| look + 1 >= count) {
            break;
        }
    }
    Ok(0)
}

fn pause(interval: Duration) -> Result<()> {
    let left = Timespec::try_from(interval).unwrap_or_default();
    rustix::io::retry_on_intr(|| poll(&mut [], Some(&left))).map(drop).doing(|| "wait".to_owned())
}

fn print(usages: &[Usage]) -> Result<()> {
    let mut text = String::new();
    for usage in usages {
        text += &super::to_json(usage)?;
        text.push('\n');
    }
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => done.doing(|| "write to standard output".to_owned()),
    }
}

/// What a person did.
enum Wish {
    Nothing,
    Order(Order),
    Redraw,
    End,
}

/// The table on a terminal, until somebody ends it.
fn show(runtime: &Runtime, arguments: &Top) -> Result<()> {
    let signals = Signals::hold()?;
    let raw = Raw::enter()?;
    let mut screen = Screen::open()?;
    let mut order = Order::Cpu;
    let mut before = Pass::take(runtime)?;
    // So that there is something to see at once.
    let mut usages = before.usages(&before);
    let mut looks = 0;
    loop {
        screen.draw(&usages, order, terminal_size())?;
        let next = Instant::now() + arguments.interval;
        loop {
            match wish(&signals, raw.is_some(), next)? {
                Wish::End => return Ok(()),
                Wish::Order(chosen) => order = chosen,
                Wish::Redraw => {}
                Wish::Nothing => break,
            }
            screen.draw(&usages, order, terminal_size())?;
        }
        looks += 1;
        if arguments.count.is_some_and(|count| looks >= count) {
            return Ok(());
        }
        let now = Pass::take(runtime)?;
        usages = now.usages(&before);
        before = now;
    }
}

/// Waits for a signal, or where there is somebody at a keyboard for a key, until that moment.
fn wish(signals: &Signals, keyboard: bool, until: Instant) -> Result<Wish> {
    const WINCH: i32 = 28;
    const CHLD: i32 = 17;
    let stdin = rustix::stdio::stdin();
    let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).unwrap_or_default();
    let mut ready = vec![PollFd::new(signals, PollFlags::IN)];
    if keyboard {
        ready.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
    }
    if rustix::io::retry_on_intr(|| poll(&mut ready, Some(&left))).doing(|| "wait for keys".to_owned())? == 0
    {
        return Ok(Wish::Nothing);
    }
    if !ready[0].revents().is_empty() {
        return Ok(match signals.take()? {
            Some(WINCH | CHLD) | None => Wish::Redraw,
            Some(_) => Wish::End,
        });
    }
    let mut key = [0];
    match rustix::io::read(stdin, &mut key) {
        // Ctrl-C and Ctrl-D arrive as keys; at the end of the input there is nobody.
        Ok(1) if !matches!(key[0], b'q' | 3 | 4) => {
            Ok(Order::by_key(key[0]).map_or(Wish::Redraw, Wish::Order))
        }
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(Wish::Redraw),
        _ => Ok(Wish::End),
    }
}
