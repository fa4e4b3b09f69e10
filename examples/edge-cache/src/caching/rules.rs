//! What may be stored, and what may be used for a request.

use super::directives::Directives;
use super::freshness::{Moment, is_heuristically_cacheable};
use super::store::Entry;
use crate::http::{Request, Response};

/// What to do with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is fresh enough.
    Serve,
    /// It is not, but may be served while the origin is asked (RFC 5861 §3).
    ServeAndRevalidate,
    /// The origin has to be asked first.
    Revalidate,
}

/// Returns whether the response to a request may be stored (RFC 9111 §3), by a shared cache.
pub(crate) fn may_be_stored(request: &Request, response: &Response) -> bool {
    let said = Directives::of(&response.fields);
    let is_meant_for_all = said.public || said.s_maxage.is_some() || said.must_revalidate;
    let is_complete =
        (200..600).contains(&response.status) && !matches!(response.status, 206 | 304);
    let is_for_one = request.fields.has("authorization") && !is_meant_for_all;
    // Not demanded by the RFC, but what everybody does: a cookie is for one.
    let sets_cookie = response.fields.has("set-cookie") && !said.public && said.s_maxage.is_none();
    let is_explicit = said.max_age.is_some()
        || said.s_maxage.is_some()
        || said.public
        || response.fields.has("expires");
    let has_use = is_explicit
        || is_heuristically_cacheable(response.status)
            && (response.fields.has("etag") || response.fields.has("last-modified"));
    request.method == "GET"
        && is_complete
        && has_use
        && !said.no_store
        && !said.private
        && !is_for_one
        && !sets_cookie
        && !Directives::of(&request.fields).no_store
}

/// Returns what to do with a stored response (RFC 9111 §4).
pub(crate) fn judge(request: &Directives, entry: &Entry, now: Moment) -> Use {
    let said = &entry.directives;
    if said.no_cache || request.no_cache {
        return Use::Revalidate;
    }
    if request.max_age.is_some_and(|most| entry.age(now) > most) {
        return Use::Revalidate;
    }
    match entry.freshness(now) {
        Ok(left) if request.min_fresh.is_none_or(|least| left >= least) => Use::Serve,
        Ok(_) => Use::Revalidate,
        Err(_) if is_strict(said) => Use::Revalidate,
        Err(stale) if request.max_stale.is_some_and(|most| stale <= most) => Use::Serve,
        Err(stale) if said.stale_while_revalidate.is_some_and(|most| stale < most) => {
            Use::ServeAndRevalidate
        }
        Err(_) => Use::Revalidate,
    }
}

/// Returns whether a stored response may be served because the origin fails (RFC 5861 §4).
pub(crate) fn may_serve_after_error(request: &Directives, entry: &Entry, now: Moment) -> bool {
    let said = &entry.directives;
    if said.no_cache || request.no_cache || is_strict(said) {
        return false;
    }
    let most = request.stale_if_error.or(said.stale_if_error);
    match entry.freshness(now) {
        Ok(_) => true,
        Err(stale) => most.is_some_and(|most| stale <= most),
    }
}

/// Returns whether a response must not be used stale; `s-maxage` implies it (§5.2.2.10), unless the
/// origin says itself when it may.
fn is_strict(said: &Directives) -> bool {
    let says_when = said.stale_if_error.is_some() || said.stale_while_revalidate.is_some();
    said.must_revalidate || (said.s_maxage.is_some() && !says_when)
}

#[cfg(test)]
mod tests {
    use super::super::{Content, Ledger, Store, Variant};
    use super::*;
    use crate::http::Fields;
    use alloc::format;
    use alloc::sync::Arc;

    fn request(fields: &str) -> Request {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        Request::parse(head.as_bytes()).unwrap().unwrap().0
    }

