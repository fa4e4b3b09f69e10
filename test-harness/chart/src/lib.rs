//! Charts of one screen, as SVG.
//!
//! | module    | what it draws                                   |
//! |-----------|-------------------------------------------------|
//! | [`lines`] | values against a quantity, a line for each kind |
//! | [`bars`]  | sums beside each other, each made of parts      |

pub mod bars;
pub mod lines;

use std::fs;
use std::io::Result;
use std::path::Path;

/// Width of a chart.
const WIDTH: f64 = 760.0;

/// Colours that differ in lightness, too.
const COLOURS: [&str; 5] = ["#0b3c8c", "#d1495b", "#2e933c", "#edae49", "#8c8c8c"];

/// Writes a chart and the data it shows, `NAME.svg` and `NAME.json`.
///
/// # Errors
///
/// The folder cannot be written.
pub fn save(folder: &Path, name: &str, svg: &str, json: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{name}.svg")), svg)?;
    fs::write(folder.join(format!("{name}.json")), json)
}

/// Returns the beginning of a chart of this height: a white ground and a title.
fn begin(title: &str, height: f64, left: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"white\"/>\n<text x=\"{left}\" y=\"20\" font-size=\"14\">{title}</text>\n"
    )
}
