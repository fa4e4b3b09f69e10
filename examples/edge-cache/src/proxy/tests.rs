//! The proxy between clients and an origin in memory.

extern crate std;

use super::*;
use crate::http::{Body, Input, Response, Stream};
use crate::testing::Random;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;
use denali_rt::io::{self, ErrorType, Read, Write};
use denali_rt::thread;

std::thread_local! {
    static NOW: Cell<u64> = const { Cell::new(1000) };
}

fn now() -> Moment {
    let tick = NOW.get();
    Moment {
        tick,
        unix: 784_111_777 + tick,
    }
}

type Script = dyn Fn(&str) -> Vec<u8> + Send + Sync;

/// An origin that answers as a script says; an empty answer closes the connection.
struct Scripted {
    script: Arc<Script>,
    asked: Arc<GuestCell<Vec<String>>>,
    connections: Arc<GuestCell<u64>>,
}

impl Connect for Scripted {
    type Stream = OriginStream;

    fn connect(&self) -> io::Result<OriginStream> {
        self.connections.with(|count| *count += 1);
        Ok(OriginStream {
            script: Arc::clone(&self.script),
            asked: Arc::clone(&self.asked),
            written: Vec::new(),
            answer: Vec::new(),
        })
    }
}

struct OriginStream {
    script: Arc<Script>,
    asked: Arc<GuestCell<Vec<String>>>,
    written: Vec<u8>,
    answer: Vec<u8>,
}

impl ErrorType for OriginStream {
    type Error = io::Error;
}

impl Read for OriginStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.answer.is_empty() && !self.written.is_empty() {
            let request = String::from_utf8_lossy(&core::mem::take(&mut self.written)).into_owned();
            // The way to the origin and back takes time, in which others run.
            (0..20).for_each(|_| thread::yield_now());
            self.answer = (self.script)(&request);
            self.asked.with(|asked| asked.push(request));
        }
        let len = self.answer.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.answer[..len]);
        self.answer.drain(..len);
        Ok(len)
    }
}

impl Write for OriginStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for OriginStream {
    fn set_read_timeout(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

impl core::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Scripted")
    }
}

impl core::fmt::Debug for OriginStream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OriginStream")
    }
}

/// A client that has sent everything and then waits.
#[derive(Debug)]
struct ClientStream {
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl ErrorType for &mut ClientStream {
    type Error = io::Error;
}

impl Read for &mut ClientStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.sent.len().min(buffer.len()).min(300);
        buffer[..len].copy_from_slice(&self.sent[..len]);
        self.sent.drain(..len);
        Ok(len)
    }
}

impl Write for &mut ClientStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.received.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for &mut ClientStream {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero());
        Ok(())
    }
}

struct Bench {
    proxy: Arc<Proxy<Scripted>>,
    asked: Arc<GuestCell<Vec<String>>>,
    connections: Arc<GuestCell<u64>>,
}

impl Bench {
    fn new(script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        NOW.set(1000);
        let arguments = ["--origin", "http://origin", "--object", "100k"];
        let settings = Settings::new(8 << 20, arguments, Some("secret")).expect("settings");
        let (asked, connections) = (Arc::default(), Arc::default());
        let scripted = Scripted {
            script: Arc::new(script),
            asked: Arc::clone(&asked),
            connections: Arc::clone(&connections),
        };
        let proxy = Arc::new(Proxy::new(settings, scripted, now));
        Self {
            proxy,
            asked,
            connections,
        }
    }

    /// Sends bytes, and returns what comes until the connection ends.
    fn converse(&self, bytes: &[u8]) -> Vec<u8> {
        converse(&self.proxy, bytes)
    }

    fn get(&self, path: &str, fields: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        Answer::read("GET", &self.converse(request.as_bytes()))
    }

    fn send(&self, method: &str, request: &str) -> Answer {
        Answer::read(method, &self.converse(request.as_bytes()))
    }

    /// Returns what the origin was asked since this was last asked.
    fn asked(&self) -> Vec<String> {
        self.asked.with(core::mem::take)
    }
}

