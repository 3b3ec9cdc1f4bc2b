//! Lists of numbers such as `0-3,7`: CPUs and nodes of memory (cpuset(7), "List format").

use crate::{Error, Result};

/// One more than the largest number of a list: no kernel has more CPUs.
const END: usize = 1 << 16;

/// The numbers of a list as bits, the number 0 as the lowest bit of the first word; an empty list asks for nothing.
///
/// Blanks around an element and empty elements mean nothing, as to runc.
pub(crate) fn bits(list: &str) -> Result<Option<Vec<u64>>> {
    if list.is_empty() {
        return Ok(None);
    }
    let wrong = |why: &str| Error::invalid(format!("invalid list {list:?}: {why}"));
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<usize>().map_err(|_| wrong(&format!("{text:?} is not a number"))),
        false => Err(wrong(&format!("{text:?} is not a number"))),
    };
    let mut words = Vec::new();
    for element in list.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        let (first, last) = match element.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(element)?, number(element)?),
        };
        if first > last {
            return Err(wrong(&format!("the range {element} ends before it begins")));
        }
        if last >= END {
            return Err(wrong(&format!("values larger than {} are not supported", END - 1)));
        }
        words.resize(words.len().max(last / 64 + 1), 0);
        (first..=last).for_each(|number| words[number / 64] |= 1 << (number % 64));
    }
    if words.is_empty() { Err(wrong("it has no number")) } else { Ok(Some(words)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_runc_reads_them() {
        let good: [(&str, &[u64]); 7] = [
            ("0", &[1]),
            ("0-3,7", &[0b1000_1111]),
            (" 1 , 3-3 ,,", &[0b1010]),
            ("2,0-1,1", &[0b111]),
            ("63-64", &[1 << 63, 1]),
            ("130", &[0, 0, 4]),
            ("007", &[0b1000_0000]),
        ];
        for (list, words) in good {
            assert_eq!(bits(list).unwrap().unwrap(), words, "{list}");
        }
        assert_eq!(bits("").unwrap(), None);
        let all = bits("0-65535").unwrap().unwrap();
        assert_eq!((all.len(), all.iter().all(|word| *word == u64::MAX)), (1024, true));
    }

    #[test]
    fn a_bad_list_is_an_error() {
        let bad = [
            (",", "it has no number"),
            (" ", "it has no number"),
            ("3-1", "ends before it begins"),
            ("65536", "larger than 65535"),
            ("0-99999999999", "larger than 65535"),
            ("99999999999999999999", "is not a number"),
            ("-1", "\"\" is not a number"),
            ("1-", "\"\" is not a number"),
            ("1-2-3", "\"2-3\" is not a number"),
            ("+1", "is not a number"),
            ("1 2", "is not a number"),
            ("all", "\"all\" is not a number"),
            ("0x1", "is not a number"),
        ];
        for (list, why) in bad {
            let error = bits(list).unwrap_err().to_string();
            assert!(error.starts_with(&format!("invalid list {list:?}: ")) && error.contains(why), "{error}");
        }
    }
}
