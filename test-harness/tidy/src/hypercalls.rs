//! The tables of the hypercall reference: made from the ABI's documentation, with measured costs.
//!
//! Number, arguments, meaning and errors are those of `enum Hypercall`. The cost is what the harness
//! counted last (its suite `hypercalls`), and is kept in the page alone.

use super::{Finding, Source};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The page.
pub const PAGE: &str = "docs/src/reference/hypercalls.md";

/// Where hypercalls are declared.
pub const DECLARATION: &str = "host-kernel/abi/src/hypercall.rs";

/// How to make the page anew.
const REMEDY: &str = "make it anew: DENALI_RECORD=1 cargo test -p test-harness --test hypercalls";

/// Instructions a call costs, by name.
pub type Costs = BTreeMap<String, u64>;

/// One hypercall as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    name: String,
    base: String,
    number: String,
    arguments: String,
    meaning: String,
    errors: String,
}

/// Returns a finding if the page does not say what the ABI says.
#[must_use]
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let find = |path: &str| sources.iter().find(|source| source.path.ends_with(path));
    let (Some(page), Some(declaration)) = (find(PAGE), find(DECLARATION)) else {
        return Vec::new();
    };
    if render(&page.text, &declaration.text, &costs(&page.text)) == page.text {
        return Vec::new();
    }
    let message = format!("is out of step with {DECLARATION}; {REMEDY}");
    vec![page.finding(0, message)]
}

/// Returns the costs that a page tells.
#[must_use]
pub fn costs(page: &str) -> Costs {
    let cells = page.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells.get(1)?.trim_matches('`');
        let cost = cells.last()?.replace(',', "").parse().ok()?;
        Some((name.to_owned(), cost))
    });
    cells.collect()
}

/// Returns the page with its tables made anew.
#[must_use]
pub fn render(page: &str, declaration: &str, costs: &Costs) -> String {
    let calls = parse(declaration);
    let mut rendered = String::new();
    let mut rest = page;
    for base in ["HYPERCALL_BASE", "CONTROL_BASE"] {
        let start = format!("<!-- made from {base} -->\n");
        let Some((before, behind)) = rest.split_once(&start) else {
            break;
        };
        rendered += before;
        rendered += &start;
        rendered += &table(&calls, base, costs);
        rest = behind.find("\n\n").map_or("", |end| &behind[end + 1..]);
    }
    rendered + rest
}

fn table(calls: &[Call], base: &str, costs: &Costs) -> String {
    let mut table = String::from(
        "| number | call | arguments | what it does | errors | cost |\n|---|---|---|---|---|---:|\n",
    );
    for call in calls.iter().filter(|call| call.base == base) {
        let Call {
            name,
            number,
            arguments,
            meaning,
            errors,
            ..
        } = call;
        let cost = costs
            .get(name)
            .map_or_else(String::new, |&cost| grouped(cost));
        writeln!(
            table,
            "| +{number} | `{name}` | {arguments} | {meaning} | {errors} | {cost} |"
        )
        .expect("a string takes everything");
    }
    table
}

/// Reads the variants of the enumeration and what is said of them.
fn parse(declaration: &str) -> Vec<Call> {
    let body = declaration.split_once("pub enum Hypercall {");
    let body = body.and_then(|(_, behind)| behind.split_once("\n}"));
    let mut calls = Vec::new();
    let mut text = String::new();
    for line in body.map_or("", |(body, _)| body).lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("///") {
            text.push_str(said);
        } else if let Some((variant, value)) = line.trim_end_matches(',').split_once(" = ") {
            let (base, number) = value.split_once(" + ").unwrap_or((value, "0"));
            calls.push(Call {
                name: snake_case(variant),
                base: base.to_owned(),
                number: number.to_owned(),
                ..described(&text)
            });
            text.clear();
        }
    }
    calls
}

/// Takes "`(arguments)`: what it does. Errors: these." apart.
fn described(text: &str) -> Call {
    let (arguments, rest) = text.trim().split_once(": ").unwrap_or(("", text));
    let (meaning, errors) = rest.split_once(" Errors: ").unwrap_or((rest, ""));
    let arguments = arguments.trim_matches(['`', '(', ')']).split(", ");
    let arguments: Vec<_> = arguments
        .filter(|argument| !argument.is_empty())
        .map(|argument| format!("`{argument}`"))
        .collect();
    Call {
        name: String::new(),
        base: String::new(),
        number: String::new(),
        arguments: arguments.join(", "),
        meaning: without_links(meaning),
        errors: errors.trim_end_matches('.').to_owned(),
    }
}

/// Makes "[`X`](path)" and "[`X`]" a plain "`X`".
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("[`") {
        let Some((word, after)) = behind.split_once("`]") else {
            break;
        };
        plain.push_str(before);
        plain.push_str(&format!("`{}`", word.rsplit("::").next().unwrap_or(word)));
        rest = match after
            .strip_prefix('(')
            .and_then(|link| link.split_once(')'))
        {
            Some((_, behind)) => behind,
            None => after,
        };
    }
    plain + rest
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// Writes a number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &str = "pub enum Hypercall {
    /// `(address, length)`: fills memory, at most [`MAX`], as
    /// [`crate::Other`](there) says. Returns 0. Errors: `BadAddress`.
    RandomBytes = HYPERCALL_BASE + 5,
    /// `()`: waits. Returns 0.
    Wait = CONTROL_BASE,
}
";

    #[test]
    fn the_tables_are_made_of_what_the_abi_says() {
        let page = "before\n\n<!-- made from HYPERCALL_BASE -->\nold\n\nbetween\n\n\
                    <!-- made from CONTROL_BASE -->\nold\n\nbehind\n";
        let costs = Costs::from([("random_bytes".to_owned(), 12_345)]);
        let made = render(page, DECLARED, &costs);
        let row = "| +5 | `random_bytes` | `address`, `length` | fills memory, at most `MAX`, as \
                   `Other` says. Returns 0. | `BadAddress` | 12,345 |\n\nbetween";
        assert!(made.contains(row), "{made}");
        assert!(made.contains("| +0 | `wait` |  | waits. Returns 0. |  |  |\n\nbehind"));
        assert!(!made.contains("old"));
        assert_eq!(render(&made, DECLARED, &super::costs(&made)), made);
    }
}
