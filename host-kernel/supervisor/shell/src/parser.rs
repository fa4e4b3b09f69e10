//! Words and operators to a list of commands.
//!
//! ```text
//! list     = chain { (";" | newline) chain }
//! chain    = pipeline { ("&&" | "||") pipeline }
//! pipeline = ["!"] command { "|" filter }
//! command  = "if" list "then" list { "elif" list "then" list } ["else" list] "fi"
//!          | "for" NAME "in" { word } (";" | newline) "do" list "done"
//!          | NAME "=" [word]
//!          | word { word }
//! ```

use crate::lexer::{Lexer, Token};
use crate::limits::{DEPTH_MAX, FILTERS_MAX, SCRIPT_LEN_MAX};
use crate::script::{Command, Item, Link, List, Part, Pipeline, Quoting, Word};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What of a script is no script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// Whether more text could make it right.
    pub is_incomplete: bool,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Words that end the list before them.
const ENDS: [&str; 6] = ["then", "elif", "else", "fi", "do", "done"];

/// Reads a script.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn parse(text: &str) -> Result<List, SyntaxError> {
    if text.len() > SCRIPT_LEN_MAX {
        return Err(SyntaxError {
            line: 1,
            message: format!("a script has at most {SCRIPT_LEN_MAX} bytes"),
            is_incomplete: false,
        });
    }
    let mut parser = Parser::new(text, 1, 0)?;
    let list = parser.list()?;
    match &parser.ahead {
        None => Ok(list),
        Some(token) => Err(parser.unexpected(&describe(token))),
    }
}

/// Reads the list of a substitution up to its `)`. Returns it, and how much was read.
pub(crate) fn substitution(
    text: &str,
    line: u32,
    depth: usize,
) -> Result<(List, usize), SyntaxError> {
    let mut parser = Parser::new(text, line, depth)?;
    let list = parser.list()?;
    if parser.ahead == Some(Token::Close) {
        return Ok((list, parser.read));
    }
    Err(parser.wrong("a `$(` is not closed".into()))
}

