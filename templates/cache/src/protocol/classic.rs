//! The classic commands.

use super::{Command, Refusal, Reply, Words, answer, key, number, signed, value_len};
use crate::store::{Direction, Mode};

/// How to retrieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retrieve {
    /// Whether the answer names the change, as with `gets`.
    pub with_cas: bool,
    /// The expiry that items get thereby, as with `gat`.
    pub exptime: Option<i64>,
}

/// How to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreVerb {
    /// What to do with the value.
    pub mode: Mode,
    /// The change that `cas` compares with.
    pub compare: Option<u64>,
}

/// Which statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stats {
    /// Everything counted.
    General,
    /// The limits the server runs with.
    Settings,
    /// Items by class.
    Items,
    /// Memory by class.
    Slabs,
    /// Starts counting anew.
    Reset,
}

/// Reads what follows a verb.
pub fn parse<'a>(verb: &[u8], words: Words<'a>) -> Result<Command<'a>, Refusal> {
    match verb {
        b"get" => retrieve(words, false),
        b"gets" => retrieve(words, true),
        b"gat" => retrieve_and_touch(words, false),
        b"gats" => retrieve_and_touch(words, true),
        b"set" => store(words, Mode::Set),
        b"add" => store(words, Mode::Add),
        b"replace" => store(words, Mode::Replace),
        b"append" => store(words, Mode::Append),
        b"prepend" => store(words, Mode::Prepend),
        b"cas" => compare_and_store(words),
        b"incr" => count(words, Direction::Up),
        b"decr" => count(words, Direction::Down),
        b"touch" => touch(words),
        b"delete" => delete(words),
        b"flush_all" => flush_all(words),
        b"stats" => stats(words),
        b"version" => Ok(Command::Version),
        b"verbosity" => verbosity(words),
        b"quit" => Ok(Command::Quit),
        _ => Err(answer::ERROR.into()),
    }
}

/// Takes as many words as a command needs at least.
fn take<'a, const N: usize>(words: &mut Words<'a>) -> Result<[&'a [u8]; N], Refusal> {
    let mut taken: [&[u8]; N] = [&[]; N];
    for place in &mut taken {
        *place = words.next().ok_or(answer::ERROR)?;
    }
    Ok(taken)
}

/// Reads the one word that may follow a command.
fn reply(mut words: Words<'_>) -> Result<Reply, Refusal> {
    match (words.next(), words.next()) {
        (Some(b"noreply"), None) => Ok(Reply::Unwanted),
        (_, None) => Ok(Reply::Wanted),
        (_, Some(_)) => Err(answer::ERROR.into()),
    }
}

fn retrieve(words: Words<'_>, with_cas: bool) -> Result<Command<'_>, Refusal> {
    if words.clone().next().is_none() {
        return Err(answer::ERROR.into());
    }
    Ok(Command::Retrieve(
        Retrieve {
            with_cas,
            exptime: None,
        },
        words.rest(),
    ))
}

fn retrieve_and_touch(mut words: Words<'_>, with_cas: bool) -> Result<Command<'_>, Refusal> {
    let [exptime] = take(&mut words)?;
    let exptime = Some(signed(exptime).ok_or(answer::BAD_EXPTIME)?);
    Ok(Command::Retrieve(
        Retrieve { with_cas, exptime },
        words.rest(),
    ))
}

fn store(mut words: Words<'_>, mode: Mode) -> Result<Command<'_>, Refusal> {
    let arguments = take(&mut words)?;
    stored(
        arguments,
        StoreVerb {
            mode,
            compare: None,
        },
        reply(words)?,
    )
}

fn compare_and_store(mut words: Words<'_>) -> Result<Command<'_>, Refusal> {
    let arguments = take(&mut words)?;
    let [cas] = take(&mut words)?;
    let reply = reply(words)?;
    let compare = Some(number(cas).ok_or(answer::BAD_FORMAT)?);
    stored(
        arguments,
        StoreVerb {
            mode: Mode::Set,
            compare,
        },
        reply,
    )
}

fn stored<'a>(
    [name, flags, exptime, len]: [&'a [u8]; 4],
    verb: StoreVerb,
    reply: Reply,
) -> Result<Command<'a>, Refusal> {
    let flags = number(flags).and_then(|flags| u32::try_from(flags).ok());
    Ok(Command::Store {
        key: key(name)?,
        verb,
        flags: flags.ok_or(answer::BAD_FORMAT)?,
        exptime: signed(exptime).ok_or(answer::BAD_FORMAT)?,
        len: value_len(len)?,
        reply,
    })
}

fn count(mut words: Words<'_>, direction: Direction) -> Result<Command<'_>, Refusal> {
    let [name, delta] = take(&mut words)?;
    let reply = reply(words)?;
    let key = key(name)?;
    let delta = number(delta).ok_or(answer::BAD_DELTA)?;
    Ok(Command::Count {
        key,
        direction,
        delta,
        reply,
    })
}

fn touch(mut words: Words<'_>) -> Result<Command<'_>, Refusal> {
    let [name, exptime] = take(&mut words)?;
    let reply = reply(words)?;
    let key = key(name)?;
    let exptime = signed(exptime).ok_or(answer::BAD_EXPTIME)?;
    Ok(Command::Touch {
        key,
        exptime,
        reply,
    })
}

/// Old clients send a 0 between key and `noreply`.
fn delete(mut words: Words<'_>) -> Result<Command<'_>, Refusal> {
    let [name] = take(&mut words)?;
    let key = key(name)?;
    let reply = match (words.next(), words.next(), words.next()) {
        (None | Some(b"0"), None, None) => Reply::Wanted,
        (Some(b"noreply"), None, None) | (Some(b"0"), Some(b"noreply"), None) => Reply::Unwanted,
        (_, _, None) => return Err(answer::DELETE_USAGE.into()),
        (_, _, Some(_)) => return Err(answer::ERROR.into()),
    };
    Ok(Command::Delete { key, reply })
}

fn flush_all(mut words: Words<'_>) -> Result<Command<'_>, Refusal> {
    let (delay, reply) = match (words.next(), words.next(), words.next()) {
        (None, ..) => (b"0".as_slice(), Reply::Wanted),
        (Some(b"noreply"), None, _) => (b"0".as_slice(), Reply::Unwanted),
        (Some(delay), Some(b"noreply"), None) => (delay, Reply::Unwanted),
        (Some(delay), _, None) => (delay, Reply::Wanted),
        (_, _, Some(_)) => return Err(answer::ERROR.into()),
    };
    let delay = signed(delay).ok_or(answer::BAD_EXPTIME)?;
    Ok(Command::FlushAll { delay, reply })
}

fn stats(mut words: Words<'_>) -> Result<Command<'_>, Refusal> {
    Ok(Command::Stats(match words.next() {
        None => Stats::General,
        Some(b"settings") => Stats::Settings,
        Some(b"items") => Stats::Items,
        Some(b"slabs") => Stats::Slabs,
        Some(b"reset") => Stats::Reset,
        Some(_) => return Err(answer::ERROR.into()),
    }))
}

fn verbosity(mut words: Words<'_>) -> Result<Command<'_>, Refusal> {
    let [level] = take(&mut words)?;
    match (level, number(level), words.next()) {
        (b"noreply", ..) | (_, Some(_), Some(b"noreply")) => {
            Ok(Command::Verbosity(Reply::Unwanted))
        }
        (_, Some(_), _) => Ok(Command::Verbosity(Reply::Wanted)),
        (_, None, _) => Err(answer::BAD_FORMAT.into()),
    }
}
