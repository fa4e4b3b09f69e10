//! Sums beside each other, each made of parts.

use super::{COLOURS, WIDTH, begin};
use std::fmt::Write as _;

/// A sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is of.
    pub name: String,
    /// Its parts, in the order of their names in the chart.
    pub parts: Vec<f64>,
}

const LEFT: f64 = 210.0;
const RIGHT: f64 = 80.0;
const TOP: f64 = 56.0;

/// Height of a bar with the room below it.
const STEP: f64 = 24.0;

/// Returns a chart of horizontal bars whose parts have these names.
#[must_use]
pub fn svg(title: &str, parts: &[&str], bars: &[Bar]) -> String {
    let sums = bars.iter().map(|bar| bar.parts.iter().sum::<f64>());
    let most = sums.fold(1.0, f64::max);
    let rows = bars.iter().fold(0.0, |rows, _| rows + 1.0);
    let mut svg = begin(title, TOP + rows * STEP + 12.0, 14.0);
    let mut x = LEFT;
    for (name, colour) in parts.iter().zip(COLOURS) {
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"32\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{:.0}\" y=\"42\">{name}</text>",
            x + 17.0
        );
        x += 120.0;
    }
    let mut y = TOP;
    for bar in bars {
        row(&mut svg, bar, y, (WIDTH - LEFT - RIGHT) / most);
        y += STEP;
    }
    svg + "</svg>\n"
}

/// Draws a bar of `scale` units for each of its value.
fn row(svg: &mut String, bar: &Bar, y: f64, scale: f64) {
    let baseline = y + 12.0;
    let end = LEFT - 8.0;
    // Writing to a string does not fail.
    let _ = writeln!(
        svg,
        "<text x=\"{end:.0}\" y=\"{baseline:.0}\" text-anchor=\"end\">{}</text>",
        bar.name
    );
    let mut x = LEFT;
    for (part, colour) in bar.parts.iter().zip(COLOURS) {
        let width = part * scale;
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>"
        );
        x += width;
    }
    let sum: f64 = bar.parts.iter().sum();
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{baseline:.0}\">{sum:.0}</text>",
        x + 6.0
    );
}

/// Returns the data of a chart as JSON: an object of objects.
#[must_use]
pub fn json(parts: &[&str], bars: &[Bar]) -> String {
    let bar = |bar: &Bar| {
        let named = parts.iter().zip(&bar.parts);
        let parts: Vec<String> = named
            .map(|(name, part)| format!("{name:?}: {part}"))
            .collect();
        format!("  {:?}: {{{}}}", bar.name, parts.join(", "))
    };
    let bars: Vec<String> = bars.iter().map(bar).collect();
    format!("{{\n{}\n}}\n", bars.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width_and_parts_follow_each_other() {
        let bar = |name: &str, parts: &[f64]| Bar {
            name: name.to_owned(),
            parts: parts.to_vec(),
        };
        let bars = [bar("a", &[10.0, 37.0]), bar("b", &[23.5])];
        let drawn = svg("t", &["one", "two"], &bars);
        for part in [
            "x=\"210.0\" y=\"56\" width=\"100.0\"",
            "x=\"310.0\" y=\"56\" width=\"370.0\"",
            "x=\"210.0\" y=\"80\" width=\"235.0\"",
            ">47</text>",
        ] {
            assert!(drawn.contains(part), "no {part} in {drawn}");
        }
        let data = "{\n  \"a\": {\"one\": 10, \"two\": 37},\n  \"b\": {\"one\": 23.5}\n}\n";
        assert_eq!(json(&["one", "two"], &bars), data);
    }
}
