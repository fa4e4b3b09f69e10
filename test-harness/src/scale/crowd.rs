//! A host full of services, and those who ask them.

use super::Plan;
use super::tally::Tally;
use crate::home::Home;
use crate::host::{Host, free_port};
use crate::load::{Load, Outcome, Zipf};
use crate::project::Project;
use denali_protocol::{Paging, Service};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the making of all services may take.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(3600);

/// A host full of services.
#[derive(Debug)]
pub(super) struct Crowd<'a> {
    pub(super) plan: &'a Plan,
    pub(super) host: Host,
    project: Project,
    load: Arc<Mutex<Load>>,
    /// Who turns the load's link while nobody else does.
    link: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    pub(super) addresses: Vec<Ipv4Addr>,
    expected: Vec<u8>,
}

/// Deploys as the words say and tells how long it took.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn deploy(host: &Host, project: &Project, words: &[&str], copies: u32) {
    let begun = Instant::now();
    let before = host.status().answered();
    let deploying = host.denali(words).within(project.folder()).start();
    let outcome = deploying.finish_within(DEPLOY_TIMEOUT);
    assert_eq!(outcome.code, Some(0), "exit status of {outcome}");
    let rates = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("a second"));
    for line in rates {
        println!("{}", line.trim());
    }
    let status = host.status().answered();
    println!(
        "{copies} services made in {:.1} s, {:.1} s of the host's clock of which it was idle {:.1} s",
        begun.elapsed().as_secs_f64(),
        Duration::from_nanos(status.uptime_ns - before.uptime_ns).as_secs_f64(),
        Duration::from_nanos(status.idle_ns - before.idle_ns).as_secs_f64(),
    );
    let first = ["ls", "--json", "--prefix", "w-", "--limit", "500"];
    let first: Vec<Service> = host.denali(first).succeeds().json();
    let mean = |of: fn(&Service) -> u64| {
        let sum: u64 = first.iter().map(of).sum();
        sum / u64::try_from(first.len()).unwrap_or(1).max(1)
    };
    println!(
        "{} of them: {} us of CPU and {} faults each",
        first.len(),
        mean(|service| service.cpu_ns) / 1000,
        mean(|service| service.faults),
    );
    println!(
        "memory {} KiB free of {} KiB",
        status.memory_free >> 10,
        status.memory_total >> 10
    );
}

/// Returns the address of the first copy; the others' follow it.
fn first_address(host: &Host) -> Ipv4Addr {
    let list = ["ls", "--json", "--prefix", "w-1", "--limit", "1"];
    let first: Vec<Service> = host.denali(list).succeeds().json();
    let address = first[0].address.as_ref().expect("an address");
    address.parse().expect("an address")
}

impl<'a> Crowd<'a> {
    /// Boots a host and makes all services.
    pub(super) fn gather(plan: &'a Plan) -> Self {
        let home = Home::new();
        let folder = home.path().join("ethernet");
        fs::create_dir(&folder).expect("a folder of ours");
        let port = free_port();
        let load = Arc::new(Mutex::new(Load::new(&folder, port).expect("sockets")));
        let link = keep_turning(&load);
        let port = port.to_string();
        let services = (plan.copies + 16).to_string();
        let ethernet = folder.to_string_lossy().into_owned();
        let mut options = vec![
            "--memory",
            &plan.memory,
            "--disk",
            "1024G",
            "--disk",
            "1024G",
            "--services",
            &services,
            "--ethernet",
            &ethernet,
            "--port",
            &port,
        ];
        for word in &plan.kernel {
            options.extend(["--kernel", word]);
        }
        let host = if plan.counted {
            Host::up_counted(home, "", &options)
        } else {
            Host::up_as(home, &options)
        };
        let project = Project::shared(host.home(), &plan.template);
        // Built before the clock starts.
        host.denali(["build"]).within(project.folder()).succeeds();
        let copies = plan.copies.to_string();
        let mut words = vec!["deploy", "--name", "w", "--copies", &copies];
        if plan.dormant {
            words.push("--dormant");
        }
        deploy(&host, &project, &words, plan.copies);
        let first = first_address(&host);
        let addresses = (0..plan.copies).map(|nth| Ipv4Addr::from_bits(first.to_bits() + nth));
        let page = project.folder().join("static/index.html");
        let expected = fs::read(page).unwrap_or_else(|_| b"hello from Denali!\n".to_vec());
        Self {
            plan,
            host,
            project,
            load,
            link: Some(link),
            addresses: addresses.collect(),
            expected,
        }
    }

