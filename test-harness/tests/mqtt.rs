//! The example `mqtt` as a service: against clients of other projects, and hostile ones.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use test_harness::guest::Guest;
use test_harness::host::{Host, free_port};
use test_harness::{cli, external, facts, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Broker::deploy,
        &facts![
            mosquitto_clients_exchange_messages_at_every_level,
            mosquitto_reads_retained_messages_and_statistics,
            paho_is_satisfied,
            a_silent_client_is_lost_and_its_will_published,
            who_does_not_introduce_itself_is_hung_up_on,
            hostile_packets_end_their_connection_alone,
            a_client_that_reads_nothing_holds_up_nobody,
            a_thousand_idle_connections_cost_little,
            only_the_right_password_opens_a_closed_broker,
        ],
    )
}

/// Idle connections that are held open at once.
const CROWD: usize = 1000;

/// What one of them may cost at most, in bytes.
const CROWD_COST_MAX: u64 = 16 * 1024;

struct Broker {
    host: Host,
    port: u16,
}

impl Broker {
    fn deploy() -> Self {
        let host = Host::up(&[]);
        let port = free_port();
        let arguments = ["--packet", "256k", "--queue", "200"];
        let guest = Guest::example("mqtt").memory("40M").arguments(&arguments);
        host.deploy(&guest.publish(&[format!("{port}:1883")]).project());
        let broker = Self { host, port };
        note(&format!(
            "idle: {} pages of 4 KiB",
            broker.resident() / 4096
        ));
        broker
    }

    fn resident(&self) -> u64 {
        self.host.service("mqtt").resident
    }

    fn mosquitto(&self, name: &str, arguments: &[&str]) -> Command {
        mosquitto(self.port, name, arguments)
    }

    fn publish(&self, arguments: &[&str]) {
        external::run(&mut self.mosquitto("mosquitto_pub", arguments));
    }

    /// Returns what a subscription brings, until the client has what it was told to wait for.
    fn subscribe(&self, arguments: &[&str]) -> String {
        let output = external::run(&mut self.mosquitto("mosquitto_sub", arguments));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Connects, and reads the greeting.
    fn connect(&self, client: &str, flags: u8, keep_alive: u8) -> Raw {
        let mut raw = Raw::open(self.port);
        raw.send(&connect_packet(client, flags, keep_alive));
        assert_eq!(raw.receive(4)[..2], [0x20, 2]);
        raw
    }
}

/// Prepares a mosquitto client.
fn mosquitto(port: u16, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(external::program(name, "mosquitto-clients"));
    let port = port.to_string();
    command
        .args(["-h", "127.0.0.1", "-p", &port])
        .args(arguments);
    command
}

/// Says something that is measured rather than tested.
#[expect(clippy::print_stdout, reason = "a test binary talks to its user")]
fn note(text: &str) {
    println!("     {text}");
}

/// CONNECT; with flag 4, the will `bye` on `gone/CLIENT`.
fn connect_packet(client: &str, flags: u8, keep_alive: u8) -> Vec<u8> {
    let text = |text: &str| {
        let len = u16::try_from(text.len()).expect("a short text");
        [&len.to_be_bytes()[..], text.as_bytes()].concat()
    };
    let mut body = Vec::from(*b"\0\x04MQTT\x04");
    body.extend([flags, 0, keep_alive]);
    body.extend(text(client));
    if flags & 4 != 0 {
        body.extend(text(&format!("gone/{client}")));
        body.extend(text("bye"));
    }
    let len = u8::try_from(body.len()).expect("a short packet");
    [&[0x10, len], &body[..]].concat()
}

/// A client without a library.
struct Raw(TcpStream);

impl Raw {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
        stream
            .set_read_timeout(Some(wait::PATIENCE))
            .expect("a socket option");
        stream
            .set_write_timeout(Some(wait::PATIENCE))
            .expect("a socket option");
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("sent");
    }

    fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).expect("an answer");
        bytes
    }

    /// Waits until the broker hangs up, and returns what it said before.
    fn until_the_end(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!("{error}: the broker does not hang up"),
        }
    }

    /// Checks that the broker answers.
    fn ping(&mut self) {
        self.send(&[0xc0, 0]);
        assert_eq!(self.receive(2), [0xd0, 0]);
    }
}

