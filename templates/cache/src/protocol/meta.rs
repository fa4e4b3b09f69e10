//! The meta commands: two letters, a key, and flags.

use super::{Command, Refusal, Reply, Words, answer, base64, number, signed, value_len};
use crate::store::{Direction, KEY_MAX, Mode, Put};

/// Longest opaque token in bytes, its letter included.
const OPAQUE_MAX: usize = 33;

/// Which meta command, of those without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVerb {
    /// `mg`
    Get,
    /// `md`
    Delete,
    /// `ma`
    Count,
    /// `me`
    Debug,
}

/// A meta command without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta<'a> {
    /// Which one.
    pub verb: MetaVerb,
    /// The item.
    pub key: Key<'a>,
    /// What its flags ask for.
    pub options: Options,
    /// The flags, many of which are answered one by one.
    pub flags: Flags<'a>,
}

/// `ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaStore<'a> {
    /// The item.
    pub key: Key<'a>,
    /// Length of the value in bytes.
    pub len: usize,
    /// How to put it.
    pub put: Put,
    /// What its flags ask for.
    pub options: Options,
    /// The flags.
    pub flags: Flags<'a>,
}

/// A key as it was sent, and as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// As it was sent.
    pub sent: &'a [u8],
    decoded: Option<([u8; KEY_MAX], usize)>,
}

impl Key<'_> {
    /// Returns the key as it is stored.
    pub fn stored(&self) -> &[u8] {
        match &self.decoded {
            Some((bytes, len)) => &bytes[..*len],
            None => self.sent,
        }
    }

    /// Returns whether it was sent as base64.
    pub fn is_binary(&self) -> bool {
        self.decoded.is_some()
    }
}

/// One flag: a letter, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag<'a> {
    /// The letter.
    pub letter: u8,
    /// The letter and what follows it.
    pub word: &'a [u8],
}

impl<'a> Flag<'a> {
    fn argument(self) -> &'a [u8] {
        &self.word[1..]
    }
}

/// The flags of a command, in the order they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags<'a>(Words<'a>);

impl<'a> Flags<'a> {
    /// Reads flags; what stands before them has been taken.
    pub fn of(words: &'a [u8]) -> Self {
        Self(Words::of(words))
    }

    /// Returns them as they were written.
    pub fn as_written(&self) -> &'a [u8] {
        self.0.rest()
    }
}

impl<'a> Iterator for Flags<'a> {
    type Item = Flag<'a>;

    fn next(&mut self) -> Option<Flag<'a>> {
        self.0.next().map(|word| Flag {
            letter: word[0],
            word,
        })
    }
}

/// What flags ask for, except for what they want to see in the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `b`: the key is base64.
    binary: bool,
    /// `q`: the usual answer is not wanted.
    pub reply: Reply,
    /// `v`: the value is wanted.
    pub value: bool,
    /// `u`: the item is not to count as used.
    pub unused: bool,
    /// `C`: the change to compare with.
    pub compare: Option<u64>,
    /// `E`: the number this change gets.
    pub cas: Option<u64>,
    /// `F`: the client's own flags.
    pub client_flags: u32,
    /// `T`: the new expiry.
    pub exptime: Option<i64>,
    /// `N`: the expiry of an item to be made if there is none.
    pub vivify: Option<i64>,
    /// `R`: the seconds left below which a new value is asked for.
    pub recache: Option<i64>,
    /// `J`: the first number.
    pub initial: u64,
    /// `D`: what to add or subtract.
    pub delta: Option<u64>,
    /// `I`: the item is to become stale.
    pub invalidate: bool,
    /// `x`: the value is to be removed, but the item kept.
    pub empty: bool,
    /// `M`: the mode's letter.
    mode: Option<u8>,
}

impl Options {
    /// Returns which way `ma` counts.
    pub fn direction(&self) -> Result<Direction, Refusal> {
        match self.mode {
            None | Some(b'I' | b'i' | b'+') => Ok(Direction::Up),
            Some(b'D' | b'd' | b'-') => Ok(Direction::Down),
            Some(_) => Err(answer::BAD_COUNT_MODE.into()),
        }
    }

    fn store_mode(&self) -> Result<Mode, Refusal> {
        match self.mode {
            None | Some(b'S' | b's') => Ok(Mode::Set),
            Some(b'E' | b'e') => Ok(Mode::Add),
            Some(b'A' | b'a') => Ok(Mode::Append),
            Some(b'P' | b'p') => Ok(Mode::Prepend),
            Some(b'R' | b'r') => Ok(Mode::Replace),
            Some(_) => Err(answer::BAD_STORE_MODE.into()),
        }
    }
}

