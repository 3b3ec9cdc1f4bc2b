//! The text format of GVariant, as annotations have the values of properties (GLib: "GVariant Text Format").
//!
//! All of it that systemd has a property for: basic types, arrays and tuples. Dictionaries are refused.

use zbus::wire::{Array, ObjectPath, Signature, StructureBuilder, Variant};

/// Why a text is no value.
type Parsed<T> = std::result::Result<T, &'static str>;

/// Strings of D-Bus have none (its specification: "Valid Strings"), and a bus ends the connection over one.
const NUL: &str = "a string contains a NUL byte";

/// How deep values may lie in one another.
const DEPTH: usize = 8;

/// Reads a value, all of the text.
pub(crate) fn parse(text: &str) -> Parsed<Variant<'static>> {
    let mut reader = Reader { rest: text.trim() };
    let value = reader.value(None, DEPTH)?;
    if reader.rest.trim().is_empty() { Ok(value) } else { Err("there is something after the value") }
}

/// A number of seconds in microseconds.
pub(crate) fn microseconds(value: &Variant<'_>) -> Option<u64> {
    const SECOND: u64 = 1_000_000;
    let whole = match *value {
        Variant::U8(seconds) => u64::from(seconds),
        Variant::U16(seconds) => u64::from(seconds),
        Variant::U32(seconds) => u64::from(seconds),
        Variant::U64(seconds) => seconds,
        Variant::I16(seconds) => u64::try_from(seconds).ok()?,
        Variant::I32(seconds) => u64::try_from(seconds).ok()?,
        Variant::I64(seconds) => u64::try_from(seconds).ok()?,
        Variant::F64(seconds) => {
            let time = seconds * SECOND as f64;
            return (0.0..u64::MAX as f64).contains(&time).then_some(time as u64);
        }
        _ => return None,
    };
    whole.checked_mul(SECOND)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// The next word or sign, which is not taken.
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    /// Takes a sign, if it is next.
    fn take(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(sign);
        if found {
            self.rest = &self.rest[sign.len_utf8()..];
        }
        found
    }

    /// Takes as long as the letters fit.
    fn word(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A value, of this type where one is known.
    fn value(&mut self, typ: Option<&Signature>, depth: usize) -> Parsed<Variant<'static>> {
        let deeper = depth.checked_sub(1).ok_or("too deep")?;
        match self.peek().ok_or("a value is missing")? {
            '@' => {
                self.take('@');
                let signature = self.word(|c| !c.is_whitespace());
                let signature = Signature::try_from(signature).map_err(|_| "not a type after @")?;
                self.value(Some(&signature), deeper)
            }
            '[' => self.array(typ, deeper),
            '(' => self.tuple(typ, deeper),
            '\'' | '"' => string(self.quoted()?, typ),
            '<' => {
                self.take('<');
                let inner = self.value(None, deeper)?;
                if !self.take('>') {
                    return Err("> is missing");
                }
                Ok(Variant::Variant(Box::new(inner)))
            }
            c if c.is_ascii_alphabetic() => self.keyword(typ, deeper),
            c if c.is_ascii_digit() || "+-.".contains(c) => {
                let digits = self.word(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
                number(digits, typ)
            }
            '{' => Err("a dictionary is no property's value"),
            _ => Err("not a value in the text format of GVariant"),
        }
    }

    /// `true`, `false`, or the name of a type before a value.
    fn keyword(&mut self, typ: Option<&Signature>, deeper: usize) -> Parsed<Variant<'static>> {
        let of = match self.word(|c| c.is_ascii_alphanumeric()) {
            word @ ("true" | "false") => {
                return match typ {
                    None | Some(Signature::Bool) => Ok(Variant::Bool(word == "true")),
                    Some(_) => Err("a truth value where another type is wanted"),
                };
            }
            "inf" | "nan" => return Err("not a finite number"),
            "boolean" => Signature::Bool,
            "byte" => Signature::U8,
            "int16" => Signature::I16,
            "uint16" => Signature::U16,
            "int32" => Signature::I32,
            "uint32" => Signature::U32,
            "int64" => Signature::I64,
            "uint64" => Signature::U64,
            "double" => Signature::F64,
            "string" => Signature::Str,
            "objectpath" => Signature::ObjectPath,
            _ => return Err("neither true, false nor the name of a type; strings are quoted"),
        };
        self.value(Some(&of), deeper)
    }

    /// What is between quotes, with escapes resolved.
    fn quoted(&mut self) -> Parsed<String> {
        let quote = self.peek().unwrap_or_default();
        self.take(quote);
        let mut text = String::new();
        let mut letters = self.rest.char_indices();
        while let Some((index, letter)) = letters.next() {
            match letter {
                _ if letter == quote => {
                    self.rest = &self.rest[index + letter.len_utf8()..];
                    return Ok(text);
                }
                '\\' => match letters.next().ok_or("an escape is not finished")?.1 {
                    'a' => text.push('\x07'),
                    'b' => text.push('\x08'),
                    'f' => text.push('\x0c'),
                    'n' => text.push('\n'),
                    'r' => text.push('\r'),
                    't' => text.push('\t'),
                    'v' => text.push('\x0b'),
                    'u' => text.push(code_point(&mut letters, 4)?),
                    'U' => text.push(code_point(&mut letters, 8)?),
                    '\0' => return Err(NUL),
                    other => text.push(other),
                },
                '\0' => return Err(NUL),
                _ => text.push(letter),
            }
        }
        Err("the closing quote is missing")
    }

    /// Values between a bracket and its counterpart.
    fn list(
        &mut self,
        close: char,
        mut one: impl FnMut(&mut Self, usize) -> Parsed<Variant<'static>>,
    ) -> Parsed<Vec<Variant<'static>>> {
        let mut values = Vec::new();
        while !self.take(close) {
            values.push(one(self, values.len())?);
            if !self.take(',') && self.peek() != Some(close) {
                return Err("a comma or a closing bracket is missing");
            }
        }
        Ok(values)
    }

    fn array(&mut self, typ: Option<&Signature>, deeper: usize) -> Parsed<Variant<'static>> {
        self.take('[');
        let mut element = match typ {
            None => None,
            Some(Signature::Array(child)) => Some(child.signature().clone()),
            Some(_) => return Err("an array where another type is wanted"),
        };
        let values = self.list(']', |reader, _| {
            let value = reader.value(element.as_ref(), deeper)?;
            // All are of the type of the first.
            element.get_or_insert_with(|| value.value_signature().clone());
            Ok(value)
        })?;
        let element = element.ok_or("an empty array needs a type, as in @as []")?;
        let mut array = Array::new(&element);
        for value in values {
            array.append(value).map_err(|_| "the elements of an array are of one type")?;
        }
        fits(Variant::Array(array))
    }

    fn tuple(&mut self, typ: Option<&Signature>, deeper: usize) -> Parsed<Variant<'static>> {
        self.take('(');
        let fields: Option<Vec<Signature>> = match typ {
            None => None,
            Some(Signature::Structure(fields)) => Some(fields.iter().cloned().collect()),
            Some(_) => return Err("a tuple where another type is wanted"),
        };
        let wanted = fields.as_ref().map(Vec::len);
        let values = self.list(')', |reader, index| match &fields {
            None => reader.value(None, deeper),
            Some(fields) => reader.value(Some(fields.get(index).ok_or("too many fields")?), deeper),
        })?;
        if wanted.is_some_and(|wanted| wanted != values.len()) {
            return Err("a tuple has fewer fields than its type");
        }
        let structure = values.into_iter().fold(StructureBuilder::new(), StructureBuilder::append_field);
        fits(Variant::Structure(structure.build().map_err(|_| "a tuple has a field at least")?))
    }
}

