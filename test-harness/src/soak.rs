//! Many requests, after which a service holds no more memory than before.

use crate::host::Host;
use crate::http::{Body, Connection};
use crate::wait;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// Requests sent together before their answers are read.
const PIPELINE: usize = 50;

/// Requests on one connection.
const CONNECTION: usize = 1000;

/// Requests before the memory is first looked at: what they leave to be used again is no leak.
const WARM_UP: usize = 2000;

/// Memory that may come and go, in bytes: where the allocator's free pieces happen to lie.
const SLACK: u64 = 16 * 1024;

/// Longest time until all connections of a service have ended: how long it closes one in the background, and the pauses
/// of its peer.
const CLOSING_MAX: Duration = Duration::from_secs(120);

/// The paths that are asked for in turn, and the status each answers with.
const PATHS: [(&str, u16); 5] = [
    ("/", 200),
    ("/style.css", 200),
    ("/hello/soak", 200),
    ("/nothing", 404),
    ("/healthz", 200),
];

/// Keys of the cache that are used in turn.
const KEYS: usize = 97;

/// The longest value in bytes.
const VALUE_MAX: usize = 2000;

/// Bytes of memory of a service, before and after.
pub type Held = (u64, u64);

/// Sends this many requests to the service `web-server` at `port`, and checks every answer, and that
/// its memory comes back to what it was.
///
/// # Panics
///
/// If an answer is wrong, or memory stays.
pub fn web_server(host: &Host, port: u16, requests: usize) -> Held {
    run(host, "web-server", requests, |requests| {
        fetch(port, requests);
    })
}

/// Sends this many commands to the service `cache` at `port`, and checks every answer, and that its
/// memory comes back to what it was. Nothing stays stored.
///
/// # Panics
///
/// If an answer is wrong, or memory stays.
pub fn cache(host: &Host, port: u16, requests: usize) -> Held {
    run(host, "cache", requests, |requests| {
        store(port, requests);
    })
}

fn run(host: &Host, service: &str, requests: usize, send: impl Fn(usize)) -> Held {
    send(WARM_UP);
    let before = host.at_rest(service);
    send(requests);
    let mut after = 0;
    // A connection whose end was lost on the way is closed in the background.
    wait::within(CLOSING_MAX, || {
        after = host.at_rest(service);
        (after <= before + SLACK).then_some(())
    });
    assert!(
        after <= before + SLACK,
        "{before} bytes before {requests} requests, {after} after"
    );
    (before, after)
}

/// Calls `batch` with the numbers of requests to send together, until there are none left, with a
/// connection from `open` that is new now and then.
fn in_batches<C>(
    requests: usize,
    open: impl Fn() -> C,
    batch: impl Fn(&mut C, std::ops::Range<usize>),
) {
    for first in (0..requests).step_by(CONNECTION) {
        let mut connection = open();
        let last = requests.min(first + CONNECTION);
        for start in (first..last).step_by(PIPELINE) {
            batch(&mut connection, start..last.min(start + PIPELINE));
        }
    }
}

/// Fetches pages from a web server.
fn fetch(port: u16, requests: usize) {
    let open = || Connection::open(port).expect("a connection");
    in_batches(requests, open, |connection, numbers| {
        for number in numbers.clone() {
            let (path, _) = PATHS[number % PATHS.len()];
            connection.request("GET", path, &[]).expect("sent");
        }
        for number in numbers {
            let (path, status) = PATHS[number % PATHS.len()];
            let response = connection.receive(Body::Sent).expect("an answer");
            assert_eq!(response.status, status, "request {number}, {path}");
        }
    });
}

/// Stores values in a cache, looks at them, makes them longer and deletes them.
fn store(port: u16, commands: usize) {
    let open = || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
        let patience = Some(wait::PATIENCE);
        stream.set_read_timeout(patience).expect("a time-out");
        stream
    };
    in_batches(commands, open, |stream, numbers| {
        let talk: Vec<_> = numbers.clone().map(command).collect();
        let sent: String = talk.iter().map(|(command, _)| &**command).collect();
        let expected: String = talk.iter().map(|(_, answer)| &**answer).collect();
        stream.write_all(sent.as_bytes()).expect("sent");
        let mut received = vec![0; expected.len()];
        stream.read_exact(&mut received).expect("the answers");
        let received = String::from_utf8_lossy(&received);
        assert!(received == expected, "commands {numbers:?}: {received}");
    });
}

/// Returns the command with this number, and what is to be answered: each key lives for five.
fn command(number: usize) -> (String, String) {
    let (life, step) = (number / 5, number % 5);
    let key = format!("soak-{}", life % KEYS);
    let value = "v".repeat(life * 37 % VALUE_MAX + 1);
    let len = value.len();
    let (command, answer) = match step {
        0 => (
            format!("set {key} 7 0 {len}\r\n{value}\r\n"),
            "STORED".into(),
        ),
        1 => (
            format!("get {key}\r\n"),
            format!("VALUE {key} 7 {len}\r\n{value}\r\nEND"),
        ),
        2 => (format!("append {key} 0 0 3\r\nend\r\n"), "STORED".into()),
        3 => (
            format!("mg {key} s v\r\n"),
            format!("VA {} s{}\r\n{value}end", len + 3, len + 3),
        ),
        _ => (format!("delete {key}\r\n"), "DELETED".into()),
    };
    (command, answer + "\r\n")
}