    fn response(status: u16, fields: &str) -> Response {
        let head = format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
        Response::parse(head.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn what_may_be_stored_is_what_is_meant_for_all() {
        for (asked, status, fields, expected) in [
            ("", 200, "Cache-Control: max-age=1\r\n", true),
            ("", 200, "ETag: \"a\"\r\n", true),
            ("", 200, "", false),
            ("", 500, "", false),
            ("", 404, "Cache-Control: max-age=1\r\n", true),
            ("", 206, "Cache-Control: max-age=1\r\n", false),
            ("", 200, "Cache-Control: no-store\r\nETag: \"a\"\r\n", false),
            ("", 200, "Cache-Control: private, max-age=1\r\n", false),
            (
                "",
                200,
                "Cache-Control: max-age=1\r\nSet-Cookie: a=b\r\n",
                false,
            ),
            (
                "",
                200,
                "Cache-Control: public, max-age=1\r\nSet-Cookie: a=b\r\n",
                true,
            ),
            (
                "Authorization: x\r\n",
                200,
                "Cache-Control: max-age=1\r\n",
                false,
            ),
            (
                "Authorization: x\r\n",
                200,
                "Cache-Control: s-maxage=1\r\n",
                true,
            ),
            (
                "Cache-Control: no-store\r\n",
                200,
                "Cache-Control: max-age=1\r\n",
                false,
            ),
        ] {
            let stored = may_be_stored(&request(asked), &response(status, fields));
            assert_eq!(stored, expected, "{asked:?} {status} {fields:?}");
        }
    }

    #[test]
    fn a_stored_response_is_used_as_both_sides_allow() {
        use Use::{Revalidate, Serve, ServeAndRevalidate};
        for (response_says, age, request_says, expected) in [
            ("max-age=10", 9, "", Serve),
            ("max-age=10", 10, "", Revalidate),
            ("max-age=10", 3, "max-age=2", Revalidate),
            ("max-age=10", 3, "min-fresh=7", Serve),
            ("max-age=10", 3, "min-fresh=8", Revalidate),
            ("max-age=10", 3, "no-cache", Revalidate),
            ("max-age=10, no-cache", 3, "", Revalidate),
            ("max-age=10", 15, "max-stale", Serve),
            ("max-age=10", 15, "max-stale=4", Revalidate),
            ("max-age=10, must-revalidate", 15, "max-stale", Revalidate),
            ("s-maxage=10", 15, "max-stale", Revalidate),
            (
                "max-age=10, stale-while-revalidate=5",
                14,
                "",
                ServeAndRevalidate,
            ),
            ("max-age=10, stale-while-revalidate=5", 15, "", Revalidate),
            (
                "s-maxage=10, stale-while-revalidate=5",
                14,
                "",
                ServeAndRevalidate,
            ),
        ] {
            let (entry, now) = entry_of_age(response_says, age);
            let said = directives(request_says);
            let used = judge(&said, &entry, now);
            assert_eq!(
                used, expected,
                "{response_says} at {age}, asked with {request_says:?}"
            );
        }
    }

    #[test]
    fn a_failing_origin_is_hidden_only_where_somebody_said_so() {
        for (response_says, request_says, expected) in [
            ("max-age=10", "", false),
            ("max-age=10, stale-if-error=5", "", true),
            ("max-age=10, stale-if-error=4", "", false),
            ("max-age=10", "stale-if-error=60", true),
            ("max-age=10, must-revalidate, stale-if-error=60", "", false),
            ("max-age=10, no-cache, stale-if-error=60", "", false),
        ] {
            let (entry, now) = entry_of_age(response_says, 15);
            let served = may_serve_after_error(&directives(request_says), &entry, now);
            assert_eq!(
                served, expected,
                "{response_says}, asked with {request_says:?}"
            );
        }
    }

    fn directives(said: &str) -> Directives {
        let mut fields = Fields::default();
        if !said.is_empty() {
            fields.push("Cache-Control", said.as_bytes());
        }
        Directives::of(&fields)
    }

    fn entry_of_age(cache_control: &str, age: u64) -> (Arc<Entry>, Moment) {
        let mut store = Store::new(Ledger::new(1 << 20));
        let response = response(200, &format!("Cache-Control: {cache_control}\r\n"));
        let at = Moment { tick: 5, unix: 9 };
        let variant = Variant::default();
        let entry = store.insert(
            "k",
            variant,
            response,
            Arc::new(Content::default()),
            (at, 0),
        );
        let now = Moment {
            tick: 5 + age,
            unix: 9 + age,
        };
        (entry.expect("memory"), now)
    }
}
