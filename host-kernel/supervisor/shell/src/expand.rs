//! Words as they stand in a script to words as a command gets them.

use crate::limits::{WORDS_LEN_MAX, WORDS_MAX};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Words that are being made.
#[derive(Debug, Default)]
pub(crate) struct Words {
    done: Vec<Expanded>,
    /// The word that is not at its end; `None` if none has begun.
    open: Option<Expanded>,
    len: usize,
}

/// A word, and whether a bare `*` in it makes it a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    pub(crate) is_pattern: bool,
}

impl Words {
    /// Appends text that stays as it is.
    pub(crate) fn push_quoted(&mut self, text: &str) -> Result<(), String> {
        self.grow(text.len())?;
        self.open.get_or_insert_default().text.push_str(text);
        Ok(())
    }

    /// Appends bare text of the script.
    pub(crate) fn push_bare(&mut self, text: &str) -> Result<(), String> {
        self.push_quoted(text)?;
        if text.contains('*') {
            self.open.get_or_insert_default().is_pattern = true;
        }
        Ok(())
    }

    /// Appends a value that white space parts into words.
    pub(crate) fn push_split(&mut self, value: &str) -> Result<(), String> {
        for piece in value.split_inclusive(char::is_whitespace) {
            let text = piece.trim_end();
            if !text.is_empty() {
                self.push_quoted(text)?;
            }
            if text.len() < piece.len() {
                self.end_word()?;
            }
        }
        Ok(())
    }

    /// Ends a word.
    pub(crate) fn end_word(&mut self) -> Result<(), String> {
        let Some(word) = self.open.take() else {
            return Ok(());
        };
        if self.done.len() == WORDS_MAX {
            return Err(format!("a command has at most {WORDS_MAX} words"));
        }
        self.done.push(word);
        Ok(())
    }

    /// Returns the words.
    pub(crate) fn finish(mut self) -> Result<Vec<Expanded>, String> {
        self.end_word()?;
        Ok(self.done)
    }

    fn grow(&mut self, len: usize) -> Result<(), String> {
        self.len += len;
        if self.len > WORDS_LEN_MAX {
            return Err(format!(
                "the words of a command have at most {WORDS_LEN_MAX} bytes"
            ));
        }
        Ok(())
    }
}

/// Returns whether `text` matches a pattern in which `*` stands for any text.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("web", "web"),
            ("*", ""),
            ("*", "anything"),
            ("web-*", "web-"),
            ("web-*", "web-12"),
            ("*-12", "web-12"),
            ("w*b-*2", "web-12"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("web", "web-1"),
            ("web-*", "api-1"),
            ("*-12", "web-1"),
            ("ab*ba", "aba"),
            ("", "x"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn white_space_parts_values_and_not_what_is_quoted() {
        let mut words = Words::default();
        words.push_bare("a").unwrap();
        words.push_split("b c  d ").unwrap();
        words.push_quoted("e f").unwrap();
        let words = words.finish().unwrap();
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["ab", "c", "d", "e f"]);
    }
}
