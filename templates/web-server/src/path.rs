//! The path of a request target.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// Returns the path of a request target, percent-decoded (RFC 3986 §2.1), without its query.
pub fn decode(target: &str) -> Option<Cow<'_, str>> {
    // RFC 9112 §3.2: a proxy is sent the whole URI, a server the path alone.
    let path = match target.starts_with('/') {
        true => target,
        false => {
            let (_, rest) = target.split_once("://")?;
            &rest[rest.find('/')?..]
        }
    };
    let path = path.split(['?', '#']).next()?;
    if !path.bytes().any(|byte| matches!(byte, b'%' | b'\0')) {
        return Some(Cow::Borrowed(path));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            _ => byte,
        });
    }
    let path = String::from_utf8(decoded).ok().filter(|path| !path.contains('\0'));
    path.map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_and_queries_cut_off() {
        assert_eq!(decode("/a%20b/%C3%A9?q#f").as_deref(), Some("/a b/é"));
        assert_eq!(decode("http://host:80/x").as_deref(), Some("/x"));
        assert_eq!(decode("/login?to=http://host/x").as_deref(), Some("/login"));
        assert_eq!(decode("/%00"), None);
        assert_eq!(decode("/%ff"), None);
        assert_eq!(decode("*"), None);
    }
}