/// `mosquitto_sub` in the background, subscribed.
struct Subscriber {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Subscriber {
    fn start(command: &Command) -> Self {
        // Into a pipe, what it says about itself would come in blocks.
        let mut process = Command::new("stdbuf")
            .arg("-oL")
            .arg(command.get_program())
            .args(command.get_args())
            .arg("-d")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub starts");
        let lines = BufReader::new(process.stdout.take().expect("its output"));
        let mut subscriber = Self { process, lines };
        while !subscriber.line().starts_with("Subscribed") {}
        subscriber
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let len = self.lines.read_line(&mut line).expect("text");
        assert!(len > 0, "mosquitto_sub ended");
        line.trim_end().to_owned()
    }

    /// Returns the next messages, without what the client says about itself.
    fn messages(&mut self, count: usize) -> Vec<String> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let line = self.line();
            if !line.starts_with("Client ") {
                messages.push(line);
            }
        }
        messages
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn mosquitto_clients_exchange_messages_at_every_level(broker: &Broker) {
    for qos in ["0", "1", "2"] {
        let filter = format!("level/{qos}/+");
        let arguments = ["-q", qos, "-t", &filter, "-t", "level/#", "-v"];
        let mut subscriber = Subscriber::start(&broker.mosquitto("mosquitto_sub", &arguments));
        let topic = format!("level/{qos}/x");
        broker.publish(&["-q", qos, "-t", &topic, "-m", "one"]);
        broker.publish(&["-q", qos, "-t", &topic, "-m", "two"]);
        let expected = [format!("{topic} one"), format!("{topic} two")];
        assert_eq!(subscriber.messages(2), expected);
    }
    // Many at once, from one connection.
    let arguments = [
        "-q",
        "1",
        "-t",
        "many",
        "-C",
        "500",
        "-i",
        "many-reader",
        "-c",
    ];
    let subscriber = Subscriber::start(&broker.mosquitto("mosquitto_sub", &arguments));
    let lines: String = (0..500).map(|n| format!("{n}\n")).collect();
    let mut command = broker.mosquitto("mosquitto_pub", &["-q", "1", "-t", "many", "-l"]);
    let mut publisher = command
        .stdin(Stdio::piped())
        .spawn()
        .expect("mosquitto_pub starts");
    let mut input = publisher.stdin.take().expect("its input");
    input.write_all(lines.as_bytes()).expect("written");
    drop(input);
    assert!(publisher.wait().expect("it ends").success());
    let mut subscriber = subscriber;
    let numbers: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!(subscriber.messages(500), numbers);
}

fn mosquitto_reads_retained_messages_and_statistics(broker: &Broker) {
    broker.publish(&["-r", "-t", "kept/a", "-m", "old"]);
    broker.publish(&["-r", "-q", "1", "-t", "kept/a", "-m", "new"]);
    broker.publish(&["-r", "-t", "kept/b", "-m", "other"]);
    let kept = broker.subscribe(&["-t", "kept/#", "-v", "-C", "2", "--retained-only"]);
    assert_eq!(kept, "kept/a new\nkept/b other\n");
    broker.publish(&["-r", "-n", "-t", "kept/a"]);
    let kept = broker.subscribe(&["-t", "kept/#", "-v", "-C", "1"]);
    assert_eq!(kept, "kept/b other\n");
    let version = broker.subscribe(&["-t", "$SYS/broker/version", "-C", "1"]);
    assert!(version.starts_with("denali mqtt "), "{version}");
    let count = broker.subscribe(&["-t", "$SYS/broker/retained messages/count", "-C", "1"]);
    assert_eq!(count, "1\n");
}

const PAHO: &str = r#"
import sys, threading, time
import paho.mqtt.client as mqtt
port = int(sys.argv[1])
WAIT = 60

class Client:
    def __init__(self, name, clean=True, will=None, keepalive=60):
        self.got, self.event, self.flags = [], threading.Condition(), None
        self.c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean,
                             protocol=mqtt.MQTTv311)
        self.c.on_message, self.c.on_connect = self.message, self.connected
        self.c.on_subscribe = self.c.on_unsubscribe = self.granted
        self.c.on_disconnect = self.disconnected
        self.answers, self.gone = 0, False
        if will: self.c.will_set(*will)
        self.c.connect("127.0.0.1", port, keepalive)
        self.c.loop_start()
        self.until(lambda: self.flags is not None)
    def note(self, change):
        with self.event:
            change(); self.event.notify_all()
    def message(self, c, u, m): self.note(lambda: self.got.append((m.topic, bytes(m.payload), m.qos, m.retain)))
    def connected(self, c, u, flags, reason, properties): self.note(lambda: setattr(self, "flags", flags))
    def granted(self, *a): self.note(lambda: setattr(self, "answers", self.answers + 1))
    def disconnected(self, *a): self.note(lambda: setattr(self, "gone", True))
    def until(self, what):
        with self.event: assert self.event.wait_for(what, WAIT), (what, self.got[-3:])
    def subscribe(self, *filters):
        wanted = self.answers + 1
        self.c.subscribe(list(filters)); self.until(lambda: self.answers >= wanted)
    def unsubscribe(self, filter):
        wanted = self.answers + 1
        self.c.unsubscribe(filter); self.until(lambda: self.answers >= wanted)
    def publish(self, topic, payload, qos=0, retain=False):
        info = self.c.publish(topic, payload, qos, retain)
        if qos: info.wait_for_publish(WAIT)
    def take(self, count):
        self.until(lambda: len(self.got) >= count)
        with self.event: got, self.got = self.got, []
        return got
    def end(self):
        self.c.disconnect(); self.c.loop_stop()
    def vanish(self):
        # Without DISCONNECT, as when the power fails.
        self.c.loop_stop(); self.c.socket().close()

