//! Many services on a small host.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::{facts, http, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Crowd::gather,
        &facts![
            each_of_sixty_four_answers,
            each_has_an_address_of_its_own,
            idle_ones_use_no_cpu
        ],
    )
}

/// Services on a host of 256 MiB.
const SERVICES: usize = 64;

struct Crowd {
    host: Host,
    ports: Vec<u16>,
}

impl Crowd {
    fn gather() -> Self {
        let host = Host::up(&["--memory", "256M"]);
        let project = Project::shared(host.home(), "minimal");
        let mut ports = Vec::new();
        for number in 0..SERVICES {
            let port = free_port();
            let name = format!("minimal-{number}");
            let publish = format!("{port}:80");
            let arguments = ["deploy", "--name", &name, "--publish", &publish];
            host.denali(arguments).within(project.folder()).succeeds();
            ports.push(port);
        }
        Self { host, ports }
    }
}

fn each_of_sixty_four_answers(crowd: &Crowd) {
    for &port in &crowd.ports {
        let response = http::get(port, "/").expect("an answer");
        assert_eq!(response.text(), "hello from Denali!\n");
    }
}

fn each_has_an_address_of_its_own(crowd: &Crowd) {
    let services = crowd.host.services();
    assert_eq!(services.len(), SERVICES);
    let mut addresses: Vec<Ipv4Addr> = services
        .iter()
        .map(|service| {
            service
                .address
                .as_ref()
                .expect("an address")
                .parse()
                .expect("an address")
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), SERVICES);
    assert_eq!(
        crowd.host.status().answered().vms,
        65,
        "the services and the supervisor"
    );
}

fn idle_ones_use_no_cpu(crowd: &Crowd) {
    let used = || -> Vec<u64> {
        crowd
            .host
            .services()
            .iter()
            .map(|service| service.cpu_ns)
            .collect()
    };
    // They give the memory of their last answer back when all has been quiet for a moment.
    wait::until("everybody to be quiet", || {
        let before = used();
        std::thread::sleep(std::time::Duration::from_secs(1));
        (used() == before).then_some(())
    });
    let before = used();
    std::thread::sleep(std::time::Duration::from_secs(3));
    // Not a single instruction: nothing has happened that concerns them.
    assert_eq!(used(), before);
}
