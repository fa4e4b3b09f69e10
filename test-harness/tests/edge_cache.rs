//! The example `edge-cache` as a service: between clients of other projects and an origin that does
//! as it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;
use test_harness::guest::Guest;
use test_harness::host::{Host, free_port};
use test_harness::http::{self, Body, Response};
use test_harness::{external, facts, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Edge::deploy,
        &facts![
            curl_is_answered_from_memory_while_it_is_fresh,
            a_stale_page_is_asked_for_again_by_tag_and_by_date,
            a_stale_page_is_shown_while_the_origin_is_asked,
            an_origin_that_fails_is_hidden_or_told_apart_from_one_that_is_slow,
            many_clients_at_once_cost_one_fetch,
            bodies_of_every_kind_arrive_whole,
            uploads_reach_the_origin_and_change_what_is_shown,
            languages_and_people_are_kept_apart,
            purging_takes_the_token,
            slow_and_hostile_clients_are_refused,
            more_than_fits_is_evicted_within_the_memory,
            load_generators_see_no_failure,
        ],
    )
}

/// The memory of the VM in bytes; little, so that it fills soon.
const MEMORY: u64 = 16 * 1024 * 1024;

/// Clients that ask for one page at once.
const CROWD: usize = 24;

/// An origin that answers as the query says. What lies below `/_/` is not for the proxy.
const ORIGIN: &str = r#"
import sys, threading, time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit, parse_qs
asked, connections, failing = Counter(), [0], [""]
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def setup(self):
        super().setup(); connections[0] += 1
    def log_message(self, *a): pass
    def text(self, text):
        data = str(text).encode()
        self.send_response(200); self.send_header("Content-Length", len(data)); self.end_headers()
        self.wfile.write(data)
    def do_GET(self):
        url = urlsplit(self.path); query = {k: v[0] for k, v in parse_qs(url.query).items()}
        if url.path == "/_/asked": return self.text(asked[query["path"]])
        if url.path == "/_/connections": return self.text(connections[0])
        if url.path == "/_/fail": failing[0] = query.get("how", ""); return self.text("ok")
        asked[url.path] += 1
        if failing[0] == "status":
            self.send_response(503); self.send_header("Content-Length", "0"); self.end_headers(); return
        if failing[0] == "close" or "drop" in query: self.close_connection = True; return
        if "garbage" in query:
            self.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n"); self.close_connection = True; return
        time.sleep(float(query.get("delay", 0)))
        body = (query.get("body", "") or "%s %d" % (url.path, asked[url.path])).encode()
        if self.headers.get("Accept-Language"): body += b" " + self.headers["Accept-Language"].encode()
        if "size" in query: body = (b"0123456789abcdef" * (int(query["size"]) // 16 + 1))[:int(query["size"])]
        same = "etag" in query and self.headers.get("If-None-Match") == '"%s"' % query["etag"]
        same = same or "modified" in query and self.headers.get("If-Modified-Since") == query["modified"]
        self.send_response(304 if same else int(query.get("status", 200)))
        if "cc" in query: self.send_header("Cache-Control", query["cc"])
        if "etag" in query: self.send_header("ETag", '"%s"' % query["etag"])
        if "modified" in query: self.send_header("Last-Modified", query["modified"])
        if "vary" in query: self.send_header("Vary", query["vary"])
        if "cookie" in query: self.send_header("Set-Cookie", "id=%d" % asked[url.path])
        if same: self.end_headers(); return
        if "chunked" in query:
            self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            for at in range(0, len(body), 3000):
                piece = body[at:at + 3000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif "close" in query:
            self.send_header("Connection", "close"); self.end_headers(); self.wfile.write(body)
            self.close_connection = True
        else:
            self.send_header("Content-Length", len(body)); self.end_headers()
            if self.command != "HEAD": self.wfile.write(body)
    do_HEAD = do_GET
    def do_POST(self):
        asked[urlsplit(self.path).path] += 1
        data = b""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data += self.rfile.read(size); self.rfile.readline()
                if size == 0: break
        else: data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.text("%s %d %d" % (self.command, len(data), sum(data)))
    do_PUT = do_DELETE = do_POST
class Server(ThreadingHTTPServer):
    daemon_threads = True; request_queue_size = 128
    # Connections that the proxy breaks off are no news.
    def handle_error(self, *a): pass
server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// The origin, ended when dropped.
struct Origin {
    process: Child,
    port: u16,
}

impl Origin {
    fn start() -> Self {
        let mut process = Command::new(external::program("python3", "python3"))
            .args(["-c", ORIGIN])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("its port");
        let port = line.trim().parse().expect("its port");
        Self { process, port }
    }

    /// Asks it something directly.
    fn ask(&self, path: &str) -> String {
        get(self.port, path, &[]).text().to_owned()
    }

    /// Returns how often it was asked for a path.
    fn asked(&self, path: &str) -> u64 {
        let asked = self.ask(&format!("/_/asked?path={path}"));
        asked.parse().expect("a number")
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

struct Edge {
    host: Host,
    origin: Origin,
    port: u16,
}

impl Edge {
    fn deploy() -> Self {
        let origin = Origin::start();
        // The origin is on this machine, which QEMU's network calls 10.90.0.2.
        let host = Host::up(&["--internet"]);
        let port = free_port();
        let url = format!("http://10.90.0.2:{}", origin.port);
        let arguments = [
            "--origin",
            &url,
            "--object",
            "1m",
            "--response-timeout",
            "3",
            "--client-timeout",
            "5",
        ];
        let guest = Guest::example("edge-cache")
            .memory("16M")
            .arguments(&arguments)
            .environment(&[("EDGE_CACHE_TOKEN", "secret")])
            .publish(&[format!("{port}:80")]);
        host.deploy(&guest.project());
        let edge = Self { host, origin, port };
        note(&format!("idle: {} pages of 4 KiB", edge.resident() / 4096));
        edge
    }

    fn resident(&self) -> u64 {
        self.host.service("edge-cache").resident
    }

    fn get(&self, path: &str, fields: &[&str]) -> Response {
        get(self.port, path, fields)
    }

    /// Gets a page, and returns how it was come by.
    fn how(&self, path: &str) -> String {
        how(&self.get(path, &[]))
    }

    /// Runs curl on a path, with options.
    fn curl(&self, path: &str, options: &[&str]) -> Vec<u8> {
        let mut command = Command::new(external::program("curl", "curl"));
        // As the other clients here call it, so that they see the same pages.
        command
            .args(["-sS", "--max-time", "60", "-H", "Host: localhost"])
            .args(options);
        external::run(command.arg(format!("http://127.0.0.1:{}{path}", self.port))).stdout
    }

    /// Returns a number that the proxy tells of itself.
    fn number(&self, name: &str) -> u64 {
        let fields = ["Authorization: Bearer secret"];
        let statistics = self.get("/.edge-cache/stats", &fields);
        let text = statistics.text();
        let rest = text.split(&format!("\"{name}\":")).nth(1);
        let number = rest.and_then(|rest| rest.split([',', '}']).next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no number {name} in {text}"))
    }
}

/// Says something that is measured rather than tested.
#[expect(clippy::print_stdout, reason = "a test binary talks to its user")]
fn note(text: &str) {
    println!("     {text}");
}

fn get(port: u16, path: &str, fields: &[&str]) -> Response {
    let mut connection = http::Connection::open(port).expect("a connection");
    connection.request("GET", path, fields).expect("sent");
    connection.receive(Body::Sent).expect("an answer")
}

/// Returns what `Cache-Status` says, without the time that is left.
fn how(response: &Response) -> String {
    let said = response.field("cache-status").unwrap_or("nothing");
    let said = said.split("; ttl=").next().unwrap_or_default();
    said.trim_start_matches("edge-cache; ").to_owned()
}

fn curl_is_answered_from_memory_while_it_is_fresh(edge: &Edge) {
    let path = "/fresh?cc=max-age%3D60";
    assert_eq!(edge.curl(path, &[]), b"/fresh 1");
    let second = String::from_utf8(edge.curl(path, &["-i"])).expect("text");
    for part in [
        "HTTP/1.1 200",
        "Age: ",
        "Via: 1.1 edge-cache",
        "edge-cache; hit; ttl=",
        "/fresh 1",
    ] {
        assert!(second.contains(part), "no {part:?} in {second}");
    }
    assert_eq!(edge.origin.asked("/fresh"), 1);
    let head = String::from_utf8(edge.curl(path, &["-I"])).expect("text");
    assert!(head.contains("Content-Length: 8"), "{head}");
    assert_eq!(edge.curl(path, &["-r", "1-3"]), b"fre");
    assert_eq!(edge.curl(path, &["--http1.0"]), b"/fresh 1");
    assert_eq!(
        edge.curl(path, &["-H", "Cache-Control: no-cache"]),
        b"/fresh 2"
    );
    for cc in ["no-store", "private", "max-age%3D0", ""] {
        let path = format!("/never-{cc}?cc={cc}");
        let (first, second) = (edge.get(&path, &[]), edge.get(&path, &[]));
        assert_ne!(first.body, second.body, "{cc}");
    }
}

fn a_stale_page_is_asked_for_again_by_tag_and_by_date(edge: &Edge) {
    for validator in ["etag=v1", "modified=Sun,+06+Nov+1994+08:49:37+GMT"] {
        let name = &validator[..4];
        let path = format!("/again-{name}?cc=max-age%3D0,must-revalidate&{validator}");
        assert_eq!(edge.how(&path), "fwd=uri-miss; fwd-status=200; stored");
        let again = edge.get(&path, &[]);
        assert_eq!(how(&again), "fwd=stale; fwd-status=304; stored");
        assert_eq!(again.text(), format!("/again-{name} 1"));
    }
    let path = "/again-etag?cc=max-age%3D0,must-revalidate&etag=v1";
    let known = edge.get(path, &["If-None-Match: \"v1\""]);
    assert_eq!((known.status, known.body.len()), (304, 0));
}

fn a_stale_page_is_shown_while_the_origin_is_asked(edge: &Edge) {
    let path = "/swr?cc=max-age%3D1,stale-while-revalidate%3D600&delay=1";
    edge.get(path, &[]);
    thread::sleep(Duration::from_secs(3));
    let shown = edge.get(path, &[]);
    assert_eq!((shown.text(), &*how(&shown)), ("/swr 1", "hit"));
    wait::until("the page to be fetched in the background", || {
        (edge.origin.asked("/swr") >= 2 && edge.get(path, &[]).text() != "/swr 1").then_some(())
    });
}

fn an_origin_that_fails_is_hidden_or_told_apart_from_one_that_is_slow(edge: &Edge) {
    let hidden = "/hidden?cc=max-age%3D0,stale-if-error%3D600";
    let shown = "/shown?cc=max-age%3D0";
    edge.get(hidden, &[]);
    edge.get(shown, &[]);
    for (how_it_fails, status) in [("status", 503), ("close", 502)] {
        edge.origin.ask(&format!("/_/fail?how={how_it_fails}"));
        let answer = edge.get(hidden, &[]);
        assert_eq!(
            (answer.status, answer.text()),
            (200, "/hidden 1"),
            "{how_it_fails}"
        );
        assert_eq!(edge.get(shown, &[]).status, status, "{how_it_fails}");
    }
    edge.origin.ask("/_/fail");
    assert_eq!(edge.get("/garbage?garbage=1", &[]).status, 502);
    assert_eq!(edge.get("/slow?delay=20", &[]).status, 504);
    assert_eq!(edge.get(shown, &[]).status, 200);
}

fn many_clients_at_once_cost_one_fetch(edge: &Edge) {
    // QEMU's user network queues a single connection, so each is served once before.
    let mut crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            let mut connection = http::Connection::open(edge.port).expect("a connection");
            connection
                .request("GET", "/warm?cc=max-age%3D60", &[])
                .expect("sent");
            connection.receive(Body::Sent).expect("an answer");
            connection
        })
        .collect();
    for connection in &mut crowd {
        connection
            .request("GET", "/crowd?cc=max-age%3D60&delay=2", &[])
            .expect("sent");
    }
    for connection in &mut crowd {
        let answer = connection.receive(Body::Sent).expect("an answer");
        assert_eq!(answer.text(), "/crowd 1");
    }
    assert_eq!(edge.origin.asked("/crowd"), 1);
    assert!(edge.number("collapsed") >= 1);
}

fn bodies_of_every_kind_arrive_whole(edge: &Edge) {
    let whole = |size: usize| -> Vec<u8> {
        b"0123456789abcdef"
            .iter()
            .copied()
            .cycle()
            .take(size)
            .collect()
    };
    for kind in ["", "chunked=1", "close=1"] {
        for size in [0, 1, 100_000, 3_000_000] {
            let path = format!("/body{size}{kind}?size={size}&{kind}&cc=max-age%3D60");
            for _ in 0..2 {
                assert!(edge.curl(&path, &[]) == whole(size), "{size} bytes, {kind}");
            }
            let asked = edge.origin.asked(&format!("/body{size}{kind}"));
            assert_eq!(
                asked,
                if size > 1 << 20 { 2 } else { 1 },
                "{size} bytes, {kind}"
            );
        }
    }
    let before: u64 = edge.origin.ask("/_/connections").parse().expect("a number");
    (0..20).for_each(|_| drop(edge.get("/kept", &[])));
    let after: u64 = edge.origin.ask("/_/connections").parse().expect("a number");
    assert!(
        after - before < 10,
        "{} connections for 20 requests",
        after - before
    );
}

fn uploads_reach_the_origin_and_change_what_is_shown(edge: &Edge) {
    let path = "/changed?cc=max-age%3D600";
    assert_eq!(edge.get(path, &[]).text(), "/changed 1");
    let file = edge.host.home().path().join("upload");
    std::fs::write(&file, vec![3; 2_000_000]).expect("a file of ours");
    let upload = format!("@{}", file.display());
    // Curl asks whether it may send as much as this.
    let with_length = edge.curl(
        path,
        &["--data-binary", &upload, "-H", "Expect: 100-continue"],
    );
    assert_eq!(
        String::from_utf8_lossy(&with_length),
        "POST 2000000 6000000"
    );
    assert_eq!(edge.get(path, &[]).text(), "/changed 3");
    let chunked = [
        "-X",
        "PUT",
        "--data-binary",
        &upload,
        "-H",
        "Transfer-Encoding: chunked",
    ];
    assert_eq!(edge.curl(path, &chunked), b"PUT 2000000 6000000");
    assert_eq!(edge.curl(path, &["-X", "DELETE"]), b"DELETE 0 0");
    assert_eq!(edge.get(path, &[]).text(), "/changed 6");
}

fn languages_and_people_are_kept_apart(edge: &Edge) {
    let path = "/vary?cc=max-age%3D60&vary=Accept-Language";
    for _ in 0..2 {
        assert_eq!(
            edge.get(path, &["Accept-Language: de"]).text(),
            "/vary 1 de"
        );
        assert_eq!(
            edge.get(path, &["Accept-Language: fr"]).text(),
            "/vary 2 fr"
        );
    }
    let own = "/own?cc=max-age%3D60";
    let authorized = ["Authorization: Basic eDp5"];
    assert_ne!(
        edge.get(own, &authorized).body,
        edge.get(own, &authorized).body
    );
    let cookie = "/cookie?cc=max-age%3D60&cookie=1";
    let ids = [(); 2].map(|()| edge.get(cookie, &[]).field("set-cookie").map(str::to_owned));
    assert_ne!(ids[0], ids[1]);
}

fn purging_takes_the_token(edge: &Edge) {
    let path = "/purged?cc=max-age%3D600";
    edge.get(path, &[]);
    let purge = |token: &str| {
        let token = format!("Authorization: Bearer {token}");
        let options = [
            "-X",
            "PURGE",
            "-H",
            &token,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ];
        String::from_utf8(edge.curl(path, &options)).expect("a status")
    };
    assert_eq!(purge("guessed"), "401");
    assert_eq!(edge.get(path, &[]).text(), "/purged 1");
    assert_eq!((&*purge("secret"), &*purge("secret")), ("200", "404"));
    assert_eq!(edge.get(path, &[]).text(), "/purged 2");
}

/// Sends bytes, and returns what comes until the proxy ends the connection.
fn until_the_end(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    stream
        .set_read_timeout(Some(wait::PATIENCE))
        .expect("a socket option");
    stream.write_all(bytes).expect("sent");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}: the proxy does not hang up"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn slow_and_hostile_clients_are_refused(edge: &Edge) {
    let smuggled =
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (request, status) in [
        ("GET /slow", "408"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        (smuggled, "400"),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "400",
        ),
        ("\x16\x03\x01\x02\x00", "400"),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505"),
    ] {
        let answer = until_the_end(edge.port, request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer:?}"
        );
    }
    let long = format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}", "x".repeat(20_000));
    assert!(until_the_end(edge.port, long.as_bytes()).contains("431"));
    // Some ask for much and read nothing; they hold up nobody.
    let deaf: Vec<_> = (0..10)
        .map(|_| {
            let mut stream =
                TcpStream::connect((Ipv4Addr::LOCALHOST, edge.port)).expect("connected");
            let request =
                "GET /deaf?size=900000&cc=max-age%3D60 HTTP/1.1\r\nHost: localhost\r\n\r\n";
            stream.write_all(request.as_bytes()).expect("sent");
            assert_eq!(edge.get("/fresh?cc=max-age%3D60", &[]).status, 200);
            stream
        })
        .collect();
    let mut state = 0x005e_ed01_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::from(state.to_be_bytes()[0])
    };
    for _ in 0..100 {
        let request = "POST /noise HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
        let mut bytes = request.as_bytes().to_vec();
        for _ in 0..1 + random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = random().to_le_bytes()[0];
        }
        let mut stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, edge.port)).expect("a connection");
        stream
            .set_read_timeout(Some(wait::PATIENCE))
            .expect("a socket option");
        // The proxy may have hung up already; otherwise it does at the end of what it gets.
        stream.write_all(&bytes).unwrap_or_default();
        stream.shutdown(Shutdown::Write).unwrap_or_default();
        stream.read_to_end(&mut Vec::new()).unwrap_or_default();
    }
    drop(deaf);
    assert_eq!(edge.get("/fresh?cc=max-age%3D60", &[]).status, 200);
}

