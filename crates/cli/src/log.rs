//! Log messages in the forms that engines read: runc's text and JSON lines (logrus).

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::error::{Doing, Error, Result};
use crate::globals::{Globals, LogFormat};

/// Where messages go, and how.
#[derive(Debug)]
struct Log {
    file: Option<File>,
    format: LogFormat,
    level: Level,
    start: Instant,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Begins logging as the options say.
pub fn start(globals: &Globals) -> Result<()> {
    let open = |path| {
        let mut options = File::options();
        // What the last line says must be there for whoever reads it after a crash.
        let sync = rustix::fs::OFlags::SYNC.bits().cast_signed();
        options.append(true).create(true).mode(0o644).custom_flags(sync);
        options.open(path).doing(|| format!("open the log file {}", std::path::Path::display(path)))
    };
    let file = globals.log.as_deref().map(open).transpose()?;
    let level = if globals.debug { Level::DEBUG } else { Level::INFO };
    let log = LOG.get_or_init(|| Log { file, format: globals.log_format, level, start: Instant::now() });
    // The one call in the program: there is no subscriber yet.
    let _ = tracing::subscriber::set_global_default(log);
    Ok(())
}

/// The error that ends the program: into the log, and for a person to standard error where that is not the log.
pub fn last_word(error: &Error) {
    tracing::error!("{error}");
    if LOG.get().is_none_or(|log| log.file.is_some()) {
        eprintln!("{error}");
    }
}

impl Log {
    fn line(&self, level: Level, message: &str) -> String {
        let name = match level {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        match self.format {
            LogFormat::Json => {
                let line = serde_json::json!({ "level": name, "msg": message, "time": now() });
                format!("{line}\n")
            }
            LogFormat::Text if self.file.is_none() && std::io::stderr().is_terminal() => {
                let short = name.get(..4).unwrap_or(name).to_uppercase();
                format!("{short}[{:04}] {message}\n", self.start.elapsed().as_secs())
            }
            LogFormat::Text => format!("time={:?} level={name} msg={}\n", now(), quoted(message)),
        }
    }

    fn write(&self, line: &str) {
        // Who cannot be told cannot be told that either.
        let _ = match &self.file {
            Some(file) => { file }.write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

/// The time in the form of RFC 3339, in seconds, UTC.
fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    corten::rfc3339(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs()))
}

/// As logrus has it: in quotes where it is not one plain word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}

/// The message of an event, and its fields after it.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl Subscriber for &'static Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message::default();
        event.record(&mut message);
        self.write(&self.line(*event.metadata().level(), &message.0));
    }

    // There are no spans.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_quoted_where_it_needs_to_be() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("two words"), "\"two words\"");
        assert_eq!(quoted("a \"b\""), "\"a \\\"b\\\"\"");
        assert_eq!(quoted(""), "\"\"");
    }

    #[test]
    fn lines_have_the_forms_that_engines_read() {
        let log = |format| Log {
            file: Some(File::open("/dev/null").unwrap()),
            format,
            level: Level::INFO,
            start: Instant::now(),
        };
        let text = log(LogFormat::Text).line(Level::ERROR, "it broke");
        assert!(
            text.starts_with("time=\"20") && text.ends_with("Z\" level=error msg=\"it broke\"\n"),
            "{text}"
        );
        let line = log(LogFormat::Json).line(Level::WARN, "it \"broke\"");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["level"], &value["msg"]), (&"warning".into(), &"it \"broke\"".into()));
        assert!(value["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    }
}
