//! What a service may take of CPU and network, in numbers and as people write it.

use alloc::format;
use alloc::string::String;
use core::fmt;
use denali_abi::control::{self as abi, CAP_WHOLE, WEIGHT_DEFAULT, WEIGHT_MAX};
use serde::{Deserialize, Serialize};

/// What a service may take. The default is the default weight, and no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Its part of a busy CPU in proportion to the weights of others, 1 to 10,000.
    pub cpu_weight: u32,
    /// The most CPU time in thousandths of one CPU, 1 to 1,000.
    pub cpu_cap: Option<u32>,
    /// The most frames a second, in each direction.
    pub packets_per_second: Option<u64>,
    /// The most bytes of frames a second, in each direction.
    pub bytes_per_second: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_weight: WEIGHT_DEFAULT,
            cpu_cap: None,
            packets_per_second: None,
            bytes_per_second: None,
        }
    }
}

impl Limits {
    /// Returns whether nothing was asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether each value is in its range.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (1..=WEIGHT_MAX).contains(&self.cpu_weight)
            && self
                .cpu_cap
                .is_none_or(|cap| (1..=CAP_WHOLE).contains(&cap))
            && self.packets_per_second != Some(0)
            && self.bytes_per_second != Some(0)
    }

    /// Returns the limits as the kernel takes them.
    #[must_use]
    pub fn to_abi(&self) -> abi::Limits {
        abi::Limits {
            cpu_weight: self.cpu_weight,
            cpu_cap: self.cpu_cap.unwrap_or(0),
            packet_rate: self.packets_per_second.unwrap_or(0),
            byte_rate: self.bytes_per_second.unwrap_or(0),
        }
    }

    /// Returns the limits the kernel tells of.
    #[must_use]
    pub fn from_abi(limits: &abi::Limits) -> Self {
        Self {
            cpu_weight: limits.weight(),
            cpu_cap: Some(limits.cpu_cap).filter(|&cap| cap != 0),
            packets_per_second: Some(limits.packet_rate).filter(|&rate| rate != 0),
            bytes_per_second: Some(limits.byte_rate).filter(|&rate| rate != 0),
        }
    }

    /// Returns the cap as people write it: `0.5`, or `-` for none.
    #[must_use]
    pub fn cap_text(&self) -> String {
        self.cpu_cap.map_or_else(
            || "-".into(),
            |cap| {
                let text = format!("{}.{:03}", cap / CAP_WHOLE, cap % CAP_WHOLE);
                text.trim_end_matches('0').trim_end_matches('.').into()
            },
        )
    }

    /// Returns the packet rate as people write it: `10k/s`, or `-` for none.
    #[must_use]
    pub fn packets_text(&self) -> String {
        rate_text(self.packets_per_second)
    }

    /// Returns the byte rate as people write it: `1M/s`, or `-` for none.
    #[must_use]
    pub fn bytes_text(&self) -> String {
        rate_text(self.bytes_per_second)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "weight {}, cap {}, packets {}, bytes {}",
            self.cpu_weight,
            self.cap_text(),
            self.packets_text(),
            self.bytes_text()
        )
    }
}

/// Decimal prefixes, largest first.
const PREFIXES: [(char, u64); 3] = [('G', 1_000_000_000), ('M', 1_000_000), ('k', 1_000)];

fn rate_text(rate: Option<u64>) -> String {
    let Some(rate) = rate else { return "-".into() };
    let prefix = PREFIXES
        .into_iter()
        .find(|(_, factor)| rate.is_multiple_of(*factor));
    match prefix {
        Some((letter, factor)) => format!("{}{letter}/s", rate / factor),
        None => format!("{rate}/s"),
    }
}

/// Parses a rate above 0: `500/s`, `10k/s`, `1M/s`, `2G/s`, in powers of ten.
#[must_use]
pub fn parse_rate(text: &str) -> Option<u64> {
    let amount = text.strip_suffix("/s")?;
    let (digits, factor) = PREFIXES
        .into_iter()
        .find_map(|(letter, factor)| Some((amount.strip_suffix(letter)?, factor)))
        .unwrap_or((amount, 1));
    let rate = parse_digits(digits)?.checked_mul(factor)?;
    Some(rate).filter(|&rate| rate != 0)
}

/// Parses a part of one CPU above 0 into thousandths: `1`, `0.5`, `0.025`.
#[must_use]
pub fn parse_cap(text: &str) -> Option<u32> {
    const DECIMALS: usize = 3;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.len() > DECIMALS {
        return None;
    }
    let padded = format!("{decimals:0<DECIMALS$}");
    let thousandths = parse_digits(whole)?
        .checked_mul(u64::from(CAP_WHOLE))?
        .checked_add(parse_digits(&padded)?)?;
    u32::try_from(thousandths)
        .ok()
        .filter(|cap| (1..=CAP_WHOLE).contains(cap))
}

/// Parses a weight from 1 to 10,000.
#[must_use]
pub fn parse_weight(text: &str) -> Option<u32> {
    let weight = u32::try_from(parse_digits(text)?).ok()?;
    Some(weight).filter(|weight| (1..=WEIGHT_MAX).contains(weight))
}

/// Parses digits and nothing else.
fn parse_digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written() {
        for (text, rate) in [
            ("1/s", 1),
            ("500/s", 500),
            ("10k/s", 10_000),
            ("1500k/s", 1_500_000),
            ("1M/s", 1_000_000),
            ("2G/s", 2_000_000_000),
        ] {
            assert_eq!(parse_rate(text), Some(rate), "{text}");
            assert_eq!(rate_text(Some(rate)), text);
        }
        for text in [
            "",
            "/s",
            "k/s",
            "0/s",
            "5",
            "1.5k/s",
            "-1/s",
            "+1/s",
            "1K/s",
            "99999999999G/s",
        ] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn caps_are_read_as_they_are_written() {
        for (text, cap) in [("1", 1000), ("0.5", 500), ("0.025", 25), ("0.001", 1)] {
            assert_eq!(parse_cap(text), Some(cap), "{text}");
            let limits = Limits {
                cpu_cap: Some(cap),
                ..Limits::default()
            };
            assert_eq!(limits.cap_text(), text);
        }
        for text in [
            "", "0", "0.0", "1.1", "2", ".", "0.0005", "-1", "1e-1", "nan",
        ] {
            assert_eq!(parse_cap(text), None, "{text}");
        }
    }

    #[test]
    fn limits_survive_the_way_through_the_kernel_and_json() {
        let limits = Limits {
            cpu_weight: 7,
            cpu_cap: Some(250),
            packets_per_second: Some(10),
            bytes_per_second: None,
        };
        for limits in [limits, Limits::default()] {
            assert_eq!(Limits::from_abi(&limits.to_abi()), limits);
            assert!(limits.is_valid() && limits.to_abi().is_valid());
            let json = serde_json::to_string(&limits).expect("plain data");
            assert_eq!(serde_json::from_str::<Limits>(&json).ok(), Some(limits));
        }
        assert_eq!(
            serde_json::from_str::<Limits>("{}").ok(),
            Some(Limits::default())
        );
        assert_eq!(
            alloc::string::ToString::to_string(&limits),
            "weight 7, cap 0.25, packets 10/s, bytes -"
        );
    }
}