fn converse(proxy: &Arc<Proxy<Scripted>>, bytes: &[u8]) -> Vec<u8> {
    let mut stream = ClientStream {
        sent: bytes.into(),
        received: Vec::new(),
    };
    // That the client leaves in the middle of something is what some tests are about.
    let _ = Client::new(proxy, &mut stream, "192.0.2.7".into()).serve();
    stream.received
}

/// A response, and everything behind it.
#[derive(Debug)]
struct Answer {
    response: Response,
    body: String,
}

impl Answer {
    fn read(method: &str, bytes: &[u8]) -> Self {
        let (response, len) = Response::parse(bytes).expect("HTTP").expect("a whole head");
        let mut body = Body::new(response.framing(method).expect("a framing"));
        let mut rest = &bytes[len..];
        let (mut input, mut contents) = (Input::default(), Vec::new());
        loop {
            let mut stream = Slice(&mut rest);
            let len = body.next(&mut input, &mut stream).expect("a whole body");
            if len == 0 {
                break;
            }
            contents.extend_from_slice(&input.unread()[..len]);
            input.consume(len);
        }
        let body = String::from_utf8_lossy(&contents).into_owned();
        Self { response, body }
    }

    fn field(&self, name: &str) -> &str {
        self.response.fields.text(name).unwrap_or("")
    }

    fn status(&self) -> (u16, &str, &str) {
        (self.response.status, &self.body, self.field("cache-status"))
    }
}

struct Slice<'a, 'b>(&'a mut &'b [u8]);

impl ErrorType for Slice<'_, '_> {
    type Error = io::Error;
}

impl Read for Slice<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.0.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.0[..len]);
        *self.0 = &self.0[len..];
        Ok(len)
    }
}

fn ok(fields: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {len}\r\n\r\n{body}").into_bytes()
}

