//! Text to words and operators.

use crate::parser::{self, SyntaxError};
use crate::script::{Part, Quoting, Word};
use alloc::format;
use alloc::string::String;
use core::iter::Peekable;
use core::str::CharIndices;

/// A word or an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Word(Word),
    /// `;` or the end of a line.
    End,
    Pipe,
    And,
    Or,
    /// `)`, the end of a substitution.
    Close,
}

/// The text, as far as it was not read.
#[derive(Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    characters: Peekable<CharIndices<'t>>,
    /// The line it stands in, counted from 1.
    pub(crate) line: u32,
    /// How deep the list lies that is being read.
    pub(crate) depth: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str, line: u32, depth: usize) -> Self {
        Self {
            text,
            characters: text.char_indices().peekable(),
            line,
            depth,
        }
    }

    /// Returns the next word or operator; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Token>, SyntaxError> {
        self.skip_blanks();
        let Some(character) = self.peek() else {
            return Ok(None);
        };
        let token = match character {
            '\n' | ';' => {
                self.take();
                Token::End
            }
            '|' => self.double('|', Token::Or, Some(Token::Pipe))?,
            '&' => self.double('&', Token::And, None)?,
            ')' => {
                self.take();
                Token::Close
            }
            '(' | '<' | '>' | '`' => {
                return Err(self.wrong(format!("there is no `{character}` in this language")));
            }
            _ => Token::Word(self.word()?),
        };
        Ok(Some(token))
    }

    /// Returns where the next character stands.
    fn position(&mut self) -> usize {
        let next = self.characters.peek();
        next.map_or(self.text.len(), |(position, _)| *position)
    }

    fn peek(&mut self) -> Option<char> {
        self.characters.peek().map(|(_, character)| *character)
    }

    fn take(&mut self) -> Option<char> {
        let (_, character) = self.characters.next()?;
        if character == '\n' {
            self.line += 1;
        }
        Some(character)
    }

    /// Takes an operator that may stand twice.
    fn double(
        &mut self,
        character: char,
        twice: Token,
        once: Option<Token>,
    ) -> Result<Token, SyntaxError> {
        self.take();
        if self.peek() == Some(character) {
            self.take();
            return Ok(twice);
        }
        once.ok_or_else(|| self.wrong(format!("`{character}` alone means nothing here")))
    }

    /// Skips blanks, continued lines, and a comment up to the end of its line.
    fn skip_blanks(&mut self) {
        while let Some(character) = self.peek() {
            match character {
                '\n' => return,
                '#' => {
                    while self.peek().is_some_and(|it| it != '\n') {
                        self.take();
                    }
                    return;
                }
                '\\' if self.is_continued() => {
                    self.take();
                    self.take();
                }
                _ if character.is_whitespace() => {
                    self.take();
                }
                _ => return,
            }
        }
    }

    fn is_continued(&mut self) -> bool {
        let rest = self.position();
        self.text
            .get(rest..)
            .is_some_and(|it| it.starts_with("\\\n"))
    }

    fn word(&mut self) -> Result<Word, SyntaxError> {
        let mut word = Word::default();
        while let Some(character) = self.peek() {
            match character {
                '\'' => {
                    self.take();
                    let text = self.until_quote()?;
                    word.parts.push(Part::Text(text, Quoting::Quoted));
                }
                '"' => {
                    self.take();
                    self.double_quoted(&mut word)?;
                }
                '\\' => {
                    self.take();
                    let escaped = self.take();
                    let escaped = escaped.ok_or_else(|| self.wrong("`\\` at the end".into()))?;
                    word.parts.push(Part::Text(escaped.into(), Quoting::Quoted));
                }
                '$' => self.dollar(Quoting::Bare, &mut word)?,
                ';' | '|' | '&' | ')' | '(' | '<' | '>' | '`' => break,
                _ if character.is_whitespace() => break,
                _ => {
                    self.take();
                    push_text(&mut word, character, Quoting::Bare);
                }
            }
        }
        Ok(word)
    }

    /// Returns what stands before the closing `'`.
    fn until_quote(&mut self) -> Result<String, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.take() {
                Some('\'') => return Ok(text),
                Some(character) => text.push(character),
                None => return Err(self.wrong("a `'` is not closed".into())),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), SyntaxError> {
        // `""` is a word, too.
        word.parts.push(Part::Text(String::new(), Quoting::Quoted));
        loop {
            match self.peek() {
                Some('"') => {
                    self.take();
                    return Ok(());
                }
                Some('$') => self.dollar(Quoting::Quoted, word)?,
                Some('\\') => {
                    self.take();
                    match self.take() {
                        Some(special @ ('"' | '$' | '\\')) => {
                            push_text(word, special, Quoting::Quoted);
                        }
                        Some(other) => {
                            push_text(word, '\\', Quoting::Quoted);
                            push_text(word, other, Quoting::Quoted);
                        }
                        None => {}
                    }
                }
                Some(character) => {
                    self.take();
                    push_text(word, character, Quoting::Quoted);
                }
                None => return Err(self.wrong("a `\"` is not closed".into())),
            }
        }
    }

    /// Takes `$NAME`, `${NAME}`, `$?` or `$(…)`; any other `$` is itself.
    fn dollar(&mut self, quoting: Quoting, word: &mut Word) -> Result<(), SyntaxError> {
        self.take();
        match self.peek() {
            Some('(') => {
                self.take();
                let list = self.substitution()?;
                word.parts.push(Part::Output(list, quoting));
            }
            Some('{') => {
                self.take();
                let name = self.name();
                if name.is_empty() || self.take() != Some('}') {
                    return Err(self.wrong("`${` needs a name and `}`".into()));
                }
                word.parts.push(Part::Variable(name, quoting));
            }
            Some('?') => {
                self.take();
                word.parts.push(Part::Variable("?".into(), quoting));
            }
            Some(character) if parser::begins_name(character) => {
                let name = self.name();
                word.parts.push(Part::Variable(name, quoting));
            }
            _ => push_text(word, '$', quoting),
        }
        Ok(())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(character) = self.peek().filter(|it| parser::continues_name(*it)) {
            self.take();
            name.push(character);
        }
        name
    }

    /// Reads a list up to its `)`.
    fn substitution(&mut self) -> Result<crate::script::List, SyntaxError> {
        let start = self.position();
        let rest = self.text.get(start..).unwrap_or_default();
        let (list, read) = parser::substitution(rest, self.line, self.depth + 1)?;
        while self.position() < start + read {
            self.take();
        }
        Ok(list)
    }

    /// Returns how much of the text was read.
    pub(crate) fn read(&mut self) -> usize {
        self.position()
    }

    fn wrong(&self, message: String) -> SyntaxError {
        SyntaxError {
            line: self.line,
            message,
            is_incomplete: self.characters.clone().next().is_none(),
        }
    }
}

/// Appends a character to the last part if that is text of the same kind.
fn push_text(word: &mut Word, character: char, quoting: Quoting) {
    if let Some(Part::Text(text, last)) = word.parts.last_mut()
        && *last == quoting
    {
        text.push(character);
        return;
    }
    word.parts.push(Part::Text(character.into(), quoting));
}
