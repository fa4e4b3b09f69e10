//! Clients of other projects on services that answer datagrams and carry bulk.

use std::process::{Command, ExitCode};
use std::thread;
use test_harness::guest::Guest;
use test_harness::host::{Host, free_port};
use test_harness::{external, facts, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Services::deploy,
        &facts![
            dig_reads_the_answers_of_a_name_server,
            bulk_streams_go_both_ways_at_once_and_stay_whole,
            socat_talks_by_lines_and_by_datagrams,
            curl_is_answered_by_tasks_while_another_waits,
        ],
    )
}

/// Mebibytes of a bulk stream, and how many there are at once.
const BULK: [&str; 2] = ["16", "4"];

struct Services {
    /// Runs until the facts are checked.
    _host: Host,
    echo: u16,
    names: u16,
    tasks: u16,
}

impl Services {
    fn deploy() -> Self {
        // Without a way out QEMU forwards no datagrams.
        let host = Host::up(&["--internet"]);
        let [echo, names, tasks] = [(); 3].map(|()| free_port());
        let published = [format!("{echo}:7"), format!("{echo}:7/udp")];
        host.deploy(
            &Guest::example("echo")
                .memory("2M")
                .publish(&published)
                .project(),
        );
        let server = Guest::new("dns_server").arguments(&["192.0.2.77"]);
        host.deploy(&server.publish(&[format!("{names}:53/udp")]).project());
        let picoserve = Guest::example("async-hello").memory("2M");
        host.deploy(&picoserve.publish(&[format!("{tasks}:80")]).project());
        Self {
            _host: host,
            echo,
            names,
            tasks,
        }
    }
}

/// Says something that is measured rather than tested.
#[expect(clippy::print_stdout, reason = "a test binary talks to its user")]
fn note(text: &str) {
    println!("     {text}");
}

fn dig_reads_the_answers_of_a_name_server(services: &Services) {
    let dig = external::program("dig", "bind9-dnsutils");
    let port = services.names.to_string();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(&dig);
        command.args(["@127.0.0.1", "-p", &port, "+noedns", "+time=10", "+tries=5"]);
        let output = external::run(command.args(arguments));
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(ask(&["denali.example", "+short"]), "192.0.2.77\n");
    let whole = ask(&["a.much.longer.name.denali.example"]);
    assert!(
        whole.contains("status: NOERROR") && whole.contains("ANSWER: 1"),
        "{whole}"
    );
    assert!(
        !whole.contains("WARNING") && !whole.contains("malformed"),
        "{whole}"
    );
}

const STREAMS: &str = r#"
import hashlib, socket, sys, threading, time
port, mebibytes, streams = map(int, sys.argv[1:4])
def stream(number, results):
    s = socket.create_connection(("127.0.0.1", port)); s.settimeout(300)
    s.sendall(b"?"); assert s.recv(1) == b"?"
    block = bytes((n * (number + 3)) % 251 for n in range(1 << 16))
    sent, received, count = hashlib.sha256(), hashlib.sha256(), 0
    def send():
        for n in range(mebibytes << 4):
            data = n.to_bytes(8, "big") + block[8:]
            sent.update(data); s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send); sender.start()
    while True:
        data = s.recv(1 << 16)
        if not data: break
        received.update(data); count += len(data)
    sender.join()
    results.append((count == mebibytes << 20, sent.digest() == received.digest()))
start, results = time.time(), []
threads = [threading.Thread(target=stream, args=(n, results)) for n in range(streams)]
for t in threads: t.start(); time.sleep(0.2)
for t in threads: t.join()
assert results == [(True, True)] * streams, results
rate = mebibytes * streams / (time.time() - start)
print("%d streams of %d MiB there and back at once: %.1f MiB/s each way" % (streams, mebibytes, rate))
"#;

fn bulk_streams_go_both_ways_at_once_and_stay_whole(services: &Services) {
    let python = external::program("python3", "python3");
    let port = services.echo.to_string();
    let mut command = Command::new(python);
    let output = external::run(command.args(["-c", STREAMS, &port]).args(BULK));
    note(String::from_utf8_lossy(&output.stdout).trim());
}

fn socat_talks_by_lines_and_by_datagrams(services: &Services) {
    let socat = external::program("socat", "socat");
    for protocol in ["TCP", "UDP"] {
        let address = format!("{protocol}:127.0.0.1:{}", services.echo);
        // A datagram may be lost; a line on a stream may not.
        let heard = wait::until(protocol, || {
            let pipe = format!(
                "printf 'over {protocol}' | {} -t2 - {address}",
                socat.display()
            );
            let mut shell = Command::new("sh");
            let heard = external::run(shell.args(["-c", &pipe])).stdout;
            (protocol == "TCP" || !heard.is_empty()).then_some(heard)
        });
        assert_eq!(String::from_utf8_lossy(&heard), format!("over {protocol}"));
    }
}

fn curl_is_answered_by_tasks_while_another_waits(services: &Services) {
    let curl = external::program("curl", "curl");
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", services.tasks);
    let fetch = |paths: &[&str]| {
        let mut command = Command::new(&curl);
        command.args(["-sS", "--fail", "--max-time", "60"]);
        let output = external::run(command.args(paths.iter().map(|path| url(path))));
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(fetch(&["/"]), "Hello from a task!\n");
    thread::scope(|scope| {
        let slow = scope.spawn(|| fetch(&["/slow"]));
        // On one connection, one after the other.
        let answers = fetch(&["/status", "/", "/status"]);
        let lines: Vec<_> = answers.lines().collect();
        let is_right = matches!(lines[..], [first, "Hello from a task!", second]
            if first.starts_with("asked 1 times") && second.starts_with("asked 2 times"));
        assert!(is_right, "{answers}");
        let waited = slow.join().expect("no failure");
        assert_eq!(waited, "a second has passed\n");
    });
    let mut command = Command::new(&curl);
    command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]);
    let unknown = external::run(command.arg(url("/nothing")));
    assert_eq!(unknown.stdout, b"404");
}
