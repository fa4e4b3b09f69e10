//! The `web-server` template as a service, byte by byte.

use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;
use test_harness::host::{Host, free_port};
use test_harness::http::{self, Body, Connection, Response};
use test_harness::project::Project;
use test_harness::{facts, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Site::serve,
        &facts![
            files_have_their_types_and_tags,
            a_fresh_copy_is_answered_without_a_body,
            head_is_get_without_the_body,
            routes_answer,
            a_connection_serves_many_requests,
            pipelined_requests_are_answered_in_order,
            a_method_that_is_not_offered_is_named,
            what_is_no_request_is_refused_and_hung_up_on,
            a_slow_client_is_served_and_holds_up_nobody,
            clients_that_leave_early_do_no_harm,
            an_ordinary_client_is_satisfied,
            thousands_of_connections_leave_no_memory_behind,
            two_hundred_and_fifty_six_connections_are_served_at_once,
        ],
    )
}

/// Connections one after the other.
const SEQUENTIAL: usize = 2_000;

/// Connections at once.
const CONCURRENT: usize = 256;

/// Memory that may come and go between two rounds, in bytes: the allocator's and the stack's slack.
const SLACK: u64 = 64 * 1024;

struct Site {
    host: Host,
    port: u16,
}

impl Site {
    fn serve() -> Self {
        let host = Host::up(&[]);
        let project = Project::shared(host.home(), "web-server");
        let port = free_port();
        project.publish(port);
        host.deploy(project.folder());
        Self { host, port }
    }

    #[track_caller]
    fn open(&self) -> Connection {
        Connection::open(self.port).expect("a connection")
    }

    #[track_caller]
    fn get(&self, path: &str) -> Response {
        http::get(self.port, path).expect("an answer")
    }

    fn resident(&self) -> u64 {
        self.host.service("web-server").resident
    }
}

fn files_have_their_types_and_tags(site: &Site) {
    for (path, media_type, contents) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/style.css", "text/css; charset=utf-8", "{"),
        ("/denali.svg", "image/svg+xml", "<svg"),
    ] {
        let response = site.get(path);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.field("content-type"), Some(media_type));
        assert!(
            response.text().contains(contents),
            "{path}: {}",
            response.text()
        );
        let etag = response.field("etag").expect("files have a tag");
        assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        assert!(
            response
                .field("date")
                .is_some_and(|date| date.ends_with(" GMT"))
        );
    }
}

fn a_fresh_copy_is_answered_without_a_body(site: &Site) {
    let etag = site
        .get("/")
        .field("etag")
        .expect("files have a tag")
        .to_owned();
    let mut connection = site.open();
    for (tag, status) in [(etag.as_str(), 304), ("*", 304), ("\"other\"", 200)] {
        let condition = format!("If-None-Match: {tag}");
        connection.request("GET", "/", &[&condition]).expect("sent");
        let response = connection.receive(Body::Sent).expect("an answer");
        assert_eq!(response.status, status, "{tag}");
        assert_eq!(response.body.is_empty(), status == 304);
        assert_eq!(response.field("etag"), Some(etag.as_str()));
    }
}

fn head_is_get_without_the_body(site: &Site) {
    let got = site.get("/");
    let mut connection = site.open();
    connection.request("HEAD", "/", &[]).expect("sent");
    let head = connection.receive(Body::Omitted).expect("a head");
    assert_eq!(head.status, 200);
    for name in ["content-length", "content-type", "etag"] {
        assert_eq!(head.field(name), got.field(name), "{name}");
    }
    // What follows on the connection is the next answer, not a body.
    connection.request("GET", "/healthz", &[]).expect("sent");
    assert_eq!(
        connection.receive(Body::Sent).expect("an answer").text(),
        "ok\n"
    );
}

fn routes_answer(site: &Site) {
    assert_eq!(site.get("/healthz").text(), "ok\n");
    let hello = site.get("/hello/J%C3%BCrgen?x=1");
    assert!(
        hello.text().starts_with("Hello, Jürgen! "),
        "{}",
        hello.text()
    );
    for path in ["/nothing", "/hello/", "/../Cargo.toml", "/index.html/"] {
        assert_eq!(site.get(path).status, 404, "{path}");
    }
}

fn a_connection_serves_many_requests(site: &Site) {
    let mut connection = site.open();
    for _ in 0..100 {
        connection.request("GET", "/healthz", &[]).expect("sent");
        let response = connection.receive(Body::Sent).expect("an answer");
        assert_eq!(response.field("connection"), Some("keep-alive"));
    }
    connection
        .request("GET", "/healthz", &["Connection: close"])
        .expect("sent");
    let last = connection.receive(Body::Sent).expect("an answer");
    assert_eq!(last.field("connection"), Some("close"));
    assert!(connection.ends().expect("an end"));
    // HTTP/1.0 closes unless asked not to.
    let mut old = site.open();
    old.send("GET /healthz HTTP/1.0\r\n\r\n").expect("sent");
    assert_eq!(old.receive(Body::Sent).expect("an answer").status, 200);
    assert!(old.ends().expect("an end"));
}

