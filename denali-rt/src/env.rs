//! Arguments and environment, as the deployer gave them.
//!
//! They arrive as one blob: NUL-terminated arguments, an empty string, NUL-terminated
//! `KEY=VALUE` pairs. There is no program name in front.

use crate::registers;

/// Returns the arguments. One that is not UTF-8 reads as U+FFFD, so that the others keep their
/// places.
pub fn args() -> impl Iterator<Item = &'static str> {
    arguments_in(registers::arguments()).map(text)
}

/// Returns the environment variable `key`.
#[must_use]
pub fn var(key: &str) -> Option<&'static str> {
    vars()
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}

/// Returns all environment variables; of two with one name the first counts.
pub fn vars() -> impl Iterator<Item = (&'static str, &'static str)> {
    variables_in(registers::arguments()).filter_map(|entry| text(entry).split_once('='))
}

/// Returns the blob itself.
#[must_use]
pub fn arguments_raw() -> &'static [u8] {
    registers::arguments()
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or("\u{fffd}")
}

/// Returns the strings before the first empty one.
fn arguments_in(blob: &[u8]) -> impl Iterator<Item = &[u8]> {
    strings(blob).take_while(|string| !string.is_empty())
}

/// Returns the strings between the first and the second empty one.
fn variables_in(blob: &[u8]) -> impl Iterator<Item = &[u8]> {
    strings(blob)
        .skip_while(|string| !string.is_empty())
        .skip(1)
        .take_while(|string| !string.is_empty())
}

/// Returns the NUL-terminated strings of a blob; the last one may lack its NUL.
fn strings(blob: &[u8]) -> impl Iterator<Item = &[u8]> {
    blob.strip_suffix(&[0])
        .unwrap_or(blob)
        .split(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn parse(blob: &[u8]) -> (Vec<&[u8]>, Vec<&[u8]>) {
        (arguments_in(blob).collect(), variables_in(blob).collect())
    }

    #[test]
    fn arguments_come_before_the_empty_string_and_variables_after() {
        let (arguments, variables) = parse(b"--port\x0080\0\0LOG=debug\0A=b=c\0");
        assert_eq!(arguments, [&b"--port"[..], b"80"]);
        assert_eq!(variables, [&b"LOG=debug"[..], b"A=b=c"]);
    }

    #[test]
    fn every_part_may_be_missing() {
        assert_eq!(parse(b""), (Vec::new(), Vec::new()));
        assert_eq!(parse(b"\0"), (Vec::new(), Vec::new()));
        assert_eq!(parse(b"x\0"), (Vec::from([&b"x"[..]]), Vec::new()));
        assert_eq!(parse(b"x"), (Vec::from([&b"x"[..]]), Vec::new()));
        assert_eq!(parse(b"\0K=v\0"), (Vec::new(), Vec::from([&b"K=v"[..]])));
    }

    #[test]
    fn text_that_is_not_utf8_keeps_its_place() {
        assert_eq!(text(b"ok"), "ok");
        assert_eq!(text(b"\xff"), "\u{fffd}");
    }
}
