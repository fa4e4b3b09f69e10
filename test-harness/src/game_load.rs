//! Players of the example `game-server`, and how evenly it serves them.

use game_server::client::{Client, News, State};
use game_server::pace::Delays;
use game_server::protocol::{DATAGRAM_MAX, Input};
use game_server::random::Random;
use game_server::world::TICKS_PER_SECOND;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// Time between two ticks, and between two inputs.
const TICK: Duration = Duration::from_millis(1000 / TICKS_PER_SECOND as u64);

/// Inputs whose answer may still come.
const ANSWERS_AWAITED: usize = 64;

/// What players met with.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Players that got in.
    pub joined: u32,
    /// Snapshots that arrived.
    pub snapshots: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Ticks between two snapshots of which none arrived.
    pub lost: u32,
    /// Datagrams that made no sense.
    pub nonsense: u32,
    /// By how much the time between two snapshots differed from that between their ticks.
    pub jitter: Delays,
    /// From an input to the first snapshot that takes it into account; half a tick of it is the wait
    /// for the tick.
    pub latency: Delays,
}

impl Report {
    /// Adds what others met with.
    pub fn merge(&mut self, other: &Self) {
        self.joined += other.joined;
        self.snapshots += other.snapshots;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.nonsense += other.nonsense;
        self.jitter.merge(&other.jitter);
        self.latency.merge(&other.latency);
    }

    /// Returns it as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let bytes = self.bytes.checked_div(self.snapshots.into()).unwrap_or(0);
        format!(
            "{{\"joined\":{},\"snapshots\":{},\"bytes_per_snapshot\":{bytes},\"lost\":{},\
             \"nonsense\":{},\"jitter\":{},\"latency\":{}}}",
            self.joined,
            self.snapshots,
            self.lost,
            self.nonsense,
            self.jitter.to_json(),
            self.latency.to_json()
        )
    }
}

/// Lets `players` play on each server for a while, and returns what they met with.
///
/// # Errors
///
/// If this machine has no sockets or threads for them.
///
/// # Panics
///
/// If a player does.
pub fn run(servers: &[SocketAddr], players: u32, time: Duration) -> io::Result<Report> {
    let mut report = Report::default();
    thread::scope(|scope| {
        let mut running = Vec::new();
        for server in servers {
            for number in 0..players {
                let player = Player::new(*server, number)?;
                running.push(scope.spawn(move || player.play(time)));
            }
        }
        for player in running {
            report.merge(&player.join().expect("a player plays to the end")?);
        }
        Ok(report)
    })
}

struct Player {
    socket: UdpSocket,
    client: Client,
    random: Random,
    report: Report,
    /// When inputs were sent, by their number modulo the length.
    sent: Vec<Instant>,
    last: Option<(u32, Instant)>,
    answered: u32,
}

impl Player {
    fn new(server: SocketAddr, number: u32) -> io::Result<Self> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(server)?;
        Ok(Self {
            socket,
            client: Client::new(&format!("load{number}"), number + 1),
            random: Random::new(number.into()),
            report: Report::default(),
            sent: vec![Instant::now(); ANSWERS_AWAITED],
            last: None,
            answered: 0,
        })
    }

    fn play(mut self, time: Duration) -> io::Result<Report> {
        let end = Instant::now() + time;
        let mut next = Instant::now();
        let mut input = Input::default();
        while Instant::now() < end {
            if self.random.below(4) == 0 {
                input = Input {
                    buttons: self.random.byte(),
                    aim: self.random.byte(),
                };
            }
            if let Some(datagram) = self.client.next_datagram(input) {
                let place = self.client.sequence() as usize % ANSWERS_AWAITED;
                self.sent[place] = Instant::now();
                // One that cannot be sent is lost, as datagrams may be.
                self.socket.send(&datagram).unwrap_or_default();
            }
            next += TICK;
            while self.receive_until(next)? {}
        }
        if let State::Playing { .. } = self.client.state() {
            self.report.joined = 1;
        }
        if let Some(goodbye) = self.client.goodbye() {
            self.socket.send(&goodbye).unwrap_or_default();
        }
        Ok(self.report)
    }

    /// Waits for a datagram; returns false if it is time for something else.
    fn receive_until(&mut self, time: Instant) -> io::Result<bool> {
        let wait = time.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(false);
        }
        self.socket.set_read_timeout(Some(wait))?;
        let mut buffer = [0; DATAGRAM_MAX + 1];
        // Timed out, or nobody listens there yet.
        let Ok(len) = self.socket.recv(&mut buffer) else {
            return Ok(Instant::now() < time);
        };
        let now = Instant::now();
        match self.client.receive(&buffer[..len]) {
            News::Snapshot { tick, input } => self.note(now, tick, input, len),
            News::Nonsense => self.report.nonsense += 1,
            News::Progress | News::Late => {}
        }
        Ok(true)
    }

    fn note(&mut self, now: Instant, tick: u32, input: u32, len: usize) {
        self.report.snapshots += 1;
        self.report.bytes += len as u64;
        if let Some((last_tick, arrived)) = self.last {
            self.report.lost += tick - last_tick - 1;
            let expected = TICK * (tick - last_tick);
            self.report
                .jitter
                .note(micros((now - arrived).abs_diff(expected)));
        }
        self.last = Some((tick, now));
        let is_awaited = self.client.sequence().wrapping_sub(input) < 64;
        if input > self.answered && is_awaited {
            self.answered = input;
            let sent = self.sent[input as usize % ANSWERS_AWAITED];
            self.report.latency.note(micros(now - sent));
        }
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
