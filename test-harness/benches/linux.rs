//! Services beside the same work on Linux: the web server beside nginx, and one program with axum twice.

use denali_chart::bars::{self, Bar};
use denali_tidy::cargo;
use test_harness::evaluation;
use test_harness::external;
use test_harness::host::{Host, Instructions};
use test_harness::linux::Program;
use test_harness::project::Project;
use test_harness::requests::{Bench, Pace, WORKS, Work, files, web_server, work};

/// What is asked of the program with axum.
const AXUM: Work = work("axum, keep-alive", "/notes", 40);

/// Works of the web server that nginx does, too.
const SHARED: usize = 4;

/// How many connections there are while answers a second are counted.
const CONNECTIONS: [u32; 3] = [1, 16, 64];

/// Measurements of a rate, of which the median counts.
const RATES: usize = 3;

/// nginx with one process, which says nothing and keeps connections.
const NGINX: &str = "daemon off; master_process off; pid /tmp/nginx.pid; error_log /dev/null;
events { worker_connections 4096; }
http {
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
    server { listen 80; root /www; }
}
";

fn main() {
    let host = Host::up(&[]);
    let web = web_server(&host);
    let axum = Project::shared(host.home(), "axum");
    let programs = [nginx(), native(&axum)];
    let projects = [web.folder(), axum.folder()];
    let asked: [&[Work]; 2] = [&WORKS[..SHARED], &[AXUM]];

    let mut instructions = Vec::new();
    for ((program, project), works) in programs.iter().zip(projects).zip(asked) {
        let ours = Bench::of_host(Pace::Counted, &host, &[project]);
        let ours: Vec<_> = works.iter().map(|work| ours.measure(work)).collect();
        let linux = Bench::of_linux(Pace::Counted, program);
        for (work, ours) in works.iter().zip(ours) {
            instructions.push(bar(work.name, "Denali", ours));
            instructions.push(bar(work.name, "Linux", linux.measure(work)));
        }
    }
    let parts = ["program", "kernel"];
    let chart = bars::svg("Instructions of a request", &parts, &instructions);
    let data = bars::json(&parts, &instructions);
    evaluation::save("linux-instructions", &chart, &data);

    let mut rates = Vec::new();
    for ((program, project), works) in programs.iter().zip(projects).zip(asked) {
        let work = &works[0];
        let ours = rates_of(&Bench::of_host(Pace::Free, &host, &[project]), work);
        let linux = rates_of(&Bench::of_linux(Pace::Free, program), work);
        for ((connections, ours), linux) in CONNECTIONS.iter().zip(ours).zip(linux) {
            for (system, rate) in [("Denali", ours), ("Linux", linux)] {
                let name = format!("{}, {connections}: {system}", work.name);
                let parts = vec![rate];
                rates.push(Bar { name, parts });
            }
        }
    }
    let parts = ["answers a second"];
    let chart = bars::svg("Answers a second over so many connections", &parts, &rates);
    evaluation::save("linux-rates", &chart, &bars::json(&parts, &rates));
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn bar(work: &str, system: &str, taken: Instructions) -> Bar {
    Bar {
        name: format!("{work}: {system}"),
        parts: vec![taken.guests as f64, taken.kernel as f64],
    }
}

/// Returns the median rate for each number of connections.
fn rates_of(bench: &Bench, work: &Work) -> Vec<f64> {
    let median = |connections: &u32| {
        let mut rates: Vec<_> = (0..RATES)
            .map(|_| bench.rate(work.path, *connections))
            .collect();
        rates.sort_by(f64::total_cmp);
        rates[RATES / 2]
    };
    CONNECTIONS.iter().map(median).collect()
}

fn nginx() -> Program {
    let mut all: Vec<_> = files()
        .map(|(name, contents)| (format!("/www/{name}"), contents))
        .collect();
    all.push(("/nginx.conf".to_owned(), NGINX.as_bytes().to_vec()));
    all.push((
        "/etc/passwd".to_owned(),
        b"root:x:0:0::/:/bin/sh\nnobody:x:1:1::/:/\n".to_vec(),
    ));
    all.push((
        "/etc/group".to_owned(),
        b"root:x:0:\nnogroup:x:1:\n".to_vec(),
    ));
    Program {
        path: external::program("nginx", "nginx-light"),
        arguments: "-c /nginx.conf".to_owned(),
        environment: "",
        files: all,
        folders: vec!["/var/lib/nginx", "/var/log/nginx"],
    }
}

/// Builds a project as a program of this machine.
fn native(project: &Project) -> Program {
    let build = cargo::command()
        .args(["build", "--release", "--bin", "axum"])
        .current_dir(project.folder())
        .status();
    assert!(build.expect("cargo runs").success(), "it does not build");
    Program {
        path: project.folder().join("target/release/axum"),
        arguments: String::new(),
        environment: "PORT=80",
        files: Vec::new(),
        folders: Vec::new(),
    }
}
