//! Runs a script on a host.

use crate::expand::{self, Expanded, Words};
use crate::filter::Filter;
use crate::limits::{STEPS_MAX, VALUE_LEN_MAX, VARIABLES_MAX, WORDS_MAX};
use crate::parser;
use crate::script::{Command, Item, Link, List, Part, Pipeline, Quoting, Word};
use crate::sink::{Capture, Closed, Flow, Piped, Sink, ToTerminal};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// Exit status of a script that is wrong.
pub const STATUS_USAGE: u32 = 2;

/// Exit status of what failed without one of its own.
pub const STATUS_FAILED: u32 = 1;

/// What a script works on.
pub trait Host {
    /// Runs a command and returns its exit status. It ends early, with status 0, when `sink` has
    /// enough.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    fn run(&mut self, words: &[String], sink: &mut dyn Sink) -> Result<u32, Closed>;

    /// Writes to standard output.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    fn print(&mut self, bytes: &[u8]) -> Result<(), Closed>;

    /// Writes a line to standard error.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    fn complain(&mut self, message: &str) -> Result<(), Closed>;

    /// Returns up to `count` names of services that `wanted` agrees to, in order.
    fn services(&mut self, count: usize, wanted: &dyn Fn(&str) -> bool) -> Vec<String>;
}

/// What outlives one line of a shell: variables, options, and what is left of the steps.
#[derive(Clone, Debug)]
pub struct Interpreter {
    variables: BTreeMap<String, String>,
    status: u32,
    /// Whether a failure ends the script (`set -e`).
    is_strict: bool,
    steps_left: u32,
}

impl Default for Interpreter {
    fn default() -> Self {
        Self {
            variables: BTreeMap::new(),
            status: 0,
            is_strict: false,
            steps_left: STEPS_MAX,
        }
    }
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status.
    pub status: u32,
    /// Whether it said so by `exit`, or a failure ended it (`set -e`).
    pub by_exit: bool,
}

/// Why a list is not run to its end.
enum Halt {
    Closed,
    /// Whoever reads the output has enough.
    Enough,
    Exit(u32),
    /// The script is wrong.
    Wrong(String),
}

impl From<Closed> for Halt {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<String> for Halt {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

/// Whether a failure counts for `set -e`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    Counts,
    /// It is a condition.
    IsTested,
}

impl Interpreter {
    /// Sets a variable.
    ///
    /// # Errors
    ///
    /// There are too many, or the value is too long.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if value.len() > VALUE_LEN_MAX {
            return Err(format!("`{name}` has more than {VALUE_LEN_MAX} bytes"));
        }
        if self.variables.len() >= VARIABLES_MAX && !self.variables.contains_key(name) {
            return Err(format!("there are {VARIABLES_MAX} variables already"));
        }
        self.variables.insert(name.to_string(), value.to_string());
        Ok(())
    }

    /// Gives a shell that goes on with another line the steps of a new script.
    pub const fn begin_line(&mut self) {
        self.steps_left = STEPS_MAX;
    }

    /// Returns the exit status of the last command.
    #[must_use]
    pub const fn status(&self) -> u32 {
        self.status
    }

    /// Runs a script.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    pub fn run(&mut self, text: &str, host: &mut dyn Host) -> Result<Ended, Closed> {
        let list = match parser::parse(text) {
            Ok(list) => list,
            Err(error) => {
                host.complain(&error.to_string())?;
                self.status = STATUS_USAGE;
                return Ok(self.ended(false));
            }
        };
        let mut run = Run { shell: self, host };
        let halted = run.list(&list, Failure::Counts, &mut ToTerminal);
        match halted {
            Ok(()) => Ok(self.ended(false)),
            Err(Halt::Closed) => Err(Closed),
            Err(Halt::Enough) => Ok(self.ended(false)),
            Err(Halt::Exit(status)) => {
                self.status = status;
                Ok(self.ended(true))
            }
            Err(Halt::Wrong(message)) => {
                host.complain(&message)?;
                self.status = STATUS_FAILED;
                Ok(self.ended(true))
            }
        }
    }

    const fn ended(&self, by_exit: bool) -> Ended {
        Ended {
            status: self.status,
            by_exit,
        }
    }
}

/// A script that runs.
struct Run<'r> {
    shell: &'r mut Interpreter,
    host: &'r mut dyn Host,
}

