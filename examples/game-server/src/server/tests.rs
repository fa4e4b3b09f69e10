//! Server and clients together, over a network that loses, repeats and reorders.

use super::*;
use crate::client::{Client, News, State};
use crate::protocol::{DATAGRAM_MAX, Input};
use crate::random::Random;
use core::net::Ipv4Addr;

fn settings(players_max: usize) -> Settings {
    Settings {
        name: "test".into(),
        players_max,
        seed: 1,
        secret: [9; 32],
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), port))
}

/// Clients whose port is their place.
struct Bench {
    server: Server,
    clients: Vec<Client>,
    random: Random,
    /// How many of a hundred datagrams are lost, and as many repeated or late.
    loss: u32,
    /// Datagrams that are late.
    late: Outgoing,
    nonsense: u32,
    snapshots: u32,
}

impl Bench {
    fn new(clients: usize, loss: u32) -> Self {
        let clients = (0..clients).map(|n| Client::new("p", u32::try_from(n).unwrap()));
        Self {
            server: Server::new(settings(32)),
            clients: clients.collect(),
            random: Random::new(4),
            loss,
            late: Vec::new(),
            nonsense: 0,
            snapshots: 0,
        }
    }

    /// Lets a tick pass, in which every client for which `speaks` holds sends something.
    fn tick(&mut self, speaks: impl Fn(usize) -> bool) {
        let mut out = core::mem::take(&mut self.late);
        for place in 0..self.clients.len() {
            let input = Input {
                buttons: self.random.byte(),
                aim: self.random.byte(),
            };
            let copies = self.copies();
            if let Some(datagram) = self.clients[place].next_datagram(input)
                && speaks(place)
            {
                let from = address(u16::try_from(place).unwrap());
                (0..copies).for_each(|_| self.server.receive(from, &datagram, &mut out));
            }
        }
        self.server.tick(0, &mut out);
        for (to, datagram) in out {
            assert!(datagram.len() <= DATAGRAM_MAX);
            if self.loss > 0 && self.random.below(100) < self.loss {
                self.late.push((to, datagram));
                continue;
            }
            for _ in 0..self.copies() {
                match self.clients[usize::from(to.port())].receive(&datagram) {
                    News::Nonsense => self.nonsense += 1,
                    News::Snapshot { .. } => self.snapshots += 1,
                    News::Progress | News::Late => {}
                }
            }
        }
    }

    fn copies(&mut self) -> u32 {
        match self.random.below(100) {
            n if n < self.loss => 0,
            n if n < 2 * self.loss => 2,
            _ => 1,
        }
    }

    fn playing(&self) -> usize {
        let playing = |client: &&Client| matches!(client.state(), State::Playing { .. });
        self.clients.iter().filter(playing).count()
    }
}

#[test]
fn thirty_two_play_and_the_next_is_told_that_all_places_are_taken() {
    let mut bench = Bench::new(33, 0);
    (0..20).for_each(|_| bench.tick(|_| true));
    assert_eq!((bench.playing(), bench.server.players()), (32, 32));
    let out = bench
        .clients
        .iter()
        .filter(|client| client.state() == State::Out(Refusal::Full));
    assert_eq!(out.count(), 1);
    assert_eq!(bench.nonsense, 0);
    // After the first snapshots everything is a difference.
    let before = bench.server.counters();
    (0..100).for_each(|_| bench.tick(|_| true));
    let after = bench.server.counters();
    assert_eq!(after.full_snapshots, before.full_snapshots);
    assert_eq!(after.snapshots - before.snapshots, 3200);
}

#[test]
fn what_clients_see_is_what_is_there_even_over_a_bad_network() {
    let mut bench = Bench::new(16, 15);
    for _ in 0..400 {
        bench.tick(|_| true);
        for client in &bench.clients {
            if let State::Playing { player, .. } = client.state()
                && client.latest().tick == bench.server.world.tick()
            {
                assert_eq!(*client.latest(), seen_by(&bench.server.world, player));
            }
        }
    }
    assert_eq!((bench.playing(), bench.nonsense), (16, 0));
    assert!(bench.snapshots > 16 * 250, "{}", bench.snapshots);
}

#[test]
fn the_silent_go_and_their_places_are_free_again() {
    let mut bench = Bench::new(32, 0);
    (0..10).for_each(|_| bench.tick(|_| true));
    (0..SILENCE_MAX - 2).for_each(|_| bench.tick(|place| place > 3));
    assert_eq!(bench.server.players(), 32);
    (0..3).for_each(|_| bench.tick(|place| place > 3));
    assert_eq!(
        (bench.server.players(), bench.server.counters().timed_out),
        (28, 4)
    );
    assert_eq!(bench.clients[0].state(), State::Out(Refusal::TimedOut));
    bench.clients[0] = Client::new("again", 99);
    (0..5).for_each(|_| bench.tick(|_| true));
    assert_eq!(bench.playing(), 29);
}

#[test]
fn nobody_plays_for_somebody_else() {
    let mut bench = Bench::new(1, 0);
    (0..10).for_each(|_| bench.tick(|_| true));
    let State::Playing { token, .. } = bench.clients[0].state() else {
        panic!("it plays");
    };
    let mut out = Vec::new();
    // A leave and an input with the right token, from another address.
    bench
        .server
        .receive(address(77), &FromClient::Leave { token }.encode(), &mut out);
    let input = bench.clients[0].next_datagram(Input::default()).unwrap();
    bench.server.receive(address(77), &input, &mut out);
    // A join whose sender never saw the challenge.
    let blind = FromClient::Join {
        nonce: 1,
        cookie: 12_345,
        name: "blind".into(),
    };
    bench.server.receive(address(78), &blind.encode(), &mut out);
    bench.server.tick(0, &mut out);
    assert_eq!(
        (bench.server.players(), bench.server.counters().rejected),
        (1, 2)
    );
    assert!(matches!(
        FromServer::decode(&out[0].1),
        Some(FromServer::Challenge { .. })
    ));
}

#[test]
fn a_flood_is_answered_by_a_trickle() {
    let mut server = Server::new(settings(32));
    let mut out = Vec::new();
    for port in 0..10_000 {
        server.receive(address(port), b"\xff\xff\xff\xffgetstatus\n", &mut out);
    }
    assert_eq!(out.len(), STRANGERS_PER_TICK as usize);
    server.tick(0, &mut out);
    server.receive(address(1), b"\xff\xff\xff\xffgetstatus\n", &mut out);
    let (_, answer) = &out[out.len() - 1];
    let text = String::from_utf8_lossy(answer);
    assert!(
        text.contains("\\sv_hostname\\test") && text.contains("\\flooded\\9936"),
        "{text}"
    );
}

#[test]
fn datagrams_from_anywhere_leave_players_alone() {
    let mut bench = Bench::new(8, 0);
    (0..10).for_each(|_| bench.tick(|_| true));
    let mut random = Random::new(8);
    for _ in 0..300 {
        let mut out = Vec::new();
        for _ in 0..50 {
            let from = address(u16::from(random.byte()) % 64);
            let input =
                bench.clients[usize::from(random.byte() % 8)].next_datagram(Input::default());
            let mut datagram = input.unwrap_or_default();
            for _ in 0..1 + random.below(3) {
                let at = random.below(u32::try_from(datagram.len()).unwrap()) as usize;
                datagram[at] = random.byte();
            }
            datagram.truncate(random.below(60) as usize);
            bench.server.receive(from, &datagram, &mut out);
        }
        bench.tick(|_| true);
        assert!(bench.server.players() <= 32);
    }
    assert_eq!(bench.nonsense, 0);
}
