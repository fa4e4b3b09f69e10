//! What the boot command line asks for: `measures=auto|off|all|NAME=on|NAME=off`, comma-separated.

use super::measure::Measure;
use core::fmt;

/// What to do where no measure is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Base {
    /// What the CPU needs.
    #[default]
    Auto,
    /// Nothing.
    Off,
    /// Everything the CPU can do.
    All,
}

/// What the boot command line asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    base: Base,
    on: u16,
    off: u16,
}

/// A word that is no request, cut to its place in the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError<'a> {
    word: &'a str,
}

impl fmt::Display for RequestError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "measures={} is unknown and ignored; use auto, off, all, or NAME=on or NAME=off with \
             NAME one of",
            self.word
        )?;
        Measure::ALL
            .iter()
            .try_for_each(|measure| write!(f, " {measure}"))
    }
}

impl Request {
    /// Reads every `measures=` of a command line; of two words that disagree the later holds.
    ///
    /// A word that is unknown does not change the request: `unknown` hears of it.
    pub fn parse<'a>(command_line: &'a str, mut unknown: impl FnMut(RequestError<'a>)) -> Self {
        let mut request = Self::default();
        let words = command_line
            .split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix("measures="))
            .flat_map(|list| list.split(','));
        for word in words {
            if !request.apply(word) {
                unknown(RequestError { word });
            }
        }
        request
    }

    fn apply(&mut self, word: &str) -> bool {
        let base = match word {
            "auto" => Some(Base::Auto),
            "off" => Some(Base::Off),
            "all" => Some(Base::All),
            _ => None,
        };
        if let Some(base) = base {
            self.base = base;
            return true;
        }
        let Some((name, value)) = word.split_once('=') else {
            return false;
        };
        let Some(measure) = Measure::ALL.iter().find(|measure| measure.name() == name) else {
            return false;
        };
        let (set, clear) = match value {
            "on" => (&mut self.on, &mut self.off),
            "off" => (&mut self.off, &mut self.on),
            _ => return false,
        };
        *set |= measure.bit();
        *clear &= !measure.bit();
        true
    }

    /// Returns whether a measure is wanted on a CPU that needs it or not.
    pub(crate) fn wants(&self, measure: Measure, needed: bool) -> bool {
        let named = |set: u16| set & measure.bit() != 0;
        match self.base {
            _ if named(self.on) => true,
            _ if named(self.off) => false,
            Base::Auto => needed,
            Base::Off => false,
            Base::All => true,
        }
    }

    /// Returns whether a measure is switched on by name.
    pub(crate) fn names(&self, measure: Measure) -> bool {
        self.on & measure.bit() != 0
    }
}
