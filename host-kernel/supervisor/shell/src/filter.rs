//! What output goes through: `grep`, `head`, `count` and `sort`.
//!
//! Each takes lines as they come and keeps no more than a bound.

use crate::limits::{LINE_LEN_MAX, SORT_LEN_MAX};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The names of filters.
pub const NAMES: [&str; 4] = ["grep", "head", "count", "sort"];

/// Lines that `head` lets through unless told otherwise.
const HEAD_LINES: u64 = 10;

/// A filter and what it keeps.
#[derive(Clone, Debug)]
pub struct Filter {
    kind: Kind,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Lines that hold a text, or those that do not.
    Grep {
        text: Vec<u8>,
        inverted: bool,
        ignore_case: bool,
        found: bool,
    },
    Head {
        left: u64,
    },
    Count {
        lines: u64,
    },
    Sort {
        order: Order,
        reversed: bool,
        lines: Vec<Vec<u8>>,
        len: usize,
        overflowed: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Bytes,
    Numbers,
}

impl Filter {
    /// Makes the filter that these words ask for.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn new(words: &[String]) -> Result<Self, String> {
        let (name, arguments) = words.split_first().ok_or("a filter has a name")?;
        let kind = match name.as_str() {
            "grep" => grep(arguments)?,
            "head" => head(arguments)?,
            "count" if arguments.is_empty() => Kind::Count { lines: 0 },
            "count" => return Err("`count` takes nothing".into()),
            "sort" => sort(arguments)?,
            other => {
                let other = other.escape_debug();
                return Err(format!(
                    "`{other}` takes no input: pipe into grep, head, count or sort"
                ));
            }
        };
        let line = Vec::new();
        Ok(Self { kind, line })
    }

    /// Takes bytes. Returns what comes out.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            // A line without end is taken in pieces.
            for piece in piece.chunks(LINE_LEN_MAX) {
                self.line.extend_from_slice(piece);
                if piece.ends_with(b"\n") || self.line.len() >= LINE_LEN_MAX {
                    let line = core::mem::take(&mut self.line);
                    self.take_line(line, &mut out);
                }
            }
        }
        out
    }

    /// Returns what comes out at the end of the input.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.line.is_empty() {
            let mut line = core::mem::take(&mut self.line);
            line.push(b'\n');
            self.take_line(line, &mut out);
        }
        match &mut self.kind {
            Kind::Grep { .. } | Kind::Head { .. } => {}
            Kind::Count { lines } => out.extend_from_slice(format!("{lines}\n").as_bytes()),
            Kind::Sort {
                order,
                reversed,
                lines,
                ..
            } => {
                match order {
                    Order::Bytes => lines.sort(),
                    Order::Numbers => lines.sort_by_key(|line| number(line)),
                }
                if *reversed {
                    lines.reverse();
                }
                out.extend(core::mem::take(lines).into_iter().flatten());
            }
        }
        out
    }

    /// Returns whether nothing comes out of it any more.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        match self.kind {
            Kind::Head { left } => left == 0,
            Kind::Sort { overflowed, .. } => overflowed,
            Kind::Grep { .. } | Kind::Count { .. } => false,
        }
    }

    /// Returns the exit status: 1 of a `grep` that found nothing, or the words for what it could
    /// not hold.
    ///
    /// # Errors
    ///
    /// It held too much.
    pub fn status(&self) -> Result<u32, String> {
        match self.kind {
            Kind::Grep { found, .. } => Ok(u32::from(!found)),
            Kind::Sort {
                overflowed: true, ..
            } => Err(format!("`sort` holds at most {SORT_LEN_MAX} bytes")),
            Kind::Head { .. } | Kind::Count { .. } | Kind::Sort { .. } => Ok(0),
        }
    }

    fn take_line(&mut self, line: Vec<u8>, out: &mut Vec<u8>) {
        match &mut self.kind {
            Kind::Grep {
                text,
                inverted,
                ignore_case,
                found,
            } => {
                if holds(&line, text, *ignore_case) != *inverted {
                    *found = true;
                    out.extend_from_slice(&line);
                }
            }
            Kind::Head { left } => {
                if *left > 0 {
                    *left -= 1;
                    out.extend_from_slice(&line);
                }
            }
            Kind::Count { lines } => *lines += 1,
            Kind::Sort {
                lines,
                len,
                overflowed,
                ..
            } => {
                // What a line takes beside its bytes counts, too.
                let taken = line.len() + size_of::<Vec<u8>>();
                if *overflowed || *len + taken > SORT_LEN_MAX {
                    *overflowed = true;
                    return;
                }
                *len += taken;
                lines.push(line);
            }
        }
    }
}

