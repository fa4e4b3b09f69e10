//! `string.h` and `strings.h`. The seven functions that compilers call by themselves, `memcpy`,
//! `memmove`, `memset`, `memcmp`, `bcmp` and `strlen`, are in `denali-freestanding`.

use super::memory::{In, Out, Text};
use core::cmp::Ordering;
use core::ffi::c_int;

/// Returns what C returns for a comparison.
fn sign(ordering: Ordering) -> c_int {
    ordering as c_int
}

/// Returns the low byte of a character argument.
fn low(character: c_int) -> u8 {
    character.to_le_bytes()[0]
}

fn lowercase(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter().map(u8::to_ascii_lowercase)
}

/// Finds a byte among the first `len`.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn memchr(area: In<u8>, byte: c_int, len: usize) -> Out<u8> {
    // The area may end behind the byte, wherever `len` says (C17 §7.24.5.1).
    let found = (0..len).find(|at| area.add(*at).read() == Some(low(byte)));
    found.map_or(Out::NULL, |at| area.add(at).writable())
}

/// Finds the last such byte among the first `len`.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn memrchr(area: In<u8>, byte: c_int, len: usize) -> Out<u8> {
    let found = area.slice(len).iter().rposition(|b| *b == low(byte));
    found.map_or(Out::NULL, |at| area.add(at).writable())
}

/// Finds bytes in an area.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn memmem(area: In<u8>, len: usize, wanted: In<u8>, wanted_len: usize) -> Out<u8> {
    match find(area.slice(len), wanted.slice(wanted_len)) {
        Some(at) => area.add(at).writable(),
        None => Out::NULL,
    }
}

/// Copies bytes and returns the end of the copy.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn mempcpy(to: Out<u8>, from: In<u8>, len: usize) -> Out<u8> {
    to.copy(from, len);
    to.add(len)
}

/// Copies bytes up to and with the first that is `byte`, `len` at most. Returns the place behind it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn memccpy(to: Out<u8>, from: In<u8>, byte: c_int, len: usize) -> Out<u8> {
    let end = memchr(from, byte, len);
    if end.is_null() {
        to.copy(from, len);
        return Out::NULL;
    }
    let count = end.address() - from.address() + 1;
    to.copy(from, count);
    to.add(count)
}

/// Fills with zeros, also if nobody seems to read them.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn explicit_bzero(mut area: Out<u8>, len: usize) {
    area.slice(len).fill(0);
    core::hint::black_box(area.as_raw());
}

/// Fills with zeros.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn bzero(mut area: Out<u8>, len: usize) {
    area.slice(len).fill(0);
}

/// Returns the length of a text, or `max` if it is longer.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strnlen(text: Text, max: usize) -> usize {
    text.bytes_within(max).len()
}

/// Copies a text and returns the copy.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strcpy(to: Out<u8>, from: Text) -> Out<u8> {
    stpcpy(to, from);
    to
}

/// Copies a text and returns the end of the copy.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn stpcpy(to: Out<u8>, from: Text) -> Out<u8> {
    let len = from.bytes().len();
    to.copy(from.start(), len + 1);
    to.add(len)
}

/// Copies a text into exactly `len` bytes: cut without a NUL, or filled up with them.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strncpy(mut to: Out<u8>, from: Text, len: usize) -> Out<u8> {
    let count = from.bytes_within(len).len();
    to.copy(from.start(), count);
    to.slice(len)[count..].fill(0);
    to
}

/// Copies a text into a buffer of `len` bytes, cut if need be. Returns the length of the text.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strlcpy(to: Out<u8>, from: Text, len: usize) -> usize {
    let text_len = from.bytes().len();
    if len > 0 {
        let count = text_len.min(len - 1);
        to.copy(from.start(), count);
        to.add(count).write(0);
    }
    text_len
}

/// Appends a text to that in a buffer of `len` bytes, cut if need be. Returns the length it would
/// have.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strlcat(to: Out<u8>, from: Text, len: usize) -> usize {
    let present = strnlen(to.text(), len);
    present + strlcpy(to.add(present), from, len - present)
}

/// Appends a text.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strcat(to: Out<u8>, from: Text) -> Out<u8> {
    let end = to.add(to.text().bytes().len());
    strcpy(end, from);
    to
}

/// Appends at most `len` bytes of a text, and a NUL.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strncat(to: Out<u8>, from: Text, len: usize) -> Out<u8> {
    let end = to.add(to.text().bytes().len());
    let count = from.bytes_within(len).len();
    end.copy(from.start(), count);
    end.add(count).write(0);
    to
}

/// Compares two texts byte by byte.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strcmp(a: Text, b: Text) -> c_int {
    sign(a.bytes().cmp(b.bytes()))
}

/// Compares two texts as [`strcmp`]: the only locale is C's.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strcoll(a: Text, b: Text) -> c_int {
    strcmp(a, b)
}

