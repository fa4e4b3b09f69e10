//! `cargo run -p test-harness --bin soak [REQUESTS]`: a million requests to the web server and a
//! million commands to the cache, unless told otherwise, after which their memory is what it was.

use std::time::Instant;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::soak::{self, Held};

/// Requests unless told otherwise.
const REQUESTS: usize = 1_000_000;

/// A service, the port it listens on, and what loads it.
type Load = (&'static str, u16, fn(&Host, u16, usize) -> Held);

const LOADS: [Load; 2] = [
    ("web-server", 80, soak::web_server),
    ("cache", 11211, soak::cache),
];

#[expect(clippy::print_stdout, reason = "the result is its output")]
fn main() {
    let argument = std::env::args().nth(1);
    let requests = argument.map_or(REQUESTS, |digits| digits.parse().expect("a number"));
    let host = Host::up(&[]);
    for (template, guest, load) in LOADS {
        let project = Project::shared(host.home(), template);
        let port = free_port();
        host.denali(["deploy", "--publish", &format!("{port}:{guest}")])
            .within(project.folder())
            .succeeds();
        let started = Instant::now();
        let (before, after) = load(&host, port, requests);
        let seconds = started.elapsed().as_secs();
        println!(
            "{template}: {requests} requests in {seconds} s, {before} bytes before, {after} after"
        );
    }
}
