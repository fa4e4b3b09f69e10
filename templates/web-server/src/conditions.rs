//! Whether a request still holds: its preconditions (RFC 9110 §13).

use crate::date;
use crate::request::Request;

/// What is known of the file a request is about.
#[derive(Clone, Copy, Debug)]
pub struct Validators {
    /// Its strong entity tag, quotes included.
    pub etag: &'static str,
    /// Since when it is as it is, in seconds since 1970.
    pub modified: u64,
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer it.
    Holds,
    /// The client has the file: 304.
    NotModified,
    /// The client means another file: 412.
    Failed,
}

/// Evaluates the preconditions in the order of RFC 9110 §13.2.2.
pub fn evaluate(request: &Request<'_>, file: Validators) -> Verdict {
    let mut if_match = request.fields("if-match").peekable();
    if if_match.peek().is_some() {
        if !if_match.any(|field| names(field, |tag| tag == file.etag)) {
            return Verdict::Failed;
        }
    } else if let Some(date) = request.field("if-unmodified-since").and_then(date::parse)
        && file.modified > date
    {
        return Verdict::Failed;
    }
    let mut if_none_match = request.fields("if-none-match").peekable();
    if if_none_match.peek().is_some() {
        // A weak comparison: the mark of weakness does not count.
        let weakly = |tag: &str| tag.trim_start_matches("W/") == file.etag;
        if if_none_match.any(|field| names(field, weakly)) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = request.field("if-modified-since").and_then(date::parse)
        && file.modified <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Holds
}

/// Returns whether a `Range` field counts: without `If-Range`, or if that names this very file.
pub fn range_holds(request: &Request<'_>, file: Validators) -> bool {
    match request.field("if-range") {
        None => true,
        Some(tag) if tag.contains('"') => tag == file.etag,
        Some(text) => date::parse(text) == Some(file.modified),
    }
}

/// Returns whether a list of entity tags names one for which `is` holds.
fn names(field: &str, is: impl Fn(&str) -> bool) -> bool {
    field.split(',').map(str::trim).any(|tag| tag == "*" || is(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const FILE: Validators = Validators { etag: "\"a\"", modified: 784_111_777 };
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    #[test]
    fn preconditions_come_in_their_order() {
        for (fields, verdict) in [
            ("", Verdict::Holds),
            ("If-None-Match: \"a\"", Verdict::NotModified),
            ("If-None-Match: \"b\", W/\"a\"", Verdict::NotModified),
            ("If-None-Match: \"b\"\r\nIf-None-Match: \"a\"", Verdict::NotModified),
            ("If-None-Match: *", Verdict::NotModified),
            ("If-None-Match: \"b\"", Verdict::Holds),
            (&format!("If-Modified-Since: {THEN}"), Verdict::NotModified),
            (&format!("If-Modified-Since: {BEFORE}"), Verdict::Holds),
            ("If-Modified-Since: yesterday", Verdict::Holds),
            // A tag says more than a date.
            (&format!("If-None-Match: \"b\"\r\nIf-Modified-Since: {THEN}"), Verdict::Holds),
            ("If-Match: \"a\"", Verdict::Holds),
            ("If-Match: *", Verdict::Holds),
            ("If-Match: W/\"a\"", Verdict::Failed),
            ("If-Match: \"b\"", Verdict::Failed),
            (&format!("If-Unmodified-Since: {BEFORE}"), Verdict::Failed),
            (&format!("If-Unmodified-Since: {THEN}"), Verdict::Holds),
            ("If-Match: \"a\"\r\nIf-None-Match: \"a\"", Verdict::NotModified),
        ] {
            assert_eq!(evaluate(&Request::with(fields), FILE), verdict, "{fields}");
        }
    }

    #[test]
    fn a_range_of_another_file_is_not_sent() {
        for (fields, holds) in [
            ("", true),
            ("If-Range: \"a\"", true),
            ("If-Range: \"b\"", false),
            ("If-Range: W/\"a\"", false),
            (&format!("If-Range: {THEN}"), true),
            (&format!("If-Range: {BEFORE}"), false),
        ] {
            assert_eq!(range_holds(&Request::with(fields), FILE), holds, "{fields}");
        }
    }
}
