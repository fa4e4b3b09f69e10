//! What a script is once it is read.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// Pipelines, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// What is run in turn.
    pub items: Vec<Item>,
}

/// A chain of pipelines by `&&` and `||`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The first.
    pub first: Pipeline,
    /// The others, each with what it depends on.
    pub rest: Vec<(Link, Pipeline)>,
}

/// What a pipeline of a chain depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// `&&`: it runs if what came before succeeded.
    And,
    /// `||`: it runs if what came before failed.
    Or,
}

/// A command whose output goes through filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Whether its success counts as failure and the other way round (`!`).
    pub negated: bool,
    /// The command.
    pub command: Command,
    /// The words of each filter.
    pub filters: Vec<Vec<Word>>,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Words: the first is the verb.
    Simple(Vec<Word>),
    /// `NAME=WORD`.
    Assign(String, Word),
    /// `if … then … elif … then … else … fi`: conditions with what they lead to, and the rest.
    If(Vec<(List, List)>, Box<List>),
    /// `for NAME in WORDS; do … done`.
    For(String, Vec<Word>, Box<List>),
}

/// A word: what it is made of, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The parts.
    pub parts: Vec<Part>,
}

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Characters.
    Text(String, Quoting),
    /// `$NAME`.
    Variable(String, Quoting),
    /// `$(…)`.
    Output(List, Quoting),
}

/// Whether a part is one piece whatever is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// White space in what comes out of it parts words, and `*` is a pattern.
    Bare,
    /// It stays as it is.
    Quoted,
}

impl Word {
    /// Returns the word as it stands if it is nothing but bare characters, as keywords and names
    /// of filters are.
    #[must_use]
    pub fn plain(&self) -> Option<&str> {
        match &self.parts[..] {
            [Part::Text(text, Quoting::Bare)] => Some(text),
            _ => None,
        }
    }
}