impl Run<'_> {
    fn list(&mut self, list: &List, failure: Failure, sink: &mut dyn Sink) -> Result<(), Halt> {
        for item in &list.items {
            self.item(item, failure, sink)?;
        }
        Ok(())
    }

    fn item(&mut self, item: &Item, failure: Failure, sink: &mut dyn Sink) -> Result<(), Halt> {
        let last = item.rest.len();
        // Only the last of a chain can fail for good.
        let of = |index: usize| {
            if index == last {
                failure
            } else {
                Failure::IsTested
            }
        };
        self.pipeline(&item.first, of(0), sink)?;
        for (index, (link, pipeline)) in item.rest.iter().enumerate() {
            let runs = match link {
                Link::And => self.shell.status == 0,
                Link::Or => self.shell.status != 0,
            };
            if runs {
                self.pipeline(pipeline, of(index + 1), sink)?;
            }
        }
        Ok(())
    }

    fn pipeline(
        &mut self,
        pipeline: &Pipeline,
        failure: Failure,
        sink: &mut dyn Sink,
    ) -> Result<(), Halt> {
        let tested = if pipeline.negated {
            Failure::IsTested
        } else {
            failure
        };
        if pipeline.filters.is_empty() {
            self.command(&pipeline.command, tested, sink)?;
        } else {
            self.filtered(pipeline, tested, sink)?;
        }
        if pipeline.negated {
            self.shell.status = u32::from(self.shell.status == 0);
            return Ok(());
        }
        let is_simple = !matches!(pipeline.command, Command::If(..) | Command::For(..));
        let fails = self.shell.status != 0 && failure == Failure::Counts;
        if self.shell.is_strict && fails && (is_simple || !pipeline.filters.is_empty()) {
            return Err(Halt::Exit(self.shell.status));
        }
        Ok(())
    }

    fn filtered(
        &mut self,
        pipeline: &Pipeline,
        failure: Failure,
        sink: &mut dyn Sink,
    ) -> Result<(), Halt> {
        let mut filters = Vec::new();
        for words in &pipeline.filters {
            let words = self.words(words)?;
            filters.push(Filter::new(&words)?);
        }
        let mut piped = Piped {
            filters,
            next: sink,
        };
        match self.command(&pipeline.command, failure, &mut piped) {
            Err(Halt::Enough) if !piped.next.is_full() => self.shell.status = 0,
            halted => halted?,
        }
        let host = &mut *self.host;
        piped.finish(&mut |bytes| host.print(bytes))?;
        for filter in &piped.filters {
            let status = filter.status()?;
            if self.shell.status == 0 {
                self.shell.status = status;
            }
        }
        if piped.next.is_full() {
            return Err(Halt::Enough);
        }
        Ok(())
    }

    fn command(
        &mut self,
        command: &Command,
        failure: Failure,
        sink: &mut dyn Sink,
    ) -> Result<(), Halt> {
        self.take_step()?;
        match command {
            Command::Simple(words) => {
                let words = self.words(words)?;
                self.simple(&words, sink)
            }
            Command::Assign(name, word) => self.assign(name, word),
            Command::If(branches, otherwise) => {
                for (condition, body) in branches {
                    self.list(condition, Failure::IsTested, sink)?;
                    if self.shell.status == 0 {
                        return self.list(body, failure, sink);
                    }
                }
                self.shell.status = 0;
                self.list(otherwise, failure, sink)
            }
            Command::For(name, words, body) => {
                let words = self.words(words)?;
                self.shell.status = 0;
                for word in words {
                    self.take_step()?;
                    self.shell.set(name, &word)?;
                    self.list(body, failure, sink)?;
                }
                Ok(())
            }
        }
    }

    fn assign(&mut self, name: &str, word: &Word) -> Result<(), Halt> {
        self.shell.status = 0;
        let mut value = String::new();
        for part in &word.parts {
            let piece = self.part(part)?;
            if piece.len() > VALUE_LEN_MAX.saturating_sub(value.len()) {
                return Err(Halt::Wrong(format!(
                    "`{name}` has more than {VALUE_LEN_MAX} bytes"
                )));
            }
            value.push_str(&piece);
        }
        Ok(self.shell.set(name, &value)?)
    }

    fn simple(&mut self, words: &[String], sink: &mut dyn Sink) -> Result<(), Halt> {
        let Some((verb, arguments)) = words.split_first() else {
            // Nothing was left of it, such as of `$EMPTY`.
            self.shell.status = 0;
            return Ok(());
        };
        let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.shell.status = match (verb.as_str(), &texts[..]) {
            ("true", _) => 0,
            ("false", _) => STATUS_FAILED,
            ("echo", texts) => {
                let mut line = texts.join(" ");
                line.push('\n');
                self.write(line.as_bytes(), sink)?;
                0
            }
            ("set", ["-e"]) => {
                self.shell.is_strict = true;
                0
            }
            ("set", ["+e"]) => {
                self.shell.is_strict = false;
                0
            }
            ("set", _) => return self.complain("set takes -e or +e"),
            ("exit", []) => return Err(Halt::Exit(self.shell.status)),
            ("exit", [digits]) => match digits.parse() {
                Ok(status @ 0..=255) => return Err(Halt::Exit(status)),
                _ => return self.complain("exit takes a number up to 255"),
            },
            ("test", texts) => match test(texts) {
                Some(holds) => u32::from(!holds),
                None => return self.complain("test takes A = B, A != B, -n A or -z A"),
            },
            _ => {
                let status = self.host.run(words, sink)?;
                if sink.is_full() {
                    return Err(Halt::Enough);
                }
                status
            }
        };
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
        let host = &mut *self.host;
        match sink.write(bytes, &mut |bytes| host.print(bytes))? {
            Flow::More => Ok(()),
            Flow::Enough => Err(Halt::Enough),
        }
    }

    /// Fails a command for its wrong words.
    fn complain(&mut self, message: &str) -> Result<(), Halt> {
        self.host.complain(message)?;
        self.shell.status = STATUS_USAGE;
        Ok(())
    }

    fn take_step(&mut self) -> Result<(), Halt> {
        let left = self.shell.steps_left.checked_sub(1);
        self.shell.steps_left =
            left.ok_or_else(|| format!("a script may take {STEPS_MAX} steps"))?;
        Ok(())
    }

    /// Expands words.
    fn words(&mut self, words: &[Word]) -> Result<Vec<String>, Halt> {
        let mut expanded = Words::default();
        for word in words {
            for part in &word.parts {
                match part {
                    Part::Text(text, Quoting::Quoted) => expanded.push_quoted(text)?,
                    Part::Text(text, Quoting::Bare) => expanded.push_bare(text)?,
                    Part::Variable(_, quoting) | Part::Output(_, quoting) => {
                        let value = self.part(part)?;
                        match quoting {
                            Quoting::Quoted => expanded.push_quoted(&value)?,
                            Quoting::Bare => expanded.push_split(&value)?,
                        }
                    }
                }
            }
            expanded.end_word()?;
        }
        let mut found = Vec::new();
        for word in expanded.finish()? {
            self.with_pattern(word, &mut found)?;
        }
        Ok(found)
    }

    /// Puts the services in that a pattern matches; one that matches none stays as it is.
    fn with_pattern(&mut self, word: Expanded, found: &mut Vec<String>) -> Result<(), Halt> {
        if !word.is_pattern {
            found.push(word.text);
            return Ok(());
        }
        let wanted = |name: &str| expand::matches(&word.text, name);
        let services = self.host.services(WORDS_MAX + 1, &wanted);
        if found.len() + services.len() > WORDS_MAX {
            return Err(Halt::Wrong(format!(
                "`{}` stands for more than {WORDS_MAX} services",
                word.text
            )));
        }
        if services.is_empty() {
            found.push(word.text);
        }
        found.extend(services);
        Ok(())
    }

    fn part(&mut self, part: &Part) -> Result<String, Halt> {
        match part {
            Part::Text(text, _) => Ok(text.clone()),
            Part::Variable(name, _) if name == "?" => Ok(self.shell.status.to_string()),
            Part::Variable(name, _) => {
                Ok(self.shell.variables.get(name).cloned().unwrap_or_default())
            }
            Part::Output(list, _) => self.output_of(list),
        }
    }

    /// Returns what a list prints, without the end of its last line.
    fn output_of(&mut self, list: &List) -> Result<String, Halt> {
        let mut capture = Capture::new(VALUE_LEN_MAX);
        let halted = self.list(list, Failure::IsTested, &mut capture);
        if capture.overflowed {
            return Err(Halt::Wrong(format!(
                "output of more than {VALUE_LEN_MAX} bytes cannot be substituted"
            )));
        }
        match halted {
            // It ends the substitution alone.
            Err(Halt::Exit(status)) => self.shell.status = status,
            halted => halted?,
        }
        let text = String::from_utf8_lossy(&capture.bytes);
        Ok(text.trim_end_matches('\n').to_string())
    }
}

/// Returns what `test` says to its words; `None` if they are wrong.
fn test(words: &[&str]) -> Option<bool> {
    match words {
        [a, "=", b] => Some(a == b),
        [a, "!=", b] => Some(a != b),
        ["-n", a] => Some(!a.is_empty()),
        ["-z", a] => Some(a.is_empty()),
        _ => None,
    }
}
