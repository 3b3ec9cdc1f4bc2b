//! The caller's terminal in raw mode.

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

use crate::error::{Doing, Result};

/// The caller's terminal as it was; it is put back when this is dropped.
pub struct Raw(Termios);

impl Raw {
    /// Passes every key on as it is, where standard input is a terminal.
    pub fn enter() -> Result<Option<Self>> {
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return Ok(None);
        }
        let doing = || "put the terminal into raw mode".to_owned();
        let before = tcgetattr(stdin).doing(doing)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin, OptionalActions::Now, &raw).doing(doing)?;
        Ok(Some(Self(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.0);
    }
}