/// Compares at most `len` bytes of two texts.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strncmp(a: Text, b: Text, len: usize) -> c_int {
    sign(a.bytes_within(len).cmp(b.bytes_within(len)))
}

/// Compares two texts regardless of ASCII case.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strcasecmp(a: Text, b: Text) -> c_int {
    sign(lowercase(a.bytes()).cmp(lowercase(b.bytes())))
}

/// Compares at most `len` bytes of two texts regardless of ASCII case.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strncasecmp(a: Text, b: Text, len: usize) -> c_int {
    sign(lowercase(a.bytes_within(len)).cmp(lowercase(b.bytes_within(len))))
}

/// Finds a character; the NUL is part of the text.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strchr(text: Text, character: c_int) -> Out<u8> {
    let mut bytes = text.bytes_with_nul().iter();
    text.at(bytes.position(|b| *b == low(character)))
}

/// Finds a character, or the end of the text.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strchrnul(text: Text, character: c_int) -> Out<u8> {
    let bytes = text.bytes();
    let found = bytes.iter().position(|b| *b == low(character));
    text.at(Some(found.unwrap_or(bytes.len())))
}

/// Finds the last such character; the NUL is part of the text.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strrchr(text: Text, character: c_int) -> Out<u8> {
    let bytes = text.bytes_with_nul().iter();
    text.at(bytes
        .rev()
        .position(|b| *b == low(character))
        .map(|back| text.bytes().len() - back))
}

/// Finds a text within another.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strstr(text: Text, wanted: Text) -> Out<u8> {
    text.at(find(text.bytes(), wanted.bytes()))
}

/// Finds a text within another regardless of ASCII case.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strcasestr(text: Text, wanted: Text) -> Out<u8> {
    let (bytes, wanted) = (text.bytes(), wanted.bytes());
    let last = bytes.len().checked_sub(wanted.len());
    let matches = |at: &usize| bytes[*at..at + wanted.len()].eq_ignore_ascii_case(wanted);
    text.at(last.and_then(|last| (0..=last).find(matches)))
}

/// Returns how many of the first bytes are among `accepted`.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strspn(text: Text, accepted: Text) -> usize {
    span(text.bytes(), |byte| accepted.bytes().contains(&byte))
}

/// Returns how many of the first bytes are not among `rejected`.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strcspn(text: Text, rejected: Text) -> usize {
    span(text.bytes(), |byte| !rejected.bytes().contains(&byte))
}

/// Finds the first byte that is among `accepted`.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strpbrk(text: Text, accepted: Text) -> Out<u8> {
    let at = strcspn(text, accepted);
    text.at((at < text.bytes().len()).then_some(at))
}

/// Cuts the next token off a text; `saved` keeps the place between calls.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strtok_r(text: Out<u8>, separators: Text, saved: Out<Out<u8>>) -> Out<u8> {
    let start = if text.is_null() {
        saved.read().unwrap_or(Out::NULL)
    } else {
        text
    };
    let token = start.add(strspn(start.text(), separators));
    if start.is_null() || token.read() == Some(0) {
        saved.write(Out::NULL);
        return Out::NULL;
    }
    let end = token.add(strcspn(token.text(), separators));
    if end.read() == Some(0) {
        saved.write(end);
    } else {
        end.write(0);
        saved.write(end.add(1));
    }
    token
}

/// Cuts what lies before the next separator off a text, empty pieces included.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strsep(place: Out<Out<u8>>, separators: Text) -> Out<u8> {
    let Some(start) = place.read().filter(|start| !start.is_null()) else {
        return Out::NULL;
    };
    let end = start.add(strcspn(start.text(), separators));
    if end.read() == Some(0) {
        place.write(Out::NULL);
    } else {
        end.write(0);
        place.write(end.add(1));
    }
    start
}

/// Returns a copy of a text, to be freed; null without memory for it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strdup(text: Text) -> Out<u8> {
    strndup(text, usize::MAX)
}

/// Returns a copy of at most `len` bytes of a text, to be freed; null without memory for it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strndup(text: Text, len: usize) -> Out<u8> {
    let count = text.bytes_within(len).len();
    let copy: Out<u8> = super::malloc::malloc(count + 1);
    if !copy.is_null() {
        copy.copy(text.start(), count);
        copy.add(count).write(0);
    }
    copy
}

/// Returns the number of the lowest bit that is set, from 1; 0 if none is.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ffs(bits: c_int) -> c_int {
    match bits {
        0 => 0,
        bits => bits.trailing_zeros().cast_signed() + 1,
    }
}

fn span(text: &[u8], accepts: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| accepts(**byte)).count()
}

fn find(area: &[u8], wanted: &[u8]) -> Option<usize> {
    match wanted {
        [] => Some(0),
        [first, rest @ ..] => {
            let mut from = 0;
            loop {
                let at = from + area.get(from..)?.iter().position(|byte| byte == first)?;
                if area.get(at + 1..)?.starts_with(rest) {
                    return Some(at);
                }
                from = at + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
