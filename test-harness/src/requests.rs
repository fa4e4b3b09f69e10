//! How many instructions an HTTP request takes: all rings, kernel and service together.
//!
//! A host under QEMU serves the web server of the template over a TAP device to Linux's own TCP. The
//! client keeps one request under way on each connection. QEMU counts what the machine executes; the
//! client is no part of it, and decides only how many requests the service finds at a time. A slow
//! one has the service begin more often, so the figure is the least of several rounds.

use crate::bulk;
use crate::cli::{self, Running};
use crate::counter::Counter;
use crate::external;
use crate::guest::Guest;
use crate::home::Home;
use crate::host::{Host, Instructions};
use crate::http::{Body, Connection};
use crate::linux;
use crate::machine::{self, Board, boot_files, boot_in, supervisor_greets};
use crate::project::Project;
use crate::wait;
use crate::wire::Namespace;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The service's address: the first of the pool.
const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 90, 1, 1)), 80);

/// The address of the guest `net_server`: the next one.
const BULK: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 90, 1, 2));

/// Connections with a request under way on each.
const CONNECTIONS: usize = 16;

/// Rounds of which the least counts.
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
    /// What is asked for.
    pub path: &'static str,
    /// Bytes that are sent along.
    upload: usize,
    /// Whether a connection serves one request after another, or only one.
    keeps_alive: bool,
    /// Requests of each connection a round.
    requests: usize,
}

/// What is measured.
pub const WORKS: [Work; 5] = [
    work("keep-alive, 1 B", "/1", 40),
    work("keep-alive, 1 KB", "/1k", 40),
    work("keep-alive, 100 KB", "/100k", 8),
    Work {
        keeps_alive: false,
        ..work("new connection, 1 B", "/1", 16)
    },
    Work {
        upload: 60 * 1024,
        ..work("keep-alive, 60 KB upload", "/1", 8)
    },
];

/// Describes requests on connections that are kept, so many a round on each.
#[must_use]
pub const fn work(name: &'static str, path: &'static str, requests: usize) -> Work {
    Work {
        name,
        path,
        upload: 0,
        keeps_alive: true,
        requests,
    }
}

impl Work {
    /// Returns a request's bytes.
    fn request(&self) -> Vec<u8> {
        let Self { path, upload, .. } = *self;
        let end = if self.keeps_alive {
            ""
        } else {
            "Connection: close\r\n"
        };
        let host = format!("Host: localhost\r\n{end}");
        if upload == 0 {
            return format!("GET {path} HTTP/1.1\r\n{host}\r\n").into_bytes();
        }
        let head = format!("POST {path} HTTP/1.1\r\n{host}Content-Length: {upload}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; upload]].concat()
    }

    /// Returns the status of its answers: the service takes an upload whole, and has no use for it.
    const fn status(&self) -> u16 {
        if self.upload == 0 { 200 } else { 405 }
    }
}

/// A machine with a service at 10.90.1.1, which is loaded from a namespace beside it.
#[derive(Debug)]
pub struct Bench {
    /// Of a machine whose instructions are counted: it runs slower.
    counter: Option<Counter>,
    _machine: Running,
    namespace: Namespace,
    _home: Home,
}

/// Whether a machine's instructions are counted, or it runs as fast as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// They are.
    Counted,
    /// It is.
    Free,
}

impl Pace {
    fn board(self, home: &Home) -> (Board, Option<Counter>) {
        let board = Board::new("q35", "max").memory("512M");
        match self {
            Self::Free => (board, None),
            Self::Counted => {
                let counter = Counter::new(home);
                (board.counted_by(&counter), Some(counter))
            }
        }
    }
}

impl Bench {
    /// Boots a host whose instructions are counted, with the web server and a service for bulk.
    ///
    /// # Panics
    ///
    /// If something does not work; it takes root.
    #[must_use]
    pub fn set_up() -> Self {
        let host = Host::up(&[]);
        let web = web_server(&host);
        let server = Guest::new("net_server").memory("16M").project();
        Self::of_host(Pace::Counted, &host, &[web.folder(), &server])
    }

    /// Boots a host like `host` and deploys projects, the first of which is asked.
    ///
    /// # Panics
    ///
    /// If something does not work; it takes root.
    #[must_use]
    pub fn of_host(pace: Pace, host: &Host, projects: &[&Path]) -> Self {
        let bench = Self::of_machine(pace, |namespace, home, board| {
            let copies = ["kernel", "boot-module"].map(|name| home.path().join(name));
            for (file, copy) in boot_files(host.status().pid).iter().zip(&copies) {
                fs::copy(file, copy).expect("a copy");
            }
            let board = board.kernel(&copies[0], &copies[1]);
            boot_in(namespace, home, &board, supervisor_greets)
        });
        for folder in projects {
            // By the user whose key the boot module knows.
            host.home()
                .invoke("ip")
                .args(["netns", "exec", bench.namespace.name()])
                .arg(cli::program())
                .args(["deploy", "10.90.0.15:22"])
                .within(folder)
                .succeeds();
        }
        bench
    }

