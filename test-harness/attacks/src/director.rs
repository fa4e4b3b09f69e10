//! The director: takes the supervisor's place, puts victim, client and attackers on the stage, and
//! tells what the client waited for.
//!
//! Booted where an emulator counts instructions as time, and with nothing else on the machine, it
//! finds the same every time. What it plays is a line for each scene:
//!
//! ```text
//! NAME[+NAME…] COPIES          what the client waits for beside so many of each of these attacks
//! NAME[+NAME…] COPIES share    what a service that computes without end gets of the CPU beside them
//! ```

use crate::VICTIM;
use crate::client::CLIENT;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Display;
use denali_abi::control::{VmConfig, VmState};
use denali_abi::convert::u64_to_usize;
use denali_abi::image::ImageHeader;
use denali_abi::layout::PAGE_SIZE;
use denali_abi::net::NetworkConfig;
use denali_abi::registers::NAME_MAX;
use denali_rt::hypercall::control;
use denali_rt::println;
use denali_rt::thread::sleep;
use denali_rt::time::{Duration, Instant};
use zerocopy::FromBytes as _;

/// The argument that makes a director of the image. How often the client is answered in each scene
/// follows, the address of what the harness put behind the image's data, how many bytes of that are
/// the image that the others run, and how many behind them the scenes.
pub const DIRECTOR: &str = "director";

/// What it says in the end.
pub const CURTAIN: &str = "the curtain falls";

/// The attack that nobody carries out.
pub const NOBODY: &str = "nobody";

/// Memory of each VM in pages.
const MEMORY_PAGES: u32 = 512;

/// Pause between two looks at the stage.
const LOOK: Duration = Duration::from_millis(1);

/// Who gets no answer in this time starves: even the first, before which the two learn each other's
/// hardware addresses, takes no longer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Before shares are measured.
const WARM_UP: Duration = Duration::from_millis(50);

/// For how long they are measured.
const SHARE_TIME: Duration = Duration::from_millis(400);

/// The service that computes without end whose share is measured.
const HONEST: &str = "hog-cpu";

/// One thing to measure, beside so many of each of some attacks.
#[derive(Clone, Debug)]
struct Scene<'a> {
    attacks: Vec<&'a str>,
    copies: usize,
    measured: Measured,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measured {
    /// What the client waits for.
    Latency,
    /// What an honest service gets of the CPU.
    Share,
}

impl<'a> Scene<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split(' ');
        let attacks = words.next()?.split('+').collect();
        let copies = words.next()?.parse().ok()?;
        let measured = match words.next() {
            None => Measured::Latency,
            Some("share") => Measured::Share,
            Some(_) => return None,
        };
        Some(Self {
            attacks,
            copies,
            measured,
        })
    }

    /// Before the first attack.
    fn empty() -> Self {
        Self {
            attacks: [NOBODY].to_vec(),
            copies: 0,
            measured: Measured::Latency,
        }
    }

    /// Returns the name of each attacker.
    fn cast(&self) -> impl Iterator<Item = &'a str> {
        let copies = self.copies;
        let each = move |name: &&'a str| core::iter::repeat_n(*name, copies);
        self.attacks.iter().flat_map(each)
    }
}

/// Plays all scenes: shares first, while neither victim nor client are there.
///
/// # Errors
///
/// An argument means nothing, the victim answers wrong or not at all, or the kernel refuses
/// something.
pub fn direct(arguments: &[&str]) -> Result<(), String> {
    let number = |text: &&str| text.parse::<usize>().map_err(|_| format!("`{text}`"));
    let numbers: Vec<usize> = arguments.iter().map(number).collect::<Result<_, _>>()?;
    let [answers, address, image_len, scenes_len] = numbers[..] else {
        return Err(String::from("ANSWERS ADDRESS IMAGE_LEN SCENES_LEN"));
    };
    let (image, scenes) = contents(address, image_len + scenes_len).split_at(image_len);
    let scenes: Vec<Scene<'_>> = core::str::from_utf8(scenes)
        .map_err(|error| error.to_string())?
        .lines()
        .map(|line| Scene::parse(line).ok_or_else(|| format!("`{line}`")))
        .collect::<Result<_, _>>()?;
    let (latencies, shares): (Vec<Scene<'_>>, Vec<Scene<'_>>) = scenes
        .into_iter()
        .partition(|scene| scene.measured == Measured::Latency);
    let mut stage = Stage::new(image)?;
    for scene in &shares {
        let share = stage.share(scene)?;
        println!("share {} {} {share}", scene.attacks.join("+"), scene.copies);
    }
    if !latencies.is_empty() {
        play(&mut stage, &latencies, answers)?;
    }
    println!("{CURTAIN}");
    Ok(())
}

