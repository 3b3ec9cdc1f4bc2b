//! The conversation between the runtime and the new process.

use std::os::fd::OwnedFd;

use corten_init::payload::{Payload, Task};
use corten_init::protocol::{Channel, Hello, Order, Report};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::comes_back_whole;

/// As much as goes into a socket before anybody reads.
const MOST: usize = 100 << 10;

/// Whatever comes over the socket is an error or a message, which arrives as it was sent.
///
/// An input is what comes over the socket; where it is a list in JSON, each of its entries is a message, and the greeting
/// comes before them.
pub fn protocol(data: &[u8]) {
    if data.len() > MOST {
        return;
    }
    match serde_json::from_slice::<Vec<Value>>(data) {
        Ok(messages) => {
            messages.iter().for_each(alone);
            conversation(&messages);
        }
        Err(_) => raw(data),
    }
}

fn pair() -> (Channel, OwnedFd) {
    match Channel::pair() {
        Ok(pair) => pair,
        Err(failure) => panic!("{failure}"),
    }
}

/// A message of each kind.
fn alone(message: &Value) {
    fn one<T: Serialize + DeserializeOwned + std::fmt::Debug>(message: &Value) {
        if let Ok(message) = serde_json::from_value::<T>(message.clone()) {
            comes_back_whole(&message);
        }
    }
    one::<Report>(message);
    one::<Order>(message);
    one::<Hello>(message);
    one::<Task>(message);
}

/// Orders arrive as they were sent.
pub fn arrives(payload: &Payload) {
    task_arrives(&serde_json::json!({ "Container": payload }));
}

fn task_arrives(task: &Value) {
    if task.to_string().len() > MOST {
        return;
    }
    let (ours, theirs) = pair();
    let arrived = conversation_of(ours, theirs, |channel| {
        let nothing_handed = serde_json::json!({ "left": 0 });
        channel.send(&Hello::ours(), None)?;
        channel.send(&nothing_handed, None)?;
        channel.send(task, None)
    });
    assert_eq!(arrived.as_ref(), Some(task), "orders do not arrive");
}

/// Of the messages that are valid as they are written here, nothing is lost on the way: no field is left out by the reader.
pub fn whole_messages_come_back(data: &[u8]) {
    fn one<T: Serialize + DeserializeOwned>(message: &Value) {
        let Ok(read) = serde_json::from_value::<T>(message.clone()) else { return };
        assert_eq!(serde_json::to_value(&read).ok().as_ref(), Some(message));
    }
    for message in serde_json::from_slice::<Vec<Value>>(data).unwrap_or_default() {
        one::<Report>(&message);
        one::<Task>(&message);
    }
}

/// A runtime that greets and says this.
fn conversation(messages: &[Value]) {
    let length: usize = messages.iter().map(|message| message.to_string().len() + 4).sum();
    if length > MOST {
        return;
    }
    let (ours, theirs) = pair();
    let arrived = conversation_of(ours, theirs, |channel| {
        channel.send(&Hello::ours(), None)?;
        messages.iter().try_for_each(|message| channel.send(message, None))
    });
    if let Some(task) = arrived {
        task_arrives(&task);
    }
}

/// What the other side makes of what is said.
fn conversation_of(
    ours: Channel,
    theirs: OwnedFd,
    say: impl FnOnce(&mut Channel) -> corten_init::Result<()>,
) -> Option<Value> {
    let mut theirs = Channel::new(theirs);
    if let Err(failure) = say(&mut theirs) {
        panic!("{failure}");
    }
    drop(theirs);
    let (_, task): (_, Task) = ours.receive_task().ok()??;
    serde_json::to_value(task).ok()
}

/// Bytes, as the new process takes them, and as the runtime does.
fn raw(data: &[u8]) {
    let sent = || {
        let (ours, theirs) = pair();
        assert_eq!(rustix::io::write(&theirs, data), Ok(data.len()));
        ours
    };
    drop(sent().receive_task());
    let mut reports = sent();
    while let Ok(Some((report, _))) = reports.receive::<Report>() {
        comes_back_whole(&report);
    }
    let mut orders = sent();
    orders.speak_plainly();
    while let Ok(Some((Order::Continue, _))) = orders.receive() {}
}
