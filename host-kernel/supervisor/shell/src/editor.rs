//! One line as it is typed: keys to text, history and completion, for a terminal that sends each key
//! as it is pressed and understands the sequences of ECMA-48.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// Longest line in characters.
pub const LINE_LEN_MAX: usize = 1024;

/// Lines that are remembered.
pub const HISTORY_MAX: usize = 64;

/// Suggestions that are shown at once.
const SHOWN_MAX: usize = 64;

/// Columns of a terminal that did not say how many it has.
pub const COLUMNS: usize = 80;

/// Erases from the cursor to the end of the line (ECMA-48 §8.3.41).
const ERASE_TO_END: &str = "\x1b[K";

/// What a key led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The line goes on.
    Edited,
    /// The line is finished.
    Line(String),
    /// Ctrl-C: the line is dropped.
    Interrupted,
    /// Ctrl-D on an empty line: there are no more.
    Ended,
}

/// A line editor with its history.
#[derive(Clone, Debug)]
pub struct Editor {
    prompt: String,
    columns: usize,
    line: Vec<char>,
    cursor: usize,
    /// Lines typed before, oldest first.
    history: VecDeque<String>,
    /// Which of them is shown, and what was typed before it was.
    shown: Option<(usize, Vec<char>)>,
    pending: Pending,
    last_was_return: bool,
}

/// What the next byte belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// A character whose bytes have not all come.
    Character(Vec<u8>),
    /// An escape.
    Escape,
    /// A control sequence: its number so far.
    Sequence(u32),
}

impl Editor {
    /// Returns an editor for a terminal with so many columns.
    #[must_use]
    pub fn new(prompt: &str, columns: usize) -> Self {
        Self {
            prompt: prompt.into(),
            columns: columns.clamp(prompt.len() + 8, 1000),
            line: Vec::new(),
            cursor: 0,
            history: VecDeque::new(),
            shown: None,
            pending: Pending::Nothing,
            last_was_return: false,
        }
    }

    /// Changes what stands before the line.
    pub fn set_prompt(&mut self, prompt: &str) {
        self.prompt = prompt.into();
        self.columns = self.columns.max(prompt.len() + 8);
    }

    /// Returns what shows the line as it is now.
    #[must_use]
    pub fn render(&self) -> String {
        let room = self.columns - self.prompt.len() - 1;
        let start = self.cursor.saturating_sub(room);
        let end = self.line.len().min(start + room);
        let mut text = String::from("\r");
        text.push_str(&self.prompt);
        text.extend(&self.line[start..end]);
        text.push_str(ERASE_TO_END);
        if end > self.cursor {
            text.push_str(&alloc::format!("\x1b[{}D", end - self.cursor));
        }
        text
    }

