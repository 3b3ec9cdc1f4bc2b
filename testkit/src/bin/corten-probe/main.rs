//! The payload of container tests: a static program that tells as JSON what it sees from inside, or does one small
//! thing and tells how that went.
//!
//! `corten-probe [report] [sysctl=NAME]… [out=PATH]` prints a [`corten_testkit::Report`]. `corten-probe ACTION…` prints
//! `{"ok":true,…}` with status 0, or `{"error":"EPERM","errno":1}` with status 1.
//!
//! `corten-probe trace ROLE COUNT PROGRAM…`, outside of containers, kills one process of a start after its COUNTth message, and
//! `corten-probe agent SOCKET NUMBER ERRNO` answers what a seccomp filter asks.
#![no_main]

mod act;
mod agent;
mod keep;
mod kernel;
mod network;
mod observe;
mod trace;

use std::ffi::c_int;
use std::io::Write;

/// The program's entry, in place of the one that the standard library brings: that one ignores SIGPIPE, catches
/// SIGSEGV and opens `/dev/null` for descriptors that are closed, and so hides what this program is to report.
#[allow(unsafe_code)]
// SAFETY: the one symbol `main` of this program, with the signature that C start-up code calls.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const std::ffi::c_char) -> c_int {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    match arguments.get(1).map(String::as_str) {
        None | Some("report") => report(&arguments),
        Some("agent") => agent::agent(&arguments[2..]),
        Some("trace") => trace::trace(&arguments[2..]),
        Some(action) => act::perform(action, &arguments[2..]),
    }
}

fn report(arguments: &[String]) -> c_int {
    let wanted =
        |prefix: &'static str| arguments.iter().filter_map(move |argument| argument.strip_prefix(prefix));
    let report = observe::observe(wanted("sysctl="));
    let Ok(mut text) = serde_json::to_vec(&report) else { return 1 };
    text.push(b'\n');
    let written = match wanted("out=").next() {
        Some(path) => std::fs::write(path, &text),
        None => std::io::stdout().write_all(&text),
    };
    c_int::from(written.is_err())
}
