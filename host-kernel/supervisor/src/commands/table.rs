//! Tables and quantities for people to read.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use denali_protocol::PublishedPort;

/// Widths of columns, which grow as wider cells come.
#[derive(Debug, Default)]
pub struct Columns {
    widths: Vec<usize>,
}

impl Columns {
    /// Returns `rows` as lines, aligned with each other and, as far as that can be known, with what
    /// comes later.
    #[must_use]
    pub fn render(&mut self, rows: &[Vec<String>]) -> String {
        for row in rows {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in rows {
            let mut line = String::new();
            for (width, cell) in self.widths.iter().zip(row) {
                let width = *width;
                line.push_str(&format!("{cell:<width$}  "));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Returns published ports as `8080->80/tcp`, or `-`.
#[must_use]
pub fn ports(ports: &[PublishedPort]) -> String {
    let mut text = String::new();
    for port in ports {
        let separator = if text.is_empty() { "" } else { " " };
        let protocol = crate::table::transport_name(port.protocol);
        text.push_str(&format!(
            "{separator}{}->{}/{protocol}",
            port.host, port.guest
        ));
    }
    if text.is_empty() { "-".into() } else { text }
}

/// Returns a number of bytes in KiB.
#[must_use]
pub fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes / 1024)
}

/// Returns a duration in its two largest units, or in milliseconds below a second.
#[must_use]
pub fn duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 => format!("{} ms", ns / 1_000_000),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use denali_protocol::Transport;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["NAME".into(), "STATE".into()],
            vec!["a-long-name".into(), "idle".into()],
        ];
        let mut columns = Columns::default();
        assert_eq!(
            columns.render(&rows),
            "NAME         STATE\na-long-name  idle\n"
        );
        assert_eq!(
            columns.render(&[vec!["b".into(), "idle".into()]]),
            "b            idle\n"
        );
    }

    #[test]
    fn durations_show_their_largest_units() {
        const S: u64 = 1_000_000_000;
        let cases = [
            (1_500_000, "1 ms"),
            (59 * S, "59 s"),
            (61 * S, "1 min 1 s"),
            (3_660 * S, "1 h 1 min"),
            (90_000 * S, "1 d 1 h"),
        ];
        for (ns, text) in cases {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn ports_show_host_then_guest() {
        let tcp = PublishedPort {
            host: 8080,
            guest: 80,
            protocol: Transport::Tcp,
        };
        let udp = PublishedPort {
            protocol: Transport::Udp,
            ..tcp
        };
        assert_eq!(ports(&[tcp, udp]), "8080->80/tcp 8080->80/udp");
        assert_eq!(ports(&[]), "-");
    }
}
