//! Very many services on one host: all are deployed by one command, asked at their own addresses,
//! and then asked as Zipf's law has it.

use crate::home::Home;
use crate::host::{Host, free_port};
use crate::load::{Load, Outcome, Zipf};
use crate::project::Project;
use denali_build::qmp::Monitor;
use denali_protocol::{Paging, Service};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the making of all services may take.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(3600);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Services.
    pub copies: u32,
    /// Memory of the host, as `host up` takes it.
    pub memory: String,
    /// What they are made from.
    pub template: String,
    /// Whether they begin with the first packet for them.
    pub dormant: bool,
    /// How many of them are asked once, at random; each is asked if it is all of them.
    pub touch: u32,
    /// Requests for each slope.
    pub requests: u32,
    /// Slopes of Zipf's law.
    pub alphas: Vec<f64>,
    /// Requests under way at once.
    pub clients: usize,
    /// Words for the kernel's command line.
    pub kernel: Vec<String>,
    /// Whether the host's clock advances by a nanosecond an instruction, whatever this machine does
    /// besides.
    pub counted: bool,
    /// A file to append a line of JSON for each part to.
    pub record: Option<PathBuf>,
}

impl Plan {
    /// Reads words like `copies=10000`. Without any it is ten thousand web servers on 512 MiB, all
    /// asked, then 5,000 requests for each slope from 0.6 to 1.4.
    ///
    /// # Errors
    ///
    /// The word that is wrong.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut plan = Self {
            copies: 10_000,
            memory: "512M".to_owned(),
            template: "web-server".to_owned(),
            dormant: false,
            touch: u32::MAX,
            requests: 5_000,
            alphas: vec![0.6, 1.0, 1.4],
            clients: 32,
            kernel: Vec::new(),
            counted: false,
            record: None,
        };
        for word in words {
            let Some((key, value)) = word.split_once('=') else {
                return Err(format!("`{word}` is not like copies=10000"));
            };
            let number = || {
                value
                    .parse::<u32>()
                    .map_err(|_| format!("`{word}`: no number"))
            };
            match key {
                "copies" => plan.copies = number()?,
                "memory" => value.clone_into(&mut plan.memory),
                "template" => value.clone_into(&mut plan.template),
                "dormant" => plan.dormant = value == "yes",
                "counted" => plan.counted = value == "yes",
                "touch" => plan.touch = number()?,
                "requests" => plan.requests = number()?,
                "alpha" => {
                    let alphas: Result<_, _> = value.split(',').map(str::parse).collect();
                    plan.alphas = alphas.map_err(|_| format!("`{word}`: no numbers"))?;
                }
                "clients" => plan.clients = value.parse().map_err(|_| format!("`{word}`"))?,
                "kernel" => plan.kernel.push(value.to_owned()),
                "record" => plan.record = Some(value.into()),
                _ => return Err(format!("no word `{key}`")),
            }
        }
        plan.touch = plan.touch.min(plan.copies);
        Ok(plan)
    }
}

/// What came of many requests.
#[derive(Clone, Debug, Default)]
struct Tally {
    first_bytes: Vec<Duration>,
    wrong: u32,
    silent: u32,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered { first_byte, .. } => self.first_bytes.push(first_byte),
            Outcome::Wrong => self.wrong += 1,
            Outcome::Silent => self.silent += 1,
        }
    }

    fn all_right(&self) -> bool {
        self.wrong == 0 && self.silent == 0
    }

    /// Returns the time from the first packet to the first byte that this part of the answers kept.
    fn percentile(&self, part: f64) -> Duration {
        let mut sorted = self.first_bytes.clone();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index of a list"
        )]
        let at = (sorted.len() as f64 * part) as usize;
        sorted
            .get(at.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

/// A host full of services.
#[derive(Debug)]
struct Crowd<'a> {
    plan: &'a Plan,
    host: Host,
    load: Arc<Mutex<Load>>,
    /// Who turns the load's link while nobody else does.
    link: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    addresses: Vec<Ipv4Addr>,
    expected: Vec<u8>,
}

/// Carries a plan out, and prints what came of it. Returns whether every answer was right and the
/// kernel's audit found nothing.
///
/// # Panics
///
/// If the host does not come up or does not take the services.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
#[must_use]
pub fn run(plan: &Plan) -> bool {
    let mut crowd = Crowd::gather(plan);
    let mut fine = crowd.touch();
    for &alpha in &plan.alphas {
        fine &= crowd.zipf(alpha);
    }
    let audit = crowd.audit();
    println!("audit: {audit}");
    println!("{}", crowd.host.denali(["host", "stats"]).succeeds().stdout);
    fine && audit.contains("every invariant holds")
}

