//! A login without a command: a prompt that takes one command a line.
//!
//! There is no terminal emulation: the client's own terminal edits the line.

use super::session::{self, Console};
use crate::commands::LINE_LEN_MAX;
use crate::shared::Shared;
use crate::terminal::{Closed, Stream, Terminal as _};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use denali_protocol::status;

const PROMPT: &[u8] = b"denali> ";

/// Commands that read standard input, which is where the lines come from.
const NEEDS_INPUT: &str = "deploy";

/// Runs commands until the client has no more. Returns the last one's exit status.
pub(super) fn run(
    peer: &str,
    shared: &Shared,
    console: &mut Console<'_, '_, '_>,
) -> Result<u32, Closed> {
    let name = shared.with(|supervisor| supervisor.settings().name.clone());
    let greeting = format!("Denali host {name}. `help` lists the commands, `exit` leaves.\n");
    console.write(Stream::Output, greeting.as_bytes())?;
    let mut last = status::OK;
    loop {
        console.write(Stream::Output, PROMPT)?;
        let Some(line) = read_line(console)? else {
            return Ok(last);
        };
        match line.split_whitespace().next() {
            None => {}
            Some("exit" | "quit") => return Ok(last),
            Some(NEEDS_INPUT) => {
                let advice = b"error: deploy reads a package: use `cargo denali deploy`\n";
                console.write(Stream::Error, advice)?;
                last = status::USAGE;
            }
            Some(_) => last = session::run(&line, peer, shared, console)?,
        }
    }
}

/// Returns the next line, cut where it is too long for a command; `None` at the end of input.
fn read_line(console: &mut Console<'_, '_, '_>) -> Result<Option<String>, Closed> {
    let mut line = Vec::new();
    loop {
        match console.read_byte()? {
            None if line.is_empty() => return Ok(None),
            None | Some(b'\n' | b'\r') => break,
            Some(byte) if line.len() <= LINE_LEN_MAX => line.push(byte),
            Some(_) => {}
        }
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}