/// Returns whether a name may begin so.
pub(crate) const fn begins_name(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

/// Returns whether a name may go on so.
pub(crate) const fn continues_name(character: char) -> bool {
    begins_name(character) || character.is_ascii_digit()
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    ahead: Option<Token>,
    /// How much was read with the token ahead.
    read: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, line: u32, depth: usize) -> Result<Self, SyntaxError> {
        let mut parser = Self {
            lexer: Lexer::new(text, line, depth),
            ahead: None,
            read: 0,
            depth,
        };
        if depth > DEPTH_MAX {
            return Err(parser.too_deep());
        }
        parser.advance()?;
        Ok(parser)
    }

    fn advance(&mut self) -> Result<Option<Token>, SyntaxError> {
        // Behind the `)` of a substitution stands something else.
        let next = match self.ahead {
            Some(Token::Close) => None,
            _ => self.lexer.next()?,
        };
        self.read = self.lexer.read();
        Ok(core::mem::replace(&mut self.ahead, next))
    }

    fn list(&mut self) -> Result<List, SyntaxError> {
        if self.depth > DEPTH_MAX {
            return Err(self.too_deep());
        }
        self.set_depth(self.depth + 1);
        let mut list = List::default();
        loop {
            while self.ahead == Some(Token::End) {
                self.advance()?;
            }
            if self.is_at_end() {
                break;
            }
            list.items.push(self.item()?);
            if !matches!(self.ahead, Some(Token::End)) {
                break;
            }
        }
        self.set_depth(self.depth - 1);
        Ok(list)
    }

    fn set_depth(&mut self, depth: usize) {
        self.depth = depth;
        self.lexer.depth = depth;
    }

    fn item(&mut self) -> Result<Item, SyntaxError> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            let link = match self.ahead {
                Some(Token::And) => Link::And,
                Some(Token::Or) => Link::Or,
                _ => return Ok(Item { first, rest }),
            };
            self.advance()?;
            self.skip_ends()?;
            rest.push((link, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, SyntaxError> {
        let mut negated = false;
        while self.keyword() == Some("!") {
            self.advance()?;
            negated = !negated;
        }
        let command = self.command()?;
        let mut filters = Vec::new();
        while self.ahead == Some(Token::Pipe) {
            self.advance()?;
            self.skip_ends()?;
            let words = self.words()?;
            if words.is_empty() {
                return Err(self.unexpected_next());
            }
            if filters.len() == FILTERS_MAX {
                return Err(self.wrong(format!("a pipeline has at most {FILTERS_MAX} filters")));
            }
            filters.push(words);
        }
        Ok(Pipeline {
            negated,
            command,
            filters,
        })
    }

    fn command(&mut self) -> Result<Command, SyntaxError> {
        match self.keyword() {
            Some("if") => self.conditional(),
            Some("for") => self.loop_over(),
            _ => {
                let mut words = self.words()?;
                if words.is_empty() {
                    return Err(self.unexpected_next());
                }
                if let [word] = &mut words[..]
                    && let Some((name, value)) = assignment(word)
                {
                    return Ok(Command::Assign(name, value));
                }
                Ok(Command::Simple(words))
            }
        }
    }

    fn conditional(&mut self) -> Result<Command, SyntaxError> {
        self.expect("if")?;
        let mut branches = Vec::new();
        loop {
            let condition = self.filled_list()?;
            self.expect("then")?;
            branches.push((condition, self.filled_list()?));
            if self.keyword() != Some("elif") {
                break;
            }
            self.advance()?;
        }
        let mut otherwise = List::default();
        if self.keyword() == Some("else") {
            self.advance()?;
            otherwise = self.filled_list()?;
        }
        self.expect("fi")?;
        Ok(Command::If(branches, Box::new(otherwise)))
    }

    fn loop_over(&mut self) -> Result<Command, SyntaxError> {
        self.expect("for")?;
        let name = match self.advance()? {
            Some(Token::Word(word)) => word.plain().filter(|it| is_name(it)).map(String::from),
            _ => None,
        };
        let name = name.ok_or_else(|| self.wrong("`for` needs the name of a variable".into()))?;
        self.expect("in")?;
        let words = self.words()?;
        self.skip_ends()?;
        self.expect("do")?;
        let body = self.filled_list()?;
        self.expect("done")?;
        Ok(Command::For(name, words, Box::new(body)))
    }

    /// Reads a list that must not be empty.
    fn filled_list(&mut self) -> Result<List, SyntaxError> {
        let list = self.list()?;
        if list.items.is_empty() {
            return Err(self.unexpected_next());
        }
        Ok(list)
    }

    fn words(&mut self) -> Result<Vec<Word>, SyntaxError> {
        let mut words = Vec::new();
        while matches!(self.ahead, Some(Token::Word(_))) {
            if words.is_empty() && self.keyword().is_some_and(|it| ENDS.contains(&it)) {
                return Err(self.unexpected_next());
            }
            if let Some(Token::Word(word)) = self.advance()? {
                words.push(word);
            }
        }
        Ok(words)
    }

    /// Returns the bare word ahead.
    fn keyword(&self) -> Option<&str> {
        match &self.ahead {
            Some(Token::Word(word)) => word.plain(),
            _ => None,
        }
    }

    fn expect(&mut self, keyword: &str) -> Result<(), SyntaxError> {
        if self.keyword() == Some(keyword) {
            return self.advance().map(drop);
        }
        Err(self.wrong(format!("`{keyword}` is missing")))
    }

    fn skip_ends(&mut self) -> Result<(), SyntaxError> {
        while self.ahead == Some(Token::End) {
            self.advance()?;
        }
        Ok(())
    }

    fn is_at_end(&self) -> bool {
        match &self.ahead {
            None | Some(Token::Close) => true,
            _ => self.keyword().is_some_and(|it| ENDS.contains(&it)),
        }
    }

    fn unexpected_next(&self) -> SyntaxError {
        match &self.ahead {
            Some(token) => self.unexpected(&describe(token)),
            None => self.wrong("the end comes too early".into()),
        }
    }

    fn unexpected(&self, what: &str) -> SyntaxError {
        self.wrong(format!("{what} is not expected here"))
    }

    fn too_deep(&self) -> SyntaxError {
        SyntaxError {
            is_incomplete: false,
            ..self.wrong(format!("lists lie more than {DEPTH_MAX} deep"))
        }
    }

    fn wrong(&self, message: String) -> SyntaxError {
        SyntaxError {
            line: self.lexer.line,
            message,
            is_incomplete: self.ahead.is_none(),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(begins_name) && text.chars().all(continues_name)
}

/// Splits `NAME=WORD`.
fn assignment(word: &mut Word) -> Option<(String, Word)> {
    let Some(Part::Text(text, Quoting::Bare)) = word.parts.first_mut() else {
        return None;
    };
    let (name, value) = text.split_once('=')?;
    if !is_name(name) {
        return None;
    }
    let (name, value) = (String::from(name), String::from(value));
    *text = value;
    Some((name, core::mem::take(word)))
}

fn describe(token: &Token) -> String {
    match token {
        Token::Word(word) => match word.plain() {
            Some(text) => format!("`{}`", text.escape_debug()),
            None => "a word".into(),
        },
        Token::End => "the end of a line".into(),
        Token::Pipe => "`|`".into(),
        Token::And => "`&&`".into(),
        Token::Or => "`||`".into(),
        Token::Close => "`)`".into(),
    }
}
