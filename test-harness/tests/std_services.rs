//! Services with `std`: the template under real clients, here and in a VM.

use denali_protocol::ServiceState;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::{facts, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Site::serve,
        &facts![clients_are_served_at_once, an_idle_service_sleeps],
    )
}

/// Clients at once, each on a thread of the service.
const CLIENTS: usize = 100;

struct Site {
    host: Host,
    port: u16,
}

impl Site {
    fn serve() -> Self {
        let host = Host::up(&[]);
        let project = Project::new(host.home(), "words", "std");
        let port = free_port();
        let published = format!("publish = [\"{port}:7008\"]");
        project.edit("publish = [\"7008:7008\"]", &published);
        host.deploy(project.folder());
        host.wait_for_log("words", "listening on port 7008");
        Self { host, port }
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let address = ("127.0.0.1", self.port);
        let stream = wait::until("a connection", || TcpStream::connect(address).ok());
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).expect("a timeout");
        BufReader::new(stream)
    }
}

fn ask(client: &mut BufReader<TcpStream>, line: &str) -> String {
    client
        .get_mut()
        .write_all(line.as_bytes())
        .expect("written");
    let mut answer = String::new();
    client.read_line(&mut answer).expect("an answer");
    answer
}

fn clients_are_served_at_once(site: &Site) {
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| site.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = ask(client, &format!("common word{number}\n"));
        let fresh = if number == 0 { 2 } else { 1 };
        assert_eq!(answer, format!("{fresh} new, {} known\n", number + 2));
    }
    // In the other order, on the same connections.
    for client in clients.iter_mut().rev() {
        assert_eq!(
            ask(client, "COMMON\n"),
            format!("0 new, {} known\n", CLIENTS + 1)
        );
    }
}

fn an_idle_service_sleeps(site: &Site) {
    let state = wait::until("an idle service", || {
        let state = site.host.service("words").state;
        (state == ServiceState::Idle).then_some(state)
    });
    assert_eq!(state, ServiceState::Idle);
}
