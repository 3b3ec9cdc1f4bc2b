//! Changes of inputs: of JSON by its values, of anything else by its bytes.

use fastrand::Rng;
use serde_json::{Map, Value};

use crate::LARGEST;

/// Words that code takes another way at.
const WORDS: [&str; 20] = [
    "",
    "/",
    "..",
    "/..",
    "a/../../b",
    "/proc",
    "/proc/self",
    "/dev",
    "\0",
    "-1",
    "max",
    "rw",
    "rbind",
    "idmap=uids=0-0-1",
    "uid=0",
    "18446744073709551615",
    "a",
    "\u{fffd}é",
    "0:0",
    "=",
];
const NUMBERS: [i64; 12] =
    [0, 1, -1, 2, 7, 255, 4096, 65536, i32::MAX as i64, u32::MAX as i64, u32::MAX as i64 + 1, i64::MIN];

/// Changes an input a little, with parts of others.
pub fn mutate(random: &mut Rng, others: &[Vec<u8>], data: &mut Vec<u8>) {
    for _ in 0..random.usize(1..=4) {
        let parsed = serde_json::from_slice::<Value>(data).ok().filter(|_| random.u8(..8) != 0);
        match parsed {
            Some(mut value) => {
                let other = random.choice(others).and_then(|other| serde_json::from_slice(other).ok());
                change(random, &other.unwrap_or_else(|| value.clone()), &mut value);
                *data = value.to_string().into_bytes();
            }
            None => change_bytes(random, random.clone().choice(others), data),
        }
    }
    data.truncate(LARGEST);
}

/// As libFuzzer has it (`LLVMFuzzerCustomMutator`): changes the first `size` bytes of a buffer, which may become `most`, and
/// returns how many there are then. What is no JSON is left to libFuzzer's own mutator.
pub fn mutate_for_libfuzzer(
    data: &mut [u8],
    size: usize,
    most: usize,
    seed: u32,
    own: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut random = Rng::with_seed(seed.into());
    let value = serde_json::from_slice::<Value>(&data[..size]).ok().filter(|_| random.u8(..4) != 0);
    let Some(mut value) = value else { return own(data, size, most) };
    change(&mut random, &value.clone(), &mut value);
    let text = value.to_string();
    if text.len() > most.min(data.len()) {
        return own(data, size, most);
    }
    data[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The value that is that far from the first one.
fn nth<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, left)),
        _ => None,
    }
}

fn any(random: &mut Rng, value: &Value) -> Value {
    let mut copy = value.clone();
    let mut at = random.usize(..count(value));
    nth(&mut copy, &mut at).map(Value::take).unwrap_or_default()
}

/// Changes one value somewhere in a document.
fn change(random: &mut Rng, other: &Value, value: &mut Value) {
    let mut at = random.usize(..count(value));
    let Some(place) = nth(value, &mut at) else { return };
    match (random.u8(..6), place) {
        (0, place) => *place = scalar(random),
        (1, place) => *place = any(random, other),
        (_, Value::Array(items)) => change_list(random, other, items),
        (_, Value::Object(fields)) => change_object(random, other, fields),
        (_, Value::String(text)) => {
            let mut bytes = std::mem::take(text).into_bytes();
            change_bytes(random, None, &mut bytes);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        (_, Value::Bool(truth)) => *truth = !*truth,
        (_, place) => {
            let number = place.as_i64().unwrap_or(0);
            let by = *random.choice(&NUMBERS).unwrap_or(&1);
            *place = number.wrapping_add(by).into();
        }
    }
}

fn scalar(random: &mut Rng) -> Value {
    match random.u8(..6) {
        0 => Value::Null,
        1 => random.bool().into(),
        2 => (*random.choice(&NUMBERS).unwrap_or(&0)).into(),
        3 => u64::MAX.into(),
        _ => (*random.choice(&WORDS).unwrap_or(&"")).into(),
    }
}

fn change_list(random: &mut Rng, other: &Value, items: &mut Vec<Value>) {
    let at = random.usize(..=items.len());
    match random.u8(..4) {
        0 if at < items.len() => drop(items.remove(at)),
        1 if at < items.len() => items.insert(at, items[at].clone()),
        2 if at < items.len() => items.swap(at, 0),
        _ => items.insert(at, any(random, other)),
    }
}

fn change_object(random: &mut Rng, other: &Value, fields: &mut Map<String, Value>) {
    let key =
        (!fields.is_empty()).then(|| fields.keys().nth(random.usize(..fields.len())).cloned()).flatten();
    match (random.u8(..4), key) {
        (0, Some(key)) => drop(fields.remove(&key)),
        (1, Some(key)) => drop(fields.insert(key, any(random, other))),
        (2, Some(key)) => {
            let value = fields.remove(&key).unwrap_or_default();
            fields.insert((*random.choice(&WORDS).unwrap_or(&"")).to_owned(), value);
        }
        _ => {
            if let Value::Object(given) = any(random, other)
                && let Some((key, value)) = random.choice(given)
            {
                fields.insert(key, value);
            }
        }
    }
}

/// Changes some bytes; `other` gives a piece of itself.
fn change_bytes(random: &mut Rng, other: Option<&Vec<u8>>, data: &mut Vec<u8>) {
    let at = random.usize(..=data.len());
    let end = at + random.usize(..=(data.len() - at).min(16));
    match random.u8(..7) {
        0 => drop(data.drain(at..end)),
        1 if at < data.len() => data[at] = random.u8(..),
        2 if at < data.len() => data[at] ^= 1 << random.u8(..8),
        3 => data.insert(at, random.u8(..)),
        4 => {
            let piece = data[at..end].to_vec();
            data.splice(at..at, piece);
        }
        5 => drop(data.splice(at..end, random.choice(&WORDS).unwrap_or(&"").bytes())),
        _ => {
            let other = other.cloned().unwrap_or_default();
            let from = random.usize(..=other.len());
            let to = from + random.usize(..=(other.len() - from).min(64));
            drop(data.splice(at..end, other[from..to].iter().copied()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_input() {
        let others = [br#"{"a":[1,"b"]}"#.to_vec(), b"text".to_vec()];
        let made = |seed| {
            let mut random = Rng::with_seed(seed);
            let mut data = others[0].clone();
            (0..50).for_each(|_| mutate(&mut random, &others, &mut data));
            data
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn libfuzzers_buffer_is_not_exceeded() {
        let text = br#"{"a":[1,2,3]}"#;
        for seed in 0..500 {
            let mut data = text.to_vec();
            let size = data.len();
            let now = mutate_for_libfuzzer(&mut data, size, size, seed, |_, size, _| size);
            assert!(now <= size);
        }
    }
}
