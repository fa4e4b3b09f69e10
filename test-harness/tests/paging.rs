//! Many more services than fit into memory, on a host with disks.
//!
//! `DENALI_COPIES` sets how many (700), `DENALI_MEMORY` on how much memory (64M), `DENALI_TEMPLATE`
//! of what (minimal), `DENALI_REQUESTS` how many of them are asked at
//! random (40; one that was not asked before takes a second, for so long a client waits between two
//! ARP requests).

#![expect(clippy::print_stdout, reason = "the figures are the result")]

use denali_protocol::{Service, ServiceState};
use std::env;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use test_harness::guest::Guest;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::{facts, http, suite, wait};

/// A service that printed something before all others came.
const TALKER: &str = "talker";

/// How long visits may take.
const VISIT_TIMEOUT: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    suite::run(
        Crowd::gather,
        &facts![
            all_of_them_are_there_and_most_sleep,
            anyone_answers_who_is_asked,
            a_log_of_a_sleeper_can_be_read,
            a_sleeper_that_is_ended_at_once_leaves_its_log,
            whoever_comes_and_goes_leaves_nothing_behind,
            a_flipped_bit_on_the_disk_ends_one_service_alone,
            memory_and_names_come_back,
            the_kernel_finds_every_invariant_to_hold
        ],
    )
}

