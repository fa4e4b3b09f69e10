//! The `cache` template as a service: against memcached itself, its clients, and hostile ones.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use test_harness::external;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::{cli, facts, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Server::deploy,
        &facts![
            memcached_answers_alike,
            memcapable_is_satisfied,
            the_tools_of_libmemcached_store_and_fetch,
            pymemcache_is_satisfied,
            a_pipelined_batch_is_answered_in_order,
            items_expire_in_real_time,
            a_full_cache_evicts_and_stays_within_its_memory,
            hostile_clients_at_full_memory_do_no_harm,
            one_connection_too_many_is_told_so,
            connections_leave_no_memory_behind,
            throughput_is_reported,
        ],
    )
}

/// The memory of the VM in bytes; little, so that it fills soon.
const MEMORY: u64 = 16 * 1024 * 1024;

/// Memory that may come and go between two rounds, in bytes: the allocator's slack.
const SLACK: u64 = 64 * 1024;

/// How long a client waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// How long each load is measured.
const LOAD_TIME: Duration = Duration::from_secs(3);

struct Server {
    host: Host,
    port: u16,
}

impl Server {
    fn deploy() -> Self {
        let host = Host::up(&[]);
        let project = Project::shared(host.home(), "cache");
        let port = free_port();
        project.edit("\"11211:11211\"", &format!("\"{port}:11211\""));
        project.edit("memory = \"32M\"", "memory = \"16M\"");
        // Where many clients leave at once, the news of it may be lost on the way: connections of
        // that kind end by their idle timeout.
        let patience = "arguments = [\"-o\", \"idle_timeout=30\"]\npublish = [";
        project.edit("publish = [", patience);
        host.deploy(project.folder());
        let server = Self { host, port };
        note(&format!(
            "idle: {} pages of 4 KiB",
            server.resident() / 4096
        ));
        server
    }

    fn open(&self) -> Client {
        Client::open(self.port)
    }

    fn resident(&self) -> u64 {
        self.host.service("cache").resident
    }

    fn stat(&self, name: &str) -> u64 {
        let stats = self.open().ask("stats\r\n", "END\r\n");
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
        let value = line.and_then(|value| value.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no number {name} in {stats}"))
    }
}

/// Says something that is measured rather than tested.
#[expect(clippy::print_stdout, reason = "a test binary talks to its user")]
fn note(text: &str) {
    println!("     {text}");
}

/// A client without a library.
struct Client(TcpStream);

impl Client {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(ANSWER_MAX))
            .expect("a socket option");
        stream
            .set_write_timeout(Some(ANSWER_MAX))
            .expect("a socket option");
        Self(stream)
    }

    /// Opens a connection and waits until the cache has answered on it: QEMU's user network queues
    /// a single connection that it has not accepted yet, and tells of closed ones when it gets to it.
    fn served(port: u16) -> Self {
        wait::until("a connection that is served", || {
            let mut client = Self::open(port);
            let answer = client.ask("mn\r\n", "\r\n");
            let is_refused = answer == "ERROR Too many open connections\r\n";
            assert!(is_refused || answer == "MN\r\n", "{answer}");
            (!is_refused).then_some(client)
        })
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("sent");
    }

    /// Reads until what came ends with `end`, or the server ends the connection.
    fn receive(&mut self, end: &str) -> Vec<u8> {
        let mut received = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while !received.ends_with(end.as_bytes()) {
            match self.0.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => received.extend_from_slice(&buffer[..len]),
                Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&received)),
            }
        }
        received
    }

    fn ask(&mut self, command: &str, end: &str) -> String {
        self.send(command);
        String::from_utf8_lossy(&self.receive(end)).into_owned()
    }
}

/// Debian's memcached, ended when dropped.
struct Memcached {
    process: Child,
    port: u16,
}

