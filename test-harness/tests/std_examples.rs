//! The examples with `std`, each as a VM on one host, with clients of others: a third of them a day, in turn.
//!
//! To compile all takes a third of the time that everything else takes. `DENALI_DAY=all` takes all,
//! `DENALI_DAY=n` those of another day.

#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use test_harness::host::{Host, free_port};
use test_harness::{cli, external, facts, suite, wait};

fn main() -> ExitCode {
    suite::run_in_turn(
        Site::prepare,
        &facts![
            the_api_answers_and_bears_load,
            a_reverse_proxy_passes_on,
            blocking_threads_answer,
            guests_of_a_chat_hear_one_another,
            sqlite_keeps_tables_over_power_cuts,
            rayon_counts_while_others_are_served,
            one_vm_fetches_from_another_by_https,
            hickory_dns_answers_dig,
            mini_redis_answers_redis_clients,
        ],
        DAYS,
    )
}

/// After so many days all have been taken.
const DAYS: usize = 3;

/// An example: its service's name, its port in the VM, and what it writes when it is ready.
type Example = (&'static str, &'static str, &'static str);

const API: Example = ("api", "80", "listening on port 80");
const PROXY: Example = ("proxy", "80", "listening on port 80");
const BLOCKING: Example = ("blocking", "80", "listening on port 80");
const CHAT: Example = ("chat", "7010", "listening on port 7010");
const SQLITE: Example = ("sqlite", "7011", "on port 7011");
const PRIMES: Example = ("primes", "7012", "listening on port 7012");
const ORIGIN: Example = ("origin", "443", "listening on port 443");
const FETCH: Example = ("fetch", "7013", "listening on port 7013");
const DNS: Example = ("dns", "53", "");
const REDIS: Example = ("redis", "6379", "listening on port 6379");

/// Requests of a load generator.
const REQUESTS: &str = "2000";

/// Primes below ten thousand, a hundred thousand and a million.
const COUNTED: [(&str, &str); 3] = [("10000", "1229"), ("100000", "9592"), ("1000000", "78498")];

/// A host on which examples are deployed when they are first asked for.
struct Site {
    host: Host,
    ports: Mutex<BTreeMap<&'static str, u16>>,
}

impl Site {
    fn prepare() -> Self {
        Self {
            // Datagrams to a published port need it.
            host: Host::up(&["--internet"]),
            ports: Mutex::default(),
        }
    }

    /// Returns the port of this machine at which an example is reached.
    fn port(&self, example: Example) -> u16 {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(port) = ports.get(example.0) {
            return *port;
        }
        let port = deploy(&self.host, example);
        ports.insert(example.0, port);
        port
    }

    fn url(&self, example: Example) -> String {
        format!("http://127.0.0.1:{}", self.port(example))
    }

    fn connect(&self, example: Example) -> BufReader<TcpStream> {
        connect(self.port(example))
    }
}

/// Deploys an example and returns the port of this machine at which it is reached.
fn deploy(host: &Host, (name, inside, ready): Example) -> u16 {
    let port = free_port();
    let mut published = vec![format!("{port}:{inside}")];
    if name == "dns" {
        published.push(format!("{port}:{inside}/udp"));
    }
    let mut deploy = host.denali(["deploy", "-p", name, "--locked"]);
    for publish in published {
        deploy = deploy.args(["--publish", &publish]);
    }
    let folder = cli::repository().join("examples/std");
    deploy.within(&folder).succeeds();
    host.wait_for_log(name, ready);
    port
}

fn connect(port: u16) -> BufReader<TcpStream> {
    let stream = wait::until("a connection", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let patience = Some(Duration::from_secs(120));
    stream.set_read_timeout(patience).expect("a timeout");
    BufReader::new(stream)
}

/// Sends a line and returns the next one.
fn ask(client: &mut BufReader<TcpStream>, line: &str) -> String {
    let text = format!("{line}\n");
    client.get_mut().write_all(text.as_bytes()).expect("sent");
    next_line(client)
}

fn next_line(client: &mut BufReader<TcpStream>) -> String {
    let mut answer = String::new();
    client.read_line(&mut answer).expect("an answer");
    answer.trim_end().to_owned()
}

/// Runs curl and returns the body and the status code.
fn curl(arguments: &[&str], url: &str) -> String {
    let mut command = Command::new(external::program("curl", "curl"));
    command.args(["--silent", "--show-error", "--max-time", "60"]);
    command
        .args(["--write-out", " %{http_code}"])
        .args(arguments)
        .arg(url);
    String::from_utf8(external::run(&mut command).stdout).expect("UTF-8")
}

/// Asks for a page again and again over four connections.
fn load(url: &str) {
    let mut command = Command::new(external::program("h2load", "nghttp2-client"));
    command.args(["--h1", "-c", "4", "-n", REQUESTS, url]);
    let report = String::from_utf8(external::run(&mut command).stdout).expect("UTF-8");
    assert!(
        report.contains(&format!("status codes: {REQUESTS} 2xx")),
        "{report}"
    );
}

fn the_api_answers_and_bears_load(site: &Site) {
    let url = site.url(API);
    let wish = ["--json", r#"{"url":"https://example.org/a"}"#];
    let link = r#"{"code":"1","url":"https://example.org/a","followed":0} 201"#;
    assert_eq!(curl(&wish, &format!("{url}/links")), link);
    let followed = ["--write-out", "%{redirect_url} %{http_code}"];
    assert_eq!(
        curl(&followed, &format!("{url}/1")),
        "https://example.org/a 307"
    );
    let told = curl(&[], &format!("{url}/links/1"));
    assert!(told.contains(r#""followed":1"#), "{told}");
    assert!(curl(&[], &format!("{url}/2")).ends_with(" 404"));
    let mailto = ["--json", r#"{"url":"mailto:a@example.org"}"#];
    assert!(curl(&mailto, &format!("{url}/links")).ends_with(" 400"));
    let long = format!(r#"{{"url":"{}"}}"#, "x".repeat(5000));
    assert!(curl(&["--json", &long], &format!("{url}/links")).ends_with(" 413"));
    load(&format!("{url}/links/1"));
}

fn a_reverse_proxy_passes_on(site: &Site) {
    // It passes on to the other.
    site.port(API);
    let url = site.url(PROXY);
    let wish = ["--json", r#"{"url":"https://example.org/b"}"#];
    let made = curl(&wish, &format!("{url}/links"));
    assert!(made.ends_with(" 201"), "{made}");
    let head = curl(&["--include"], &format!("{url}/links/1"));
    assert!(
        head.contains("via: 1.1 denali") && head.ends_with(" 200"),
        "{head}"
    );
    load(&format!("{url}/links/1"));
}

fn blocking_threads_answer(site: &Site) {
    let url = site.url(BLOCKING);
    for line in ["one", "two"] {
        assert_eq!(curl(&["--data", line], &url), " 201");
    }
    assert_eq!(curl(&[], &url), "one\ntwo\n 200");
    assert!(curl(&["--request", "DELETE"], &url).ends_with(" 405"));
    load(&format!("{url}/"));
}

/// Three guests, each of whom says something that all hear.
const TALK: &str = "
import asyncio, sys, websockets
async def main(url):
    guests = [await websockets.connect(url) for _ in range(3)]
    for number, guest in enumerate(guests):
        await guest.send(f'hello from {number}')
        for other in guests:
            heard = await asyncio.wait_for(other.recv(), 60)
            assert heard == f'hello from {number}', heard
    await guests[0].send('x' * 4096)
    for guest in guests:
        assert len(await asyncio.wait_for(guest.recv(), 60)) == 4096
    try:
        await guests[0].send('x' * 5000)
        await asyncio.wait_for(guests[0].recv(), 60)
        sys.exit('a message too long was taken')
    except websockets.exceptions.ConnectionClosed:
        pass
    await guests[1].send('still here')
    assert await asyncio.wait_for(guests[2].recv(), 60) == 'still here'
    print('heard')
asyncio.run(main(sys.argv[1]))
";

fn guests_of_a_chat_hear_one_another(site: &Site) {
    let folder = cli::target_dir().join("harness/python-websockets");
    let python = external::python_with("websockets", &folder);
    let url = format!("ws://127.0.0.1:{}", site.port(CHAT));
    let output = external::run(Command::new(python).args(["-c", TALK, &url]));
    assert_eq!(output.stdout.trim_ascii(), b"heard");
}

/// Rows inserted at a time, each answered.
const INSERT: &str = "INSERT INTO t (word) VALUES ('a'), ('b'), ('c')";

/// Inserts rows until the power is cut. Returns how many insertions were acknowledged.
fn insert(mut client: BufReader<TcpStream>) -> u64 {
    let mut acknowledged = 0;
    let request = format!("{INSERT}\n");
    loop {
        let sent = client.get_mut().write_all(request.as_bytes());
        let mut answer = String::new();
        let received = sent.and_then(|()| client.read_line(&mut answer));
        match received {
            Ok(1..) => assert_eq!(answer, "ok\n"),
            Ok(0) | Err(_) => return acknowledged,
        }
        acknowledged += 1;
    }
}

/// Waits for a client that SQLite itself answers.
fn reach_sqlite(port: u16) -> BufReader<TcpStream> {
    wait::until("SQLite", || {
        let mut client = BufReader::new(TcpStream::connect(("127.0.0.1", port)).ok()?);
        let patience = Some(Duration::from_secs(120));
        client.get_mut().set_read_timeout(patience).ok()?;
        client.get_mut().write_all(b"SELECT 1\n").ok()?;
        let mut answer = String::new();
        client.read_line(&mut answer).ok()?;
        client.read_line(&mut answer).ok()?;
        (answer == "1\nok\n").then_some(client)
    })
}

fn sqlite_keeps_tables_over_power_cuts(_: &Site) {
    let host = Host::up(&["--data", "256M"]);
    let port = deploy(&host, SQLITE);
    let mut client = connect(port);
    let table = "CREATE TABLE t (n INTEGER PRIMARY KEY, word TEXT NOT NULL)";
    assert_eq!(ask(&mut client, table), "ok");
    let error = ask(&mut client, "SELECT missing FROM t");
    assert!(
        error.starts_with("error: no such column: missing"),
        "{error}"
    );
    let mut kept = 0;
    for nth in 0..3 {
        let client = reach_sqlite(port);
        let writer = thread::spawn(move || insert(client));
        thread::sleep(Duration::from_millis(700 + nth * 411));
        host.cut_power(&[]);
        kept += writer.join().expect("the writer ends");
        let mut client = reach_sqlite(port);
        assert_eq!(ask(&mut client, "PRAGMA integrity_check"), "ok");
        assert_eq!(next_line(&mut client), "ok");
        let rows = ask(&mut client, "SELECT count(*) FROM t");
        assert_eq!(next_line(&mut client), "ok");
        let found: u64 = rows.parse().expect("a number");
        println!("{found} rows after {} cuts", nth + 1);
        // What was under way is there whole or not at all.
        assert!(
            found.is_multiple_of(3) && (kept..=kept + 1).contains(&(found / 3)),
            "{kept}"
        );
        kept = found / 3;
    }
    assert!(kept > 0, "no row was acknowledged between the cuts");
}

fn rayon_counts_while_others_are_served(site: &Site) {
    let counters = COUNTED.map(|(limit, expected)| {
        let mut client = site.connect(PRIMES);
        thread::spawn(move || assert_eq!(ask(&mut client, limit), expected))
    });
    for counter in counters {
        counter.join().expect("the number of primes");
    }
    let error = ask(&mut site.connect(PRIMES), "-1");
    assert_eq!(error, "error: not a number up to 10000000");
}

fn one_vm_fetches_from_another_by_https(site: &Site) {
    site.port(ORIGIN);
    let mut client = site.connect(FETCH);
    for path in ["a", "b"] {
        let body = format!("hello from /{path}\n");
        let head = ask(&mut client, &format!("https://origin.example/{path}"));
        assert_eq!(head, format!("200 {}", body.len()));
        let mut received = vec![0; body.len()];
        client.read_exact(&mut received).expect("a body");
        assert_eq!(received, body.as_bytes());
    }
    // The certificate is for a name, not for this address.
    let error = ask(&mut client, "https://10.90.200.1/");
    assert!(error.contains("certificate"), "{error}");
    // Another client of the same server, with another TLS.
    let ca = cli::repository().join("examples/std/fetch/ca.pem");
    let port = site.port(ORIGIN);
    let resolve = format!("origin.example:{port}:127.0.0.1");
    let arguments = [
        "--cacert",
        ca.to_str().expect("UTF-8"),
        "--resolve",
        &resolve,
    ];
    let url = format!("https://origin.example:{port}/c");
    assert_eq!(curl(&arguments, &url), "hello from /c\n 200");
}

fn hickory_dns_answers_dig(site: &Site) {
    let dig = external::program("dig", "bind9-dnsutils");
    let port = site.port(DNS).to_string();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(&dig);
        command
            .args(["@127.0.0.1", "-p", &port, "+short", "+tries=5"])
            .args(arguments);
        String::from_utf8(external::run(&mut command).stdout).expect("UTF-8")
    };
    assert_eq!(ask(&["www.denali.example", "A"]), "10.90.0.80\n");
    assert_eq!(ask(&["www.denali.example", "AAAA"]), "fd00::80\n");
    assert_eq!(
        ask(&["mail.denali.example", "A"]),
        "www.denali.example.\n10.90.0.80\n"
    );
    assert_eq!(ask(&["denali.example", "MX"]), "10 mail.denali.example.\n");
    assert_eq!(
        ask(&["+tcp", "denali.example", "TXT"]),
        "\"a zone packed into an image\"\n"
    );
    assert_eq!(ask(&["nobody.denali.example", "A"]), "");
}

fn mini_redis_answers_redis_clients(site: &Site) {
    let redis = |program: &str, arguments: &[&str]| {
        let program: PathBuf = external::program(program, "redis-tools");
        let mut command = Command::new(program);
        command
            .args(["-p", &site.port(REDIS).to_string()])
            .args(arguments);
        String::from_utf8(external::run(&mut command).stdout).expect("UTF-8")
    };
    assert_eq!(redis("redis-cli", &["set", "key", "value"]), "OK\n");
    assert_eq!(redis("redis-cli", &["get", "key"]), "value\n");
    assert_eq!(
        redis("redis-cli", &["set", "gone", "soon", "px", "100"]),
        "OK\n"
    );
    wait::until("the end of a key", || {
        (redis("redis-cli", &["get", "gone"]) == "\n").then_some(())
    });
    let load = ["-t", "set,get", "-c", "4", "-n", REQUESTS, "--csv"];
    let report = redis("redis-benchmark", &load);
    assert!(
        report.contains("\"SET\"") && report.contains("\"GET\""),
        "{report}"
    );
}
