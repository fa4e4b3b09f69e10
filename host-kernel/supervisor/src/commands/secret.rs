//! `secret`: values of a service's environment that are never shown.

use super::{Format, Stop, Words, allow, print, print_json};
use crate::access::Wish;
use crate::keeper::Keeper;
use crate::releases::nothing_kept;
use crate::shared::Shared;
use crate::supervisor::Failure;
use crate::terminal::{Flow, Terminal};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use denali_protocol::releases::Secrets;
use denali_protocol::status;
use denali_rt::sync::Mutex;

/// Longest secret in bytes.
const SECRET_LEN_MAX: usize = 2048;

/// Longest key in bytes.
const KEY_LEN_MAX: usize = 64;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let key = words.option("--key")?;
    let verb = words.take().ok_or_else(usage)?;
    let name = words.name()?;
    if verb != "ls" {
        allow(Wish::Change(name), shared, terminal)?;
    }
    let keeper = shared
        .keeper()
        .ok_or_else(|| Stop::of_service(name, nothing_kept()))?;
    match (verb, key) {
        ("set", Some(key)) => set(name, check_key(key)?, keeper, terminal),
        ("rm", Some(key)) => {
            let removed = keeper.lock().remove_secret(name, check_key(key)?);
            match removed.map_err(|error| not_kept(name, error))? {
                true => print(terminal, &format!("{name}: {key} is forgotten\n")),
                false => Err(Stop::Failed {
                    status: status::NOT_FOUND,
                    message: format!("{name} has no secret `{}`", key.escape_debug()),
                }),
            }
        }
        ("ls", None) => list(name, format, keeper, terminal),
        _ => Err(usage()),
    }
}

fn set(
    name: &str,
    key: &str,
    keeper: &Mutex<Keeper>,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let mut value = Vec::new();
    terminal.receive(&mut |piece| {
        value.extend_from_slice(piece);
        if value.len() > SECRET_LEN_MAX + 1 {
            Flow::Enough
        } else {
            Flow::More
        }
    })?;
    // As typed or echoed.
    if value.last() == Some(&b'\n') {
        value.pop();
    }
    let text = String::from_utf8(value).ok();
    let sound = |text: &String| text.len() <= SECRET_LEN_MAX && !text.contains('\0');
    let text = text.filter(sound).ok_or_else(|| {
        Stop::usage(format!(
            "a secret is text of at most {SECRET_LEN_MAX} bytes without NUL"
        ))
    })?;
    let kept = keeper.lock().set_secret(name, key, text.as_bytes());
    kept.map_err(|error| not_kept(name, error))?;
    print(
        terminal,
        &format!("{name}: {key} is kept; deploy or roll back to have it take effect\n"),
    )
}

fn list(
    name: &str,
    format: Format,
    keeper: &Mutex<Keeper>,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let keys = keeper.lock().secret_keys(name);
    match format {
        Format::Json => print_json(
            terminal,
            &Secrets {
                name: name.into(),
                keys,
            },
        ),
        Format::Human => {
            for key in keys {
                print(terminal, &format!("{key}\n"))?;
            }
            Ok(())
        }
    }
}

fn check_key(key: &str) -> Result<&str, Stop> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if key.len() <= KEY_LEN_MAX && key.bytes().all(plain) {
        return Ok(key);
    }
    Err(Stop::usage(
        "--key takes letters, digits and `_`, at most 64",
    ))
}

fn not_kept(name: &str, error: denali_store::Error) -> Stop {
    Stop::of_service(name, Failure::Other(format!("cannot be kept: {error}")))
}

fn usage() -> Stop {
    Stop::usage("secret takes set, ls or rm: see `help`")
}