impl Memcached {
    fn start() -> Self {
        let port = free_port();
        let process = Command::new(external::program("memcached", "memcached"))
            .args([
                "-u",
                "nobody",
                "-l",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-m",
                "64",
            ])
            .stdin(Stdio::null())
            .spawn()
            .expect("memcached starts");
        wait::until("memcached to listen", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        Self { process, port }
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Conversations, each on a connection of its own. None shows the number of a change, which two
/// servers need not have in common.
const CONVERSATIONS: &[&str] = &[
    "\n",
    "nonsense\n",
    "get\n",
    "get \n",
    "gets\n",
    "GET a\n",
    "get a  b \n",
    "  get a\n",
    "get\ta\n",
    "set a 5 0 3\nabc\nget a\nget b a\n",
    "set a\n",
    "set a 0 0\n",
    "set a 0 0 x\nabc\n",
    "set a 0 0 -1\n\n",
    "set a x 0 1\na\n",
    "set a 0 x 1\na\n",
    "set a -1 0 1\na\n",
    "set a 4294967295 0 1\na\nget a\n",
    "set a 0 0 3\nabcd\n",
    "set a 0 0 3\nabcdefgh\nget zz\n",
    "set a 0 0 3\nab\nget zz\n",
    "set a 0 0 1 noreply\na\nget a\n",
    "set a 0 0 1 noreplyx\nb\nget a\n",
    "set a 0 0 1 x y\nb\nget a\n",
    "set a 0 0 0\n\nget a\n",
    "delete b\nset a 0 0 1\nx\nadd a 0 0 1\ny\nadd b 0 0 1\nz\nreplace a 0 0 1\nw\nget a b\n",
    "delete c\nreplace c 0 0 1\nx\nappend c 0 0 1\nx\nprepend c 0 0 1\nx\nget c\n",
    "set a 7 0 1\nb\nappend a 9 9 1\nc\nprepend a 9 9 1\na\nget a\n",
    "cas a 0 0 1\n",
    "cas a 0 0 1 x\na\n",
    "cas zz 0 0 1 5\na\n",
    "set a 0 0 1\na\ncas a 0 0 1 9999999999\nb\nget a\ncas a 0 0 1 9999999999 noreply\nb\n",
    "set n 0 0 2\n10\nincr n 5\ndecr n 6\ndecr n 100\nget n\n",
    "set n 0 0 1\n0\nincr n 18446744073709551615\nincr n 1\nincr n x\nincr n -1\nincr n\nincr\n",
    "incr zz 1\nincr n 18446744073709551616\nset n 5 0 3\n100\ndecr n 1\nget n\n",
    "set t 0 0 1\nx\nincr t 1\nset t 0 0 0\n\nincr t 1\nset t 0 0 2\n-2\nincr t 1\n",
    "set n 0 0 20\n18446744073709551615\nincr n 2\nget n\nset n 0 0 5\n10   \nincr n 1\nget n\n",
    "set n 0 0 1\n1\nincr n 1 noreply\nget n\n",
    "touch a\ntouch zz 0\ntouch a x\nset a 0 0 1\na\ntouch a 0\ntouch a 0 noreply\n",
    "gat\ngat 0\ngat x a\nset a 0 0 1\na\ngat 0 a\ngat 0 zz a\n",
    "delete\ndelete zz\nset a 0 0 1\na\ndelete a 0\nget a\ndelete a 1\ndelete a 0 noreply\n",
    "delete a noreply\ndelete a b c\n",
    "flush_all x\nflush_all 0\nflush_all noreply\nflush_all 0 noreply\nflush_all -1\nflush_all 1 2 3\n",
    "verbosity\nverbosity 1\nverbosity 1 2\nverbosity x\nverbosity noreply\n",
    "stats nonsense\nstats reset\n",
    "mn\nmn x\n",
    "mg\nmg zz\nmg zz v q\nmg zz k O123 q\nmg zz k O123\n",
    "ms\nms a\n",
    "ms a S1\na\n",
    "ms a 1\na\nmg a s v\nmg a\nmg a v q k\n",
    "ms m 1 T0 F5\nb\nmg m v f t s k O77 h\nmg m t h f\n",
    "ms a 1 I\nc\nms a 1 ME\nc\nms a 1 Mx\nc\n",
    "ms a 1\nc\nms a 1 MA\nd\nms a 1 MP\nb\nmg a v\n",
    "ms zz 1 MR\nd\nms zz 1 MA\nd\nms a 1 Mset\nd\n",
    "ms a 1\nc\nms a 1 C999999999\nd\nms zz 1 C1\nd\n",
    "ms a 1 q k O1\nd\nms a 1 k O1 b\nd\n",
    "ms YWJj 1 b k\nd\nget abc\nmg YWJj b k v\nmg !!! b v\n",
    "ms a 3\nabcd\n",
    "ms a 1 T\na\nms a 1 Z\na\nms a -1\n",
    "md\nmd zz\nms a 1\na\nmd a q\nmd zz q\nms a 1\na\nmd a k O1\n",
    "ms s 1\na\nmd s I T30\nmg s v t\nmg s v t\nms s 1\nb\nmg s v\n",
    "ms s 1\na\nmd s C999999999\nmg s v\n",
    "ma\nma zz\nms n 1\n5\nma n\nma n v\nma n v t D10\nma n v MD D100\nma n MI v\nma n Mx v\nma n q\n",
    "delete zn\nma zn N0 J13 v\nma zn N0 J13 v\nma zz q\nms t 1\nx\nma t\nma t q\nma n C999999999 v\n",
    "delete vv\nmg vv N30 v t f s k\nmg vv v t\nmg vv v\n",
    "ms rr 1 T20\na\nmg rr R30 v t\nmg rr R30 v t\nmg rr T40 t\n",
    "me\nme zz\nme a b c\n",
    "mg a v v\nmg a T\nmg a Tx\n",
    "set neg 0 -1 1\na\nget neg\nset past 0 1000000000 1\na\nget past\n",
];

fn memcached_answers_alike(server: &Server) {
    let memcached = Memcached::start();
    let long = "k".repeat(251);
    let large = "x".repeat(1024 * 1024 + 1);
    let keys: String = (0..500).map(|n| format!(" key{n}")).collect();
    let composed = [
        format!("get {long}\nset {long} 0 0 1\na\ndelete {long}\nms {long} 1\na\nmg {long}\n"),
        format!("set a 0 0 1\na\nset a 0 0 1048577\n{large}\nget a\n"),
        format!("ms a 1048577\n{large}\nmg a v\n"),
        format!("get{keys}\n"),
        format!("mg a O{}\n", "x".repeat(40)),
    ];
    let mut different = String::new();
    for conversation in CONVERSATIONS
        .iter()
        .copied()
        .chain(composed.iter().map(String::as_str))
    {
        let [theirs, ours] = [memcached.port, server.port].map(|port| converse(port, conversation));
        if theirs != ours {
            let shown: String = conversation.chars().take(120).collect();
            writeln!(
                different,
                "{shown:?}\n  memcached: {theirs:?}\n  this:      {ours:?}"
            )
            .expect("writing to a string");
        }
    }
    assert!(different.is_empty(), "{different}");
}

/// Returns what a server answers to lines, and to a last question whose answer nothing else has.
fn converse(port: u16, lines: &str) -> String {
    let lines = lines.replace('\n', "\r\n");
    let sent = format!("{lines}set the-end 0 0 4\r\nover\r\nget the-end\r\n");
    let answer = Client::open(port).ask(&sent, "VALUE the-end 0 4\r\nover\r\nEND\r\n");
    answer.chars().take(2_000).collect()
}

fn memcapable_is_satisfied(server: &Server) {
    // Debian calls it by another name than its authors.
    let memcapable = external::program("memccapable", "libmemcached-tools");
    let port = server.port.to_string();
    let mut command = Command::new(memcapable);
    command.args(["-h", "127.0.0.1", "-p", &port, "-a", "-t", "60"]);
    let output = external::run(&mut command);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("All tests passed"), "{report}");
}

fn the_tools_of_libmemcached_store_and_fetch(server: &Server) {
    let servers = format!("--servers=127.0.0.1:{}", server.port);
    let tool = |name: &str| {
        let mut command = Command::new(external::program(name, "libmemcached-tools"));
        command.arg(&servers).current_dir(server.host.home().path());
        command
    };
    let contents = "0123456789abcdef".repeat(4_000);
    let file = server.host.home().path().join("copied");
    std::fs::write(&file, &contents).expect("a file of ours");
    external::run(tool("memccp").arg("copied"));
    let fetched = external::run(tool("memccat").arg("copied"));
    assert_eq!(
        String::from_utf8_lossy(&fetched.stdout).trim_end(),
        contents
    );
    external::run(tool("memcexist").arg("copied"));
    external::run(tool("memctouch").args(["--expire=100", "copied"]));
    external::run(tool("memcrm").arg("copied"));
    assert!(
        !tool("memcexist")
            .arg("copied")
            .status()
            .expect("it runs")
            .success()
    );
    external::run(&mut tool("memcping"));
    let stats = external::run(&mut tool("memcstat"));
    assert!(String::from_utf8_lossy(&stats.stdout).contains("curr_items"));
    for test in ["set", "get", "mget"] {
        let load = [
            "--concurrency=4",
            "--execute-number=100",
            "--initial-load=100",
        ];
        external::run(tool("memcslap").args(load).arg(format!("--test={test}")));
    }
    external::run(&mut tool("memcflush"));
}

const PYMEMCACHE: &str = r#"
import sys, time
from pymemcache.client.base import Client
from pymemcache.client.retrying import RetryingClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError
from pymemcache import serde
c = Client(("127.0.0.1", int(sys.argv[1])), timeout=60, connect_timeout=60, serde=serde.pickle_serde)
c.flush_all()
assert c.set("a", "text", noreply=False) and c.get("a") == "text"
assert c.set("b", {"x": [1, 2.5, None]}) and c.get("b") == {"x": [1, 2.5, None]}
assert c.get("nothing") is None and c.get("nothing", 7) == 7
assert c.add("a", "other", noreply=False) is False and c.add("d", 1, noreply=False)
assert c.replace("e", 1, noreply=False) is False
many = {"key-%d" % n: "value %d" % n * (n % 50) for n in range(1000)}
assert c.set_many(many, noreply=False) == [] and c.get_many(list(many)) == many
value, cas = c.gets("a")
assert c.cas("a", "new", cas, noreply=False) is True and c.cas("a", "late", cas, noreply=False) is False
assert c.cas("nothing", "x", cas, noreply=False) is None
raw = Client(("127.0.0.1", int(sys.argv[1])), timeout=60)
raw.set("s", b"b"); raw.append("s", b"c", noreply=False); raw.prepend("s", b"a", noreply=False)
assert raw.get("s") == b"abc"
raw.set("n", b"5"); assert raw.incr("n", 3) == 8 and raw.decr("n", 20) == 0 and raw.incr("nothing", 1) is None
assert c.touch("a", 100, noreply=False) and not c.touch("nothing", noreply=False)
assert c.delete("a", noreply=False) and not c.delete("a", noreply=False)
large = bytes(range(256)) * 4000
assert raw.set("large", large, noreply=False) and raw.get("large") == large
try:
    raw.set("large", large * 2, noreply=False); raise SystemExit("too large a value was taken")
except MemcacheServerError: pass
assert raw.get("s") == b"abc", "the connection is still in step"
assert c.set("short", 1, expire=1, noreply=False); time.sleep(2.1); assert c.get("short") is None
assert b"version" in c.stats() and c.stats("settings") and c.version()
assert c.flush_all(noreply=False) and c.get("b") is None
c.quit()
print("satisfied")
"#;

fn pymemcache_is_satisfied(server: &Server) {
    let folder = cli::target_dir().join("harness/python");
    let python = external::python_with("pymemcache", &folder);
    let port = server.port.to_string();
    let output = external::run(Command::new(python).args(["-c", PYMEMCACHE, &port]));
    assert_eq!(output.stdout, b"satisfied\n");
}

fn a_pipelined_batch_is_answered_in_order(server: &Server) {
    let (mut sent, mut expected) = (String::new(), String::new());
    for n in 0..500 {
        let value = "v".repeat(n % 100);
        write!(
            sent,
            "set p{n} 0 0 {}\r\n{value}\r\nget p{n}\r\n",
            value.len()
        )
        .expect("a string");
        write!(
            expected,
            "STORED\r\nVALUE p{n} 0 {}\r\n{value}\r\nEND\r\n",
            value.len()
        )
        .expect("a string");
    }
    expected.push_str("MN\r\n");
    let mut client = server.open();
    let mut writer = Client(client.0.try_clone().expect("a second handle"));
    let sender = thread::spawn(move || writer.send(sent + "mn\r\n"));
    assert!(client.receive("MN\r\n") == expected.as_bytes());
    sender.join().expect("all sent");
}

fn items_expire_in_real_time(server: &Server) {
    let mut client = server.open();
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let soon = unix.expect("after 1970").as_secs() + 60;
    let sets = format!(
        "set e1 0 2 1\r\nx\r\nset e2 0 {soon} 1\r\nx\r\nset e3 0 0 1\r\nx\r\nget e1 e2 e3\r\n"
    );
    assert_eq!(client.ask(&sets, "END\r\n").matches("VALUE").count(), 3);
    thread::sleep(Duration::from_secs(3));
    let left = client.ask("get e1 e2 e3\r\n", "END\r\n");
    assert_eq!(left.matches("VALUE").count(), 2, "{left}");
    let time_left = client.ask("mg e2 t\r\n", "\r\n");
    let seconds: u64 = time_left
        .trim()
        .trim_start_matches("HD t")
        .parse()
        .expect("a number");
    assert!((30..=60).contains(&seconds), "{seconds} s");
    client.ask("flush_all 2\r\n", "OK\r\n");
    assert!(client.ask("get e3\r\n", "END\r\n").starts_with("VALUE"));
    thread::sleep(Duration::from_secs(3));
    assert_eq!(client.ask("get e2 e3\r\n", "END\r\n"), "END\r\n");
}

/// Stores `items` values of `len` bytes. Returns the answers that are not `STORED`.
fn fill(server: &Server, items: usize, len: usize) -> Vec<String> {
    let mut client = server.open();
    let value = "v".repeat(len);
    let mut refused = Vec::new();
    for first in (0..items).step_by(16) {
        let batch: String = (first..first + 16)
            .map(|n| format!("set f{n}-{len} 0 0 {len}\r\n{value}\r\n"))
            .collect();
        let answer = client.ask(&(batch + "mn\r\n"), "MN\r\n");
        refused.extend(
            answer
                .lines()
                .filter(|line| !matches!(*line, "STORED" | "MN"))
                .map(str::to_owned),
        );
    }
    refused
}

fn a_full_cache_evicts_and_stays_within_its_memory(server: &Server) {
    let limit = server.stat("limit_maxbytes");
    let evicted = server.stat("evictions");
    // Small, large and small again: memory once used for one size serves the others.
    for len in [20, 3_000, 200_000, 100] {
        let items = 2 * usize::try_from(limit).expect("few bytes") / (len + 64);
        assert_eq!(fill(server, items, len), [""; 0], "items of {len} bytes");
        assert!(server.resident() <= MEMORY);
        assert!(server.stat("bytes") <= limit);
    }
    assert!(server.stat("evictions") > evicted);
    // What was stored last is there, what was stored first is not.
    let mut client = server.open();
    client.ask("set last 0 0 1\r\nx\r\n", "\r\n");
    assert!(
        client
            .ask("get last f0-20\r\n", "END\r\n")
            .starts_with("VALUE last")
    );
    assert!(!client.ask("get f0-20\r\n", "END\r\n").contains("VALUE"));
    note(&format!(
        "full: {} of {} pages",
        server.resident() / 4096,
        MEMORY / 4096
    ));
}

fn hostile_clients_at_full_memory_do_no_harm(server: &Server) {
    let value = "v".repeat(500_000);
    let set = format!("set deaf 0 0 {}\r\n{value}\r\n", value.len());
    server.open().ask(&set, "STORED\r\n");
    // Some ask for much and read nothing; some announce much and send little of it.
    let deaf: Vec<_> = (0..20)
        .map(|_| {
            let mut client = server.open();
            client.send("get deaf\r\nget deaf\r\n");
            client
        })
        .collect();
    let slow: Vec<_> = (0..20)
        .map(|n| {
            let mut client = server.open();
            client.send(format!("set slow{n} 0 0 1000000\r\nonly a little"));
            client
        })
        .collect();
    for line in fill(server, 200, 10_000) {
        assert_eq!(line, "SERVER_ERROR out of memory storing object");
    }
    assert!(
        server
            .open()
            .ask("version\r\n", "\r\n")
            .starts_with("VERSION")
    );
    drop((deaf, slow));
    wait::until("the memory of clients that left", || {
        fill(server, 200, 10_000).is_empty().then_some(())
    });
    assert!(server.resident() <= MEMORY);
}

fn one_connection_too_many_is_told_so(server: &Server) {
    let most = server.stat("max_connections");
    wait::until("earlier connections to end", || {
        (server.stat("curr_connections") == 1).then_some(())
    });
    let mut clients: Vec<_> = (0..most).map(|_| Client::served(server.port)).collect();
    let refused = server.open().receive("\r\n");
    assert_eq!(
        String::from_utf8_lossy(&refused),
        "ERROR Too many open connections\r\n"
    );
    assert!(server.resident() <= MEMORY);
    note(&format!(
        "{most} connections on a full cache: {} pages",
        server.resident() / 4096
    ));
    clients.truncate(1);
    wait::until("a connection to be free again", || {
        let mut client = server.open();
        client.0.write_all(b"mn\r\n").ok()?;
        (client.receive("\r\n") == b"MN\r\n").then_some(())
    });
}

fn connections_leave_no_memory_behind(server: &Server) {
    let rounds = |connections: usize| {
        for _ in 0..connections {
            assert_eq!(server.open().ask("get nothing\r\n", "\r\n"), "END\r\n");
        }
    };
    rounds(50);
    let before = server.resident();
    rounds(500);
    let returned = wait::within(wait::PATIENCE, || {
        (server.resident() <= before + SLACK).then_some(())
    });
    assert!(
        returned.is_some(),
        "{before} bytes before, {} after",
        server.resident()
    );
}

fn throughput_is_reported(server: &Server) {
    server.open().ask("flush_all\r\n", "OK\r\n");
    for connections in [1, 16, 64] {
        for (name, request, answer_len) in [
            (
                "sets",
                format!("set load 0 0 100\r\n{}\r\n", "v".repeat(100)),
                8,
            ),
            ("gets", "get load\r\n".to_owned(), 16 + 2 + 100 + 2 + 5),
        ] {
            let rate = load(server.port, connections, &request, answer_len);
            note(&format!(
                "{connections:>2} connections: {rate:>6.0} {name}/s"
            ));
            assert!(rate > 10.0, "{rate} {name}/s");
        }
    }
}

/// Returns how many requests per second are answered, each connection waiting for its answer.
fn load(port: u16, connections: usize, request: &str, answer_len: usize) -> f64 {
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut clients: Vec<_> = (0..connections).map(|_| Client::served(port)).collect();
    // The first request of each also proves that the answer is as long as expected.
    let started = Instant::now();
    thread::scope(|scope| {
        for client in &mut clients {
            let (done, stop) = (&done, &stop);
            scope.spawn(move || {
                let mut answer = vec![0; answer_len];
                while !stop.load(Ordering::Relaxed) {
                    client.send(request);
                    client.0.read_exact(&mut answer).expect("an answer");
                    assert!(
                        answer.ends_with(b"\r\n"),
                        "{}",
                        String::from_utf8_lossy(&answer)
                    );
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(LOAD_TIME);
        stop.store(true, Ordering::Relaxed);
    });
    let requests = u32::try_from(done.load(Ordering::Relaxed)).expect("fewer than 2^32");
    f64::from(requests) / started.elapsed().as_secs_f64()
}