#[test]
fn a_fresh_response_comes_from_memory_with_its_age() {
    let bench = Bench::new(|_| ok("Cache-Control: max-age=10\r\nAge: 2\r\n", "hello"));
    let first = bench.get("/a", "");
    let how = "edge-cache; fwd=uri-miss; fwd-status=200; stored; ttl=8";
    assert_eq!(first.status(), (200, "hello", how));
    NOW.set(1003);
    let second = bench.get("/a", "");
    assert_eq!(second.status(), (200, "hello", "edge-cache; hit; ttl=5"));
    assert_eq!(
        (second.field("age"), second.field("via")),
        ("5", "1.1 edge-cache")
    );
    assert_eq!(bench.asked().len(), 1);
    // A client of old is told if the connection stays.
    let old =
        |field: &str| bench.send("GET", &format!("GET /a HTTP/1.0\r\nHost: h\r\n{field}\r\n"));
    assert_eq!(old("").field("connection"), "close");
    assert_eq!(
        old("Connection: Keep-Alive\r\n").field("connection"),
        "keep-alive"
    );
    let head = bench.send("HEAD", "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((head.field("content-length"), &*head.body), ("5", ""));
    // Another host or query is another thing.
    bench.get("/a?", "");
    bench.send("GET", "GET /a HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(bench.asked().len(), 2);
}

#[test]
fn a_stale_response_is_asked_for_again_and_kept_if_it_is_the_same() {
    let bench = Bench::new(|request| {
        if request.contains("If-None-Match: \"v1\"") {
            b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=20\r\n\r\n"
                .to_vec()
        } else {
            ok("Cache-Control: max-age=10\r\nETag: \"v1\"\r\n", "hello")
        }
    });
    bench.get("/", "");
    NOW.set(1015);
    let how = "edge-cache; fwd=stale; fwd-status=304; stored; ttl=20";
    assert_eq!(bench.get("/", "").status(), (200, "hello", how));
    NOW.set(1030);
    assert_eq!(
        bench.get("/", "").status(),
        (200, "hello", "edge-cache; hit; ttl=5")
    );
    // A client that has it is not sent it again.
    let same = bench.get("/", "If-None-Match: \"x\", W/\"v1\"\r\n");
    assert_eq!((same.response.status, same.field("etag")), (304, "\"v1\""));
    assert_eq!(
        bench.get("/", "If-None-Match: \"x\"\r\n").response.status,
        200
    );
    assert_eq!(bench.asked().len(), 2);
}

#[test]
fn stale_while_revalidate_answers_at_once_and_asks_in_the_background() {
    let bench = Bench::new(|_| {
        ok(
            "Cache-Control: max-age=10, stale-while-revalidate=60\r\n",
            "x",
        )
    });
    bench.get("/", "");
    NOW.set(1020);
    assert_eq!(bench.get("/", "").status().2, "edge-cache; hit; ttl=-10");
    (0..100).for_each(|_| thread::yield_now());
    assert_eq!(bench.asked().len(), 2);
    assert_eq!(bench.get("/", "").status().2, "edge-cache; hit; ttl=10");
    NOW.set(1200);
    assert!(
        bench
            .get("/", "")
            .status()
            .2
            .contains("fwd=stale; fwd-status=200")
    );
}

#[test]
fn stale_if_error_hides_an_origin_that_fails() {
    let bench = Bench::new(|request| match NOW.get() {
        1000 if request.contains("/a") => {
            ok("Cache-Control: max-age=1, stale-if-error=60\r\n", "a")
        }
        1000 => ok("Cache-Control: max-age=1\r\n", "b"),
        1001..1010 => b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno".to_vec(),
        _ => Vec::new(),
    });
    bench.get("/a", "");
    bench.get("/b", "");
    for time in [1005, 1020] {
        NOW.set(time);
        let hidden = bench.get("/a", "");
        assert_eq!(hidden.status().0, 200);
        assert!(
            hidden.status().2.starts_with("edge-cache; hit; detail="),
            "{hidden:?}"
        );
    }
    assert_eq!(bench.get("/b", "").response.status, 502);
    NOW.set(1005);
    assert_eq!(
        bench.get("/b", "").status(),
        (503, "no", "edge-cache; fwd=stale; fwd-status=503")
    );
    NOW.set(1100);
    assert_eq!(bench.get("/a", "").response.status, 502);
}

#[test]
fn many_who_ask_for_the_same_cost_one_fetch() {
    let bench = Bench::new(|request| match request.contains("/shared") {
        true => ok("Cache-Control: max-age=60\r\n", "shared"),
        false => ok("Cache-Control: private\r\n", "own"),
    });
    let clients: Vec<_> = (0..40)
        .map(|n| {
            let proxy = Arc::clone(&bench.proxy);
            let path = if n % 2 == 0 { "/shared" } else { "/own" };
            thread::spawn(move || {
                let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
                Answer::read("GET", &converse(&proxy, request.as_bytes()))
            })
        })
        .collect();
    let answers: Vec<Answer> = clients.into_iter().map(thread::JoinHandle::join).collect();
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.body, ["shared", "own"][n % 2]);
    }
    let asked = bench.asked();
    let of = |path: &str| {
        asked
            .iter()
            .filter(|request| request.contains(path))
            .count()
    };
    assert_eq!((of("/shared"), of("/own")), (1, 20));
    let collapsed = answers
        .iter()
        .filter(|answer| answer.status().2.contains("; collapsed"));
    assert_eq!(collapsed.count(), 19);
}

#[test]
fn variants_are_kept_apart() {
    let bench = Bench::new(|request| {
        let body = if request.contains("Accept-Language: de") {
            "hallo"
        } else {
            "hello"
        };
        ok(
            "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n",
            body,
        )
    });
    for _ in 0..2 {
        assert_eq!(bench.get("/", "Accept-Language: de\r\n").body, "hallo");
        assert_eq!(bench.get("/", "").body, "hello");
    }
    assert_eq!(bench.asked().len(), 2);
}

