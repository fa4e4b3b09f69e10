//! Which parts of a file a client asks for (RFC 9110 §14.1.2).

use alloc::vec::Vec;
use core::ops::Range;

/// Most ranges in one request; one that asks for more gets the whole file.
const RANGES_MAX: usize = 16;

/// What a `Range` field comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requested {
    /// The whole file: nothing else is asked for, or nothing that makes sense.
    Whole,
    /// These parts, none of them empty.
    Parts(Vec<Range<usize>>),
    /// Parts the file does not have.
    Unsatisfiable,
}

/// Returns what a `Range` field asks of a file of `len` bytes.
pub fn parse(field: &str, len: usize) -> Requested {
    let Some((unit, set)) = field.split_once('=') else { return Requested::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Requested::Whole;
    }
    let mut parts = Vec::new();
    let mut named = 0;
    for spec in set.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        named += 1;
        match part(spec, len) {
            None => return Requested::Whole,
            Some(part) if part.is_empty() => {}
            Some(part) => parts.push(part),
        }
    }
    let total: usize = parts.iter().map(ExactSizeIterator::len).sum();
    match parts.len() {
        _ if named == 0 || named > RANGES_MAX => Requested::Whole,
        0 => Requested::Unsatisfiable,
        // More than the file: overlapping ranges are a way to make servers work (§14.2).
        2.. if total > len => Requested::Whole,
        _ => Requested::Parts(parts),
    }
}

/// Returns the part that `first-last`, `first-` or `-suffix` names, empty if the file ends before it.
fn part(spec: &str, len: usize) -> Option<Range<usize>> {
    let (first, last) = spec.split_once('-')?;
    match (number(first)?, number(last)?) {
        (None, None) => None,
        (None, Some(suffix)) => Some(len.saturating_sub(suffix)..len),
        (Some(first), None) => Some(first.min(len)..len),
        (Some(first), Some(last)) if first <= last => {
            Some(first.min(len)..last.saturating_add(1).min(len))
        }
        _ => None,
    }
}

/// Returns a number, nothing for no digits, and `None` for what is no number. One that is too large
/// lies behind the end of every file.
fn number(digits: &str) -> Option<Option<usize>> {
    let digits = digits.trim();
    if digits.is_empty() {
        return Some(None);
    }
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Some(digits.parse().unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        for (field, parts) in [
            ("bytes=0-499", vec![0..500]),
            ("bytes=500-999", vec![500..1000]),
            ("bytes=-500", vec![500..1000]),
            ("bytes=-5000", vec![0..1000]),
            ("bytes=950-", vec![950..1000]),
            ("bytes=0-0,-1", vec![0..1, 999..1000]),
            ("Bytes = 1-2 , , 4-5", vec![1..3, 4..6]),
            ("bytes=990-99999999999999999999999", vec![990..1000]),
            ("bytes=2000-3000, 1-1", vec![1..2]),
        ] {
            assert_eq!(parse(field, 1000), Requested::Parts(parts), "{field}");
        }
    }

    #[test]
    fn nonsense_means_the_whole_file() {
        for field in
            ["", "bytes", "bytes=", "bytes=x-y", "bytes=5-4", "bytes=-", "bytes=1", "lines=1-2"]
        {
            assert_eq!(parse(field, 1000), Requested::Whole, "{field}");
        }
        let many = "0-0,".repeat(RANGES_MAX + 1);
        assert_eq!(parse(&alloc::format!("bytes={many}"), 1000), Requested::Whole);
        assert_eq!(parse("bytes=0-,0-", 1000), Requested::Whole);
        assert_eq!(parse(&String::from("bytes=0--1"), 1000), Requested::Whole);
    }

    #[test]
    fn what_lies_behind_the_end_is_not_to_be_had() {
        for field in ["bytes=1000-", "bytes=1000-1001", "bytes=-0"] {
            assert_eq!(parse(field, 1000), Requested::Unsatisfiable, "{field}");
        }
        assert_eq!(parse("bytes=0-0", 0), Requested::Unsatisfiable);
    }
}