    /// Boots Linux with a program instead, on a machine like that of the host.
    ///
    /// # Panics
    ///
    /// If something does not work; it takes root.
    #[must_use]
    pub fn of_linux(pace: Pace, program: &linux::Program) -> Self {
        Self::of_machine(pace, |namespace, home, board| {
            linux::boot(namespace, home, board, program, SERVICE)
        })
    }

    fn of_machine(pace: Pace, boot: impl FnOnce(&Namespace, &Home, Board) -> Running) -> Self {
        let home = Home::new();
        let namespace = Namespace::new();
        let (board, counter) = pace.board(&home);
        let machine = boot(&namespace, &home, board);
        Self {
            counter,
            _machine: machine,
            namespace,
            _home: home,
        }
    }

    /// Returns how many requests for `path` are answered in a second, over so many connections.
    ///
    /// # Panics
    ///
    /// If one is not answered as it should be.
    #[must_use]
    pub fn rate(&self, path: &str, connections: u32) -> f64 {
        self.namespace.within(|| {
            wait::until("a service that takes connections", || {
                machine::accepts(SERVICE).then_some(())
            });
        });
        let output = Command::new("ip")
            .args(["netns", "exec", self.namespace.name()])
            .arg(external::program("wrk", "wrk"))
            .args(["-t1", "-d5s", "--timeout=20s", &format!("-c{connections}")])
            .arg(format!("http://{SERVICE}{path}"))
            .output()
            .expect("wrk runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            !text.contains("Non-2xx") && !text.contains("Socket errors"),
            "{text}"
        );
        let rate = text
            .lines()
            .find_map(|line| line.strip_prefix("Requests/sec:"));
        let rate = rate.and_then(|rate| rate.trim().parse().ok());
        let errors = String::from_utf8_lossy(&output.stderr);
        rate.unwrap_or_else(|| panic!("no rate: {text}{errors}"))
    }

    /// Carries bulk to the other service and from it, by both protocols, over a NIC that cuts
    /// segments.
    ///
    /// # Panics
    ///
    /// If one byte is wrong.
    pub fn carry_bulk(&self, len: u64) {
        let by_ipv6 = self.namespace.link_local(BULK, bulk::PORT);
        self.namespace.within(|| {
            for service in [SocketAddr::new(BULK, bulk::PORT), by_ipv6.into()] {
                bulk::upload(service, 1, len);
                bulk::download(service, 2, len);
            }
        });
    }

    /// Returns what a request takes: the least of several rounds by their sums.
    ///
    /// # Panics
    ///
    /// If a request is not answered, or nothing is counted here.
    #[must_use]
    pub fn measure(&self, work: &Work) -> Instructions {
        let rounds: Vec<_> = self.namespace.within(|| {
            let mut client = Client::new(*work);
            let counter = self.counter.as_ref().expect("instructions are counted");
            let mut round = || counter.count(|| client.round());
            (0..ROUNDS_BEFORE).for_each(|_| {
                round();
            });
            (0..ROUNDS).map(|_| round()).collect()
        });
        let least = rounds.iter().min_by_key(|round| round.sum());
        let least = least.expect("there are some");
        let requests = (CONNECTIONS * work.requests) as u64;
        Instructions {
            guests: least.guests / requests,
            kernel: least.kernel / requests,
        }
    }
}

/// Returns a project of the web server with the files that are asked for. Every server that is compared
/// with it writes no log, either.
///
/// # Panics
///
/// If it cannot be made.
#[must_use]
pub fn web_server(host: &Host) -> Project {
    let project = Project::shared(host.home(), "web-server");
    for (name, contents) in files() {
        let file = project.folder().join("static").join(name);
        fs::write(file, contents).expect("a file of ours");
    }
    project.edit("ACCESS_LOG = \"on\"", "ACCESS_LOG = \"off\"");
    project
}

/// Returns the files that are asked for, with their names.
pub fn files() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    FILES.into_iter().map(|(name, len)| (name, vec![b'x'; len]))
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
        let request = work.request();
        let ask = |connection: &mut Connection| connection.send(&request).expect("sent");
        self.connections.iter_mut().for_each(ask);
        for left in (0..work.requests).rev() {
            for connection in &mut self.connections {
                let answer = connection.receive(Body::Sent).expect("an answer");
                assert_eq!(answer.status, work.status());
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
