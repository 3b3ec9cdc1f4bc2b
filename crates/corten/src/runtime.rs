//! The set of containers under one state directory.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::container::Container;
use crate::handle::{Handle, Home};
use crate::store::{self, Store};
use crate::{Config, Error, ErrorKind, Id, Launcher, Result};

/// The containers under one state directory, and the way to start them.
///
/// It remembers nothing but those two: several in one program, or in several programs, see the same containers.
#[derive(Clone, Debug)]
pub struct Runtime {
    home: Arc<Home>,
}

/// One entry of [`Runtime::list`].
#[derive(Debug)]
pub struct Entry {
    /// The container's id.
    pub id: Id,
    /// The container, or why its saved state cannot be used.
    pub container: Result<Container>,
}

impl Runtime {
    /// Uses a state directory, an absolute path that is made when the first container is.
    pub fn open(root: impl AsRef<Path>, launcher: Launcher) -> Result<Self> {
        let root = root.as_ref();
        if !root.is_absolute() || root == Path::new("/") {
            let message =
                format!("the state directory must be an absolute path other than /, not {}", root.display());
            return Err(Error::invalid(message));
        }
        Ok(Self { home: Arc::new(Home { root: root.to_owned(), launcher }) })
    }

    /// The state directory.
    pub fn root(&self) -> &Path {
        &self.home.root
    }

    /// Creates a container: its state directory, and nothing that runs. [`ErrorKind::Exists`] where the id is in use.
    pub fn create(&self, id: &Id, config: Config) -> Result<Container> {
        config.check_host()?;
        let store = Store::create(&self.home.root, id)?;
        let save = |lock| store.save_new(rfc3339(SystemTime::now()), config, &lock);
        let saved = store.lock().and_then(save).inspect_err(|_| drop(store.remove()))?;
        Ok(Container(Handle::new(Arc::clone(&self.home), id.clone(), store, saved)))
    }

    /// Finds a container that was created before, perhaps by another program; [`ErrorKind::NotFound`] where there is none.
    pub fn load(&self, id: &Id) -> Result<Container> {
        let store = Store::of(&self.home.root, id);
        let saved = store.load(None)?;
        Ok(Container(Handle::new(Arc::clone(&self.home), id.clone(), store, saved)))
    }

    /// All containers, in the order of their ids.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let load = |id: Id| match self.load(&id) {
            // Deleted since the directory was read.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            container => Some(Entry { container, id }),
        };
        Ok(store::ids(&self.home.root)?.into_iter().filter_map(load).collect())
    }

    /// Removes a container whatever state it is in: kills what runs, and clears what a crash has left.
    ///
    /// `Ok` where there is none.
    pub fn purge(&self, id: &Id) -> Result<()> {
        match self.load(id) {
            Ok(container) => container.purge(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            // Nothing was started before the first state was written, and none is written in place.
            Err(error) if error.kind() == ErrorKind::CorruptState => {
                tracing::warn!("{error}");
                Store::of(&self.home.root, id).remove()
            }
            Err(error) => Err(error),
        }
    }
}

/// A time as RFC 3339 has it, UTC, with nanoseconds without trailing zeros, as Go prints it.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days.cast_signed());
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if since.subsec_nanos() > 0 {
        text += format!(".{:09}", since.subsec_nanos()).trim_end_matches('0');
    }
    text + "Z"
}

/// The date of a day counted from 1970-01-01, in the Gregorian calendar: years begin in March, so that the leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        let at = |seconds, nanos| rfc3339(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399, 120_000_000), "2000-02-28T23:59:59.12Z");
        assert_eq!(at(951_868_800, 1), "2000-03-01T00:00:00.000000001Z");
        assert_eq!(at(1_795_478_400, 0), "2026-11-24T00:00:00Z");
    }
}
