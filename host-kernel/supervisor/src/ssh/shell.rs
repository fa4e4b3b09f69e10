//! A login without a command: a prompt on a terminal, or a script on standard input.

use super::session::{self, Console};
use crate::commands::{self, Commands};
use crate::shared::Shared;
use crate::terminal::{Closed, Stream, Terminal as _};
use alloc::format;
use alloc::string::String;
use denali_shell::editor::{Editor, Key};
use denali_shell::interpreter::{Ended, Interpreter};
use denali_shell::parser;

/// What stands before a line, and before a line that goes on.
const PROMPT: &str = "denali> ";
const PROMPT_ON: &str = "      > ";

/// Runs what the client types or sends. Returns the last exit status.
pub(super) fn run(
    peer: &str,
    shared: &Shared,
    console: &mut Console<'_, '_, '_>,
) -> Result<u32, Closed> {
    let Some(columns) = console.columns() else {
        return session::run("sh", peer, shared, console);
    };
    greet(shared, console)?;
    let mut editor = Editor::new(PROMPT, columns);
    let mut shell = Interpreter::default();
    while let Some(text) = next_script(&mut editor, shared, console)? {
        if matches!(text.trim(), "exit" | "quit") {
            break;
        }
        // What is typed at one prompt is a script of its own.
        shell.begin_line();
        let mut host = Commands::new(shared, console);
        host.input_is_taken = true;
        match shell.run(&text, &mut host) {
            Ok(Ended { status, .. }) => log_line(peer, text.trim(), status),
            Err(_) if console.take_interrupt() => {
                console.write(Stream::Error, b"^C\n")?;
            }
            Err(_) => return Err(Closed),
        }
    }
    Ok(shell.status())
}

fn greet(shared: &Shared, console: &mut Console<'_, '_, '_>) -> Result<(), Closed> {
    let name = shared.with(|supervisor| supervisor.settings().name.clone());
    let greeting = format!("Denali host {name}. `help` lists the commands, `exit` leaves.\n");
    console.write(Stream::Output, greeting.as_bytes())
}

fn log_line(peer: &str, line: &str, status: u32) {
    if !line.is_empty() {
        let shown = line.escape_debug();
        log::info!("{peer}: {shown}: status {status}");
    }
}

/// Returns the next lines typed that are a script together; `None` at the end of input.
fn next_script(
    editor: &mut Editor,
    shared: &Shared,
    console: &mut Console<'_, '_, '_>,
) -> Result<Option<String>, Closed> {
    let mut script = String::new();
    loop {
        let prompt = if script.is_empty() { PROMPT } else { PROMPT_ON };
        editor.set_prompt(prompt);
        match type_line(editor, shared, console)? {
            Typed::Line(line) => {
                script.push_str(&line);
                script.push('\n');
            }
            Typed::Dropped => script.clear(),
            Typed::End if script.is_empty() => return Ok(None),
            // What is missing is said when it is run.
            Typed::End => return Ok(Some(script)),
        }
        let goes_on = parser::parse(&script).is_err_and(|error| error.is_incomplete);
        if !goes_on {
            return Ok(Some(script));
        }
    }
}

enum Typed {
    Line(String),
    Dropped,
    End,
}

/// Lets a person type a line.
fn type_line(
    editor: &mut Editor,
    shared: &Shared,
    console: &mut Console<'_, '_, '_>,
) -> Result<Typed, Closed> {
    console.write_raw(editor.render().as_bytes())?;
    loop {
        let Some(byte) = console.read_byte()? else {
            return Ok(Typed::End);
        };
        let mut screen = String::new();
        let mut complete = |before: &str| commands::complete(before, shared);
        let key = editor.take(byte, &mut screen, &mut complete);
        console.write_raw(screen.as_bytes())?;
        match key {
            Key::Edited => {}
            Key::Line(line) => return Ok(Typed::Line(line)),
            Key::Interrupted => return Ok(Typed::Dropped),
            Key::Ended => return Ok(Typed::End),
        }
    }
}