fn grep(arguments: &[String]) -> Result<Kind, String> {
    let (mut inverted, mut ignore_case, mut text) = (false, false, None);
    for argument in arguments {
        match argument.as_str() {
            "-v" if text.is_none() => inverted = true,
            "-i" if text.is_none() => ignore_case = true,
            other if text.is_none() => text = Some(other.as_bytes().to_vec()),
            _ => return Err("`grep` takes one text".into()),
        }
    }
    let text = text.ok_or("`grep` needs a text")?;
    Ok(Kind::Grep {
        text,
        inverted,
        ignore_case,
        found: false,
    })
}

fn head(arguments: &[String]) -> Result<Kind, String> {
    let digits = match arguments {
        [] => return Ok(Kind::Head { left: HEAD_LINES }),
        [option, digits] if option == "-n" => digits,
        [digits] => digits.strip_prefix('-').map_or(digits.as_str(), |it| it),
        _ => return Err("`head` takes a number of lines".into()),
    };
    let left = digits.parse();
    let left = left.map_err(|_| String::from("`head` takes a number of lines"))?;
    Ok(Kind::Head { left })
}

fn sort(arguments: &[String]) -> Result<Kind, String> {
    let (mut order, mut reversed) = (Order::Bytes, false);
    for argument in arguments {
        match argument.as_str() {
            "-n" => order = Order::Numbers,
            "-r" => reversed = true,
            "-nr" | "-rn" => (order, reversed) = (Order::Numbers, true),
            _ => return Err("`sort` takes -n and -r".into()),
        }
    }
    Ok(Kind::Sort {
        order,
        reversed,
        lines: Vec::new(),
        len: 0,
        overflowed: false,
    })
}

fn holds(line: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    text.is_empty()
        || line.windows(text.len()).any(|window| {
            if ignore_case {
                window.eq_ignore_ascii_case(text)
            } else {
                window == text
            }
        })
}

/// Returns the number a line begins with; a line without comes first.
fn number(line: &[u8]) -> (i128, usize) {
    let text = line.trim_ascii_start();
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let (mut value, mut count) = (0_i128, 0);
    for digit in digits.take(30) {
        value = value * 10 + i128::from(digit - b'0');
        count += 1;
    }
    (sign * value, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(words: &[&str], pieces: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).into()).collect();
        let mut filter = Filter::new(&words).unwrap();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(filter.feed(piece.as_bytes()));
        }
        out.extend(filter.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_filter_does_what_its_name_says() {
        let text = ["web 10\nap", "i 9\nold 100\n", "last"];
        assert_eq!(through(&["grep", "e"], &text), "web 10\n");
        assert_eq!(
            through(&["grep", "-v", "e"], &text),
            "api 9\nold 100\nlast\n"
        );
        assert_eq!(through(&["grep", "-i", "WEB"], &text), "web 10\n");
        assert_eq!(through(&["head", "2"], &text), "web 10\napi 9\n");
        assert_eq!(through(&["head", "-n", "1"], &text), "web 10\n");
        assert_eq!(through(&["count"], &text), "4\n");
        assert_eq!(through(&["sort"], &text), "api 9\nlast\nold 100\nweb 10\n");
        assert_eq!(
            through(&["sort", "-n", "-r"], &["9\n", "100\nx\n10\n"]),
            "100\n10\n9\nx\n"
        );
    }

    #[test]
    fn grep_says_whether_it_found_something() {
        let mut filter = Filter::new(&["grep".into(), "x".into()]).unwrap();
        filter.feed(b"abc\n");
        assert_eq!(filter.status(), Ok(1));
        filter.feed(b"xyz\n");
        assert_eq!(filter.status(), Ok(0));
    }

    #[test]
    fn wrong_words_are_named() {
        for words in [
            &["grep"][..],
            &["grep", "a", "b"],
            &["head", "many"],
            &["head", "1", "2"],
            &["count", "x"],
            &["sort", "-k"],
            &["rm", "web"],
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).into()).collect();
            let message = Filter::new(&words).unwrap_err();
            assert!(message.contains(&words[0]), "{message}");
        }
    }

    #[test]
    fn sort_holds_a_bounded_amount() {
        let mut filter = Filter::new(&["sort".into()]).unwrap();
        let mut fed = 0;
        while !filter.is_full() {
            assert!(fed < 2 * SORT_LEN_MAX);
            filter.feed(b"0123456789\n");
            fed += 11;
        }
        assert!(filter.status().is_err());
        assert!(filter.finish().len() <= SORT_LEN_MAX);
    }
}