# Every level to every level; the lower one counts.
to, source = Client("to"), Client("from")
to.subscribe(("q/0", 0), ("q/1", 1), ("q/2", 2))
for wanted in range(3):
    for sent in range(3):
        source.publish("q/%d" % wanted, "%d" % sent, sent)
        assert to.take(1) == [("q/%d" % wanted, b"%d" % sent, min(wanted, sent), False)]

# Many of level 2, each exactly once and in order, large ones among them.
large = bytes(range(256)) * 700
to.subscribe(("order", 2))
infos = [source.c.publish("order", large if n % 20 == 7 else b"%d" % n, 2) for n in range(100)]
for info in infos: info.wait_for_publish(WAIT)
got = to.take(100)
assert [m[1] for m in got] == [large if n % 20 == 7 else b"%d" % n for n in range(100)]
time.sleep(0.2); assert not to.got, to.got

to.unsubscribe("q/0"); source.publish("q/0", "unheard", 1); source.publish("q/1", "heard", 1)
assert [m[1] for m in to.take(1)] == [b"heard"]

# A session that outlives its connection.
away = Client("away", clean=False)
assert not away.flags.session_present
away.subscribe(("away/#", 2)); away.end()
for n in range(50): source.publish("away/%d" % n, "x", 1 + n % 2)
source.publish("away/0", "lost", 0)
away = Client("away", clean=False)
assert away.flags.session_present
# Paho shows one of level 2 when it is released, so the order is that of each level.
got = away.take(50)
for qos in (1, 2):
    assert [m[0] for m in got if m[2] == qos] == ["away/%d" % n for n in range(50) if 1 + n % 2 == qos]
away.end()
forgotten = Client("away", clean=True); assert not forgotten.flags.session_present; forgotten.end()
forgotten = Client("away", clean=False); assert not forgotten.flags.session_present; forgotten.end()

# A will, and none after a goodbye.
to.subscribe(("will/#", 1))
mortal = Client("mortal", will=("will/mortal", "gone", 1, True)); mortal.vanish()
assert to.take(1) == [("will/mortal", b"gone", 1, False)]
polite = Client("polite", will=("will/polite", "gone", 1)); polite.end()
source.publish("will/end", "", 1); assert [m[0] for m in to.take(1)] == ["will/end"]
late = Client("late"); late.subscribe(("will/mortal", 0))
assert late.take(1) == [("will/mortal", b"gone", 0, True)]
source.publish("will/mortal", "", 1, True)

# A second connection of the same name ends the first.
first = Client("twin"); first.c.reconnect_delay_set(100, 100)
second = Client("twin"); first.until(lambda: first.gone)
second.subscribe(("twin", 0)); source.publish("twin", "x", 1)
assert len(second.take(1)) == 1
for c in (first, second, late, to, source): c.end()
print("satisfied")
"#;

fn paho_is_satisfied(broker: &Broker) {
    let folder = cli::target_dir().join("harness/python-mqtt");
    let python = external::python_with_module("paho-mqtt", "paho.mqtt.client", &folder);
    let port = broker.port.to_string();
    let output = external::run(Command::new(python).args(["-c", PAHO, &port]));
    assert_eq!(output.stdout, b"satisfied\n");
}

fn a_silent_client_is_lost_and_its_will_published(broker: &Broker) {
    let arguments = ["-t", "gone/silent", "-C", "1"];
    let mut watcher = Subscriber::start(&broker.mosquitto("mosquitto_sub", &arguments));
    let silent = broker.connect("silent", 2 | 4, 1);
    assert_eq!(watcher.messages(1), ["bye"]);
    assert_eq!(silent.until_the_end(), b"");
}

