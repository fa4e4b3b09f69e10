//! The director: takes the supervisor's place, puts victim, client and attackers on the stage, and
//! tells what the client waited for.
//!
//! Booted where an emulator counts instructions as time, and with nothing else on the machine, it
//! finds the same every time.

use crate::VICTIM;
use crate::client::CLIENT;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Display;
use denali_abi::control::{VmConfig, VmState};
use denali_abi::image::ImageHeader;
use denali_abi::layout::PAGE_SIZE;
use denali_abi::net::NetworkConfig;
use denali_abi::registers::NAME_MAX;
use denali_rt::hypercall::control;
use denali_rt::println;
use denali_rt::thread::sleep;
use denali_rt::time::{Duration, Instant};
use zerocopy::FromBytes as _;

/// The argument that makes a director of the image. Address and length of the image that the others
/// run follow, the number of answers to wait for, and the scenes.
pub const DIRECTOR: &str = "director";

/// What it says in the end.
pub const CURTAIN: &str = "the curtain falls";

/// Memory of each VM in pages.
const MEMORY_PAGES: u32 = 512;

/// Pause between two looks at the stage.
const LOOK: Duration = Duration::from_millis(1);

/// The victim answers that much faster than once in this time, unless it starves.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// Before shares are measured.
const WARM_UP: Duration = Duration::from_millis(50);

/// For how long they are measured.
const SHARE_TIME: Duration = Duration::from_millis(400);

/// The service that computes without end whose share is measured.
const HONEST: &str = "hog-cpu";

/// One thing to measure.
#[derive(Clone, Copy, Debug)]
enum Scene<'a> {
    /// What the client waits for beside so many of an attack.
    Latency(&'a str, u32),
    /// What an honest service gets of the CPU beside so many of an attack.
    Share(&'a str, u32),
}

impl<'a> Scene<'a> {
    /// Reads `NAME`, `NAME:COPIES` or `NAME:COPIES:share`.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(':');
        let name = parts.next()?;
        let copies = parts.next().map_or(Some(1), |copies| copies.parse().ok())?;
        match parts.next() {
            None => Some(Self::Latency(name, copies)),
            Some("share") => Some(Self::Share(name, copies)),
            Some(_) => None,
        }
    }
}

/// Plays all scenes: shares first, while neither victim nor client are there.
///
/// # Errors
///
/// An argument means nothing, the victim answers wrong or not at all, or the kernel refuses
/// something.
pub fn direct(arguments: &[String]) -> Result<(), String> {
    let [address, length, answers, scenes @ ..] = arguments else {
        return Err(String::from("ADDRESS LENGTH ANSWERS SCENE…"));
    };
    let number = |text: &String| text.parse::<usize>().map_err(|_| format!("`{text}`"));
    let answers = number(answers)?;
    let scenes: Vec<Scene<'_>> = scenes
        .iter()
        .map(|text| Scene::parse(text).ok_or_else(|| format!("`{text}`")))
        .collect::<Result<_, _>>()?;
    let mut stage = Stage::new(contents(number(address)?, number(length)?))?;
    for scene in &scenes {
        if let Scene::Share(name, copies) = *scene {
            println!("share {name} {copies} {}", stage.share(name, copies)?);
        }
    }
    let (victim, address) = stage.create(&[VICTIM])?;
    let (client, _) = stage.create(&[CLIENT, &address])?;
    let mut watch = Watch {
        client,
        position: 0,
        rest: String::new(),
    };
    // Until both have what they need.
    stage.beside("nobody", 0, answers, &mut watch)?;
    tell("nobody", 0, stage.beside("nobody", 0, answers, &mut watch)?);
    for scene in &scenes {
        if let Scene::Latency(name, copies) = *scene {
            tell(
                name,
                copies,
                stage.beside(name, copies, answers, &mut watch)?,
            );
        }
    }
    end(client)?;
    end(victim)?;
    println!("{CURTAIN}");
    Ok(())
}

/// Tells a line of figures, in nanoseconds.
fn tell(name: &str, copies: u32, mut answers: Vec<u64>) {
    answers.sort_unstable();
    let at = |percent: usize| answers.get(answers.len() * percent / 100).copied();
    let [median, p99] = [50, 99].map(|percent| at(percent).unwrap_or_default());
    let slowest = answers.last().copied().unwrap_or_default();
    let count = answers.len();
    println!("latency {name} {copies} {count} {median} {p99} {slowest}");
}

/// The host and the image that everybody on it runs.
#[derive(Debug)]
struct Stage {
    image: u64,
    created: u16,
}

impl Stage {
    fn new(file: &[u8]) -> Result<Self, String> {
        let (header, _) = ImageHeader::read_from_prefix(file).map_err(|_| "no image")?;
        let contents = file.get(PAGE_SIZE as usize..).ok_or("no contents")?;
        let image = control::image_create(&header).map_err(said("image_create"))?;
        control::image_write(image, 0, contents).map_err(said("image_write"))?;
        Ok(Self { image, created: 0 })
    }

