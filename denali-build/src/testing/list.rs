//! The tests of an ELF file: what `#[denali_rt::test]` left in a section of its own.

use anyhow::{Context, Result};
use goblin::elf::Elf;

/// The section with a record for each test.
const SECTION: &str = "denali_test_names";

/// Ends a record.
const RECORD_END: u8 = 0x1e;

/// Separates the fields of a record: path, `#[ignore]`, `#[should_panic]`.
const FIELD_END: char = '\u{1f}';

/// What an attribute's field starts with if the attribute is there; its string follows.
const MARK: char = '!';

/// A test of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// Modules and function.
    pub name: String,
    /// Whether it is ignored, and why.
    pub ignored: Option<String>,
    /// Whether it has to panic, and what the message has to contain.
    pub panics: Option<String>,
}

/// Returns the tests of an ELF file in order of name, by which the service numbers them, too.
///
/// # Errors
///
/// The file or the section is malformed.
pub fn read(bytes: &[u8]) -> Result<Vec<Test>> {
    let elf = Elf::parse(bytes).context("reading the tests of the program")?;
    let section = elf
        .section_headers
        .iter()
        .find(|section| elf.shdr_strtab.get_at(section.sh_name) == Some(SECTION));
    let Some(range) = section.and_then(|section| section.file_range()) else {
        return Ok(Vec::new());
    };
    let records = bytes.get(range).context("the list of tests is cut off")?;
    parse(records)
}

fn parse(records: &[u8]) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for record in records.split(|byte| *byte == RECORD_END) {
        // The linker may leave a gap between two records.
        let record = std::str::from_utf8(record).context("the name of a test is no text")?;
        let record = record.trim_matches('\0');
        if !record.is_empty() {
            tests.push(test(record).with_context(|| format!("`{record:?}` is no test"))?);
        }
    }
    // The service sorts by the whole path, of which the first part is the same for all.
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tests)
}

fn test(record: &str) -> Option<Test> {
    let mut fields = record.split(FIELD_END);
    let (_, name) = fields.next()?.split_once("::")?;
    let mut attribute = || {
        let field = fields.next()?;
        Some(field.strip_prefix(MARK).map(str::to_owned))
    };
    Some(Test {
        name: name.to_owned(),
        ignored: attribute()?,
        panics: attribute()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_tests_in_order_of_name() {
        let records =
            b"web::b::z\x1f!later\x1f\x1e\0\0web::a\x1f\x1f!\x1eweb::b::y\x1f!\x1f!no\x1e";
        let found = parse(records).unwrap();
        let show = |test: &Test| (test.name.clone(), test.ignored.clone(), test.panics.clone());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found.iter().map(show).collect::<Vec<_>>(),
            [
                ("a".to_owned(), None, some("")),
                ("b::y".to_owned(), some(""), some("no")),
                ("b::z".to_owned(), some("later"), None),
            ]
        );
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        assert!(parse(b"web\x1f\x1f\x1e").is_err());
        assert!(parse(b"web::a\x1e").is_err());
        assert!(parse(b"\xff\x1e").is_err());
        assert_eq!(parse(b"").unwrap(), []);
    }
}