    /// Takes a byte, and appends to `screen` what the terminal is to show. `complete` returns the
    /// words that could stand at the end of a text.
    pub fn take(
        &mut self,
        byte: u8,
        screen: &mut String,
        complete: &mut dyn FnMut(&str) -> Vec<String>,
    ) -> Key {
        let after_return = core::mem::replace(&mut self.last_was_return, byte == b'\r');
        match core::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Nothing if byte == b'\n' && after_return => return Key::Edited,
            Pending::Nothing => return self.take_plain(byte, screen, complete),
            Pending::Character(bytes) => self.take_character(bytes, byte),
            Pending::Escape => {
                if matches!(byte, b'[' | b'O') {
                    self.pending = Pending::Sequence(0);
                }
            }
            Pending::Sequence(number) => self.take_sequence(number, byte),
        }
        self.show(screen);
        Key::Edited
    }

    fn take_plain(
        &mut self,
        byte: u8,
        screen: &mut String,
        complete: &mut dyn FnMut(&str) -> Vec<String>,
    ) -> Key {
        match byte {
            b'\r' | b'\n' => return self.finish(screen),
            3 => {
                screen.push_str("^C\r\n");
                self.clear();
                return Key::Interrupted;
            }
            4 if self.line.is_empty() => {
                screen.push_str("\r\n");
                return Key::Ended;
            }
            b'\t' => self.complete(screen, complete),
            12 => screen.push_str("\x1b[H\x1b[2J"),
            0x1b => self.pending = Pending::Escape,
            0x20..=0x7e => self.insert(char::from(byte)),
            0xc2..=0xf4 => self.pending = Pending::Character(alloc::vec![byte]),
            _ => self.take_control(byte),
        }
        self.show(screen);
        Key::Edited
    }

    /// Takes a key that moves or erases, by the letters Emacs and shells have for them.
    fn take_control(&mut self, byte: u8) {
        match byte {
            1 => self.cursor = 0,
            2 => self.cursor = self.cursor.saturating_sub(1),
            4 => self.erase(self.cursor, self.cursor + 1),
            5 => self.cursor = self.line.len(),
            6 => self.cursor = (self.cursor + 1).min(self.line.len()),
            8 | 0x7f => self.erase(self.cursor.saturating_sub(1), self.cursor),
            11 => self.erase(self.cursor, self.line.len()),
            14 => self.show_newer(),
            16 => self.show_older(),
            21 => self.erase(0, self.cursor),
            23 => self.erase(self.word_start(), self.cursor),
            _ => {}
        }
    }

    fn take_sequence(&mut self, number: u32, byte: u8) {
        match (byte, number) {
            (b'0'..=b'9', _) if number < 1000 => {
                self.pending = Pending::Sequence(number * 10 + u32::from(byte - b'0'));
            }
            (b';', _) => self.pending = Pending::Sequence(0),
            (b'A', _) => self.show_older(),
            (b'B', _) => self.show_newer(),
            (b'C', _) => self.take_control(6),
            (b'D', _) => self.take_control(2),
            (b'H', _) | (b'~', 1 | 7) => self.cursor = 0,
            (b'F', _) | (b'~', 4 | 8) => self.cursor = self.line.len(),
            (b'~', 3) => self.take_control(4),
            _ => {}
        }
    }

    fn take_character(&mut self, mut bytes: Vec<u8>, byte: u8) {
        bytes.push(byte);
        match core::str::from_utf8(&bytes) {
            Ok(text) => text.chars().for_each(|character| self.insert(character)),
            Err(error) if error.error_len().is_none() => self.pending = Pending::Character(bytes),
            Err(_) => {}
        }
    }

    fn insert(&mut self, character: char) {
        if self.line.len() < LINE_LEN_MAX && !character.is_control() {
            self.line.insert(self.cursor, character);
            self.cursor += 1;
        }
    }

    fn erase(&mut self, from: usize, to: usize) {
        let to = to.min(self.line.len());
        if from < to {
            self.line.drain(from..to);
            self.cursor = from;
        }
    }

    /// Returns where the word before the cursor begins.
    fn word_start(&self) -> usize {
        let before = self.line[..self.cursor].iter().rev();
        let blanks = before.clone().take_while(|it| it.is_whitespace()).count();
        let word = before.skip(blanks).take_while(|it| !it.is_whitespace());
        self.cursor - blanks - word.count()
    }

    fn finish(&mut self, screen: &mut String) -> Key {
        screen.push_str("\r\n");
        let line: String = self.line.iter().collect();
        let is_new = self.history.back() != Some(&line);
        if !line.trim().is_empty() && is_new {
            if self.history.len() == HISTORY_MAX {
                self.history.pop_front();
            }
            self.history.push_back(line.clone());
        }
        self.clear();
        Key::Line(line)
    }

    fn clear(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.shown = None;
    }

    fn show_older(&mut self) {
        let index = match &self.shown {
            None => self.history.len(),
            Some((index, _)) => *index,
        };
        if index == 0 {
            return;
        }
        let typed = match self.shown.take() {
            None => self.line.clone(),
            Some((_, typed)) => typed,
        };
        self.shown = Some((index - 1, typed));
        self.set_line(self.history[index - 1].chars().collect());
    }

    fn show_newer(&mut self) {
        let Some((index, typed)) = self.shown.take() else {
            return;
        };
        match self.history.get(index + 1) {
            Some(line) => {
                let line = line.chars().collect();
                self.shown = Some((index + 1, typed));
                self.set_line(line);
            }
            None => self.set_line(typed),
        }
    }

    fn set_line(&mut self, line: Vec<char>) {
        self.cursor = line.len();
        self.line = line;
    }

    /// Completes the word before the cursor as far as there is no choice, and shows the choices.
    fn complete(&mut self, screen: &mut String, complete: &mut dyn FnMut(&str) -> Vec<String>) {
        let before: String = self.line[..self.cursor].iter().collect();
        let word = before
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default();
        let candidates = complete(&before);
        let candidates = candidates.iter().filter(|it| it.starts_with(word));
        let candidates: Vec<&str> = candidates.map(String::as_str).collect();
        let Some(first) = candidates.first() else {
            screen.push('\x07');
            return;
        };
        let common = candidates
            .iter()
            .fold(*first, |common, it| prefix(common, it));
        let more: Vec<char> = common[word.len()..].chars().collect();
        let is_whole = candidates.len() == 1;
        if more.is_empty() && !is_whole {
            screen.push_str("\r\n");
            for candidate in candidates.iter().take(SHOWN_MAX) {
                screen.push_str(candidate);
                screen.push_str("  ");
            }
            if candidates.len() > SHOWN_MAX {
                screen.push('…');
            }
            screen.push_str("\r\n");
        }
        more.into_iter().for_each(|it| self.insert(it));
        if is_whole {
            self.insert(' ');
        }
    }

    fn show(&self, screen: &mut String) {
        if self.pending == Pending::Nothing {
            screen.push_str(&self.render());
        }
    }
}

