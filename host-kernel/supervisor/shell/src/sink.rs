//! Where the output of a command goes.

use crate::filter::Filter;
use alloc::vec::Vec;

/// Nobody is there to read what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// Whether more output is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It is.
    More,
    /// It is not: whoever writes may end.
    Enough,
}

/// What writes to the terminal.
pub type Terminal<'t> = dyn FnMut(&[u8]) -> Result<(), Closed> + 't;

/// Takes output.
pub trait Sink {
    /// Takes bytes; what comes out at the far end goes to `terminal`.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    fn write(&mut self, bytes: &[u8], terminal: &mut Terminal<'_>) -> Result<Flow, Closed>;

    /// Returns whether it wants nothing more.
    fn is_full(&self) -> bool;
}

/// The terminal itself.
#[derive(Clone, Copy, Debug)]
pub struct ToTerminal;

impl Sink for ToTerminal {
    fn write(&mut self, bytes: &[u8], terminal: &mut Terminal<'_>) -> Result<Flow, Closed> {
        terminal(bytes)?;
        Ok(Flow::More)
    }

    fn is_full(&self) -> bool {
        false
    }
}

/// Keeps output, up to a bound.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    pub(crate) bytes: Vec<u8>,
    len_max: usize,
    pub(crate) overflowed: bool,
}

impl Capture {
    pub(crate) const fn new(len_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            len_max,
            overflowed: false,
        }
    }
}

impl Sink for Capture {
    fn write(&mut self, bytes: &[u8], _: &mut Terminal<'_>) -> Result<Flow, Closed> {
        if bytes.len() > self.len_max.saturating_sub(self.bytes.len()) {
            self.overflowed = true;
            return Ok(Flow::Enough);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(Flow::More)
    }

    fn is_full(&self) -> bool {
        self.overflowed
    }
}

/// Filters in front of another sink.
pub(crate) struct Piped<'s> {
    pub(crate) filters: Vec<Filter>,
    pub(crate) next: &'s mut dyn Sink,
}

impl Piped<'_> {
    /// Lets out what filters kept until the end of their input.
    pub(crate) fn finish(&mut self, terminal: &mut Terminal<'_>) -> Result<(), Closed> {
        for index in 0..self.filters.len() {
            let rest = self.filters[index].finish();
            self.feed(index + 1, rest, terminal)?;
        }
        Ok(())
    }

    /// Gives bytes to the filters from the one at `index` on.
    fn feed(
        &mut self,
        index: usize,
        mut bytes: Vec<u8>,
        terminal: &mut Terminal<'_>,
    ) -> Result<(), Closed> {
        for filter in self.filters.iter_mut().skip(index) {
            if bytes.is_empty() {
                return Ok(());
            }
            bytes = filter.feed(&bytes);
        }
        if !bytes.is_empty() {
            self.next.write(&bytes, terminal)?;
        }
        Ok(())
    }
}

impl Sink for Piped<'_> {
    fn write(&mut self, bytes: &[u8], terminal: &mut Terminal<'_>) -> Result<Flow, Closed> {
        match self.filters.first_mut() {
            Some(first) => {
                let bytes = first.feed(bytes);
                self.feed(1, bytes, terminal)?;
            }
            None => {
                self.next.write(bytes, terminal)?;
            }
        }
        Ok(if self.is_full() {
            Flow::Enough
        } else {
            Flow::More
        })
    }

    fn is_full(&self) -> bool {
        self.filters.iter().any(Filter::is_full) || self.next.is_full()
    }
}
