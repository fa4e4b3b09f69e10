//! The example `game-server` as a service: players, browsers, and those who want to do harm.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use test_harness::host::{Host, free_port};
use test_harness::{cli, external, facts, game_load, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Arena::deploy,
        &facts![
            a_browser_of_another_project_shows_the_server,
            thirty_two_players_on_each_server_are_served_tick_by_tick,
            a_client_in_another_language_joins_plays_and_leaves,
            whoever_falls_silent_is_gone,
            datagrams_from_anywhere_do_no_harm,
        ],
    )
}

/// Servers side by side.
const SERVERS: usize = 2;

/// Players on each.
const PLAYERS: u32 = 32;

/// How long they play.
const PLAY_TIME: Duration = Duration::from_secs(6);

/// Snapshots that a player gets at the least: a third of what a machine with nothing else to do
/// gives.
const SNAPSHOTS_MIN: u32 = 20;

struct Arena {
    host: Host,
    ports: Vec<u16>,
}

impl Arena {
    fn deploy() -> Self {
        // Without a way out QEMU forwards no datagrams.
        let host = Host::up(&["--internet"]);
        let ports: Vec<u16> = (0..SERVERS).map(|_| free_port()).collect();
        for (number, port) in ports.iter().enumerate() {
            let folder = cli::repository().join("examples/game-server");
            let publish = format!("{port}:27960/udp");
            let name = format!("game-{number}");
            host.denali(["deploy", "--name", &name, "--publish", &publish])
                .within(&folder)
                .succeeds();
        }
        let arena = Self { host, ports };
        note(&format!("idle: {} pages of 4 KiB", arena.resident() / 4096));
        arena
    }

    fn resident(&self) -> u64 {
        self.host.service("game-0").resident
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[0]).into()
    }

    fn open(&self) -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.connect(self.address()).expect("an address");
        socket
            .set_read_timeout(Some(Duration::from_secs(1)))
            .expect("a socket option");
        socket
    }

    /// Returns a number that the server tells of itself.
    fn number(&self, name: &str) -> u64 {
        let status = self.status();
        let mut parts = status.split('\\');
        let found = parts.find(|part| *part == name).and(parts.next());
        let number = found.and_then(|value| value.trim().parse().ok());
        number.unwrap_or_else(|| panic!("no number {name} in {status}"))
    }

    fn players(&self) -> usize {
        self.status().lines().count() - 2
    }

    fn status(&self) -> String {
        let socket = self.open();
        wait::until("the server's status", || {
            socket.send(b"\xff\xff\xff\xffgetstatus\n").expect("sent");
            let mut buffer = [0; 2048];
            let len = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[4..len]).into_owned())
        })
    }
}

/// Says something that is measured rather than tested.
#[expect(clippy::print_stdout, reason = "a test binary talks to its user")]
fn note(text: &str) {
    println!("     {text}");
}

fn a_browser_of_another_project_shows_the_server(arena: &Arena) {
    let browser = external::program("quakestat", "qstat");
    let shown = wait::until("the browser to see the server", || {
        let mut command = Command::new(&browser);
        command.args(["-retry", "5", "-q3s", &arena.address().to_string(), "-R"]);
        let output = external::run(&mut command);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        shown.contains("Denali").then_some(shown)
    });
    assert!(shown.contains("arena") && shown.contains("0/32"), "{shown}");
}

fn thirty_two_players_on_each_server_are_served_tick_by_tick(arena: &Arena) {
    let servers: Vec<SocketAddr> = arena
        .ports
        .iter()
        .map(|port| (Ipv4Addr::LOCALHOST, *port).into())
        .collect();
    let started = Instant::now();
    let report = game_load::run(&servers, PLAYERS, PLAY_TIME).expect("they play");
    let all = PLAYERS * u32::try_from(SERVERS).expect("few servers");
    note(&format!(
        "{all} players, {:.0?}: {}",
        started.elapsed(),
        report.to_json()
    ));
    note(&format!(
        "the server itself: {}",
        arena.status().lines().nth(1).unwrap_or_default()
    ));
    assert_eq!((report.joined, report.nonsense), (all, 0));
    assert!(
        report.snapshots >= all * SNAPSHOTS_MIN,
        "{} snapshots",
        report.snapshots
    );
    // Differences, but for the first snapshots and those after long losses.
    let (snapshots, full) = (arena.number("snapshots"), arena.number("full_snapshots"));
    assert!(
        full * 2 < snapshots,
        "{full} of {snapshots} snapshots are no differences"
    );
    wait::until("the players to have left", || {
        (arena.players() == 0).then_some(())
    });
}