    /// Makes more services.
    pub(super) fn deploy(&self, name: &str, copies: usize) {
        let copies = copies.to_string();
        let words = ["deploy", "--name", name, "--copies", &copies];
        let deploying = self.host.denali(words);
        deploying.within(self.project.folder()).succeeds();
    }

    /// Asks some, or all, once each, in an order that is not that of their making.
    pub(super) fn touch(&mut self) -> bool {
        let mut order = self.addresses.clone();
        Zipf::shuffle(&mut order, 0x5eed);
        order.truncate(usize::try_from(self.plan.touch).unwrap_or(usize::MAX));
        let mut order = order.into_iter();
        self.part("each once", self.plan.clients, || order.next())
    }

    /// Asks as Zipf's law has it.
    pub(super) fn zipf(&mut self, alpha: f64) -> bool {
        let mut zipf = Zipf::new(self.plan.copies, alpha, 0xa1fa);
        let mut left = self.plan.requests;
        let addresses = self.addresses.clone();
        self.part(&format!("alpha {alpha}"), self.plan.clients, move || {
            left = left.checked_sub(1)?;
            Some(addresses[zipf.draw()])
        })
    }

    /// Asks whom `next` names, so many at once, and prints what came of it. Returns whether every
    /// answer was right.
    #[expect(clippy::print_stdout, reason = "the figures are the result")]
    pub(super) fn part(
        &mut self,
        name: &str,
        clients: usize,
        mut next: impl FnMut() -> Option<Ipv4Addr>,
    ) -> bool {
        let before = self.paging();
        let begun = Instant::now();
        let mut tally = Tally::default();
        let mut failed = Vec::new();
        self.load
            .lock()
            .expect("nobody panics with it")
            .run(clients, &self.expected, &mut next, |address, outcome| {
                if !matches!(outcome, Outcome::Answered { .. }) {
                    failed.push(address);
                }
                tally.add(outcome);
            })
            .expect("the link holds");
        let seconds = begun.elapsed().as_secs_f64();
        let after = self.paging();
        let answered = tally.first_bytes.len();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = answered as f64 / seconds;
        let ms = |part| tally.percentile(part).as_secs_f64() * 1000.0;
        println!(
            "{name}: {answered} right, {} wrong, {} refused, {} silent in {seconds:.1} s, {rate:.1}/s; \
             first byte {:.0} ms half, {:.0} ms 90 %, {:.0} ms 99 %, {:.0} ms all; \
             {} wakes, {} came back, {} left, {} pages faulted in",
            tally.wrong,
            tally.refused,
            tally.silent,
            ms(0.5),
            ms(0.9),
            ms(0.99),
            ms(1.0),
            after.wakes - before.wakes,
            after.arrivals - before.arrivals,
            after.departures - before.departures,
            after.page_ins - before.page_ins,
        );
        if !failed.is_empty() {
            println!(
                "without the right answer: {:?}",
                &failed[..failed.len().min(20)]
            );
        }
        let first_byte_ms = [0.5, 0.9, 0.99, 1.0].map(ms);
        self.record(&serde_json::json!({
            "copies": self.plan.copies,
            "memory": self.plan.memory,
            "kernel": self.plan.kernel.join(" "),
            "part": name,
            "right": answered,
            "wrong": tally.wrong,
            "refused": tally.refused,
            "silent": tally.silent,
            "seconds": seconds,
            "rate": rate,
            "ms": first_byte_ms,
            "arrivals": after.arrivals - before.arrivals,
            "page-ins": after.page_ins - before.page_ins,
        }));
        tally.all_right()
    }

    fn record(&self, part: &serde_json::Value) {
        if let Some(path) = &self.plan.record {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .expect("a file to record in");
            writeln!(file, "{part}").expect("room");
        }
    }

    /// Returns the host's counters of paging.
    pub(super) fn paging(&self) -> Paging {
        self.host.status().answered().paging
    }
}

/// Turns the link of a load again and again until it is told to end, so that the supervisor is
/// reached while no requests are under way.
fn keep_turning(load: &Arc<Mutex<Load>>) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let end = Arc::new(AtomicBool::new(false));
    let (load, ended) = (Arc::clone(load), Arc::clone(&end));
    let turning = thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            let moved = load
                .lock()
                .expect("nobody panics with it")
                .turn()
                .expect("the link holds");
            if !moved {
                thread::sleep(Duration::from_micros(500));
            }
        }
    });
    (end, turning)
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        // The host is told to end through the link.
        drop(self.host.denali(["host", "down"]).run());
        if let Some((end, turning)) = self.link.take() {
            end.store(true, Ordering::Relaxed);
            // It has nothing to say.
            turning.join().ok();
        }
    }
}