/// Returns the text that both begin with.
fn prefix<'a>(one: &'a str, other: &str) -> &'a str {
    let pairs = one.char_indices().zip(other.chars());
    let mut differing = pairs.filter(|((_, a), b)| a != b);
    let end = differing
        .next()
        .map_or(one.len().min(other.len()), |((at, _), _)| at);
    &one[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types keys. Returns the lines that were finished, and what is on the line.
    fn typed(editor: &mut Editor, keys: &str) -> (Vec<String>, String) {
        let mut lines = Vec::new();
        for byte in keys.bytes() {
            let mut screen = String::new();
            let mut complete = |_: &str| {
                let words = ["logs", "ls", "limits", "web-1", "web-2"];
                words.map(String::from).to_vec()
            };
            if let Key::Line(line) = editor.take(byte, &mut screen, &mut complete) {
                lines.push(line);
            }
        }
        (lines, editor.line.iter().collect())
    }

    fn editor() -> Editor {
        Editor::new("denali> ", 80)
    }

    fn line(keys: &str) -> String {
        typed(&mut editor(), keys).1
    }

    #[test]
    fn keys_move_and_erase() {
        for (keys, expected) in [
            ("abc", "abc"),
            ("abc\x7f\x7fx", "ax"),
            ("abc\x01x", "xabc"),
            ("abc\x1b[D\x1b[Dx", "axbc"),
            ("abc\x02\x02\x04", "ac"),
            ("abc\x1b[H\x1b[3~", "bc"),
            ("abc\x1bOH\x1bOFx", "abcx"),
            ("abc def  \x17x", "abc x"),
            ("abc\x02\x0b", "ab"),
            ("abc\x02\x15", "c"),
            ("aö\x7fä", "aä"),
            ("a\u{80}\x00\x1b[200~b", "ab"),
        ] {
            assert_eq!(line(keys), expected, "{keys:?}");
        }
    }

    #[test]
    fn returns_finish_lines_however_they_are_sent() {
        let (lines, rest) = typed(&mut editor(), "one\rtwo\nthree\r\nfour");
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(rest, "four");
    }

    #[test]
    fn history_is_walked_and_what_was_typed_comes_back() {
        let mut editor = editor();
        typed(&mut editor, "one\rtwo\rtwo\r \rtyped");
        assert_eq!(typed(&mut editor, "\x1b[A").1, "two");
        assert_eq!(typed(&mut editor, "\x1b[A").1, "one");
        assert_eq!(typed(&mut editor, "\x1b[A").1, "one");
        assert_eq!(typed(&mut editor, "\x1b[B").1, "two");
        assert_eq!(typed(&mut editor, "\x1b[B\x1b[B").1, "typed");
        let many: String = (0..200)
            .map(|number| alloc::format!("{number}\r"))
            .collect();
        typed(&mut editor, &many);
        assert_eq!(editor.history.len(), HISTORY_MAX);
    }

    #[test]
    fn a_tab_completes_as_far_as_there_is_no_choice() {
        assert_eq!(line("lo\t"), "logs ");
        assert_eq!(line("l\t"), "l");
        assert_eq!(line("logs w\t1"), "logs web-1");
        assert_eq!(line("x\t"), "x");
        let mut screen = String::new();
        let mut editor = editor();
        typed(&mut editor, "l");
        let mut complete = |_: &str| ["logs", "ls"].map(String::from).to_vec();
        editor.take(b'\t', &mut screen, &mut complete);
        assert!(screen.contains("logs  ls"), "{screen:?}");
    }

    #[test]
    fn control_c_drops_the_line_and_control_d_ends() {
        let mut editor = editor();
        let mut screen = String::new();
        let mut none = |_: &str| Vec::new();
        editor.take(b'x', &mut screen, &mut none);
        assert_eq!(editor.take(3, &mut screen, &mut none), Key::Interrupted);
        assert_eq!(editor.take(4, &mut screen, &mut none), Key::Ended);
    }

    #[test]
    fn a_long_line_is_shown_in_part() {
        let mut editor = Editor::new("> ", 20);
        typed(&mut editor, &"x".repeat(3000));
        assert_eq!(editor.line.len(), LINE_LEN_MAX);
        assert!(editor.render().len() < 40);
        typed(&mut editor, "\x01");
        assert!(editor.render().len() < 40);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut editor = Editor::new("> ", 3);
        let mut state = 88_172_645_463_325_252_u64;
        let mut complete = |text: &str| alloc::vec![text.into(), "äb".into(), "äc".into()];
        for _ in 0..200_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let mut screen = String::new();
            let byte = state.to_le_bytes()[0];
            editor.take(byte, &mut screen, &mut complete);
            assert!(editor.cursor <= editor.line.len());
        }
    }
}
