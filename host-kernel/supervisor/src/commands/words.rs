//! The words of a command line: options in any order, then names.

use super::{Format, Stop};
use crate::package::manifest::is_name;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The words not yet understood.
#[derive(Debug)]
pub(super) struct Words<'a> {
    verb: Option<&'a str>,
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    /// Takes the words of a command.
    pub(super) fn new(words: &'a [String]) -> Self {
        let mut words = words.iter().map(String::as_str);
        Self {
            verb: words.next(),
            rest: words.collect(),
        }
    }

    /// Returns the first word.
    pub(super) const fn verb(&self) -> Option<&'a str> {
        self.verb
    }

    /// Takes the flag `--json`.
    pub(super) fn format(&mut self) -> Format {
        if self.flag("--json") {
            Format::Json
        } else {
            Format::Human
        }
    }

    /// Takes a flag. Returns whether it was there.
    pub(super) fn flag(&mut self, flag: &str) -> bool {
        let before = self.rest.len();
        self.rest.retain(|word| *word != flag);
        self.rest.len() < before
    }

    /// Takes an option and its value, if it is there.
    pub(super) fn option(&mut self, option: &str) -> Result<Option<&'a str>, Stop> {
        let Some(index) = self.rest.iter().position(|word| *word == option) else {
            return Ok(None);
        };
        self.rest.remove(index);
        if index >= self.rest.len() {
            return Err(Stop::usage(format!("{option} needs a value: see `help`")));
        }
        Ok(Some(self.rest.remove(index)))
    }

    /// Takes the next word that is no option.
    pub(super) fn take(&mut self) -> Option<&'a str> {
        let index = self.rest.iter().position(|word| !word.starts_with('-'))?;
        Some(self.rest.remove(index))
    }

    /// Takes the name of a service, the one word left.
    pub(super) fn name(mut self) -> Result<&'a str, Stop> {
        let verb = self.verb.unwrap_or_default();
        let index = self.rest.iter().position(|word| !word.starts_with('-'));
        let name = index.map(|index| self.rest.remove(index));
        self.end()?;
        match name {
            Some(name) if is_name(name) => Ok(name),
            Some(name) => Err(Stop::usage(format!(
                "`{}` cannot be a service's name",
                name.escape_debug()
            ))),
            None => Err(Stop::usage(format!(
                "{verb} needs the name of a service: see `help`"
            ))),
        }
    }

    /// Returns the words that are left, with a blank between two.
    pub(super) fn rest(self) -> String {
        self.rest.join(" ")
    }

    /// Checks that no word is left.
    pub(super) fn end(self) -> Result<(), Stop> {
        let verb = self.verb.unwrap_or_default();
        match self.rest.first() {
            None => Ok(()),
            Some(word) => Err(Stop::usage(format!(
                "{verb} does not take `{}`: see `help`",
                word.escape_debug()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use denali_protocol::status;

    fn split(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    fn message(stop: Stop) -> String {
        match stop {
            Stop::Failed {
                status: status::USAGE,
                message,
            } => message,
            other => panic!("no usage error: {other:?}"),
        }
    }

    #[test]
    fn options_come_in_any_order() {
        for line in [
            "logs -f web --lines 5",
            "logs web --lines 5 -f",
            " logs  --lines 5 -f web ",
        ] {
            let line = split(line);
            let mut words = Words::new(&line);
            assert_eq!(words.verb(), Some("logs"));
            assert!(words.flag("-f"));
            assert!(!words.flag("-f"));
            assert_eq!(words.option("--lines"), Ok(Some("5")));
            assert_eq!(words.name(), Ok("web"));
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(message(Words::new(&split("ls web")).end().unwrap_err()).contains("`web`"));
        assert!(
            message(Words::new(&split("rm --all web")).name().unwrap_err()).contains("`--all`")
        );
        assert!(message(Words::new(&split("rm a b")).name().unwrap_err()).contains("`b`"));
        assert!(message(Words::new(&split("rm")).name().unwrap_err()).contains("needs the name"));
        assert!(message(Words::new(&split("rm ../x")).name().unwrap_err()).contains("cannot be"));
        let line = split("logs web --lines");
        let lines = Words::new(&line).option("--lines");
        assert!(message(lines.unwrap_err()).contains("--lines needs a value"));
    }
}