#[test]
fn a_change_through_the_proxy_is_seen_at_once() {
    let bench = Bench::new(|request| match request.starts_with("POST") {
        true => ok("", &request[request.find("\r\n\r\n").unwrap() + 4..]),
        false => ok("Cache-Control: max-age=60\r\n", "page"),
    });
    bench.get("/", "");
    let post = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let mut stream = ClientStream {
        sent: post.into(),
        received: Vec::new(),
    };
    stream.sent.extend_from_slice(b"data");
    Client::new(&bench.proxy, &mut stream, "x".into())
        .serve()
        .expect("served");
    let answer = Answer::read("POST", &stream.received);
    assert_eq!(
        answer.status(),
        (200, "data", "edge-cache; fwd=method; fwd-status=200")
    );
    bench.get("/", "");
    assert_eq!(bench.asked().len(), 3);
    // A body in chunks goes on in chunks.
    let chunked =
        "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\n\r\n";
    bench.send("PUT", chunked);
    let asked = bench.asked();
    assert!(
        asked[0].ends_with("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        "{asked:?}"
    );
}

#[test]
fn what_is_for_one_hop_stays_there_and_the_origin_learns_who_asks() {
    let bench = Bench::new(|_| {
        ok(
            "Cache-Control: max-age=60\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n",
            "x",
        )
    });
    let fields = "Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nUpgrade: h2c\r\nVia: 1.0 fred\r\n\
                  X-Forwarded-For: 10.1.1.1\r\nRange: bytes=0-0\r\nIf-None-Match: \"old\"\r\n";
    let answer = bench.get("/", fields);
    for name in ["x-hop", "keep-alive", "connection"] {
        assert_eq!(answer.field(name), "");
    }
    let asked = bench.asked().remove(0);
    for gone in ["X-Mine", "Upgrade", "Range", "If-None-Match", "Connection"] {
        assert!(!asked.contains(gone), "{gone} in {asked}");
    }
    for there in [
        "Via: 1.0 fred\r\nVia: 1.1 edge-cache\r\n",
        "X-Forwarded-For: 10.1.1.1, 192.0.2.7",
    ] {
        assert!(asked.contains(there), "no {there} in {asked}");
    }
    let round = "Via: 1.1 edge-cache, 1.1 edge-cache, 1.1 edge-cache, 1.1 edge-cache\r\n";
    assert_eq!(bench.get("/", round).response.status, 508);
}

#[test]
fn a_long_body_goes_through_without_being_stored() {
    let long = "0123456789".repeat(20_000);
    let sent = long.clone();
    let bench = Bench::new(move |request| {
        let field = "Cache-Control: max-age=60\r\n";
        if request.contains("/length") {
            ok(field, &sent)
        } else if request.contains("/close") {
            format!("HTTP/1.0 200 OK\r\n{field}\r\n{sent}").into_bytes()
        } else {
            let (len, chunk) = (sent.len(), &sent);
            let head = format!("HTTP/1.1 200 OK\r\n{field}Transfer-Encoding: chunked\r\n\r\n");
            format!("{head}{len:x}\r\n{chunk}\r\n0\r\n\r\n").into_bytes()
        }
    });
    for path in ["/length", "/close", "/chunked"] {
        for _ in 0..2 {
            let answer = bench.get(path, "");
            assert!(answer.body == long, "{path}: {} bytes", answer.body.len());
        }
        let old = bench.send("GET", &format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert!(old.body == long && old.field("transfer-encoding").is_empty());
    }
    assert_eq!((bench.asked().len(), bench.proxy.ledger.used()), (9, 0));
}

#[test]
fn a_range_of_a_stored_response_is_cut_out_of_it() {
    let bench = Bench::new(|_| ok("Cache-Control: max-age=60\r\nETag: \"e\"\r\n", "0123456789"));
    let part = bench.get("/", "Range: bytes=2-4\r\n");
    assert_eq!((part.response.status, &*part.body), (206, "234"));
    assert_eq!(part.field("content-range"), "bytes 2-4/10");
    assert_eq!(
        bench
            .get("/", "Range: bytes=-3\r\nIf-Range: \"e\"\r\n")
            .body,
        "789"
    );
    assert_eq!(
        bench
            .get("/", "Range: bytes=-3\r\nIf-Range: \"f\"\r\n")
            .body,
        "0123456789"
    );
    let nothing = bench.get("/", "Range: bytes=10-\r\n");
    assert_eq!(
        (nothing.response.status, nothing.field("content-range")),
        (416, "bytes */10")
    );
    assert_eq!(bench.asked().len(), 1);
}

#[test]
fn connections_to_the_origin_are_kept_and_closed_ones_replaced() {
    let bench = Bench::new(|_| ok("", "x"));
    (0..5).for_each(|_| drop(bench.get("/", "")));
    assert_eq!(bench.connections.with(|count| *count), 1);
    let dead = Bench::new(|request| match request.contains("/dead") {
        true => Vec::new(),
        false => ok("", "x"),
    });
    dead.get("/", "");
    assert_eq!(dead.get("/dead", "").response.status, 502);
    assert_eq!(
        dead.connections.with(|count| *count),
        2,
        "tried again on a new one, once"
    );
}

#[test]
fn purging_and_statistics_take_the_token() {
    let bench = Bench::new(|_| ok("Cache-Control: max-age=60\r\n", "x"));
    bench.get("/", "");
    let purge = |token: &str| {
        let fields = format!("Host: h\r\nAuthorization: Bearer {token}\r\n");
        bench
            .send("PURGE", &format!("PURGE / HTTP/1.1\r\n{fields}\r\n"))
            .response
            .status
    };
    assert_eq!(
        (purge("wrong"), purge("secret"), purge("secret")),
        (401, 200, 404)
    );
    let statistics = bench.get("/.edge-cache/stats", "Authorization: Bearer secret\r\n");
    assert!(statistics.body.contains("\"purged\":1,"), "{statistics:?}");
    assert_eq!(bench.get("/.edge-cache/stats", "").body, "x");
}

#[test]
fn requests_that_make_no_sense_are_refused_and_several_are_answered_in_order() {
    let bench = Bench::new(|request| ok("Cache-Control: max-age=60\r\n", &request[..7]));
    for (request, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
        ),
        ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nCache-Control: only-if-cached\r\n\r\n",
            504,
        ),
    ] {
        assert_eq!(
            bench.send("GET", request).response.status,
            status,
            "{request:?}"
        );
    }
    assert!(bench.asked().is_empty());
    let two =
        "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let received = bench.converse(format!("{two}{two}").as_bytes());
    let text = String::from_utf8_lossy(&received);
    let bodies: Vec<_> = text
        .match_indices("GET /")
        .map(|(at, _)| &text[at..at + 6])
        .collect();
    assert_eq!(
        bodies,
        ["GET /1", "GET /2"],
        "the second ends the connection"
    );
}

