//! What the victim's client waits for beside attacks, in virtual time.
//!
//! QEMU counts instructions as time (`-icount`), and a director in the supervisor's place has
//! victim, client and attackers on one host to itself (`denali_attacks::director`): nothing that
//! happens on this machine changes a figure.

use super::batch::batches;
use super::image;
use crate::home::Home;
use crate::machine::{Board, count};
use anyhow::{Context as _, Result};
use denali_abi::image::ImageHeader;
use denali_abi::layout::{IMAGE_BASE, PAGE_SIZE};
use denali_attacks::THEMES;
use denali_attacks::director::{CURTAIN, DIRECTOR, NOBODY};
use serde::Serialize;
use std::fs;
use std::path::Path;
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Memory of the director in pages: its image, that of the others, and what it works with.
const MEMORY_PAGES: u32 = 4096;

/// Answers that a latency beside a batch is made of.
pub const ANSWERS_BESIDE_A_BATCH: usize = 6;

/// Answers from which on a percentile says more than the slowest.
const ANSWERS_WITH_PERCENTILES: u64 = 50;

/// How long a VM may run at a time: `QUANTUM_NS` of `denali-kernel-core`.
const QUANTUM_NS: u64 = 10_000_000;

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

/// What the client waited for, in nanoseconds of virtual time from its question to the whole answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Latency {
    /// The attacks; `nobody` is none.
    pub beside: Vec<String>,
    /// Attackers of each at the same time.
    pub copies: u32,
    /// Right answers; a wrong one ends the run.
    pub answers: u64,
    /// Half of them took at most so long.
    pub median_ns: u64,
    /// All but a hundredth of them took at most so long.
    pub p99_ns: u64,
    /// The slowest took so long.
    pub slowest_ns: u64,
}

/// What an honest service got of the CPU.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Share {
    /// The attacks.
    pub beside: Vec<String>,
    /// Attackers of each at the same time.
    pub copies: u32,
    /// Thousandths of what it is entitled to.
    pub thousandths: u64,
}

/// What a run found, in the order of the scenes.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Beside nobody first.
    pub latencies: Vec<Latency>,
    /// What was measured before them.
    pub shares: Vec<Share>,
}

/// Returns a scene for each batch of attacks that run side by side.
#[must_use]
pub fn every_batch() -> Vec<String> {
    let all = THEMES.iter().flat_map(|(_, attacks)| batches(*attacks));
    all.map(|batch| {
        let names: Vec<_> = batch.iter().map(|attack| attack.name).collect();
        format!("{} 1", names.join("+"))
    })
    .collect()
}

/// Plays `scenes` (`denali_attacks::director` says how they are written) on a host with this kernel
/// command line; a latency is that of `answers` answers.
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
        .lonely_card(home.path());
    let log = count(&home, &board, CURTAIN)?;
    let mut figures = Figures::default();
    for line in log.lines() {
        figures.take(line).with_context(|| line.to_owned())?;
    }
    Ok(figures)
}

impl Figures {
    /// Says beside whom the client waited too long.
    #[must_use]
    pub fn too_slow(&self) -> Vec<String> {
        let Some(alone) = self.latencies.iter().find(|it| it.is_alone()) else {
            return vec![String::from("nobody knows what an answer takes")];
        };
        let slow = self.latencies.iter().filter(|it| it.is_too_slow(alone));
        slow.map(|it| format!("the victim answers too late: {it:?}, {alone:?}"))
            .collect()
    }

    /// Takes a line of the director.
    fn take(&mut self, line: &str) -> Result<()> {
        let words: Vec<_> = line.split(' ').collect();
        let names = |text: &str| text.split('+').map(str::to_owned).collect();
        match words[..] {
            ["latency", beside, copies, answers, median, p99, slowest] => {
                self.latencies.push(Latency {
                    beside: names(beside),
                    copies: copies.parse()?,
                    answers: answers.parse()?,
                    median_ns: median.parse()?,
                    p99_ns: p99.parse()?,
                    slowest_ns: slowest.parse()?,
                });
            }
            ["share", beside, copies, thousandths] => self.shares.push(Share {
                beside: names(beside),
                copies: copies.parse()?,
                thousandths: thousandths.parse()?,
            }),
            _ => {}
        }
        Ok(())
    }
}

impl Latency {
    fn is_alone(&self) -> bool {
        self.beside == [NOBODY]
    }

    /// Returns whether answers took longer than they may, if they take so long without attackers.
    fn is_too_slow(&self, alone: &Self) -> bool {
        let half_more = |ns: u64| ns + ns / 2;
        let rarely = self.answers >= ANSWERS_WITH_PERCENTILES;
        self.median_ns > half_more(alone.median_ns)
            || rarely && self.p99_ns > half_more(alone.p99_ns)
            || self.slowest_ns > alone.slowest_ns + QUANTUM_NS
    }
}

/// Makes the boot module: the image of the attacks, behind its data that image once more and the
/// scenes, and the arguments.
fn director(answers: usize, scenes: &[String]) -> Result<Vec<u8>> {
    let file = image().bytes();
    let scenes = scenes.join("\n");
    let (header, _) = ImageHeader::read_from_prefix(file)
        .ok()
        .context("an image has a header")?;
    let page = usize::try_from(PAGE_SIZE)?;
    let own_pages = usize::try_from(header.content_pages() + u64::from(header.bss_pages))?;
    let added_pages = (file.len() + scenes.len()).div_ceil(page);
    let outer = ImageHeader {
        memory_pages: MEMORY_PAGES,
        data_pages: header.data_pages + header.bss_pages + u32::try_from(added_pages)?,
        bss_pages: 0,
        ..header
    };
    let mut module = file.to_vec();
    module[..size_of::<ImageHeader>()].copy_from_slice(outer.as_bytes());
    // What is zero at the start lies in front of what is added.
    module.resize((1 + own_pages) * page, 0);
    module.extend_from_slice(file);
    module.extend_from_slice(scenes.as_bytes());
    module.resize((1 + own_pages + added_pages) * page, 0);
    let address = IMAGE_BASE + u64::try_from(own_pages * page)?;
    let numbers = [answers, usize::try_from(address)?, file.len(), scenes.len()];
    module.extend_from_slice(DIRECTOR.as_bytes());
    for number in numbers {
        module.push(0);
        module.extend_from_slice(number.to_string().as_bytes());
    }
    module.extend_from_slice(b"\0\0");
    Ok(module)
}