/// Deploys as the words say and tells how long it took.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn deploy(host: &Host, project: &Project, words: &[&str], copies: u32) {
    let begun = Instant::now();
    let before = host.status().answered().uptime_ns;
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
        "{copies} services made in {:.1} s, {:.1} s of the host's clock",
        begun.elapsed().as_secs_f64(),
        Duration::from_nanos(status.uptime_ns - before).as_secs_f64(),
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
    fn gather(plan: &'a Plan) -> Self {
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
            load,
            link: Some(link),
            addresses: addresses.collect(),
            expected,
        }
    }

    /// Asks some, or all, once each, in an order that is not that of their making.
    fn touch(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.addresses.len()).collect();
        let mut random = Zipf::new(self.plan.copies, 0.0, 0x5eed);
        for index in 0..order.len() {
            let other = random.draw();
            order.swap(index, other);
        }
        order.truncate(usize::try_from(self.plan.touch).unwrap_or(usize::MAX));
        let mut order = order.into_iter();
        self.part("each once", move || order.next())
    }

    /// Asks as Zipf's law has it.
    fn zipf(&mut self, alpha: f64) -> bool {
        let mut zipf = Zipf::new(self.plan.copies, alpha, 0xa1fa);
        let mut left = self.plan.requests;
        self.part(&format!("alpha {alpha}"), move || {
            left = left.checked_sub(1)?;
            Some(zipf.draw())
        })
    }

    #[expect(clippy::print_stdout, reason = "the figures are the result")]
    fn part(&mut self, name: &str, mut next: impl FnMut() -> Option<usize>) -> bool {
        let before = self.paging();
        let begun = Instant::now();
        let mut tally = Tally::default();
        let addresses = &self.addresses;
        let mut failed = Vec::new();
        self.load
            .lock()
            .expect("nobody panics with it")
            .run(
                self.plan.clients,
                &self.expected,
                || next().map(|service| (service, addresses[service])),
                |service, outcome| {
                    if !matches!(outcome, Outcome::Answered { .. }) {
                        failed.push(service + 1);
                    }
                    tally.add(outcome);
                },
            )
            .expect("the link holds");
        let seconds = begun.elapsed().as_secs_f64();
        let after = self.paging();
        let answered = tally.first_bytes.len();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = answered as f64 / seconds;
        let ms = |part| tally.percentile(part).as_secs_f64() * 1000.0;
        println!(
            "{name}: {answered} right, {} wrong, {} silent in {seconds:.1} s, {rate:.1}/s; \
             first byte {:.0} ms half, {:.0} ms 90 %, {:.0} ms 99 %, {:.0} ms all; \
             {} wakes, {} came back, {} left",
            tally.wrong,
            tally.silent,
            ms(0.5),
            ms(0.9),
            ms(0.99),
            ms(1.0),
            after.wakes - before.wakes,
            after.arrivals - before.arrivals,
            after.departures - before.departures,
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
            "silent": tally.silent,
            "seconds": seconds,
            "rate": rate,
            "ms": first_byte_ms,
            "arrivals": after.arrivals - before.arrivals,
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

    fn paging(&self) -> Paging {
        self.host.status().answered().paging
    }

    /// Has the kernel audit itself, and returns what it says.
    fn audit(&self) -> String {
        let log = self.host.status().serial_log;
        let monitor = Monitor::connect(&log.with_file_name("monitor.socket"));
        monitor
            .and_then(|mut monitor| monitor.human("nmi"))
            .expect("QEMU's monitor answers");
        crate::wait::until("the kernel's audit", || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let line = text.lines().rev().find(|line| line.contains("audit:"));
            line.map(str::to_owned)
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_word_by_word() {
        let words = [
            "copies=7",
            "alpha=0.5,1",
            "dormant=yes",
            "kernel=replacement=clock",
        ];
        let plan = Plan::parse(&words.map(str::to_owned)).expect("good words");
        assert_eq!((plan.copies, plan.touch, plan.dormant), (7, 7, true));
        assert_eq!(
            (plan.alphas, plan.kernel),
            (vec![0.5, 1.0], vec!["replacement=clock".to_owned()])
        );
        assert!(Plan::parse(&["copies".to_owned()]).is_err());
        assert!(Plan::parse(&["copies=x".to_owned()]).is_err());
    }
}
