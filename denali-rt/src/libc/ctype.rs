//! `ctype.h`, in C's locale: ASCII alone has classes and cases.

use core::ffi::c_int;

/// Defines the functions of a class each.
macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident: $is_in:expr;)*) => {
        $($(#[$doc])*
        #[cfg_attr(denali, unsafe(no_mangle))]
        pub extern "C" fn $name(character: c_int) -> c_int {
            let is_in: fn(&u8) -> bool = $is_in;
            c_int::from(u8::try_from(character).is_ok_and(|byte| is_in(&byte)))
        })*
    };
}

classes! {
    /// Returns whether it is a letter or a digit.
    isalnum: u8::is_ascii_alphanumeric;
    /// Returns whether it is a letter.
    isalpha: u8::is_ascii_alphabetic;
    /// Returns whether it is ASCII.
    isascii: u8::is_ascii;
    /// Returns whether it is a space or a tab.
    isblank: |byte| matches!(byte, b' ' | b'\t');
    /// Returns whether it is a control character.
    iscntrl: u8::is_ascii_control;
    /// Returns whether it is a decimal digit.
    isdigit: u8::is_ascii_digit;
    /// Returns whether it shows.
    isgraph: u8::is_ascii_graphic;
    /// Returns whether it is a lower-case letter.
    islower: u8::is_ascii_lowercase;
    /// Returns whether it shows or is a space.
    isprint: |byte| matches!(byte, b' '..=b'~');
    /// Returns whether it shows and is neither letter nor digit.
    ispunct: u8::is_ascii_punctuation;
    /// Returns whether it is white space.
    isspace: |byte| is_space(*byte);
    /// Returns whether it is an upper-case letter.
    isupper: u8::is_ascii_uppercase;
    /// Returns whether it is a hexadecimal digit.
    isxdigit: u8::is_ascii_hexdigit;
}

/// Returns whether a byte is white space to C, which counts the vertical tab.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Returns the lower-case letter of an upper-case one, anything else as it is.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn tolower(character: c_int) -> c_int {
    u8::try_from(character).map_or(character, |byte| c_int::from(byte.to_ascii_lowercase()))
}

/// Returns the upper-case letter of a lower-case one, anything else as it is.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn toupper(character: c_int) -> c_int {
    u8::try_from(character).map_or(character, |byte| c_int::from(byte.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The host's functions.
    mod host {
        use core::ffi::c_int;

        unsafe extern "C" {
            pub(super) safe fn isalnum(c: c_int) -> c_int;
            pub(super) safe fn isalpha(c: c_int) -> c_int;
            pub(super) safe fn isblank(c: c_int) -> c_int;
            pub(super) safe fn iscntrl(c: c_int) -> c_int;
            pub(super) safe fn isdigit(c: c_int) -> c_int;
            pub(super) safe fn isgraph(c: c_int) -> c_int;
            pub(super) safe fn islower(c: c_int) -> c_int;
            pub(super) safe fn isprint(c: c_int) -> c_int;
            pub(super) safe fn ispunct(c: c_int) -> c_int;
            pub(super) safe fn isspace(c: c_int) -> c_int;
            pub(super) safe fn isupper(c: c_int) -> c_int;
            pub(super) safe fn isxdigit(c: c_int) -> c_int;
            pub(super) safe fn tolower(c: c_int) -> c_int;
            pub(super) safe fn toupper(c: c_int) -> c_int;
        }
    }

    #[test]
    fn classes_and_cases_are_the_hosts() {
        type Function = extern "C" fn(c_int) -> c_int;
        type Pair = (&'static str, Function, fn(c_int) -> c_int);
        macro_rules! compare {
            ($($name:ident)*) => { [$((stringify!($name), $name as Function, |c| host::$name(c)),)*] };
        }
        let functions: [Pair; 12] = compare!(isalnum isalpha isblank iscntrl
            isdigit isgraph islower isprint ispunct isspace isupper isxdigit);
        for (name, ours, theirs) in functions {
            for c in -1..256 {
                assert_eq!(ours(c) != 0, theirs(c) != 0, "{name}({c})");
            }
        }
        for c in -1..256 {
            assert_eq!(
                (tolower(c), toupper(c)),
                (host::tolower(c), host::toupper(c))
            );
        }
    }
}
