//! What the victim's client waits for beside attacks, in virtual time.
//!
//! QEMU counts instructions as time (`-icount`), and a director in the supervisor's place has
//! victim, client and attackers on one host to itself (`denali_attacks::director`): nothing that
//! happens on this machine changes a figure.

use super::image;
use crate::home::Home;
use crate::machine::{Board, count};
use anyhow::{Context as _, Result};
use denali_abi::image::ImageHeader;
use denali_abi::layout::{IMAGE_BASE, PAGE_SIZE};
use denali_attacks::director::{CURTAIN, DIRECTOR};
use serde::Serialize;
use std::fs;
use std::path::Path;
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Memory of the director in pages: its image twice, and what it works with.
const MEMORY_PAGES: u32 = 4096;

/// Attacks of which nine are measured beside one honest service.
pub const HOGS: [&str; 9] = [
    "hog-cpu",
    "hog-frames",
    "hog-broadcasts",
    "hog-questions",
    "hog-refused-frames",
    "hog-alarms",
    "hog-hypercalls",
    "hog-console",
    "hog-page-faults",
];

/// What the client waited for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Latency {
    /// The attack, or `nobody`.
    pub beside: String,
    /// Attackers at the same time.
    pub copies: u32,
    /// Right answers; a wrong one ends the run.
    pub answers: u64,
    /// Nanoseconds of virtual time from the question to the whole answer.
    pub median_ns: u64,
    /// As above.
    pub p99_ns: u64,
    /// As above.
    pub slowest_ns: u64,
}

/// What an honest service got of the CPU.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Share {
    /// The attack.
    pub beside: String,
    /// Attackers at the same time.
    pub copies: u32,
    /// Thousandths of what it is entitled to.
    pub thousandths: u64,
}

/// What a run found.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// In the order of the scenes, `nobody` first.
    pub latencies: Vec<Latency>,
    /// In the order of the scenes.
    pub shares: Vec<Share>,
}

/// Plays `scenes` (`NAME`, `NAME:COPIES`, `NAME:COPIES:share`) on a host with this kernel command
/// line; a latency is that of `answers` answers.
///
/// # Errors
///
/// The director does not come to its end: the victim answered wrong, or not at all.
pub fn measure(
    kernel: &Path,
    command_line: &str,
    answers: usize,
    scenes: &[String],
) -> Result<Figures> {
    let home = Home::new();
    let module = home.path().join("director.module");
    fs::write(&module, director(answers, scenes)?).context("the boot module")?;
    let board = Board::new("q35", "max")
        .kernel(kernel, &module)
        .command_line(command_line)
        .unplugged_card();
    let log = count(&home, &board, CURTAIN)?;
    let mut figures = Figures::default();
    for line in log.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let number = |text: &str| text.parse::<u64>().with_context(|| line.to_owned());
        match words[..] {
            ["latency", beside, copies, answers, median, p99, slowest] => {
                figures.latencies.push(Latency {
                    beside: beside.to_owned(),
                    copies: copies.parse().with_context(|| line.to_owned())?,
                    answers: number(answers)?,
                    median_ns: number(median)?,
                    p99_ns: number(p99)?,
                    slowest_ns: number(slowest)?,
                });
            }
            ["share", beside, copies, thousandths] => figures.shares.push(Share {
                beside: beside.to_owned(),
                copies: copies.parse().with_context(|| line.to_owned())?,
                thousandths: number(thousandths)?,
            }),
            _ => {}
        }
    }
    Ok(figures)
}

/// Makes the boot module: the image of the attacks with itself behind its data, and the arguments.
fn director(answers: usize, scenes: &[String]) -> Result<Vec<u8>> {
    let file = image().bytes();
    let (header, _) = ImageHeader::read_from_prefix(file)
        .ok()
        .context("an image has a header")?;
    let own_pages = usize::try_from(header.content_pages() + u64::from(header.bss_pages))?;
    let page = usize::try_from(PAGE_SIZE)?;
    let file_pages = u32::try_from(file.len() / page)?;
    let outer = ImageHeader {
        memory_pages: MEMORY_PAGES,
        data_pages: header.data_pages + header.bss_pages + file_pages,
        bss_pages: 0,
        ..header
    };
    let mut module = file.to_vec();
    module[..size_of::<ImageHeader>()].copy_from_slice(outer.as_bytes());
    module.resize((1 + own_pages) * page, 0);
    module.extend_from_slice(file);
    let address = IMAGE_BASE + u64::try_from(own_pages * page)?;
    let first = [
        DIRECTOR.to_owned(),
        address.to_string(),
        file.len().to_string(),
        answers.to_string(),
    ];
    for argument in first.iter().chain(scenes) {
        module.extend_from_slice(argument.as_bytes());
        module.push(0);
    }
    module.push(0);
    Ok(module)
}
