//! `script`: scripts that the host keeps.

use super::{Format, Stop, Words, allow, print, print_json};
use crate::access::Wish;
use crate::releases::nothing_kept;
use crate::shared::Shared;
use crate::supervisor::Failure;
use crate::terminal::{Flow, Terminal};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use denali_abi::convert::usize_to_u64;
use denali_protocol::scripts::{Listed, Script, Trigger};
use denali_protocol::status;
use denali_rt::time;
use denali_shell::limits::SCRIPT_LEN_MAX;
use denali_shell::parser;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    match words.take() {
        Some("put") => {
            allow(Wish::Admin, shared, terminal)?;
            put(words, shared, terminal)
        }
        Some("ls") => list(words, shared, terminal),
        Some("show") => print(terminal, &text_of(words.name()?, shared)?),
        Some("rm") => {
            allow(Wish::Admin, shared, terminal)?;
            remove(words.name()?, shared)
        }
        Some("run") => Err(Stop::usage("script run takes the name of a script")),
        _ => Err(Stop::usage(
            "script takes put, ls, show, run or rm: see `help`",
        )),
    }
}

/// What stands before the name of a script that runs by itself, where a fingerprint stands else.
pub(crate) const OWN: &str = "script ";

/// Returns whether it is a script of the host that gives a command, and no key.
pub(super) fn is_own(who: &str) -> bool {
    who.starts_with(OWN)
}

/// Returns the text of a script that is kept.
pub(super) fn text_of(name: &str, shared: &Shared) -> Result<String, Stop> {
    let scripts = shared.scripts().lock();
    let text = scripts.get(name).map(|script| script.text.clone());
    text.ok_or_else(|| unknown(name))
}

/// Reads a script from standard input.
pub(super) fn receive(terminal: &mut dyn Terminal) -> Result<String, Stop> {
    let mut bytes = Vec::new();
    terminal.receive(&mut |piece| {
        bytes.extend_from_slice(piece);
        if bytes.len() > SCRIPT_LEN_MAX {
            Flow::Enough
        } else {
            Flow::More
        }
    })?;
    if bytes.len() > SCRIPT_LEN_MAX {
        return Err(Stop::usage(format!(
            "a script has at most {SCRIPT_LEN_MAX} bytes"
        )));
    }
    String::from_utf8(bytes).map_err(|_| Stop::usage("a script is UTF-8"))
}

fn put(mut words: Words<'_>, shared: &Shared, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    let on = match words.option("--on")? {
        None => Trigger::Order,
        Some(name) => Trigger::from_name(name).ok_or_else(|| {
            Stop::usage("--on takes order, boot, crash, full or every-Ns with a number N")
        })?,
    };
    let name = words.name()?;
    let text = receive(terminal)?;
    parser::parse(&text).map_err(|error| Stop::usage(error.to_string()))?;
    let script = Script {
        text,
        on,
        by: terminal.who(),
        at: time::wall().as_secs(),
    };
    let keeper = shared
        .keeper()
        .ok_or_else(|| failed(name, nothing_kept()))?;
    if !shared.scripts().lock().insert(name, script.clone()) {
        let message = format!("there are {} scripts already", crate::script::SCRIPTS_MAX);
        return Err(failed(name, Failure::Other(message)));
    }
    let kept = keeper.lock().set_script(name, &script);
    kept.map_err(|error| failed(name, Failure::Other(format!("cannot be kept: {error}"))))
}

fn remove(name: &str, shared: &Shared) -> Result<(), Stop> {
    if !shared.scripts().lock().remove(name) {
        return Err(unknown(name));
    }
    let Some(keeper) = shared.keeper() else {
        return Ok(());
    };
    let gone = keeper.lock().remove_script(name);
    gone.map_err(|error| {
        failed(
            name,
            Failure::Other(format!("cannot be forgotten: {error}")),
        )
    })
}

fn list(mut words: Words<'_>, shared: &Shared, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    let format = words.format();
    words.end()?;
    let scripts = shared.scripts().lock();
    let listed = scripts.iter().map(|(name, script)| Listed {
        name: name.into(),
        on: script.on.name(),
        length: usize_to_u64(script.text.len()),
        by: script.by.clone(),
        at: script.at,
    });
    let listed: Vec<Listed> = listed.collect();
    drop(scripts);
    if format == Format::Json {
        return print_json(terminal, &listed);
    }
    for Listed {
        name,
        on,
        length,
        by,
        at,
    } in &listed
    {
        print(
            terminal,
            &format!("{name}  {on}  {length} bytes  {at}  {by}\n"),
        )?;
    }
    Ok(())
}

fn unknown(name: &str) -> Stop {
    Stop::Failed {
        status: status::NOT_FOUND,
        message: format!(
            "no script `{}`: `script ls` shows those there are",
            name.escape_debug()
        ),
    }
}

fn failed(name: &str, failure: Failure) -> Stop {
    Stop::of_service(&format!("script {name}"), failure)
}
