//! The keys `cpu` and `rate`: what a service may take.

use super::{Reader, TABLE};
use crate::failure::Failure;
use denali_protocol::Limits;
use denali_protocol::limits::{parse_cap, parse_rate, parse_weight};
use toml_edit::{Item, TableLike};

const CPU_EXAMPLE: &str = "write for example cpu = { weight = 300, cap = 0.5 }";
const RATE_EXAMPLE: &str = "write for example rate = { packets = \"10k/s\", bytes = \"1M/s\" }";

impl Reader<'_> {
    /// Reads `cpu` and `rate`.
    pub(super) fn limits(&self, table: &dyn TableLike) -> Result<Limits, Failure> {
        let mut limits = Limits::default();
        if let Some(cpu) = self.table_of(table, "cpu", &["weight", "cap"], CPU_EXAMPLE)? {
            if let Some(item) = cpu.get("weight") {
                limits.cpu_weight =
                    self.number("weight", item, "a weight from 1 to 10000", parse_weight)?;
            }
            if let Some(item) = cpu.get("cap") {
                let what = "a part of a CPU from 0.001 to 1";
                limits.cpu_cap = Some(self.number("cap", item, what, parse_cap)?);
            }
        }
        if let Some(rate) = self.table_of(table, "rate", &["packets", "bytes"], RATE_EXAMPLE)? {
            limits.packets_per_second = self.rate(rate, "packets")?;
            limits.bytes_per_second = self.rate(rate, "bytes")?;
        }
        Ok(limits)
    }

    /// Returns the table `key`, if it is there; it has no keys but `keys`.
    fn table_of<'t>(
        &self,
        table: &'t dyn TableLike,
        key: &str,
        keys: &[&str],
        example: &str,
    ) -> Result<Option<&'t dyn TableLike>, Failure> {
        let Some(item) = table.get(key) else {
            return Ok(None);
        };
        let inner = item.as_table_like().ok_or_else(|| {
            self.failure(item.span(), format!("{TABLE}.{key} is not a table"))
                .help(example)
        })?;
        match inner.iter().find(|(name, _)| !keys.contains(name)) {
            None => Ok(Some(inner)),
            Some((name, item)) => Err(self
                .failure(item.span(), format!("{TABLE}.{key} has no key `{name}`"))
                .help(format!("the keys are {}", keys.join(", ")))),
        }
    }

    /// Reads a number of `cpu` as it is written, so that nothing is lost to rounding.
    fn number<T>(
        &self,
        key: &str,
        item: &Item,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        let text = item
            .span()
            .and_then(|span| self.text.get(span))
            .unwrap_or_default();
        parse(text).ok_or_else(|| {
            let message = format!("{TABLE}.cpu.{key}: {text} is not {what}");
            self.failure(item.span(), message).help(CPU_EXAMPLE)
        })
    }

    fn rate(&self, table: &dyn TableLike, key: &str) -> Result<Option<u64>, Failure> {
        let Some(item) = table.get(key) else {
            return Ok(None);
        };
        let text = self
            .string(&format!("rate.{key}"), item)
            .map_err(|failure| failure.help(RATE_EXAMPLE))?;
        parse_rate(text).map(Some).ok_or_else(|| {
            let message = format!("{TABLE}.rate.{key}: \"{text}\" is not a rate");
            self.failure(item.span(), message).help(RATE_EXAMPLE)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::parse;

    #[test]
    fn each_mistake_is_shown_with_its_line_and_key() {
        let cases = [
            (
                "memory = \"2M\"\ncpu = 1",
                "Cargo.toml:6: package.metadata.denali.cpu is not a table",
            ),
            (
                "memory = \"2M\"\ncpu = { weight = 0 }",
                "denali.cpu.weight: 0 is not a weight from 1 to 10000",
            ),
            (
                "memory = \"2M\"\ncpu = { cap = 1.5 }",
                "denali.cpu.cap: 1.5 is not a part of a CPU",
            ),
            (
                "memory = \"2M\"\ncpu = { caps = 1 }",
                "denali.cpu has no key `caps`",
            ),
            (
                "memory = \"2M\"\nrate = { bytes = 5 }",
                "denali.rate.bytes is of type integer",
            ),
            (
                "memory = \"2M\"\nrate = { bytes = \"5\" }",
                "denali.rate.bytes: \"5\" is not a rate",
            ),
        ];
        for (lines, expected) in cases {
            let text = format!("\n\n\n[package.metadata.denali]\n{lines}\n");
            let failure = parse(&text, "Cargo.toml").unwrap_err();
            assert!(failure.to_string().contains(expected), "{lines}: {failure}");
        }
    }
}