/// Refuses a value of a type that D-Bus has no room for (its specification: "Valid Signatures").
fn fits(value: Variant<'static>) -> Parsed<Variant<'static>> {
    const LONGEST: usize = 255;
    if value.value_signature().string_len() > LONGEST { Err("its type is too long") } else { Ok(value) }
}

/// The character of an escape with so many hexadecimal digits.
fn code_point(letters: &mut impl Iterator<Item = (usize, char)>, digits: usize) -> Parsed<char> {
    let mut code = 0;
    for _ in 0..digits {
        let digit = letters.next().and_then(|(_, letter)| letter.to_digit(16));
        // Eight digits are 32 bits.
        code = code << 4 | digit.ok_or("a digit of an escape is missing")?;
    }
    if code == 0 { Err(NUL) } else { char::from_u32(code).ok_or("not a character") }
}

fn string(text: String, typ: Option<&Signature>) -> Parsed<Variant<'static>> {
    match typ {
        None | Some(Signature::Str) => Ok(text.into()),
        Some(Signature::ObjectPath) => {
            ObjectPath::try_from(text).map(Variant::ObjectPath).map_err(|_| "not the path of an object")
        }
        Some(_) => Err("a string where another type is wanted"),
    }
}

/// A number; without a type a 32-bit integer, or a float where it has a point or an exponent.
fn number(text: &str, typ: Option<&Signature>) -> Parsed<Variant<'static>> {
    let plain = text.strip_prefix('+').unwrap_or(text);
    let (negative, digits) = plain.strip_prefix('-').map_or((false, plain), |digits| (true, digits));
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let is_float = hexadecimal.is_none() && digits.contains(['.', 'e', 'E']);
    if matches!(typ, Some(Signature::F64)) || (typ.is_none() && is_float) {
        let number: f64 = plain.parse().map_err(|_| "not a number")?;
        return if number.is_finite() { Ok(Variant::F64(number)) } else { Err("not a finite number") };
    }
    if digits.contains(['+', '-']) {
        return Err("not a number");
    }
    let magnitude = match (hexadecimal, digits.strip_prefix('0').filter(|rest| !rest.is_empty())) {
        (Some(digits), _) => i128::from_str_radix(digits, 16),
        (None, Some(octal)) => i128::from_str_radix(octal, 8),
        (None, None) => digits.parse(),
    };
    let value = magnitude.ok().filter(|n| *n >= 0).ok_or("not a number")?;
    let value = if negative { -value } else { value };
    let typed = match typ {
        None | Some(Signature::I32) => i32::try_from(value).map(Variant::I32),
        Some(Signature::U8) => u8::try_from(value).map(Variant::U8),
        Some(Signature::I16) => i16::try_from(value).map(Variant::I16),
        Some(Signature::U16) => u16::try_from(value).map(Variant::U16),
        Some(Signature::U32) => u32::try_from(value).map(Variant::U32),
        Some(Signature::I64) => i64::try_from(value).map(Variant::I64),
        Some(Signature::U64) => u64::try_from(value).map(Variant::U64),
        Some(_) => return Err("a number where another type is wanted"),
    };
    typed.map_err(|_| "the number does not fit its type (without one: int32)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values() {
        let cases: [(&str, Variant<'_>); 14] = [
            ("true", true.into()),
            ("boolean false", false.into()),
            ("7", 7_i32.into()),
            ("-0x10", (-16_i32).into()),
            ("010", 8_i32.into()),
            (" uint64 18446744073709551615 ", u64::MAX.into()),
            ("byte 255", 255_u8.into()),
            ("1.5", 1.5_f64.into()),
            ("double 2", 2_f64.into()),
            (r"'a\'b\n\u0041'", "a'b\nA".into()),
            ("\"x\"", "x".into()),
            ("['a', 'b']", vec!["a", "b"].into()),
            ("@as []", Vec::<&str>::new().into()),
            ("@a(su) [('x', 1)]", vec![("x", 1_u32)].into()),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        assert_eq!(parse("<1>"), Ok(Variant::Variant(Box::new(1_i32.into()))));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "word",
            "1 2",
            "[1",
            "[1, 'a']",
            "[]",
            "'open",
            "byte 256",
            "uint32 -1",
            "4294967296",
            "@z 1",
            "uint64 'x'",
            "{'a': 1}",
            "@(su) ('x',)",
            "((((((((((1))))))))))",
            "nan",
            "1x",
            "--1",
            "@as 1",
            "-+1",
            "0x+1",
            "0-7",
            "+inf",
            "double -nan",
            "1e999",
            "'a\0b'",
            r"'\u0000'",
            r"'\u+041'",
            r"'\U00110000'",
            r"'\u41'",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn types_are_no_longer_than_a_message_takes() {
        let tuple = |fields: usize| format!("({})", "1,".repeat(fields));
        assert!(parse(&tuple(253)).is_ok());
        assert_eq!(parse(&tuple(254)), Err("its type is too long"));
        assert_eq!(parse(&format!("[{}]", tuple(253))), Err("its type is too long"));
        assert_eq!(parse(&format!("@a({}) []", "i".repeat(253))), Err("its type is too long"));
    }

    #[test]
    fn seconds() {
        assert_eq!(microseconds(&2_i32.into()), Some(2_000_000));
        assert_eq!(microseconds(&0.25_f64.into()), Some(250_000));
        assert_eq!(microseconds(&(-1_i32).into()), None);
        assert_eq!(microseconds(&u64::MAX.into()), None);
        assert_eq!(microseconds(&"1".into()), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[\\[\\](),@asuti'\"<>{} 0-9x.\\\\u-]{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn numbers_come_back(number: u64) {
            prop_assert_eq!(parse(&format!("uint64 {number}")), Ok(number.into()));
        }
    }
}
