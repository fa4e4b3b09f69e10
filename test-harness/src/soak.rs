//! Many requests, after which a service holds no more memory than before.

use crate::host::Host;
use crate::http::{Body, Connection};
use crate::wait;

/// Requests sent together before their answers are read.
const PIPELINE: usize = 50;

/// Requests on one connection.
const CONNECTION: usize = 1000;

/// Requests before the memory is first looked at: what they leave to be used again is no leak.
const WARM_UP: usize = 2000;

/// Memory that may come and go, in bytes: the allocator's slack.
const SLACK: u64 = 64 * 1024;

/// The paths that are asked for in turn, and the status each answers with.
const PATHS: [(&str, u16); 5] = [
    ("/", 200),
    ("/style.css", 200),
    ("/hello/soak", 200),
    ("/nothing", 404),
    ("/healthz", 200),
];

/// Sends requests to the web server at `port` and checks every answer.
fn send(port: u16, requests: usize) {
    let mut sent = 0;
    while sent < requests {
        let mut connection = Connection::open(port).expect("a connection");
        let end = requests.min(sent + CONNECTION);
        while sent < end {
            let batch = PIPELINE.min(end - sent);
            for number in sent..sent + batch {
                let (path, _) = PATHS[number % PATHS.len()];
                connection.request("GET", path, &[]).expect("sent");
            }
            for number in sent..sent + batch {
                let (path, status) = PATHS[number % PATHS.len()];
                let response = connection.receive(Body::Sent).expect("an answer");
                assert_eq!(response.status, status, "request {number}, {path}");
            }
            sent += batch;
        }
    }
}

/// Sends this many requests to the service `web-server` at `port`, and checks that its memory comes
/// back to what it was. Returns the bytes before and after.
///
/// # Panics
///
/// If an answer is wrong, or memory stays.
pub fn run(host: &Host, port: u16, requests: usize) -> (u64, u64) {
    let resident = || host.service("web-server").resident;
    send(port, WARM_UP);
    let before = resident();
    send(port, requests);
    let mut after = 0;
    let returned = wait::within(wait::PATIENCE, || {
        after = resident();
        (after <= before + SLACK).then_some(())
    });
    assert!(
        returned.is_some(),
        "{before} bytes before {requests} requests, {after} after"
    );
    (before, after)
}
