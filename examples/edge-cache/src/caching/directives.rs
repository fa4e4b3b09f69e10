//! `Cache-Control` of requests and responses (RFC 9111 §5.2, RFC 5861).

use crate::http::Fields;

/// What `Cache-Control` says. Of what is said twice, the stricter counts; a number that is none
/// counts as 0, which is the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) no_store: bool,
    /// With or without the names of fields: all of it is to be revalidated.
    pub(crate) no_cache: bool,
    pub(crate) private: bool,
    pub(crate) public: bool,
    /// `must-revalidate`, or `proxy-revalidate`, which is the same for a shared cache.
    pub(crate) must_revalidate: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) max_age: Option<u64>,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) stale_while_revalidate: Option<u64>,
    pub(crate) stale_if_error: Option<u64>,
    pub(crate) min_fresh: Option<u64>,
    /// How stale a client takes it; without a number any.
    pub(crate) max_stale: Option<u64>,
}

impl Directives {
    /// Reads them from the fields of a message.
    pub(crate) fn of(fields: &Fields) -> Self {
        let mut directives = Self::default();
        for directive in fields.list("cache-control") {
            let (name, value) = match directive.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(value.trim().trim_matches('"'))),
                None => (directive, None),
            };
            directives.add(&name.to_ascii_lowercase(), value);
        }
        // HTTP/1.0 clients say it so (RFC 9111 §5.4).
        if !fields.has("cache-control") {
            directives.no_cache = fields
                .list("pragma")
                .any(|said| said.eq_ignore_ascii_case("no-cache"));
        }
        directives
    }

    fn add(&mut self, name: &str, value: Option<&str>) {
        let slot = match name {
            "no-store" => return self.no_store = true,
            "no-cache" => return self.no_cache = true,
            "private" => return self.private = true,
            "public" => return self.public = true,
            "must-revalidate" | "proxy-revalidate" => return self.must_revalidate = true,
            "only-if-cached" => return self.only_if_cached = true,
            "max-stale" => {
                self.max_stale = Some(value.map_or(u64::MAX, seconds));
                return;
            }
            "max-age" => &mut self.max_age,
            "s-maxage" => &mut self.s_maxage,
            "stale-while-revalidate" => &mut self.stale_while_revalidate,
            "stale-if-error" => &mut self.stale_if_error,
            "min-fresh" => &mut self.min_fresh,
            _ => return,
        };
        let number = value.map_or(0, seconds);
        *slot = Some(slot.map_or(number, |known| known.min(number)));
    }
}

/// Returns a number of seconds; one too large is 2^31 (RFC 9111 §1.2.2), what is none is 0.
fn seconds(text: &str) -> u64 {
    const LARGE: u64 = 1 << 31;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match is_number {
        true => text.parse().map_or(LARGE, |number: u64| number.min(LARGE)),
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(value: &str) -> Directives {
        let mut fields = Fields::default();
        fields.push("Cache-Control", value.as_bytes());
        Directives::of(&fields)
    }

    #[test]
    fn directives_are_read_whatever_their_case_and_order() {
        let read = directives("Max-Age=60, S-MAXAGE=\"5\", public,no-cache=\"a, b\", unknown=1");
        let expected = Directives {
            max_age: Some(60),
            s_maxage: Some(5),
            public: true,
            no_cache: true,
            ..Directives::default()
        };
        assert_eq!(read, expected);
        assert_eq!(directives("max-age=5, max-age=9").max_age, Some(5));
    }

    #[test]
    fn a_number_that_is_none_is_strict() {
        for (value, expected) in [
            ("max-age", 0),
            ("max-age=", 0),
            ("max-age=x", 0),
            ("max-age=-1", 0),
            ("max-age=1.5", 0),
            ("max-age=99999999999999999999999", 1 << 31),
        ] {
            assert_eq!(directives(value).max_age, Some(expected), "{value}");
        }
        assert_eq!(directives("max-stale").max_stale, Some(u64::MAX));
    }
}
