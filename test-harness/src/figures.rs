//! What services cost: pages when idle, bytes of their images, instructions of a request.
//!
//! QEMU counts instructions one by one (`-icount shift=0 -singlestep`, and a line in its log for each
//! while requests are served): those in ring 3 are the service's share, since nobody else is active,
//! and those in ring 0 the kernel's.

use crate::guest::Guest;
use crate::home::Home;
use crate::host::{Host, free_port};
use crate::http::{Body, Connection};
use crate::project::Project;
use serde::Deserialize;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

/// Requests whose instructions are counted.
const REQUESTS: u64 = 50;

/// Requests before, so that memory and caches are as they stay.
const REQUESTS_BEFORE: u64 = 100;

/// The templates, and the port each listens on.
const TEMPLATES: [(&str, u16); 3] = [("minimal", 80), ("web-server", 80), ("cache", 11211)];

/// How much more than recorded a figure may be, in per cent: what it is anew is recorded in the commit
/// that says why.
const RISE_MAX: u64 = 5;

/// What was measured last of what the suite `footprint` guards.
const RECORDED: [(&str, u64); 6] = [
    ("image, minimal", 241_664),
    ("image, web-server", 303_104),
    ("image, cache", 299_008),
    ("idle VM, minimal", 21),
    ("idle VM, web-server", 29),
    ("idle VM, cache", 27),
];

/// A measured value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: u64,
    /// Of what.
    pub unit: &'static str,
}

fn figure(name: impl Into<String>, value: u64, unit: &'static str) -> Figure {
    Figure {
        name: name.into(),
        value,
        unit,
    }
}

impl Figure {
    /// Returns whether the value is no more than was recorded, or not much.
    ///
    /// # Panics
    ///
    /// If nothing was recorded.
    #[must_use]
    pub fn is_as_recorded(&self) -> bool {
        let recorded = RECORDED.iter().find(|(name, _)| *name == self.name);
        let (_, recorded) = recorded.expect("a figure with a record");
        self.value * 100 <= recorded * (100 + RISE_MAX)
    }
}

/// Measures everything.
///
/// # Panics
///
/// If something does not work.
#[must_use]
pub fn all() -> Vec<Figure> {
    let mut figures = images();
    figures.extend(idle_pages(&Host::up(&[])));
    figures.extend(instructions());
    figures.push(threads_per_mib());
    figures
}

/// Returns the bytes of the templates' images.
///
/// # Panics
///
/// If one is not built.
#[must_use]
pub fn images() -> Vec<Figure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Report {
        image_bytes: u64,
    }
    let home = Home::new();
    let image = |(template, _): (&str, u16)| {
        let project = Project::shared(&home, template);
        let build = home.denali(["build", "--json"]).within(project.folder());
        let report: Report = build.succeeds().json();
        figure(format!("image, {template}"), report.image_bytes, "bytes")
    };
    TEMPLATES.map(image).to_vec()
}

/// Returns the private pages of an idle VM of each template, on a host with no others of their names.
///
/// # Panics
///
/// If one is not deployed, or never comes to rest.
#[must_use]
pub fn idle_pages(host: &Host) -> Vec<Figure> {
    let pages = |(template, guest): (&str, u16)| {
        deploy(host, template, guest);
        let rested = host.at_rest(template);
        figure(format!("idle VM, {template}"), rested / 4096, "pages")
    };
    TEMPLATES.map(pages).to_vec()
}

/// Deploys a template and returns the port it is published at.
fn deploy(host: &Host, template: &str, guest: u16) -> u16 {
    let project = Project::shared(host.home(), template);
    let port = free_port();
    let publish = format!("{port}:{guest}");
    host.denali(["deploy", "--publish", &publish])
        .within(project.folder())
        .succeeds();
    port
}

/// Returns the instructions of a request to the web server and of a `get` to the cache.
fn instructions() -> Vec<Figure> {
    let host = Host::counting();
    let mut figures = Vec::new();

    let port = deploy(&host, "web-server", 80);
    let mut web = Connection::open(port).expect("a connection");
    let shares = count(&host, "GET of web-server", || {
        web.request("GET", "/", &[]).expect("sent");
        let page = web.receive(Body::Sent).expect("an answer");
        assert_eq!(page.status, 200);
    });
    figures.extend(shares);

    let port = deploy(&host, "cache", 11211);
    let mut cache = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    cache.set_nodelay(true).expect("a socket option");
    let value = "x".repeat(100);
    exchange(
        &mut cache,
        &format!("set key 0 0 100\r\n{value}\r\n"),
        "STORED\r\n",
    );
    let answer = format!("VALUE key 0 100\r\n{value}\r\nEND\r\n");
    let shares = count(&host, "get of cache", || {
        exchange(&mut cache, "get key\r\n", &answer);
    });
    figures.extend(shares);
    figures
}

fn exchange(stream: &mut TcpStream, request: &str, answer: &str) {
    stream.write_all(request.as_bytes()).expect("sent");
    let mut received = vec![0; answer.len()];
    stream.read_exact(&mut received).expect("an answer");
    assert_eq!(received, answer.as_bytes());
}

/// Counts what one request makes the machine execute. Nobody else is active meanwhile.
fn count(host: &Host, what: &str, mut request: impl FnMut()) -> [Figure; 2] {
    (0..REQUESTS_BEFORE).for_each(|_| request());
    let counted = host.count(|| (0..REQUESTS).for_each(|_| request()));
    let share = |whose: &str, instructions: u64| {
        let name = format!("{what}, the {whose}'s share");
        figure(name, instructions / REQUESTS, "instructions")
    };
    [
        share("service", counted.guests),
        share("kernel", counted.kernel),
    ]
}

/// Returns how many waiting threads fit into a MiB, from what 10,000 of them take.
fn threads_per_mib() -> Figure {
    let host = Host::up(&[]);
    host.deploy_to_its_end(&Guest::new("ten_thousand").memory("128M").project());
    host.wait_for_end("ten_thousand");
    let log = host.logs("ten_thousand");
    let line = log.lines().find_map(|line| line.strip_prefix("threads "));
    let mut words = line.expect("a line about threads").split_whitespace();
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok());
    let threads = number(words.next()).expect("how many threads");
    let pages = number(words.nth(1)).expect("how many pages");
    figure("waiting threads", threads * 256 / pages, "per MiB")
}
