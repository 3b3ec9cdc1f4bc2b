//! A conversation with systemd over D-Bus (org.freedesktop.systemd1(5)).
//!
//! Each has a runtime of its own, on the caller's thread, which is gone when it is over: nothing goes on in the background.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use zbus::export::futures_core::Stream;
use zbus::message::Type;
use zbus::wire::{OwnedObjectPath, Variant};
use zbus::{Connection, DBusError, DynamicType, MatchRule, Message, MessageStream};

use super::Manager;
use crate::error::{Error, Result};

/// How long systemd may take for what it is asked to do.
const PATIENCE: Duration = Duration::from_secs(30);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const OBJECT: &str = "/org/freedesktop/systemd1";

/// Properties of a unit, with their names.
pub(super) type Properties = Vec<(String, Variant<'static>)>;

/// What went wrong, in the words of whoever refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The D-Bus name of the error; empty where it is none of D-Bus.
    pub(super) name: String,
    /// What it says.
    pub(super) message: String,
}

impl From<zbus::Error> for Refusal {
    fn from(error: zbus::Error) -> Self {
        match &error {
            zbus::Error::MethodError(name, message, _) => {
                Self { name: name.to_string(), message: message.clone().unwrap_or_default() }
            }
            zbus::Error::FDO(known) => Self {
                name: known.name().to_string(),
                message: known.description().unwrap_or_default().to_owned(),
            },
            other => Self { name: String::new(), message: other.to_string() },
        }
    }
}

/// The answer of systemd.
pub(super) type Answer<T> = std::result::Result<T, Refusal>;

/// A connection to a systemd.
pub(super) struct Bus {
    connection: Connection,
    /// Whether there is a bus between, and not systemd itself at the other end.
    brokered: bool,
}

/// Connects, does some work, and disconnects. `what` and `unit` are for messages.
pub(super) fn talk<T: Send>(
    manager: Manager,
    what: &'static str,
    unit: &str,
    work: impl AsyncFnOnce(&Bus) -> Answer<T> + Send,
) -> Result<T> {
    let failed = |message: String| Error::Systemd { what, unit: unit.to_owned(), message };
    let talk = || {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let work = async {
            let bus = Bus::connect(manager).await?;
            work(&bus).await
        };
        match runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await }) {
            Ok(answer) => answer.map_err(|refusal| failed(refusal.message)),
            Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    };
    if Handle::try_current().is_err() {
        return talk();
    }
    // One runtime cannot wait within another: where the caller has one on this thread, another thread waits.
    let ended = std::thread::scope(|scope| scope.spawn(talk).join());
    ended.unwrap_or_else(|_| Err(failed("the thread that talked to systemd has panicked".to_owned())))
}

impl Bus {
    /// Over the bus, or directly where there is none.
    async fn connect(manager: Manager) -> Answer<Self> {
        let mut refusal = None;
        for (address, brokered) in manager.addresses() {
            let builder = zbus::connection::Builder::address(address.as_str()).user_id(outer_user());
            let builder = if brokered { builder } else { builder.p2p() };
            match builder.build().await {
                Ok(connection) => return Ok(Self { connection, brokered }),
                Err(error) => {
                    let Refusal { name, message } = error.into();
                    refusal.get_or_insert(Refusal { name, message: format!("{address}: {message}") });
                }
            }
        }
        let message = "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR says where the user's bus is";
        Err(refusal.unwrap_or_else(|| Refusal { name: String::new(), message: message.to_owned() }))
    }

    /// Calls a method of the manager.
    pub(super) async fn call<B: serde::Serialize + DynamicType>(
        &self,
        method: &str,
        body: &B,
    ) -> Answer<Message> {
        let name = self.brokered.then_some(SYSTEMD);
        Ok(self.connection.call_method(name, OBJECT, Some(MANAGER), method, body).await?)
    }

    /// Calls a method that makes a job of a unit, and waits for the job's end. Returns its result: `done`, `failed` and
    /// others (systemd.unit(5), "JobRemoved" of org.freedesktop.systemd1(5)).
    pub(super) async fn job<B: serde::Serialize + DynamicType>(
        &self,
        unit: &str,
        method: &str,
        body: &B,
    ) -> Answer<String> {
        let rule = MatchRule::builder().msg_type(Type::Signal).interface(MANAGER).member("JobRemoved");
        let rule = rule.path(OBJECT).arg(2, unit).build()?;
        let mut removed = MessageStream::for_match_rule(rule, &self.connection, None).await?;
        if self.brokered {
            match self.call("Subscribe", &()).await {
                Err(refusal) if !refusal.name.ends_with(".AlreadySubscribed") => return Err(refusal),
                _ => {}
            }
        }
        let reply = self.call(method, body).await?;
        let job: OwnedObjectPath = reply.body().deserialize()?;
        loop {
            let Some(signal) = poll_fn(|context| Pin::new(&mut removed).poll_next(context)).await else {
                let message = "the connection has ended".to_owned();
                return Err(Refusal { name: String::new(), message });
            };
            let signal = signal?;
            let body = signal.body();
            let (_, ended, _, result): (u32, OwnedObjectPath, String, String) = body.deserialize()?;
            if ended == job {
                return Ok(result);
            }
        }
    }
}

/// This process's user as those outside of its user namespace know it, which is what a bus outside compares with.
fn outer_user() -> u32 {
    let user = rustix::process::geteuid().as_raw();
    let map = std::fs::read_to_string(Path::new("/proc/self/uid_map")).unwrap_or_default();
    outer(&map, user).unwrap_or(user)
}

/// Looks an id up in an id map (user_namespaces(7)).
fn outer(map: &str, id: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u32>().ok());
        let (inside, outside, length) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let offset = id.checked_sub(inside).filter(|offset| *offset < length)?;
        outside.checked_add(offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_have_a_runtime_of_its_own() {
        let runtime = Builder::new_current_thread().build().unwrap();
        // Whether there is a systemd to talk to or not: within a runtime another one panics.
        let within =
            runtime.block_on(async { talk(Manager::System, "ask", "nothing", async |_: &Bus| Ok(())) });
        let without = talk(Manager::System, "ask", "nothing", async |_: &Bus| Ok(()));
        assert_eq!(within.is_ok(), without.is_ok());
    }

    #[test]
    fn ids_are_looked_up_outside() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(
            [0, 1, 5, 70_000].map(|id| outer(map, id)),
            [Some(1000), Some(100_000), Some(100_004), None]
        );
        assert_eq!(outer("0 0 4294967295\n", 7), Some(7));
    }
}
