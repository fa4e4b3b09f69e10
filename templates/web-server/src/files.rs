//! Answers with a file: in the form, and of the parts, that the client asks for.

use crate::assets::{self, Asset, Variant};
use crate::conditions::{self, Validators, Verdict};
use crate::encoding;
use crate::ranges::{self, Requested};
use crate::request::Request;
use crate::response::{Response, Status};
use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

/// Separates the parts of an answer with several; it cannot occur at the start of a line of text.
const BOUNDARY: &str = "denali-part-7f3a1c9e5b2d8046";

/// Answers a request for `asset`.
pub fn answer(asset: &'static Asset, request: &Request<'_>) -> Response {
    let gzip = asset.gzip.filter(|_| encoding::prefers_gzip(request.fields("accept-encoding")));
    let form = gzip.unwrap_or(asset.plain);
    let file = Validators { etag: form.etag, modified: assets::modified() };
    let response = match conditions::evaluate(request, file) {
        Verdict::Failed => return Response::bare(Status(412, "Precondition Failed")),
        Verdict::NotModified => Response::empty(Status(304, "Not Modified")),
        Verdict::Holds => contents(asset, form, request, file),
    };
    let mut response = response
        .field("ETag", form.etag)
        .field("Last-Modified", assets::last_modified())
        .field("Cache-Control", "no-cache");
    if asset.gzip.is_some() {
        response = response.field("Vary", "Accept-Encoding");
    }
    if gzip.is_some() && response.status.0 != 416 {
        response = response.field("Content-Encoding", "gzip");
    }
    response
}

fn contents(asset: &Asset, form: Variant, request: &Request<'_>, file: Validators) -> Response {
    let len = form.contents.len();
    // Ranges are defined for GET alone (RFC 9110 §14.2).
    let range = request.field("range").filter(|_| request.method == "GET");
    let range = range.filter(|_| conditions::range_holds(request, file));
    let parts = match range.map_or(Requested::Whole, |range| ranges::parse(range, len)) {
        Requested::Whole => {
            return Response::new(Status(200, "OK"), asset.media_type, form.contents)
                .field("Accept-Ranges", "bytes");
        }
        Requested::Unsatisfiable => {
            return Response::bare(Status(416, "Range Not Satisfiable"))
                .field("Content-Range", format!("bytes */{len}"));
        }
        Requested::Parts(parts) => parts,
    };
    let partial = Status(206, "Partial Content");
    if let [part] = parts.as_slice() {
        return Response::new(partial, asset.media_type, &form.contents[part.clone()])
            .field("Content-Range", content_range(part, len));
    }
    let media_type = format!("multipart/byteranges; boundary={BOUNDARY}");
    Response::new(partial, media_type, multipart(asset, form.contents, &parts))
}

/// Returns several parts with a heading for each (RFC 9110 §14.6).
fn multipart(
    asset: &Asset,
    contents: &'static [u8],
    parts: &[Range<usize>],
) -> Vec<Cow<'static, [u8]>> {
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    for part in parts {
        let (media_type, range) = (asset.media_type, content_range(part, contents.len()));
        let heading = format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n"
        );
        pieces.push(Cow::Owned(heading.into_bytes()));
        pieces.push(Cow::Borrowed(&contents[part.clone()]));
    }
    pieces.push(Cow::Owned(format!("\r\n--{BOUNDARY}--\r\n").into_bytes()));
    pieces
}

fn content_range(part: &Range<usize>, len: usize) -> alloc::string::String {
    format!("bytes {}-{}/{len}", part.start, part.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn ask(fields: &str) -> Response {
        let asset = assets::find("/").expect("static/index.html");
        answer(asset, &Request::with(fields))
    }

    fn text(response: &Response) -> String {
        let bytes: Vec<u8> = response.pieces().flat_map(|piece| piece.iter().copied()).collect();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn each_form_of_a_file_has_its_tag() {
        let (plain, gzip) = (ask(""), ask("Accept-Encoding: gzip"));
        assert_eq!(gzip.value("Content-Encoding"), Some("gzip"));
        assert_eq!(plain.value("Content-Encoding"), None);
        assert_eq!(plain.value("Vary"), Some("Accept-Encoding"));
        let tag = gzip.value("ETag").expect("a tag");
        assert_ne!(plain.value("ETag"), Some(tag));
        assert_eq!(ask(&format!("If-None-Match: {tag}")).status.0, 200);
        let both = format!("If-None-Match: {tag}\r\nAccept-Encoding: gzip");
        assert_eq!(ask(&both).status.0, 304);
    }

    #[test]
    fn parts_come_with_where_they_lie() {
        let whole = text(&ask(""));
        let one = ask("Range: bytes=0-8");
        assert_eq!((one.status.0, text(&one).as_str()), (206, &whole[..9]));
        let len = whole.len();
        assert_eq!(one.value("Content-Range"), Some(format!("bytes 0-8/{len}").as_str()));
        let two = text(&ask("Range: bytes=0-1,3-4"));
        let expected = format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: text/html; charset=utf-8\r\n\
             Content-Range: bytes 0-1/{len}\r\n\r\n{}\r\n--{BOUNDARY}\r\n\
             Content-Type: text/html; charset=utf-8\r\nContent-Range: bytes 3-4/{len}\r\n\r\n{}\
             \r\n--{BOUNDARY}--\r\n",
            &whole[..2],
            &whole[3..5]
        );
        assert_eq!(two, expected);
        let none = ask("Range: bytes=999999-");
        assert_eq!(none.value("Content-Range"), Some(format!("bytes */{len}").as_str()));
        assert_eq!(none.status.0, 416);
        assert_eq!(ask("Range: bytes=0-8\r\nIf-Range: \"other\"").status.0, 200);
    }
}