/// Tells what the client waits for, with nobody else there and then in each scene.
fn play(stage: &mut Stage, scenes: &[Scene<'_>], answers: usize) -> Result<(), String> {
    let (victim, address) = stage.create(&[VICTIM])?;
    let (client, _) = stage.create(&[CLIENT, &address])?;
    let mut watch = Watch {
        victim,
        client,
        position: 0,
        rest: String::new(),
    };
    // Until both have what they need.
    stage.beside(&Scene::empty(), answers, &mut watch)?;
    for scene in core::iter::once(&Scene::empty()).chain(scenes) {
        tell(scene, stage.beside(scene, answers, &mut watch)?);
    }
    end(client)?;
    end(victim)
}

/// Tells a line of figures, in nanoseconds.
fn tell(scene: &Scene<'_>, mut answers: Vec<u64>) {
    answers.sort_unstable();
    let at = |percent: usize| answers.get(answers.len() * percent / 100).copied();
    let [median, p99] = [50, 99].map(|percent| at(percent).unwrap_or_default());
    let slowest = answers.last().copied().unwrap_or_default();
    let Scene {
        attacks, copies, ..
    } = scene;
    println!(
        "latency {} {copies} {} {median} {p99} {slowest}",
        attacks.join("+"),
        answers.len()
    );
}

/// The host and the image that everybody on it runs.
#[derive(Debug)]
struct Stage {
    image: u64,
    created: u32,
}

impl Stage {
    fn new(file: &[u8]) -> Result<Self, String> {
        let (header, _) = ImageHeader::read_from_prefix(file).map_err(|_| "no image")?;
        let contents = file.get(u64_to_usize(PAGE_SIZE)..).ok_or("no contents")?;
        let image = control::image_create(&header).map_err(said("image_create"))?;
        control::image_write(image, 0, contents).map_err(said("image_write"))?;
        Ok(Self { image, created: 0 })
    }

    /// Creates a VM with these arguments, the first of which is its name; returns its address, too.
    fn create(&mut self, arguments: &[&str]) -> Result<(u64, String), String> {
        // A place in 10.0.0.0/8 for each.
        self.created += 1;
        let [_, b, c, d] = self.created.to_be_bytes();
        let address = [10, b, c, d];
        let mut name = [0; NAME_MAX];
        let first = arguments.first().map_or("", |name| name).bytes();
        name.iter_mut().zip(first).for_each(|(to, from)| *to = from);
        let config = VmConfig {
            image: self.image,
            memory_pages: MEMORY_PAGES,
            network: NetworkConfig {
                mac: [2, 0, 10, b, c, d],
                address,
                prefix_len: 8,
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
        let vm = control::vm_create(&config, &blob, &[]).map_err(said("vm_create"))?;
        Ok((vm, format!("10.{b}.{c}.{d}")))
    }

    fn create_all<'a>(&mut self, scene: &Scene<'a>) -> Result<Vec<(u64, &'a str)>, String> {
        let create = |name| Ok((self.create(&[name])?.0, name));
        scene.cast().map(create).collect()
    }

    /// Returns what the next answers took, in nanoseconds, beside the attackers of a scene. One that
    /// comes to its end is followed by another; at each look by one only, as it is not the director
    /// whom the client is to wait for.
    fn beside(
        &mut self,
        scene: &Scene<'_>,
        answers: usize,
        watch: &mut Watch,
    ) -> Result<Vec<u64>, String> {
        let mut attackers = self.create_all(scene)?;
        // Answers to questions that were asked before they came, and to one that may have been.
        watch.take()?;
        let mut taken = Vec::new();
        let mut last = Instant::now();
        while taken.len() <= answers {
            sleep(LOOK);
            let new = watch.take()?;
            if !new.is_empty() {
                last = Instant::now();
            }
            taken.extend(new);
            if let Some(at) = first_ended(&attackers)? {
                let (vm, name) = attackers.remove(at);
                end(vm)?;
                attackers.push((self.create(&[name])?.0, name));
            }
            if last.elapsed() > ANSWER_MAX {
                let [victim, client] = [watch.victim, watch.client].map(told);
                return Err(format!(
                    "nobody answers in {scene:?}: the victim is {victim}, the client {client}"
                ));
            }
        }
        attackers.into_iter().try_for_each(|(vm, _)| end(vm))?;
        taken.remove(0);
        taken.truncate(answers);
        Ok(taken)
    }

    /// Returns what a service that computes without end gets of the CPU beside the attackers of a
    /// scene, in thousandths of what it is entitled to: one part of as many as there are of them all.
    fn share(&mut self, scene: &Scene<'_>) -> Result<u64, String> {
        let (honest, _) = self.create(&[HONEST])?;
        let others = self.create_all(scene)?;
        let used_ns = || {
            let status = control::vm_status(honest).map_err(said("vm_status"))?;
            Ok::<_, String>((status.cpu_ns, Instant::now()))
        };
        sleep(WARM_UP);
        let (before_ns, start) = used_ns()?;
        sleep(SHARE_TIME);
        let (after_ns, now) = used_ns()?;
        end(honest)?;
        let parts = others.len() as u64 + 1;
        others.into_iter().try_for_each(|(vm, _)| end(vm))?;
        let passed_ns = u64::try_from((now - start).as_nanos()).unwrap_or(u64::MAX);
        Ok((after_ns - before_ns) * 1000 * parts / passed_ns.max(1))
    }
}

/// What the client says.
#[derive(Debug)]
struct Watch {
    victim: u64,
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

/// Says what a VM does.
fn told(vm: u64) -> String {
    match control::vm_status(vm) {
        Err(error) => error.to_string(),
        Ok(status) => format!(
            "in state {}, {} ns of CPU, {} frames in, {} dropped, {} out, {} refused",
            status.state,
            status.cpu_ns,
            status.rx_frames,
            status.rx_dropped,
            status.tx_frames,
            status.tx_refused
        ),
    }
}

fn first_ended(attackers: &[(u64, &str)]) -> Result<Option<usize>, String> {
    for (at, (vm, _)) in attackers.iter().enumerate() {
        let status = control::vm_status(*vm).map_err(said("vm_status"))?;
        if status.state == VmState::Ended.code() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Ends a VM, which may have ended already, and frees it.
fn end(vm: u64) -> Result<(), String> {
    control::vm_stop(vm).map_err(said("vm_stop"))?;
    control::vm_destroy(vm).map_err(said("vm_destroy"))
}

fn said<E: Display>(call: &str) -> impl Fn(E) -> String {
    move |error| format!("{call}: {error}")
}

/// Returns the bytes that the harness put behind the image's data.
fn contents(address: usize, length: usize) -> &'static [u8] {
    let start = core::ptr::with_exposed_provenance(address);
    // SAFETY: the harness made this part of the image's data; nobody else knows of it.
    unsafe { core::slice::from_raw_parts(start, length) }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{Measured, Scene};
    use std::vec::Vec;

    #[test]
    fn a_scene_has_so_many_of_each_attack() {
        let scene = Scene::parse("one+two 2").unwrap();
        assert_eq!(scene.measured, Measured::Latency);
        let cast: Vec<_> = scene.cast().collect();
        assert_eq!(cast, ["one", "one", "two", "two"]);
        assert_eq!(
            Scene::parse("one 9 share").unwrap().measured,
            Measured::Share
        );
        assert_eq!(Scene::empty().cast().count(), 0);
        for wrong in ["", "one", "one x", "one 1 latency"] {
            assert!(Scene::parse(wrong).is_none(), "{wrong}");
        }
    }
}
