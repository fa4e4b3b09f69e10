//! A terminal of byte strings, for tests.

use super::{Closed, Flow, Stream, Terminal};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// What happens during the n-th pause, counted from 0.
type OnPause = Box<dyn FnMut(usize) -> Result<(), Closed>>;

/// The fake.
pub struct FakeTerminal {
    /// Standard input.
    pub input: Vec<u8>,
    /// Standard output so far.
    pub output: Vec<u8>,
    /// Standard error so far.
    pub errors: Vec<u8>,
    /// The fingerprint of the key that logged in.
    pub who: String,
    /// Pauses so far.
    pub pauses: usize,
    /// Called at each pause.
    pub on_pause: OnPause,
}

impl fmt::Debug for FakeTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeTerminal")
            .field("pauses", &self.pauses)
            .finish_non_exhaustive()
    }
}

impl FakeTerminal {
    /// Returns a terminal with this standard input, which hangs up at the first pause.
    pub fn new(input: &[u8]) -> Self {
        Self {
            input: input.to_vec(),
            output: Vec::new(),
            errors: Vec::new(),
            who: crate::fixtures::FINGERPRINT.into(),
            pauses: 0,
            on_pause: Box::new(|_| Err(Closed)),
        }
    }

    /// Returns standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.output.clone()).expect("commands print text")
    }

    /// Returns standard error as text.
    pub fn error_text(&self) -> String {
        String::from_utf8(self.errors.clone()).expect("commands print text")
    }
}

impl Terminal for FakeTerminal {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Closed> {
        match stream {
            Stream::Output => self.output.extend_from_slice(bytes),
            Stream::Error => self.errors.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn receive(&mut self, sink: &mut dyn FnMut(&[u8]) -> Flow) -> Result<(), Closed> {
        for piece in self.input.chunks(1000) {
            if sink(piece) == Flow::Enough {
                break;
            }
        }
        Ok(())
    }

    fn who(&self) -> String {
        self.who.clone()
    }

    fn pause(&mut self, _duration: Duration) -> Result<(), Closed> {
        self.pauses += 1;
        (self.on_pause)(self.pauses - 1)
    }
}
