//! Values against a quantity: a line for each kind.

use super::{COLOURS, WIDTH, begin};
use std::fmt::Write as _;

/// One line of a chart.
#[derive(Debug)]
pub struct Series {
    /// What it is of.
    pub name: String,
    /// Where it runs: the quantity, and the value there.
    pub points: Vec<(f64, f64)>,
}

/// How the horizontal axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Evenly.
    Linear,
    /// By orders of magnitude.
    Logarithmic,
}

const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 60.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 190.0;

/// Returns a chart; the vertical axis begins at 0. `labels` are those of the horizontal axis and of the
/// vertical one.
#[must_use]
pub fn svg(title: &str, labels: [&str; 2], axis: Axis, series: &[Series]) -> String {
    let xs: Vec<f64> = series.first().map_or_else(Vec::new, |first| {
        first.points.iter().map(|point| point.0).collect()
    });
    let place = |x: f64| {
        if axis == Axis::Logarithmic {
            x.log10()
        } else {
            x
        }
    };
    let ends = xs.iter().map(|&x| place(x));
    let low = ends.clone().fold(f64::INFINITY, f64::min);
    let high = ends.fold(f64::NEG_INFINITY, f64::max);
    let all = series.iter().flat_map(|line| &line.points);
    let most = all.map(|point| point.1).fold(0.0, f64::max) * 1.05;
    let at_x = |x: f64| LEFT + (place(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let at_y = |y: f64| HEIGHT - BOTTOM - y / most * (HEIGHT - BOTTOM - TOP);
    let mut svg = begin(title, HEIGHT, LEFT);
    for nth in 0..=4 {
        let y = most / 4.0 * f64::from(nth);
        let at = at_y(y);
        let end = WIDTH - RIGHT;
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{end}\" stroke=\"#ddd\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{y:.0}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for &x in &xs {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{x}</text>",
            at_x(x),
            HEIGHT - BOTTOM + 18.0
        );
    }
    let [across, up] = labels;
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{across}</text>\n\
         <text x=\"14\" y=\"{:.0}\" transform=\"rotate(-90 14 {:.0})\" \
         text-anchor=\"middle\">{up}</text>",
        LEFT.midpoint(WIDTH - RIGHT),
        HEIGHT - 14.0,
        HEIGHT / 2.0,
        HEIGHT / 2.0
    );
    for ((line, colour), nth) in series.iter().zip(COLOURS).zip(0..) {
        let points = line.points.iter();
        let path: Vec<String> = points
            .map(|&(x, y)| format!("{:.1},{:.1}", at_x(x), at_y(y)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{:.0}\" y=\"{:.0}\" fill=\"{colour}\">{}</text>",
            path.join(" "),
            WIDTH - RIGHT + 12.0,
            TOP + 20.0 + 20.0 * f64::from(nth),
            line.name
        );
    }
    svg + "</svg>\n"
}

/// Returns the data of a chart as JSON: an object of lists of points.
#[must_use]
pub fn json(series: &[Series]) -> String {
    let line = |line: &Series| {
        let points: Vec<String> = line
            .points
            .iter()
            .map(|(x, y)| format!("[{x:?}, {y:?}]"))
            .collect();
        format!("  {:?}: [{}]", line.name, points.join(", "))
    };
    let lines: Vec<String> = series.iter().map(line).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_where_their_values_are() {
        let series = [Series {
            name: "a".to_owned(),
            points: vec![(1.0, 0.0), (10.0, 50.0), (100.0, 100.0)],
        }];
        let drawn = svg("t", ["x", "y"], Axis::Logarithmic, &series);
        // The middle of the axis, and 50/105 of its height.
        assert!(
            drawn.contains("70.0,360.0 320.0,207.6 570.0,55.2"),
            "{drawn}"
        );
        assert_eq!(
            json(&series),
            "{\n  \"a\": [[1.0, 0.0], [10.0, 50.0], [100.0, 100.0]]\n}\n"
        );
    }
}