    /// Creates a VM with these arguments, the first of which is its name; returns its address, too.
    fn create(&mut self, arguments: &[&str]) -> Result<(u64, String), String> {
        self.created += 1;
        let [high, low] = self.created.to_be_bytes();
        let address = [10, 91, high, low];
        let mut name = [0; NAME_MAX];
        let first = arguments.first().map_or("", |name| name).bytes();
        name.iter_mut().zip(first).for_each(|(to, from)| *to = from);
        let config = VmConfig {
            image: self.image,
            memory_pages: MEMORY_PAGES,
            network: NetworkConfig {
                mac: [2, 0, 10, 91, high, low],
                address,
                prefix_len: 16,
                ..NetworkConfig::default()
            },
            name,
            ..VmConfig::default()
        };
        let mut blob: Vec<u8> = Vec::new();
        for argument in arguments {
            blob.extend_from_slice(argument.as_bytes());
            blob.push(0);
        }
        blob.push(0);
        let vm = control::vm_create(&config, &blob).map_err(said("vm_create"))?;
        let [a, b, c, d] = address;
        Ok((vm, format!("{a}.{b}.{c}.{d}")))
    }

    /// Returns what the next answers took, in nanoseconds, beside so many of an attack; attackers
    /// that come to their end are followed by others.
    fn beside(
        &mut self,
        name: &str,
        copies: u32,
        answers: usize,
        watch: &mut Watch,
    ) -> Result<Vec<u64>, String> {
        let attackers = (0..copies).map(|_| self.create(&[name]).map(|(vm, _)| vm));
        let mut attackers = attackers.collect::<Result<Vec<u64>, String>>()?;
        // Asked before they came.
        watch.take()?;
        let mut taken = Vec::new();
        let start = Instant::now();
        // The first may be to a question that was asked before they came.
        while taken.len() <= answers {
            sleep(LOOK);
            taken.extend(watch.take()?);
            for attacker in &mut attackers {
                let status = control::vm_status(*attacker).map_err(said("vm_status"))?;
                if status.state == VmState::Ended.code() {
                    end(*attacker)?;
                    *attacker = self.create(&[name])?.0;
                }
            }
            let waits = u32::try_from(taken.len())
                .unwrap_or(u32::MAX)
                .saturating_add(1);
            if start.elapsed() > ANSWER_MAX * waits {
                return Err(format!("the victim starves beside {copies} of {name}"));
            }
        }
        attackers.into_iter().try_for_each(end)?;
        taken.remove(0);
        Ok(taken)
    }

    /// Returns what a service that computes without end gets of the CPU beside so many of an attack,
    /// in thousandths of what it is entitled to: one part of so many and one.
    fn share(&mut self, name: &str, copies: u32) -> Result<u64, String> {
        let (honest, _) = self.create(&[HONEST])?;
        let others = (0..copies).map(|_| self.create(&[name]).map(|(vm, _)| vm));
        let others = others.collect::<Result<Vec<u64>, String>>()?;
        let used_ns = || {
            let status = control::vm_status(honest).map_err(said("vm_status"))?;
            Ok::<_, String>((status.cpu_ns, Instant::now()))
        };
        sleep(WARM_UP);
        let (before_ns, start) = used_ns()?;
        sleep(SHARE_TIME);
        let (after_ns, now) = used_ns()?;
        end(honest)?;
        others.into_iter().try_for_each(end)?;
        let passed_ns = u64::try_from((now - start).as_nanos()).unwrap_or(u64::MAX);
        let parts = u64::from(copies) + 1;
        Ok((after_ns - before_ns) * 1000 * parts / passed_ns.max(1))
    }
}

/// What the client says.
#[derive(Debug)]
struct Watch {
    client: u64,
    position: u64,
    /// A line that is not complete.
    rest: String,
}

impl Watch {
    /// Takes what new answers took, in nanoseconds.
    fn take(&mut self) -> Result<Vec<u64>, String> {
        let mut buffer = [0; 1024];
        let mut taken = Vec::new();
        loop {
            let read = control::console_read(self.client, self.position, &mut buffer);
            let chunk = read.map_err(said("console_read"))?;
            if chunk.bytes.is_empty() {
                return Ok(taken);
            }
            self.position = chunk.position + chunk.bytes.len() as u64;
            self.rest.push_str(&String::from_utf8_lossy(chunk.bytes));
            while let Some((line, rest)) = self.rest.split_once('\n') {
                let took = line.trim().parse();
                taken.push(took.map_err(|_| format!("the client says {line:?}"))?);
                self.rest = rest.to_string();
            }
        }
    }
}

fn end(vm: u64) -> Result<(), String> {
    control::vm_stop(vm).map_err(said("vm_stop"))?;
    control::vm_destroy(vm).map_err(said("vm_destroy"))
}

fn said<E: Display>(call: &str) -> impl Fn(E) -> String {
    move |error| format!("{call}: {error}")
}

/// Returns the bytes of this image that the harness put there.
fn contents(address: usize, length: usize) -> &'static [u8] {
    let start = core::ptr::with_exposed_provenance(address);
    // SAFETY: the harness made this part of the image's data; nobody else knows of it.
    unsafe { core::slice::from_raw_parts(start, length) }
}