const PLAYER: &str = r#"
import socket, struct, sys, time
MAGIC, JOIN, INPUT, LEAVE, CHALLENGE, ACCEPT, SNAPSHOT, GONE = 0xdea1, 1, 2, 3, 0x81, 0x82, 0x84, 0x85
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5)
s.connect(("127.0.0.1", int(sys.argv[1])))
def receive(*kinds):
    """Returns the next datagram of one of these kinds, or None after half a second of none."""
    try:
        while True:
            data = s.recv(2048)
            assert len(data) <= 1200
            magic, kind = struct.unpack_from(">HB", data)
            assert magic == MAGIC
            if kind in kinds: return kind, data[3:]
    except socket.timeout: return None
def join(cookie):
    s.send(struct.pack(">HBIQB", MAGIC, JOIN, 77, cookie, 6) + b"python".ljust(32, b"\0"))
cookie, token = 0, None
for _ in range(100):
    join(cookie)
    answer = receive(CHALLENGE, ACCEPT)
    if answer and answer[0] == CHALLENGE:
        nonce, cookie = struct.unpack(">IQ", answer[1]); assert nonce == 77
    if answer and answer[0] == ACCEPT:
        nonce, token, player = struct.unpack(">IIB", answer[1]); assert nonce == 77
        break
assert token is not None, "not accepted"
seen, ack, sequence, moved = {}, 0, 0, set()
end = time.time() + 60
history = {0: {}}
while time.time() < end and not (len(moved) > 5 and ack > 0):
    sequence += 1
    s.send(struct.pack(">HBIIIBB", MAGIC, INPUT, token, ack, sequence, 2 if sequence % 40 < 20 else 1, sequence % 256))
    answer = receive(SNAPSHOT)
    if not answer: continue
    tick, used, base, count = struct.unpack_from(">IIIB", answer[1]); at = 13
    seen = {k: dict(v) for k, v in history[base].items()}
    for _ in range(count):
        ident, mask = answer[1][at], answer[1][at + 1]; at += 2
        if mask == 0x80: del seen[ident]; continue
        e = seen.setdefault(ident, {})
        if mask & 1: e["x"], e["y"] = struct.unpack_from(">HH", answer[1], at); at += 4
        if mask & 2: e["angle"] = answer[1][at]; at += 1
        if mask & 4: e["health"] = answer[1][at]; at += 1
        if mask & 8: e["score"], = struct.unpack_from(">H", answer[1], at); at += 2
    assert at == len(answer[1]), "bytes left over"
    history[tick] = seen; ack = tick
    assert set(seen[player]) == {"x", "y", "angle", "health", "score"}
    moved.add(seen[player]["x"])
assert len(moved) > 5, "the player does not move: %r" % moved
for _ in range(100):
    s.send(struct.pack(">HBI", MAGIC, LEAVE, token))
    gone = receive(GONE)
    if gone: break
assert gone and gone[1] == b"\x03", gone
print("satisfied")
"#;

fn a_client_in_another_language_joins_plays_and_leaves(arena: &Arena) {
    let python = external::program("python3", "python3");
    let port = arena.ports[0].to_string();
    let output = external::run(Command::new(python).args(["-c", PLAYER, &port]));
    assert_eq!(output.stdout, b"satisfied\n");
}

fn whoever_falls_silent_is_gone(arena: &Arena) {
    let before = arena.number("timed_out");
    let socket = arena.open();
    let mut client = game_server::client::Client::new("silent", 5);
    wait::until("a place in the game", || {
        let datagram = client.next_datagram(game_server::protocol::Input::default())?;
        socket.send(&datagram).expect("sent");
        let mut buffer = [0; 2048];
        let len = socket.recv(&mut buffer).ok()?;
        client.receive(&buffer[..len]);
        matches!(client.state(), game_server::client::State::Playing { .. }).then_some(())
    });
    assert_eq!(arena.players(), 1);
    wait::until("the silent player to be gone", || {
        (arena.players() == 0 && arena.number("timed_out") == before + 1).then_some(())
    });
}

fn datagrams_from_anywhere_do_no_harm(arena: &Arena) {
    let mut random = game_server::random::Random::new(0x0dd);
    let sockets: Vec<UdpSocket> = (0..8).map(|_| arena.open()).collect();
    let before = arena.resident();
    for round in 0..2_000_u32 {
        let mut datagram: Vec<u8> = (0..random.below(1400)).map(|_| random.byte()).collect();
        if round % 2 == 0 && datagram.len() > 2 {
            // So that more than the first number is looked at.
            let kind = [1, 2, 3, 0x84][random.below(4) as usize];
            datagram[..3].copy_from_slice(&[0xde, 0xa1, kind]);
        }
        sockets[round as usize % 8]
            .send(&datagram)
            .unwrap_or_default();
    }
    let (rejected, flooded) = (arena.number("rejected"), arena.number("flooded"));
    note(&format!(
        "2,000 datagrams of a stranger: {rejected} rejected, {flooded} not looked at"
    ));
    assert!(rejected > 0);
    assert_eq!(arena.players(), 0);
    let after = arena.resident();
    assert!(
        after <= before + (128 << 10),
        "{before} bytes before, {after} after"
    );
}
