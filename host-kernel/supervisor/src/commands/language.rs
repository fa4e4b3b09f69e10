//! Command lines as scripts: what the language of `denali-shell` works on here.

use super::{Stop, dispatch, script};
use crate::shared::Shared;
use crate::terminal::{self, Stream, Terminal};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use denali_protocol::status;
use denali_shell::interpreter::{Host, Interpreter};
use denali_shell::sink::{Closed, Flow, Sink};

/// How deep scripts may run scripts.
const DEPTH_MAX: usize = 4;

/// Services looked at before others get their turn.
const PAGE_SERVICES: usize = 64;

/// The commands of this host, for one script.
pub struct Commands<'c> {
    pub(crate) shared: &'c Shared,
    pub(crate) terminal: &'c mut dyn Terminal,
    /// Whether standard input is where the commands come from.
    pub(crate) input_is_taken: bool,
    pub(crate) depth: usize,
}

impl fmt::Debug for Commands<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands")
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

impl<'c> Commands<'c> {
    /// Returns the commands for a script that writes to `terminal`.
    pub fn new(shared: &'c Shared, terminal: &'c mut dyn Terminal) -> Self {
        Self {
            shared,
            terminal,
            input_is_taken: false,
            depth: 0,
        }
    }

    /// Runs another script inside this one, with variables of its own.
    fn nested(&mut self, text: &str, sink: &mut dyn Sink) -> Result<u32, Closed> {
        if self.depth == DEPTH_MAX {
            self.complain("scripts run scripts more than 4 deep")?;
            return Ok(status::FAILED);
        }
        let mut piped = Piped::new(self.terminal, sink);
        let mut inner = Commands {
            shared: self.shared,
            terminal: &mut piped,
            input_is_taken: self.input_is_taken,
            depth: self.depth + 1,
        };
        let ended = Interpreter::default().run(text, &mut inner);
        match ended {
            Ok(ended) => Ok(ended.status),
            Err(Closed) if piped.has_enough => Ok(status::OK),
            Err(Closed) => Err(Closed),
        }
    }

    /// Runs a command that is a script itself; `None` if it is not.
    fn run_script(&mut self, words: &[String], sink: &mut dyn Sink) -> Result<Option<u32>, Closed> {
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        let text = match texts[..] {
            ["sh"] if !self.input_is_taken => script::receive(self.terminal),
            ["script", "run", name] => script::text_of(name, self.shared),
            _ => return Ok(None),
        };
        match text {
            Ok(text) => self.nested(&text, sink).map(Some),
            Err(stop) => self.failed(stop).map(Some),
        }
    }

    fn failed(&mut self, stop: Stop) -> Result<u32, Closed> {
        match stop {
            Stop::Closed => Err(Closed),
            Stop::Failed { status, message } => {
                self.complain(&message)?;
                Ok(status)
            }
        }
    }
}

impl Host for Commands<'_> {
    fn run(&mut self, words: &[String], sink: &mut dyn Sink) -> Result<u32, Closed> {
        if let Some(status) = self.run_script(words, sink)? {
            return Ok(status);
        }
        if self.input_is_taken && reads_input(words) {
            let verb = words.first().map_or("", String::as_str);
            self.complain(&format!(
                "`{verb}` reads standard input, which is where the commands come from: \
                 give it as the command of `ssh`"
            ))?;
            return Ok(status::USAGE);
        }
        let mut piped = Piped::new(self.terminal, sink);
        let done = dispatch(words, self.shared, &mut piped);
        let has_enough = piped.has_enough;
        match done {
            Ok(()) => Ok(status::OK),
            Err(Stop::Closed) if has_enough => Ok(status::OK),
            Err(stop) => self.failed(stop),
        }
    }

    fn print(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        let written = self.terminal.write(Stream::Output, bytes);
        written.map_err(|terminal::Closed| Closed)
    }

    fn complain(&mut self, message: &str) -> Result<(), Closed> {
        let line = format!("error: {message}\n");
        let written = self.terminal.write(Stream::Error, line.as_bytes());
        written.map_err(|terminal::Closed| Closed)
    }

    fn services(&mut self, count: usize, wanted: &dyn Fn(&str) -> bool) -> Vec<String> {
        let mut found = Vec::new();
        let mut behind: Option<String> = None;
        loop {
            let page = self
                .shared
                .with(|supervisor| supervisor.names_behind(behind.as_deref(), PAGE_SERVICES));
            let Some(last) = page.last() else {
                return found;
            };
            behind = Some(last.to_string());
            for name in page {
                if wanted(&name) && found.len() < count {
                    found.push(name.to_string());
                }
            }
            if found.len() >= count || self.terminal.pause(Duration::ZERO).is_err() {
                return found;
            }
        }
    }
}

/// Returns whether a command reads standard input.
fn reads_input(words: &[String]) -> bool {
    let mut words = words.iter().map(String::as_str);
    matches!(
        (words.next(), words.next()),
        (Some("deploy" | "restore" | "sh"), _)
            | (Some("secret"), Some("set"))
            | (Some("script"), Some("put"))
    )
}

/// A terminal whose output goes through a sink first.
struct Piped<'p> {
    terminal: &'p mut dyn Terminal,
    sink: &'p mut dyn Sink,
    has_enough: bool,
}

impl<'p> Piped<'p> {
    fn new(terminal: &'p mut dyn Terminal, sink: &'p mut dyn Sink) -> Self {
        Self {
            terminal,
            sink,
            has_enough: false,
        }
    }
}

impl Terminal for Piped<'_> {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), terminal::Closed> {
        if stream == Stream::Error {
            return self.terminal.write(stream, bytes);
        }
        let terminal = &mut *self.terminal;
        let mut write = |bytes: &[u8]| {
            let written = terminal.write(Stream::Output, bytes);
            written.map_err(|terminal::Closed| Closed)
        };
        match self.sink.write(bytes, &mut write) {
            Ok(Flow::More) => Ok(()),
            Ok(Flow::Enough) => {
                self.has_enough = true;
                Err(terminal::Closed)
            }
            Err(Closed) => Err(terminal::Closed),
        }
    }

    fn receive(
        &mut self,
        sink: &mut dyn FnMut(&[u8]) -> terminal::Flow,
    ) -> Result<(), terminal::Closed> {
        self.terminal.receive(sink)
    }

    fn who(&self) -> String {
        self.terminal.who()
    }

    fn pause(&mut self, duration: Duration) -> Result<(), terminal::Closed> {
        self.terminal.pause(duration)
    }
}
