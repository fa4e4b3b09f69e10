//! Header fields, and those that are for one hop alone.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Fields that concern a connection rather than a message (RFC 9110 §7.6.1), beside those that
/// `Connection` names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: Box<str>,
    value: Box<[u8]>,
}

/// The fields of a message, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<Field>);

impl Fields {
    /// Adds a field.
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        self.0.push(Field {
            name: name.into(),
            value: value.trim_ascii().into(),
        });
    }

    /// Puts a field in the place of all of its name.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.push(name, value);
    }

    /// Removes all fields of a name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0
            .retain(|field| !field.name.eq_ignore_ascii_case(name));
    }

    /// Returns the values of all fields of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let of_name = move |field: &&Field| field.name.eq_ignore_ascii_case(name);
        self.0.iter().filter(of_name).map(|field| &*field.value)
    }

    /// Returns the value of the first field of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let of_name = |field: &&Field| field.name.eq_ignore_ascii_case(name);
        self.0.iter().find(of_name).map(|field| &*field.value)
    }

    /// Returns the value of the first field of a name, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.get(name)?).ok()
    }

    /// Returns whether there is such a field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the members of the lists in all fields of a name, those that are not text left out.
    pub(crate) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let texts = self
            .all(name)
            .filter_map(|value| core::str::from_utf8(value).ok());
        texts.flat_map(members)
    }

    /// Returns all of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|field| (&*field.name, &*field.value))
    }

    /// Removes what concerns the connection alone.
    pub(crate) fn remove_hop_by_hop(&mut self) {
        let named: Vec<_> = self.list("connection").map(ToOwned::to_owned).collect();
        let is_for_a_hop = |name: &str| {
            let named = named.iter().any(|known| known.eq_ignore_ascii_case(name));
            named
                || HOP_BY_HOP
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(name))
        };
        self.0.retain(|field| !is_for_a_hop(&field.name));
    }

    /// Takes the fields of `newer` in the place of those of the same names (RFC 9111 §3.2), but for
    /// those that tell how the body is encoded.
    pub(crate) fn update(&mut self, newer: &Self) {
        let keeps = |name: &str| {
            let about_the_body = ["content-length", "content-encoding", "content-range"];
            about_the_body
                .iter()
                .any(|kept| kept.eq_ignore_ascii_case(name))
        };
        for (name, _) in newer.iter().filter(|(name, _)| !keeps(name)) {
            self.remove(name);
        }
        let taken = newer.iter().filter(|(name, _)| !keeps(name));
        taken.for_each(|(name, value)| self.push(name, value));
    }

    /// Returns about how many bytes they take.
    pub(crate) fn len_in_memory(&self) -> usize {
        self.0
            .iter()
            .map(|field| field.name.len() + field.value.len() + 64)
            .sum()
    }
}

/// Returns the members of a list; commas in quotes do not separate (RFC 9110 §5.6.1).
fn members(list: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let separates = move |letter: char| {
        let is_escaped = escaped;
        escaped = quoted && letter == '\\' && !is_escaped;
        quoted ^= letter == '"' && !is_escaped;
        letter == ',' && !quoted
    };
    list.split(separates)
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        pairs
            .iter()
            .for_each(|(name, value)| fields.push(name, value.as_bytes()));
        fields
    }

    #[test]
    fn lists_are_split_at_commas_outside_of_quotes() {
        let fields = fields(&[("A", "x, y=\"1, \\\"2\",, z "), ("a", "w")]);
        let members: Vec<_> = fields.list("a").collect();
        assert_eq!(members, ["x", "y=\"1, \\\"2\"", "z", "w"]);
    }

    #[test]
    fn what_concerns_a_connection_goes_no_further() {
        let mut some = fields(&[
            ("Connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Type", "text/plain"),
        ]);
        some.remove_hop_by_hop();
        assert_eq!(some, fields(&[("Content-Type", "text/plain")]));
    }

    #[test]
    fn an_update_replaces_all_of_a_name_and_keeps_the_body() {
        let mut old = fields(&[("A", "1"), ("a", "2"), ("B", "3"), ("Content-Length", "9")]);
        old.update(&fields(&[("a", "4"), ("content-length", "0"), ("C", "5")]));
        assert_eq!(
            old,
            fields(&[("B", "3"), ("Content-Length", "9"), ("a", "4"), ("C", "5")])
        );
    }
}
