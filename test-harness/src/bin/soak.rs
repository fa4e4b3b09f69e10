//! `cargo run -p test-harness --bin soak [REQUESTS]`: a million requests to the web server, unless
//! told otherwise, after which its memory is what it was.

use std::time::Instant;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::soak;

/// Requests unless told otherwise.
const REQUESTS: usize = 1_000_000;

#[expect(clippy::print_stdout, reason = "the result is its output")]
fn main() {
    let argument = std::env::args().nth(1);
    let requests = argument.map_or(REQUESTS, |digits| digits.parse().expect("a number"));
    let host = Host::up(&[]);
    let project = Project::shared(host.home(), "web-server");
    let port = free_port();
    project.publish(port);
    host.deploy(project.folder());
    let started = Instant::now();
    let (before, after) = soak::run(&host, port, requests);
    let seconds = started.elapsed().as_secs();
    println!("{requests} requests in {seconds} s: {before} bytes before, {after} after");
}