fn more_than_fits_is_evicted_within_the_memory(edge: &Edge) {
    let before = edge.number("evicted");
    for n in 0..60 {
        let path = format!("/fill{n}?size=300000&cc=max-age%3D600");
        assert_eq!(edge.get(&path, &[]).body.len(), 300_000);
    }
    assert!(edge.number("evicted") > before);
    assert!(edge.number("bytes") <= edge.number("bytes_limit"));
    let resident = edge.resident();
    note(&format!(
        "full: {} of {} pages",
        resident / 4096,
        MEMORY / 4096
    ));
    assert!(resident <= MEMORY);
    assert_eq!(edge.how("/fill59?size=300000&cc=max-age%3D600"), "hit");
    assert!(
        edge.how("/fill0?size=300000&cc=max-age%3D600")
            .starts_with("fwd=uri-miss")
    );
}

fn load_generators_see_no_failure(edge: &Edge) {
    let url = format!(
        "http://127.0.0.1:{}/load?size=1000&cc=max-age%3D600",
        edge.port
    );
    edge.get("/load?size=1000&cc=max-age%3D600", &[]);
    let mut ab = Command::new(external::program("ab", "apache2-utils"));
    let report = external::run(ab.args(["-q", "-k", "-n", "2000", "-c", "8", &url]));
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    let line = |name: &str| {
        report
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
    };
    assert!(line("Failed requests:").ends_with(" 0"), "{report}");
    assert!(!report.contains("Non-2xx"), "{report}");
    note(&format!(
        "ab, 8 connections: {}",
        line("Requests per second:").trim()
    ));
    let mut wrk = Command::new(external::program("wrk", "wrk"));
    let report = external::run(wrk.args(["-t1", "-c8", "-d2s", &url]));
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(
        !report.contains("Non-2xx") && !report.contains("Socket errors"),
        "{report}"
    );
    let rate = report.lines().find(|line| line.starts_with("Requests/sec"));
    note(&format!(
        "wrk, 8 connections: {}",
        rate.unwrap_or("nothing").trim()
    ));
    // Once for `localhost` and once for 127.0.0.1, as which the generators know it.
    assert_eq!(edge.origin.asked("/load"), 2);
}