fn who_does_not_introduce_itself_is_hung_up_on(broker: &Broker) {
    let started = Instant::now();
    let (mute, slow) = (Raw::open(broker.port), Raw::open(broker.port));
    let mut slow = slow;
    slow.send(b"\x10\x20\0\x04MQ");
    assert_eq!(mute.until_the_end(), b"");
    assert_eq!(slow.until_the_end(), b"");
    assert!(
        started.elapsed() >= Duration::from_secs(9),
        "{:?}",
        started.elapsed()
    );
}

fn hostile_packets_end_their_connection_alone(broker: &Broker) {
    let mut witness = broker.connect("witness", 2, 0);
    // What breaks the rules before and after the greeting.
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x10\xff\xff\xff\xff",
        b"\x10\xff\xff\xff\x7f\0\x04MQTT",
        b"\xc0\0",
        b"\x10\x0c\0\x04MQTT\x04\x03\0\0\0\0",
    ] {
        let mut raw = Raw::open(broker.port);
        raw.send(bytes);
        assert_eq!(raw.until_the_end(), b"", "{bytes:?}");
    }
    for bytes in [
        &b"\x30\x05\0\x03a/#"[..],
        b"\x36\x07\0\x01a\0\x01xx",
        b"\x82\x02\0\x01",
        b"\x80\x06\0\x01\0\x01a\0",
        b"\x30\x80\x80\x80\x7f",
        b"\xf0\0",
    ] {
        let mut raw = broker.connect("hostile", 2, 0);
        raw.send(bytes);
        assert_eq!(raw.until_the_end(), b"", "{bytes:?}");
    }
    // Anything at all, from a seed.
    let mut state = 0x005e_ed0f_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    for n in 0..200 {
        let mut raw = broker.connect(&format!("noise{}", n % 7), random() & 6, 0);
        let noise: Vec<u8> = (0..64).map(|_| random()).collect();
        // The broker may have hung up at the first of them.
        drop(raw.0.write_all(&noise));
        witness.ping();
    }
}

fn a_client_that_reads_nothing_holds_up_nobody(broker: &Broker) {
    let mut deaf = broker.connect("deaf", 2, 0);
    deaf.send(b"\x82\x09\0\x01\0\x04loud\0");
    assert_eq!(deaf.receive(5)[4], 0);
    let mut reader = broker.connect("reader", 2, 0);
    reader.send(b"\x82\x09\0\x01\0\x04loud\0");
    assert_eq!(reader.receive(5)[4], 0);
    let before = broker.resident();
    let mut publisher = broker.connect("publisher", 2, 0);
    // PUBLISH of 100,003 bytes with the topic `loud`.
    let mut packet = Vec::from(*b"\x30\xa3\x8d\x06\0\x04loud");
    packet.resize(packet.len() + 99_997, b'x');
    for _ in 0..100 {
        publisher.send(&packet);
        assert!(reader.receive(packet.len()) == packet);
    }
    publisher.ping();
    let after = broker.resident();
    assert!(
        after < before + (8 << 20),
        "{before} bytes before, {after} after"
    );
    drop(deaf);
}

fn a_thousand_idle_connections_cost_little(broker: &Broker) {
    let before = wait::until("earlier connections to end", || {
        let resident = broker.resident();
        (resident < 4 << 20).then_some(resident)
    });
    let mut crowd: Vec<Raw> = (0..CROWD)
        .map(|n| broker.connect(&format!("idle-{n}"), 2, 0))
        .collect();
    let each = (broker.resident() - before) / CROWD as u64;
    note(&format!("{CROWD} idle connections: {each} bytes each"));
    assert!(each < CROWD_COST_MAX, "{each} bytes for an idle connection");
    for raw in crowd.iter_mut().step_by(97) {
        raw.ping();
    }
    drop(crowd);
    wait::until("the memory of connections that ended", || {
        (broker.resident() < before + (2 << 20)).then_some(())
    });
}

fn only_the_right_password_opens_a_closed_broker(broker: &Broker) {
    let port = free_port();
    let variables = [("MQTT_USERNAME", "me"), ("MQTT_PASSWORD", "secret")];
    let guest = Guest::example("mqtt")
        .named("mqtt-closed")
        .memory("4M")
        .environment(&variables);
    broker
        .host
        .deploy(&guest.publish(&[format!("{port}:1883")]).project());
    let publish = |password: &str| {
        let arguments = ["-t", "t", "-m", "m", "-u", "me", "-P", password];
        mosquitto(port, "mosquitto_pub", &arguments)
            .output()
            .expect("it runs")
    };
    assert!(publish("secret").status.success());
    let refused = publish("wrong");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("Connection Refused"),
        "{said}"
    );
    broker.host.remove("mqtt-closed");
}