/// Reads what follows `m` and a letter.
pub fn parse(letter: u8, mut words: Words<'_>) -> Result<Command<'_>, Refusal> {
    let verb = match letter {
        b'n' => return Ok(Command::MetaNoop),
        b's' => return store(words),
        b'g' => MetaVerb::Get,
        b'd' => MetaVerb::Delete,
        b'a' => MetaVerb::Count,
        b'e' => MetaVerb::Debug,
        _ => return Err(answer::ERROR.into()),
    };
    let sent = words.next().ok_or(match verb {
        MetaVerb::Debug => answer::BAD_FORMAT,
        _ => answer::ERROR,
    })?;
    let sent = super::key(sent)?;
    let known: &[u8] = match verb {
        MetaVerb::Get => b"bcEfhklNOqRstTuvPL",
        MetaVerb::Delete => b"bCEIkOqTxPL",
        MetaVerb::Count => b"bCENJDTMOkqtcvPL",
        MetaVerb::Debug => b"b",
    };
    let flags = Flags(words);
    let options = options(flags.clone(), known).map_err(|refusal| match verb {
        MetaVerb::Get => refusal,
        MetaVerb::Delete | MetaVerb::Count => answer::BAD_FLAG.into(),
        MetaVerb::Debug => answer::BAD_FORMAT.into(),
    })?;
    if verb == MetaVerb::Count {
        options.direction()?;
    }
    Ok(Command::Meta(Meta {
        verb,
        key: decoded(sent, &options)?,
        options,
        flags,
    }))
}

fn store(mut words: Words<'_>) -> Result<Command<'_>, Refusal> {
    let sent = words.next().ok_or(answer::ERROR)?;
    let sent = super::key(sent)?;
    let len = value_len(words.next().ok_or(answer::BAD_FORMAT)?)?;
    let flags = Flags(words);
    store_flags(sent, len, flags).map_err(|refusal| Refusal {
        swallow: len + 2,
        ..refusal
    })
}

fn store_flags<'a>(sent: &'a [u8], len: usize, flags: Flags<'a>) -> Result<Command<'a>, Refusal> {
    let options = options(flags.clone(), b"bcCEFIkMNOqsTPL")?;
    let put = Put {
        mode: options.store_mode()?,
        compare: options.compare,
        stale_if_later: options.invalidate,
        vivify: options.vivify.is_some(),
        cas: options.cas,
    };
    Ok(Command::MetaStore(MetaStore {
        key: decoded(sent, &options)?,
        len,
        put,
        options,
        flags,
    }))
}

fn decoded<'a>(sent: &'a [u8], options: &Options) -> Result<Key<'a>, Refusal> {
    let decoded = match options.binary {
        true => Some(base64::decode(sent).ok_or(answer::BAD_KEY)?),
        false => None,
    };
    Ok(Key { sent, decoded })
}

fn options(flags: Flags<'_>, known: &[u8]) -> Result<Options, Refusal> {
    let mut options = Options::default();
    let mut seen = 0_u128;
    for flag in flags {
        if !known.contains(&flag.letter) {
            return Err(answer::INVALID_FLAG.into());
        }
        if seen & 1 << flag.letter != 0 {
            return Err(answer::DUPLICATE_FLAG.into());
        }
        seen |= 1 << flag.letter;
        read(flag, &mut options)?;
    }
    Ok(options)
}

fn client_flags(digits: &[u8]) -> Result<u32, Refusal> {
    let flags = number(digits).and_then(|flags| u32::try_from(flags).ok());
    flags.ok_or(answer::BAD_FORMAT.into())
}

fn read(flag: Flag<'_>, options: &mut Options) -> Result<(), Refusal> {
    let unsigned = || number(flag.argument()).ok_or(answer::BAD_TOKEN);
    let seconds = || signed(flag.argument()).ok_or(answer::BAD_TOKEN);
    match flag.letter {
        b'b' => options.binary = true,
        b'q' => options.reply = Reply::Unwanted,
        b'v' => options.value = true,
        b'u' => options.unused = true,
        b'I' => options.invalidate = true,
        b'x' => options.empty = true,
        b'C' => options.compare = Some(unsigned()?),
        b'E' => options.cas = Some(unsigned()?),
        b'J' => options.initial = unsigned()?,
        b'D' => options.delta = Some(unsigned()?),
        b'F' => options.client_flags = client_flags(flag.argument())?,
        b'T' => options.exptime = Some(seconds()?),
        b'N' => options.vivify = Some(seconds()?),
        b'R' => options.recache = Some(seconds()?),
        b'M' => match flag.argument() {
            [mode] => options.mode = Some(*mode),
            _ => return Err(answer::BAD_MODE_LEN.into()),
        },
        b'O' if flag.word.len() > OPAQUE_MAX => return Err(answer::OPAQUE_TOO_LONG.into()),
        _ => {}
    }
    Ok(())
}
