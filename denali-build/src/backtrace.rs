//! Names for the addresses in what a service says when it ends.
//!
//! A guest prints a backtrace as a command of `addr2line`, and a host says at which instruction a VM
//! ended; here lies the program's ELF file, which knows their names.

use addr2line::Loader;
use std::path::Path;

/// How the runtime begins the line with the addresses of a backtrace.
const COMMAND: &str = "addr2line -Cfipe ELF-FILE";

/// How a host names the instruction at which a VM ended.
const INSTRUCTION: &str = "(rip 0x";

/// Returns `text` with the calls of backtraces named, as far as `executable` knows them.
pub(crate) fn named(text: &str, executable: &Path) -> String {
    let Ok(lines) = Loader::new(executable) else {
        return text.to_owned();
    };
    let named = text.lines().map(|line| match line.split_once(COMMAND) {
        Some((indent, addresses)) => backtrace(&lines, indent, addresses),
        None => instruction(&lines, line).unwrap_or_else(|| line.to_owned()),
    });
    named.collect::<Vec<_>>().join("\n")
}

/// Returns a line for each call of a backtrace.
fn backtrace(lines: &Loader, indent: &str, addresses: &str) -> String {
    let calls = addresses.split_whitespace().map(|digits| {
        let address = digits.strip_prefix("0x");
        let address = address.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let name = address.and_then(|address| place(lines, address));
        format!("{indent}at {}", name.unwrap_or_else(|| digits.to_owned()))
    });
    calls.collect::<Vec<_>>().join("\n")
}

/// Returns a line that names an instruction with the name of its function.
fn instruction(lines: &Loader, line: &str) -> Option<String> {
    let (head, rest) = line.split_once(INSTRUCTION)?;
    let (digits, tail) = rest.split_once(')')?;
    let address = u64::from_str_radix(digits, 16).ok()?;
    let name = place(lines, address)?;
    Some(format!("{head}{INSTRUCTION}{digits}, {name}){tail}"))
}

/// Returns the functions an instruction belongs to, innermost first, each with its line.
///
/// Functions that the linker left out stay in the line tables, all at address 0: only what lies in the program's code
/// is looked up there.
fn place(lines: &Loader, address: u64) -> Option<String> {
    let code = lines.get_section_range(b".text")?;
    if !(code.begin..code.end).contains(&address) {
        return None;
    }
    let mut found = Vec::new();
    if let Ok(mut frames) = lines.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let Some(name) = frame.function else { continue };
            let name = name
                .demangle()
                .map_or_else(|_| "?".into(), |it| it.into_owned());
            let location = frame.location.as_ref();
            let file = location.and_then(|location| location.file);
            let line = location.and_then(|location| location.line);
            found.push(match (file, line) {
                (Some(file), Some(line)) => format!("{name} ({file}:{line})"),
                _ => name,
            });
        }
    }
    if found.is_empty() {
        let symbol = lines.find_symbol(address)?;
        return Some(format!("{:#}", rustc_demangle::demangle(symbol)));
    }
    Some(found.join(", inlined into "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function of this program to find again.
    #[inline(never)]
    fn landmark() -> usize {
        landmark as fn() -> usize as usize
    }

    #[test]
    fn what_is_no_address_of_the_program_stays_as_it_is() {
        let own = std::env::current_exe().unwrap();
        let text = "ended: divide error (rip 0x1)\n    hello\n    addr2line -Cfipe ELF-FILE 0x1 zz";
        let expected = "ended: divide error (rip 0x1)\n    hello\n    at 0x1\n    at zz";
        assert_eq!(named(text, &own), expected);
        assert_eq!(named(text, Path::new("/nowhere")), text);
    }

    #[test]
    fn an_address_of_the_program_gets_its_name() {
        let own = std::env::current_exe().unwrap();
        let lines = Loader::new(&own).unwrap();
        // The program is loaded somewhere else than it was linked for.
        let here = landmark();
        let base = std::fs::read_to_string("/proc/self/maps").unwrap();
        let base = base.split('-').next().unwrap();
        let base = usize::from_str_radix(base, 16).unwrap();
        let address = u64::try_from(here - base).unwrap();
        let name = place(&lines, address).unwrap();
        assert!(name.contains("landmark"), "{name}");
        let line = format!("crashed (rip {address:#x}) in the end");
        assert!(named(&line, &own).contains("landmark"));
    }
}
