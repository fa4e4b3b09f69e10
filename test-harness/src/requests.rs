//! How many instructions an HTTP request takes: all rings, kernel and service together.
//!
//! A host under QEMU serves the web server of the template over a TAP device to Linux's own TCP. The
//! client keeps one request under way on each connection. QEMU counts what the machine executes; the
//! client is no part of it, and decides only how many requests the service finds at a time. So the
//! figure is the median of several rounds.

use crate::cli::{self, Running};
use crate::counter::Counter;
use crate::home::Home;
use crate::host::{Host, Instructions};
use crate::http::{Body, Connection};
use crate::machine::{Board, boot_files, boot_in};
use crate::project::Project;
use crate::wire::Namespace;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The service's address: the first of the pool.
const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 90, 1, 1)), 80);

/// Connections with a request under way on each.
const CONNECTIONS: usize = 16;

/// Rounds of which the median counts.
const ROUNDS: usize = 9;

/// Rounds before, so that memory and caches are as they stay.
const ROUNDS_BEFORE: usize = 2;

/// Files of the service besides the template's, with their lengths.
const FILES: [(&str, usize); 3] = [("1", 1), ("1k", 1024), ("100k", 100 * 1024)];

/// The file of recorded values, in the harness's folder.
const RECORD: &str = "recorded/requests.json";

/// Instructions of a request, by the name of the work.
pub type Recorded = BTreeMap<String, u64>;

/// Returns the recorded values.
///
/// # Panics
///
/// If there are none.
#[must_use]
pub fn recorded() -> Recorded {
    let text = fs::read(record_file()).expect("recorded values");
    serde_json::from_slice(&text).expect("names and numbers")
}

/// Records values.
///
/// # Panics
///
/// If the file cannot be written.
pub fn record(values: &Recorded) {
    let text = serde_json::to_string_pretty(values).expect("names and numbers");
    fs::write(record_file(), text + "\n").expect("a file that can be written");
}

fn record_file() -> PathBuf {
    cli::repository().join("test-harness").join(RECORD)
}

/// A kind of request.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Its name in tables.
    pub name: &'static str,
    path: &'static str,
    /// Whether a connection serves one request after another, or only one.
    keeps_alive: bool,
    /// Requests of each connection a round.
    requests: usize,
}

/// What is measured.
pub const WORKS: [Work; 4] = [
    work("keep-alive, 1 B", "/1", true, 40),
    work("keep-alive, 1 KB", "/1k", true, 40),
    work("keep-alive, 100 KB", "/100k", true, 8),
    work("new connection, 1 B", "/1", false, 16),
];

const fn work(name: &'static str, path: &'static str, keeps_alive: bool, requests: usize) -> Work {
    Work {
        name,
        path,
        keeps_alive,
        requests,
    }
}

/// A host whose instructions are counted, with the web server on it.
#[derive(Debug)]
pub struct Bench {
    counter: Counter,
    _machine: Running,
    namespace: Namespace,
    _home: Home,
}

impl Bench {
    /// Boots the host and deploys the service.
    ///
    /// # Panics
    ///
    /// If something does not work; it takes root.
    #[must_use]
    pub fn set_up() -> Self {
        let home = Home::new();
        let host = Host::up(&[]);
        let copies = ["kernel", "boot-module"].map(|name| home.path().join(name));
        for (file, copy) in boot_files(host.status().pid).iter().zip(&copies) {
            fs::copy(file, copy).expect("a copy");
        }
        let namespace = Namespace::new();
        let counter = Counter::new(&home);
        let board = Board::new("q35", "max").memory("512M");
        let board = board.kernel(&copies[0], &copies[1]).counted_by(&counter);
        let machine = boot_in(&namespace, &home, &board);
        // The user whose key the boot module knows.
        let project = Project::shared(host.home(), "web-server");
        for (name, len) in FILES {
            let file = project.folder().join("static").join(name);
            fs::write(file, vec![b'x'; len]).expect("a file of ours");
        }
        // Every server that is compared with this one writes no log.
        project.edit("ACCESS_LOG = \"on\"", "ACCESS_LOG = \"off\"");
        host.home()
            .invoke("ip")
            .args(["netns", "exec", namespace.name()])
            .arg(cli::program())
            .args(["deploy", "10.90.0.15:22"])
            .within(project.folder())
            .succeeds();
        Self {
            counter,
            _machine: machine,
            namespace,
            _home: home,
        }
    }

    /// Returns what a request takes: the median of several rounds by their sums.
    ///
    /// # Panics
    ///
    /// If a request is not answered.
    #[must_use]
    pub fn measure(&self, work: Work) -> Instructions {
        let mut rounds: Vec<_> = self.namespace.within(|| {
            let mut client = Client::new(work);
            let mut round = || self.counter.count(|| client.round());
            (0..ROUNDS_BEFORE).for_each(|_| {
                round();
            });
            (0..ROUNDS).map(|_| round()).collect()
        });
        rounds.sort_by_key(Instructions::sum);
        let requests = (CONNECTIONS * work.requests) as u64;
        let median = rounds[ROUNDS / 2];
        Instructions {
            guests: median.guests / requests,
            kernel: median.kernel / requests,
        }
    }
}

/// The connections of one client.
struct Client {
    work: Work,
    connections: Vec<Connection>,
}

impl Client {
    fn new(work: Work) -> Self {
        let connections = (0..CONNECTIONS).map(|_| connect());
        Self {
            work,
            connections: connections.collect(),
        }
    }

    /// Has every connection answer as many requests as a round has.
    fn round(&mut self) {
        let work = self.work;
        let fields: &[&str] = match work.keeps_alive {
            true => &[],
            false => &["Connection: close"],
        };
        let ask = |connection: &mut Connection| {
            connection.request("GET", work.path, fields).expect("sent");
        };
        self.connections.iter_mut().for_each(ask);
        for left in (0..work.requests).rev() {
            for connection in &mut self.connections {
                let answer = connection.receive(Body::Sent).expect("an answer");
                assert_eq!(answer.status, 200);
                if !work.keeps_alive {
                    *connection = connect();
                }
                if left > 0 {
                    ask(connection);
                }
            }
        }
    }
}

fn connect() -> Connection {
    Connection::to(SERVICE).expect("a connection")
}