fn pipelined_requests_are_answered_in_order(site: &Site) {
    let mut connection = site.open();
    let requests: String = (0..50)
        .map(|n| format!("GET /hello/{n} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .collect();
    connection.send(requests).expect("sent");
    for n in 0..50 {
        let response = connection.receive(Body::Sent).expect("an answer");
        let expected = format!("Hello, {n}! ");
        assert!(
            response.text().starts_with(&expected),
            "{expected}: {}",
            response.text()
        );
    }
    // A body is skipped, and what follows it is the next request.
    let with_body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    connection
        .send(format!(
            "{with_body}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        ))
        .expect("sent");
    assert_eq!(
        connection.receive(Body::Sent).expect("an answer").status,
        405
    );
    assert_eq!(
        connection.receive(Body::Sent).expect("an answer").text(),
        "ok\n"
    );
}

fn a_method_that_is_not_offered_is_named(site: &Site) {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let mut connection = site.open();
        connection.request(method, "/", &[]).expect("sent");
        let response = connection.receive(Body::Sent).expect("an answer");
        assert_eq!(
            (response.status, response.field("allow")),
            (405, Some("GET, HEAD"))
        );
    }
}

fn what_is_no_request_is_refused_and_hung_up_on(site: &Site) {
    let long = "x".repeat(9_000);
    let many: String = (0..80).map(|n| format!("x-{n}: y\r\n")).collect();
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("\0\0\0\0\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
            400,
        ),
        ("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_owned(),
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n".to_owned(),
            413,
        ),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), 431),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            501,
        ),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n".to_owned(), 505),
    ] {
        let shown: String = request.chars().take(60).collect();
        let mut connection = site.open();
        connection.send(&request).expect("sent");
        let response = connection.receive(Body::Sent);
        let response = response.unwrap_or_else(|error| panic!("{shown:?}: {error}"));
        assert_eq!(response.status, status, "{shown:?}");
        assert_eq!(response.field("connection"), Some("close"), "{shown:?}");
        assert!(connection.ends().expect("an end"), "{shown:?}");
    }
}

fn a_slow_client_is_served_and_holds_up_nobody(site: &Site) {
    let mut slow = site.open();
    for piece in [
        "GET /hea",
        "lthz HT",
        "TP/1.1\r\nHo",
        "st: x\r",
        "\n\r",
        "\n",
    ] {
        slow.send(piece).expect("sent");
        assert_eq!(site.get("/healthz").status, 200);
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(slow.receive(Body::Sent).expect("an answer").text(), "ok\n");
}

fn clients_that_leave_early_do_no_harm(site: &Site) {
    for sent in [
        "",
        "GET /",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nfour",
    ] {
        for _ in 0..4 {
            let mut connection = site.open();
            connection.send(sent).expect("sent");
        }
    }
    // One that asks for much and reads nothing of it.
    let mut deaf = site.open();
    deaf.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200))
        .expect("sent");
    drop(deaf);
    assert_eq!(site.get("/healthz").status, 200);
    // One that sends no more, but reads.
    let mut finished = site.open();
    finished.request("GET", "/healthz", &[]).expect("sent");
    finished.finish().expect("half closed");
    assert_eq!(
        finished.receive(Body::Sent).expect("an answer").text(),
        "ok\n"
    );
    assert!(finished.ends().expect("an end"));
}

fn an_ordinary_client_is_satisfied(site: &Site) {
    let url = format!("http://127.0.0.1:{}/", site.port);
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--compressed",
        "--max-time",
        "60",
        &url,
    ]);
    // Not every machine has curl; those that have must get the page.
    if let Ok(output) = curl.stdin(Stdio::null()).output() {
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.stdout, site.get("/").body);
    }
}

/// Opens connections, has each served before the next, and then serves all at once a few times.
/// Returns the memory in use with all open.
///
/// QEMU's user network queues a single connection it has not accepted yet, so a client that opened
/// many without waiting would test the retries of this machine's kernel.
fn serve_crowd(site: &Site) -> u64 {
    let mut connections: Vec<Connection> = Vec::new();
    for _ in 0..CONCURRENT {
        let mut connection = site.open();
        connection.request("GET", "/healthz", &[]).expect("sent");
        connection.receive(Body::Sent).expect("an answer");
        connections.push(connection);
    }
    for round in 0..3 {
        for (number, connection) in connections.iter_mut().enumerate() {
            let path = format!("/hello/{round}-{number}");
            connection.request("GET", &path, &[]).expect("sent");
        }
        for (number, connection) in connections.iter_mut().enumerate() {
            let response = connection.receive(Body::Sent);
            let response = response.unwrap_or_else(|error| panic!("{round}, {number}: {error}"));
            let expected = format!("Hello, {round}-{number}! ");
            assert!(response.text().starts_with(&expected), "{response:?}");
        }
    }
    site.resident()
}

/// Checks that the service comes to use no more memory than `most`.
fn check_memory(site: &Site, most: u64) {
    let returned = wait::within(wait::PATIENCE, || (site.resident() <= most).then_some(()));
    let now = site.resident();
    assert!(returned.is_some(), "{now} bytes, and not {most}");
}

fn two_hundred_and_fifty_six_connections_are_served_at_once(site: &Site) {
    let fresh = site.resident();
    let peak = serve_crowd(site);
    // What the first crowd leaves for the next one to use again is no leak.
    let before = site.resident();
    serve_crowd(site);
    check_memory(site, before + SLACK);
    // Areas that are free but share their pages with others cannot go back to the kernel.
    check_memory(site, fresh + (peak - fresh) / 2);
}

fn thousands_of_connections_leave_no_memory_behind(site: &Site) {
    let rounds = |connections: usize| {
        for number in 0..connections {
            let response = site.get("/style.css");
            assert_eq!(response.status, 200, "connection {number}");
        }
    };
    // What the first connections leave for the next ones to use again is no leak.
    rounds(100);
    let before = site.resident();
    rounds(SEQUENTIAL);
    check_memory(site, before + SLACK);
}