#[test]
fn whatever_either_side_sends_the_books_agree() {
    let seed = Arc::new(GuestCell::new(Random::new(11)));
    let theirs = Arc::clone(&seed);
    let bench = Bench::new(move |_| {
        theirs.with(|random| {
            let fields = [
                "Cache-Control: max-age=5\r\n",
                "Cache-Control: max-age=5, stale-while-revalidate=9\r\nETag: \"a\"\r\n",
                "Vary: Accept\r\nCache-Control: s-maxage=2, stale-if-error=3\r\n",
                "Transfer-Encoding: chunked\r\nCache-Control: public\r\n",
                "",
            ][random.below(5)];
            let answer = ok(fields, &"b".repeat(random.below(30_000)));
            damaged(answer, random)
        })
    });
    let mut random = Random::new(12);
    for round in 0..3_000 {
        let request = [
            "GET /1 HTTP/1.1\r\nHost: h\r\nAccept: a\r\n\r\n",
            "GET /2 HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"a\"\r\nRange: bytes=1-5\r\n\r\n",
            "POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            "HEAD /3 HTTP/1.0\r\nCache-Control: max-age=1, max-stale=4\r\n\r\n",
            "PURGE /2 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer secret\r\n\r\n",
        ][random.below(5)];
        let sent = damaged(request.repeat(2).into_bytes(), &mut random);
        bench.converse(&sent);
        NOW.set(1000 + round / 10);
        assert!(bench.proxy.ledger.used() <= bench.proxy.ledger.limit());
    }
    (0..200).for_each(|_| thread::yield_now());
    let Bench { proxy, .. } = bench;
    let counters = proxy.with(|state| state.counters);
    assert!(
        counters.hits > 100 && counters.fetched > 100,
        "{counters:?}"
    );
    for path in 1..4 {
        proxy.with(|state| ["h", ""].map(|host| state.store.purge(&format!("{host}/{path}"))));
    }
}

fn damaged(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    if random.below(3) > 0 {
        return bytes;
    }
    let head = bytes.len().min(200);
    for _ in 0..random.below(4) {
        let at = random.below(head);
        bytes[at] = random.byte();
    }
    if random.below(4) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}
