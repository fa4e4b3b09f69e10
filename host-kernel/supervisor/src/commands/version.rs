//! `version`: versions of the supervisor and of the interface it was built for.

use super::{Format, Stop, Words, print, print_json};
use crate::terminal::Terminal;
use alloc::format;
use denali_abi::ABI_VERSION;
use denali_protocol::Version;

pub(super) fn exec(mut words: Words<'_>, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    let format = words.format();
    words.end()?;
    let version = Version {
        version: env!("CARGO_PKG_VERSION").into(),
        abi_version: ABI_VERSION,
    };
    match format {
        Format::Json => print_json(terminal, &version),
        Format::Human => {
            let line = format!("denali {} (ABI {})\n", version.version, version.abi_version);
            print(terminal, &line)
        }
    }
}
