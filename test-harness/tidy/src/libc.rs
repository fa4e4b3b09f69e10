//! The C library: what is exported, what the headers declare and what the table says agree.

use super::{Finding, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The page with the table of functions.
const PAGE: &str = "docs/src/reference/libc.md";

/// Where functions are exported from.
const EXPORTING: [&str; 2] = ["denali-rt/src/libc", "host-kernel/freestanding/src/mem.rs"];

/// Where the headers are.
const HEADERS: &str = "denali-rt/include";

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    header: String,
    status: String,
}

/// Checks sources, headers and table against one another.
#[must_use]
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let Some(page) = sources.iter().find(|source| source.path == Path::new(PAGE)) else {
        return vec![Finding {
            path: PAGE.into(),
            line: 0,
            message: "the page is missing".into(),
        }];
    };
    let exported = exported(sources);
    let rows = rows(&page.text);
    let mut findings = Vec::new();
    for name in exported.iter().filter(|name| !rows.contains_key(*name)) {
        findings.push(page.finding(0, format!("`{name}` is exported, but not in the table")));
    }
    for (name, row) in &rows {
        let is_exported = exported.contains(name);
        let message = match row.status.as_str() {
            "there" | "partial" if !is_exported => "is in the table, but not exported",
            "absent" if is_exported => "is exported, but absent in the table",
            "there" | "partial" | "absent" => continue,
            _ => "is neither there, partial nor absent",
        };
        findings.push(page.finding(row.line, format!("`{name}` {message}")));
    }
    findings.extend(check_headers(sources, page, &rows, &exported));
    findings
}

/// Checks that headers declare what is exported, and that each row names its header.
fn check_headers(
    sources: &[Source],
    page: &Source,
    rows: &BTreeMap<String, Row>,
    exported: &BTreeSet<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut declared: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for header in sources.iter().filter(|source| source.has_extension("h")) {
        let Ok(path) = header.path.strip_prefix(HEADERS) else {
            continue;
        };
        let names = declarations(&header.text);
        for name in names.iter().filter(|name| !exported.contains(*name)) {
            findings.push(header.finding(0, format!("declares `{name}`, which is not exported")));
        }
        declared.insert(path.display().to_string(), names);
    }
    for (name, row) in rows.iter().filter(|(_, row)| row.status != "absent") {
        let names = declared.get(&row.header);
        if row.header != "–" && !names.is_some_and(|names| names.contains(name)) {
            let message = format!("`{name}` is not declared in `{}`", row.header);
            findings.push(page.finding(row.line, message));
        }
    }
    findings
}

/// Returns the names that the library exports.
fn exported(sources: &[Source]) -> BTreeSet<String> {
    exported_below(sources, &EXPORTING)
}

/// Returns the names that are exported by the sources below any of `paths`.
#[must_use]
pub fn exported_below(sources: &[Source], paths: &[&str]) -> BTreeSet<String> {
    let exporting = |source: &&Source| {
        source.has_extension("rs")
            && !source.is_test()
            && paths.iter().any(|path| source.path.starts_with(path))
    };
    sources
        .iter()
        .filter(exporting)
        .flat_map(|source| exports(&source.text))
        .collect()
}

/// Returns the names that a file exports: of items with the attribute, and of macros that add it.
fn exports(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_marked = false;
    let mut in_macro = false;
    for line in text.lines() {
        let begins_macro = matches!(line, "variadic! {" | "classes! {");
        in_macro = (in_macro || begins_macro) && line != "}";
        let line = line.trim();
        if line.contains("unsafe(no_mangle)") {
            is_marked = true;
        } else if begins_macro || line.contains("fn $") {
            // A macro's name, or its definition.
            is_marked = false;
        } else if (is_marked || in_macro)
            && let Some(name) = item_name(line, in_macro)
        {
            names.insert(name);
            is_marked = false;
        }
    }
    names
}

/// Returns the name of a function or static, if one begins in this line.
fn item_name(line: &str, in_macro: bool) -> Option<String> {
    if line.starts_with("//") || line.starts_with('#') {
        return None;
    }
    let after = ["fn ", "static "]
        .iter()
        .find_map(|word| line.split_once(word).map(|(_, rest)| rest));
    let after = after.or_else(|| in_macro.then_some(line))?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let len = after.find(|c| !is_part(c)).unwrap_or(after.len());
    (len > 0).then(|| after[..len].to_owned())
}