fn parameter(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

struct Crowd {
    host: Host,
    copies: u32,
}

impl Crowd {
    fn gather() -> Self {
        let memory = parameter("DENALI_MEMORY", "64M");
        let copies = parameter("DENALI_COPIES", "700");
        let host = Host::up(&["--memory", &memory, "--disk", "64G", "--disk", "64G"]);
        let project = Project::shared(host.home(), &parameter("DENALI_TEMPLATE", "minimal"));
        greet_talker(&host, &project);
        let arguments = ["deploy", "--name", "many", "--copies", &copies];
        host.denali(arguments).within(project.folder()).succeeds();
        let copies = copies.parse().expect("DENALI_COPIES is a number");
        Self { host, copies }
    }

    fn copies(&self) -> Vec<Service> {
        let mut services = self.host.services();
        services.retain(|service| service.name.starts_with("many-"));
        services
    }
}

/// Makes a service that has printed something, and will be the one that idles longest.
fn greet_talker(host: &Host, project: &Project) {
    let port = free_port();
    let publish = format!("{port}:80");
    let arguments = ["deploy", "--name", TALKER, "--publish", &publish];
    host.denali(arguments).within(project.folder()).succeeds();
    http::get(port, "/").expect("an answer");
}

/// Has a visitor ask services, and returns what it found out.
fn visit(crowd: &Crowd, name: &str, arguments: &[&str]) -> String {
    let visitor = Guest::new("visitor").named(name).arguments(arguments);
    crowd
        .host
        .deploy_to_its_end(&visitor.memory("4M").project());
    let begun = Instant::now();
    loop {
        let log = crowd.host.logs(name);
        if log.contains("visits are over") {
            println!("{log}");
            return log;
        }
        assert!(begun.elapsed() < VISIT_TIMEOUT, "no end of visits: {log}");
        thread::sleep(Duration::from_secs(1));
    }
}

fn all_of_them_are_there_and_most_sleep(crowd: &Crowd) {
    let services = crowd.copies();
    assert_eq!(services.len(), crowd.copies as usize);
    let in_memory = services.iter().filter(|service| service.resident > 0);
    let resident: u64 = in_memory.map(|service| service.resident).sum();
    println!(
        "{} services, {} KiB of theirs in memory",
        services.len(),
        resident >> 10
    );
    assert!(services.iter().all(|service| service.state.is_alive()));
}

fn anyone_answers_who_is_asked(crowd: &Crowd) {
    let first = crowd.host.service("many-1").address.expect("an address");
    let copies = crowd.copies.to_string();
    let requests = parameter("DENALI_REQUESTS", "40");
    let log = visit(crowd, "visitor", &[&first, &copies, &requests, "1"]);
    assert!(log.contains(&format!("{requests} answered, 0 silent, 0 wrong")));
    let asleep = sleepers(crowd).len();
    println!("{asleep} of {copies} sleep");
    assert!(asleep > 0, "there is memory for all of them");
}

/// Returns the services that sleep on swap, as `ls` finds them.
fn sleepers(crowd: &Crowd) -> Vec<Service> {
    let list = ["ls", "--json", "--prefix", "many-", "--state", "paged"];
    let mut paged: Vec<Service> = crowd.host.denali(list).succeeds().json();
    assert!(paged.iter().all(|service| service.swapped > 0));
    paged.retain(|service| service.resident == 0);
    paged
}

/// Returns a service that sleeps on swap.
fn sleeper(crowd: &Crowd) -> Service {
    sleepers(crowd).into_iter().next().expect("somebody sleeps")
}

fn a_log_of_a_sleeper_can_be_read(crowd: &Crowd) {
    let Service { name, .. } = sleeper(crowd);
    let log = crowd.host.logs(&name);
    println!("{name}: {log}");
    assert_ne!(crowd.host.service(&name).state, ServiceState::Crashed);
}

fn a_sleeper_that_is_ended_at_once_leaves_its_log(crowd: &Crowd) {
    let talker = crowd.host.service(TALKER);
    assert_eq!((talker.state, talker.resident), (ServiceState::Paged, 0));
    let stop = ["stop", TALKER, "--deadline", "0"];
    crowd.host.denali(stop).succeeds();
    let log = crowd.host.denali(["logs", TALKER]).succeeds();
    assert!(!log.stdout.trim().is_empty(), "{log}");
    assert!(!log.stderr.contains("is gone"), "{log}");
}

fn whoever_comes_and_goes_leaves_nothing_behind(crowd: &Crowd) {
    let project = Project::shared(crowd.host.home(), "minimal");
    let swap = || crowd.host.status().answered().paging.swap_available;
    let (vms, before) = (crowd.copies, swap());
    for round in 1..=3 {
        let name = format!("round-{round}");
        let arguments = ["deploy", "--name", &name, "--copies", "8"];
        crowd
            .host
            .denali(arguments)
            .within(project.folder())
            .succeeds();
        assert!(swap() < before);
        for number in 1..=8 {
            crowd.host.remove(&format!("{name}-{number}"));
        }
    }
    wait::until("all of their swap space", || {
        (swap() == before).then_some(())
    });
    assert_eq!(crowd.copies().len(), vms as usize);
}

fn the_kernel_finds_every_invariant_to_hold(crowd: &Crowd) {
    let audit = crowd.host.audit();
    assert!(audit.contains("every invariant holds"), "{audit}");
}

/// Flips a bit of the map in a sleeper's extent.
///
/// Extents are taken one behind the other, the talker's first, each as long as the memory limit and
/// its map (127 entries a block). The map is written to the end of its room, which comes first. The
/// disks take chunks of 64 blocks in turn.
fn flip_bit(crowd: &Crowd, sleeper: &Service) {
    let number = sleeper.name.strip_prefix("many-").expect("a copy");
    let number: u64 = number.parse().expect("a number");
    let pages = sleeper.memory / 4096;
    let map_room = pages.div_ceil(127);
    let block = number * (pages + map_room) + map_room - 1;
    let (chunk, within) = (block / 64, block % 64);
    let file = format!("disk{}.raw", chunk % 2);
    let path = crowd.host.status().serial_log.with_file_name(file);
    let mut disk = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("the disk");
    let place = SeekFrom::Start((chunk / 2 * 64 + within) * 4096 + 1000);
    let mut byte = [0];
    disk.seek(place).expect("inside");
    disk.read_exact(&mut byte).expect("inside");
    byte[0] ^= 1;
    disk.seek(place).expect("inside");
    disk.write_all(&byte).expect("room");
}

fn a_flipped_bit_on_the_disk_ends_one_service_alone(crowd: &Crowd) {
    let sleeper = sleeper(crowd);
    flip_bit(crowd, &sleeper);
    let address = sleeper.address.expect("an address");
    let log = visit(crowd, "finder", &[&address, "1", "0", "1"]);
    assert!(log.contains("0 answered, 1 silent"));
    let services = crowd.copies();
    let ended = services
        .iter()
        .filter(|service| service.state == ServiceState::Crashed);
    let ended: Vec<&Service> = ended.collect();
    assert_eq!(ended.len(), 1, "{ended:?}");
    let reason = ended[0].reason.as_deref().expect("a reason");
    assert!(reason.contains("swapped page corrupt"), "{reason}");
    assert_eq!(ended[0].name, sleeper.name);
}

fn memory_and_names_come_back(crowd: &Crowd) {
    for number in 1..=10 {
        crowd.host.remove(&format!("many-{number}"));
    }
    assert_eq!(crowd.copies().len(), crowd.copies as usize - 10);
}