/// Returns the names that a header declares: functions and variables, by their link names.
fn declarations(text: &str) -> BTreeSet<String> {
    let mut in_directive = false;
    let mut code = String::new();
    for line in text.lines() {
        in_directive |= line.starts_with('#');
        if !in_directive {
            code.push_str(line);
            code.push(' ');
        }
        // A directive goes on behind a backslash.
        in_directive &= line.ends_with('\\');
    }
    let code = without_blocks(&without_comments(&code));
    code.split(';').filter_map(declaration).collect()
}

fn without_comments(code: &str) -> String {
    let mut parts = code.split("/*");
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        left.push_str(part.split_once("*/").map_or("", |(_, rest)| rest));
    }
    left
}

fn without_blocks(code: &str) -> String {
    let mut depth = 0_u32;
    code.chars()
        .filter(|c| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect()
}

fn declaration(statement: &str) -> Option<String> {
    let statement = statement.trim();
    let before_arguments = statement.split('(').next().unwrap_or_default();
    let is_type = statement.starts_with("struct") && !before_arguments.contains('*');
    if statement.starts_with("typedef") || is_type {
        return None;
    }
    if let Some((_, label)) = statement.split_once("__asm__(\"") {
        return label.split('"').next().map(str::to_owned);
    }
    let head = match statement.split_once('(') {
        Some((head, _)) => head,
        None => statement.strip_prefix("extern ")?,
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = head.trim_end().rsplit(|c| !is_part(c)).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Returns the rows of the table by name: `| name | header | status | notes |`.
fn rows(text: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, names, header, status, ..] = cells.as_slice() else {
            continue;
        };
        if !names.starts_with('`') {
            continue;
        }
        for name in names.split(',') {
            let row = Row {
                line: number + 1,
                header: header.trim_matches('`').to_owned(),
                status: (*status).to_owned(),
            };
            rows.insert(name.trim().trim_matches('`').to_owned(), row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.into(),
            text: text.into(),
        }
    }

    const CODE: &str = "#[cfg_attr(denali, unsafe(no_mangle))]\n#[expect(x, reason = \"y\")]\n\
                        pub extern \"C\" fn abs(number: c_int) -> c_int {\n}\n\
                        pub extern \"C\" fn hidden() {}\n\
                        classes! {\n    /// Doc.\n    isx: u8::is_x;\n}\n";

    fn messages(table: &str, header: &str) -> Vec<String> {
        let sources = [
            source("denali-rt/src/libc/a.rs", CODE),
            source("denali-rt/include/a.h", header),
            source(PAGE, table),
        ];
        check(&sources).into_iter().map(|f| f.message).collect()
    }

    #[test]
    fn what_agrees_passes() {
        let header = "/* X. */\n#pragma once\nstruct s { int (*f)(void); };\n\
                      _Noreturn int abs(int (*f)(void));\nint isx(int c);\n";
        let table = "| `abs`, `isx` | `a.h` | there | |\n| `fork` | – | absent | no |\n";
        assert_eq!(messages(table, header), [""; 0]);
    }

    #[test]
    fn each_disagreement_is_found() {
        let found = messages(
            "| `abs` | `a.h` | absent | |\n| `fork` | `b.h` | there | |\n",
            "",
        );
        assert!(
            found[0].contains("`isx` is exported, but not in the table"),
            "{found:?}"
        );
        assert!(
            found[1].contains("`abs` is exported, but absent"),
            "{found:?}"
        );
        assert!(
            found[2].contains("`fork` is in the table, but not exported"),
            "{found:?}"
        );
        assert!(found[3].contains("not declared in `b.h`"), "{found:?}");
        let found = messages("| `abs`, `isx` | – | maybe | |\n", "extern int fork;\n");
        assert!(found[0].contains("neither there"), "{found:?}");
        assert!(found[2].contains("declares `fork`"), "{found:?}");
    }

    #[test]
    fn link_names_count() {
        assert!(declarations("int strerror_r(int n) __asm__(\"__x\");").contains("__x"));
        assert!(declarations("extern char **environ;").contains("environ"));
    }
}
