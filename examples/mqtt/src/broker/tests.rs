//! The broker as clients see it, and as nobody should be able to break it.

use super::session::WINDOW;
use super::*;
use crate::codec::samples::{self, Random, connect, publish, subscribe, unsubscribe};
use crate::codec::{decode, frame};
use crate::topic;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;

const MEMORY: usize = 4 << 20;

/// Flags of CONNECT.
const PERSISTENT: u8 = 0;
const CLEAN: u8 = 2;
/// Of level 0, not retained.
const WITH_WILL: u8 = 4;

/// A broker and a clock.
struct Bench {
    broker: Broker,
    now: u64,
}

impl Bench {
    fn new(arguments: &[&'static str]) -> Self {
        let limits = Limits::new(MEMORY, arguments.iter().copied(), |_| None);
        Self {
            broker: Broker::new(limits.expect("right arguments")),
            now: 0,
        }
    }

    fn send(&mut self, link: &Rc<Link>, packet: &[u8]) -> Result<(), End> {
        let head = frame(packet)?.expect("a whole packet");
        let packet = decode(head.first, &packet[head.head_len..])?;
        self.broker.receive(link, packet, self.now)
    }

    /// Connects a client, which is greeted.
    fn connect(&mut self, client: &str, flags: u8) -> Rc<Link> {
        let link = Link::new();
        self.send(&link, &connect(client, flags, 0))
            .expect("connected");
        link
    }

    /// Connects a client that subscribes.
    fn subscriber(&mut self, client: &str, flags: u8, filters: &[(&str, u8)]) -> Rc<Link> {
        let link = self.connect(client, flags);
        self.send(&link, &subscribe(1, filters))
            .expect("subscribed");
        self.received(&link);
        link
    }

    fn publish(&mut self, from: &Rc<Link>, topic: &str, payload: &str, flags: u8, id: u16) {
        let packet = publish(topic, payload.as_bytes(), flags, id);
        self.send(from, &packet).expect("published");
    }

    /// Sends all that waits for a client, as the socket would, and returns it in words.
    fn received(&mut self, link: &Rc<Link>) -> Vec<String> {
        let mut bytes = Vec::new();
        loop {
            while let Some(chunk) = link.take() {
                bytes.extend_from_slice(chunk.bytes());
                link.sent(chunk.bytes().len());
            }
            self.broker.pump(link);
            if link.outbox_len() == 0 {
                return in_words(&bytes);
            }
        }
    }

    /// Checks that what is written down twice is the same.
    fn audit(&self) {
        let broker = &self.broker;
        let mut subscriptions = 0;
        let mut reserved = 0;
        for (index, session) in broker.sessions.iter().enumerate() {
            let Some(session) = session else { continue };
            assert_eq!(
                broker.by_client.get(&session.client_id),
                Some(&SessionId(index))
            );
            if let Some(link) = &session.link {
                assert_eq!(link.session.get(), Some(SessionId(index)));
            }
            let (in_flight, queued) = session.pending();
            assert!(in_flight <= WINDOW && queued <= broker.limits.queue_max);
            assert!(session.subscriptions.len() <= broker.limits.subscriptions_max);
            subscriptions += session.subscriptions.len();
            let filters = session.subscriptions.keys();
            reserved += filters.filter(|filter| topic::is_reserved(filter)).count();
        }
        assert_eq!(
            broker.by_client.len(),
            broker.sessions.iter().flatten().count()
        );
        assert!(broker.by_client.len() <= broker.limits.sessions_max);
        assert_eq!(broker.tree.len(), subscriptions);
        assert_eq!(broker.system_subscriptions, reserved);
        assert!(broker.ledger.used() <= broker.ledger.limit());
    }
}

/// Says what a client reads.
fn in_words(mut bytes: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(head) = frame(bytes).expect("a packet") {
        let body = &bytes[head.head_len..head.len];
        words.push(match head.first >> 4 {
            2 => format!("CONNACK {} {}", body[0], body[1]),
            3 => match decode(head.first, body) {
                Ok(Packet::Publish(publish)) => publish_in_words(head.first, &publish),
                other => panic!("{other:?}"),
            },
            9 => format!("SUBACK {:?}", &body[2..]),
            13 => "PINGRESP".to_string(),
            kind => {
                let names = [(4, "PUBACK"), (5, "PUBREC"), (6, "PUBREL"), (7, "PUBCOMP")];
                let name = names.iter().find(|(number, _)| *number == kind);
                let name = name.map_or("UNSUBACK", |(_, name)| name);
                format!("{name} {}", u16::from_be_bytes([body[0], body[1]]))
            }
        });
        bytes = &bytes[head.len..];
    }
    assert!(bytes.is_empty());
    words
}

fn publish_in_words(first: u8, publish: &crate::codec::Publish<'_>) -> String {
    let payload = match publish.payload.len() {
        0..40 => String::from_utf8_lossy(publish.payload).into_owned(),
        len => format!("{len} bytes"),
    };
    let id = if publish.id > 0 {
        format!(" #{}", publish.id)
    } else {
        String::new()
    };
    let duplicate = if first & 8 != 0 { " again" } else { "" };
    let retained = if publish.retain { " retained" } else { "" };
    format!("{} {payload}{id}{duplicate}{retained}", publish.topic)
}

#[test]
fn a_message_reaches_those_who_subscribed_each_once() {
    let mut bench = Bench::new(&[]);
    let one = bench.subscriber("one", CLEAN, &[("a/+", 0), ("a/b", 1), ("#", 2)]);
    let other = bench.subscriber("other", CLEAN, &[("a/c", 0)]);
    bench.publish(&other, "a/b", "hello", 4, 7);
    assert_eq!(bench.received(&one), ["a/b hello #1"]);
    assert_eq!(bench.received(&other), ["PUBREC 7"]);
    bench.publish(&one, "a/c", "x", 0, 0);
    assert_eq!(bench.received(&other), ["a/c x"]);
    bench
        .send(&other, &unsubscribe(2, &["a/c", "nothing"]))
        .expect("unsubscribed");
    bench.publish(&one, "a/c", "y", 0, 0);
    assert_eq!(bench.received(&other), ["UNSUBACK 2"]);
    bench.audit();
}

#[test]
fn level_two_delivers_a_repeated_message_once() {
    let mut bench = Bench::new(&[]);
    let to = bench.subscriber("to", CLEAN, &[("t", 2)]);
    let from = bench.connect("from", CLEAN);
    bench.received(&from);
    bench.publish(&from, "t", "once", 4, 9);
    bench.publish(&from, "t", "once", 12, 9);
    bench.send(&from, &[0x62, 2, 0, 9]).expect("released");
    assert_eq!(bench.received(&from), ["PUBREC 9", "PUBREC 9", "PUBCOMP 9"]);
    assert_eq!(bench.received(&to), ["t once #1"]);
    bench.send(&to, &[0x50, 2, 0, 1]).expect("received");
    assert_eq!(bench.received(&to), ["PUBREL 1"]);
    bench.send(&to, &[0x70, 2, 0, 1]).expect("complete");
    // Once released, the identifier stands for another message.
    bench.publish(&from, "t", "twice", 4, 9);
    assert_eq!(bench.received(&to), ["t twice #2"]);
}

#[test]
fn a_persistent_session_gets_what_it_missed_and_what_it_did_not_acknowledge() {
    let mut bench = Bench::new(&[]);
    let from = bench.connect("from", CLEAN);
    let first = bench.subscriber("to", PERSISTENT, &[("t", 1)]);
    bench.publish(&from, "t", "seen", 2, 1);
    bench.publish(&from, "t", "not acknowledged", 2, 2);
    assert_eq!(
        bench.received(&first),
        ["t seen #1", "t not acknowledged #2"]
    );
    bench.send(&first, &[0x40, 2, 0, 1]).expect("acknowledged");
    bench.broker.lost(&first, 10);
    bench.publish(&from, "t", "missed", 2, 3);
    bench.publish(&from, "t", "of level 0", 0, 0);
    let second = bench.connect("to", PERSISTENT);
    assert_eq!(
        bench.received(&second),
        ["CONNACK 1 0", "t not acknowledged #2 again", "t missed #3"]
    );
    bench.audit();
    // A clean one forgets it all.
    bench.broker.lost(&second, 20);
    let third = bench.connect("to", CLEAN);
    bench.publish(&from, "t", "nobody subscribes", 0, 0);
    assert_eq!(bench.received(&third), ["CONNACK 0 0"]);
    bench.audit();
}

#[test]
fn a_second_connection_takes_the_session_over() {
    let mut bench = Bench::new(&[]);
    let watcher = bench.subscriber("watcher", CLEAN, &[("gone/#", 0)]);
    let first = bench.subscriber("to", PERSISTENT | WITH_WILL, &[("t", 1)]);
    let second = bench.connect("to", PERSISTENT);
    assert!(first.is_closing() && !second.is_closing());
    assert_eq!(bench.received(&second), ["CONNACK 1 0"]);
    assert_eq!(bench.received(&watcher), ["gone/to bye"]);
    // The end of the first connection is news to nobody.
    bench.broker.lost(&first, 5);
    bench.publish(&watcher, "t", "to the second", 0, 0);
    assert_eq!(bench.received(&second), ["t to the second"]);
    bench.audit();
}

#[test]
fn a_will_is_published_unless_the_client_says_goodbye() {
    let mut bench = Bench::new(&[]);
    let watcher = bench.subscriber("watcher", CLEAN, &[("gone/#", 1)]);
    let polite = bench.connect("polite", CLEAN | WITH_WILL);
    assert_eq!(bench.send(&polite, &[0xe0, 0]), Err(End::Goodbye));
    bench.broker.lost(&polite, 1);
    assert!(bench.received(&watcher).is_empty());
    let lost = bench.connect("lost", samples::CLEAN_WITH_WILL_AND_USER);
    bench.broker.lost(&lost, 2);
    assert_eq!(bench.received(&watcher), ["gone/lost bye #1"]);
    // It was to be retained.
    let late = bench.connect("late", CLEAN);
    bench
        .send(&late, &subscribe(1, &[("gone/#", 0)]))
        .expect("subscribed");
    assert_eq!(
        bench.received(&late),
        ["CONNACK 0 0", "SUBACK [0]", "gone/lost bye retained"]
    );
}

#[test]
fn retained_messages_await_subscribers_until_an_empty_one_comes() {
    let mut bench = Bench::new(&[]);
    let from = bench.connect("from", CLEAN);
    bench.publish(&from, "r/1", "old", 1, 0);
    bench.publish(&from, "r/1", "new", 1, 0);
    bench.publish(&from, "r/2", "two", 3, 1);
    let to = bench.connect("to", CLEAN);
    bench
        .send(&to, &subscribe(1, &[("r/+", 1)]))
        .expect("subscribed");
    assert_eq!(
        bench.received(&to),
        [
            "CONNACK 0 0",
            "SUBACK [1]",
            "r/1 new retained",
            "r/2 two #1 retained"
        ]
    );
    bench.publish(&from, "r/1", "", 1, 0);
    assert_eq!(bench.received(&to), ["r/1 "]);
    let late = bench.connect("late", CLEAN);
    bench
        .send(&late, &subscribe(1, &[("r/1", 0)]))
        .expect("subscribed");
    assert_eq!(bench.received(&late), ["CONNACK 0 0", "SUBACK [0]"]);
}

#[test]
fn a_slow_client_costs_no_more_than_its_queue() {
    let mut bench = Bench::new(&["--queue", "30"]);
    let to = bench.subscriber("to", PERSISTENT, &[("t", 1)]);
    let from = bench.connect("from", CLEAN);
    for n in 0..100 {
        bench.publish(&from, "t", &n.to_string(), 2, 1 + n);
        bench.audit();
    }
    assert_eq!(bench.broker.counters.messages_dropped, 50);
    let mut got = 0;
    for id in 1..=50_u16 {
        got += bench.received(&to).len();
        bench
            .send(&to, &[0x40, 2, 0, id.to_be_bytes()[1]])
            .expect("acknowledged");
    }
    assert_eq!(got + bench.received(&to).len(), 50);
    bench.audit();
}

#[test]
fn without_memory_level_0_is_dropped_and_others_are_not_acknowledged() {
    let mut bench = Bench::new(&[]);
    let from = bench.connect("from", CLEAN);
    let to = bench.subscriber("to", PERSISTENT, &[("#", 1)]);
    bench.broker.lost(&to, 0);
    bench.received(&from);
    let large = vec![b'x'; bench.broker.packet_max() - 20];
    let end = (1..1000).find_map(|id| bench.send(&from, &publish("t", &large, 2, id)).err());
    assert_eq!(end, Some(End::OutOfMemory));
    bench.audit();
    assert_eq!(bench.send(&from, &publish("t", &large, 0, 0)), Ok(()));
    assert_eq!(bench.broker.counters.messages_dropped, 1);
    // Forgotten sessions give it back.
    bench.now = bench.broker.limits.session_expiry;
    bench.connect("another", CLEAN);
    assert_eq!(bench.send(&from, &publish("t", &large, 2, 1)), Ok(()));
}

#[test]
fn clients_are_refused_with_the_reason_the_standard_gives() {
    let mut bench = Bench::new(&[]);
    let mut five = connect("five", CLEAN, 0);
    five[8] = 5;
    for (packet, answer) in [
        (connect("", PERSISTENT, 0), "CONNACK 0 2"),
        (connect(&"x".repeat(300), CLEAN, 0), "CONNACK 0 2"),
        (five, "CONNACK 0 1"),
    ] {
        let link = Link::new();
        assert!(matches!(bench.send(&link, &packet), Err(End::Refused(_))));
        assert_eq!(bench.received(&link), [answer]);
    }
    let variable = |_: &str| Some("secret");
    let limits = Limits::new(MEMORY, [], variable).expect("right arguments");
    bench.broker = Broker::new(limits);
    let link = Link::new();
    assert!(bench.send(&link, &connect("me", CLEAN, 0)).is_err());
    assert_eq!(bench.received(&link), ["CONNACK 0 4"]);
}

#[test]
fn the_first_packet_is_connect_and_no_other_is() {
    let mut bench = Bench::new(&[]);
    assert!(matches!(
        bench.send(&Link::new(), &[0xc0, 0]),
        Err(End::Protocol(_))
    ));
    let link = bench.connect("me", CLEAN);
    assert!(matches!(
        bench.send(&link, &connect("me", CLEAN, 0)),
        Err(End::Protocol(_))
    ));
}

#[test]
fn statistics_are_told_to_those_who_ask_and_published_by_nobody_else() {
    let mut bench = Bench::new(&[]);
    let from = bench.connect("from", CLEAN);
    bench.publish(&from, "$SYS/broker/uptime", "forged", 1, 0);
    assert!(!bench.broker.has_audience());
    bench.now = 77;
    let to = bench.connect("to", CLEAN);
    bench
        .send(&to, &subscribe(1, &[("$SYS/broker/uptime", 0)]))
        .expect("subscribed");
    assert_eq!(bench.received(&to)[2..], ["$SYS/broker/uptime 77 retained"]);
    assert!(bench.broker.has_audience());
    bench.broker.publish_statistics(80);
    assert_eq!(bench.received(&to), ["$SYS/broker/uptime 80"]);
    bench.broker.lost(&to, 81);
    assert!(!bench.broker.has_audience());
}

#[test]
fn clients_that_send_anything_leave_the_broker_in_order() {
    let seeds = 1..=40;
    for seed in seeds {
        let mut random = Random::new(seed);
        let mut bench = Bench::new(&["--connections", "8", "--queue", "5", "--subscriptions", "4"]);
        let mut links: Vec<Rc<Link>> = (0..8).map(|_| Link::new()).collect();
        for _ in 0..2_000 {
            let place = random.below(links.len());
            let link = Rc::clone(&links[place]);
            bench.now += random.below(2) as u64;
            let ended = match random.below(20) {
                0 => true,
                1..4 => {
                    bench.received(&link);
                    false
                }
                _ => bench.send(&link, &random_packet(&mut random)).is_err(),
            };
            if ended || link.is_closing() {
                bench.broker.lost(&link, bench.now);
                links[place] = Link::new();
            }
            bench.audit();
        }
        for link in links {
            bench.broker.lost(&link, bench.now);
        }
        bench.audit();
        let Bench { broker, .. } = bench;
        let ledger = Rc::clone(broker.ledger());
        drop(broker);
        assert_eq!(ledger.used(), 0, "seed {seed}");
    }
}

/// Returns a packet that is right or nearly so.
fn random_packet(random: &mut Random) -> Vec<u8> {
    const TOPICS: [&str; 6] = ["a", "a/b", "a/b/c", "$SYS/x", "", "b"];
    const FILTERS: [&str; 7] = ["a", "a/+", "#", "+/b", "$SYS/#", "a/#", "a#"];
    let client = ["x", "y", "z", "", "w"][random.below(5)];
    let topic = TOPICS[random.below(TOPICS.len())];
    let id = u16::from(random.byte() % 4);
    match random.below(8) {
        0 | 1 => connect(client, random.byte() & 0x3e, 0),
        2 => {
            let filters: Vec<_> = (0..random.below(3))
                .map(|_| (FILTERS[random.below(FILTERS.len())], random.byte() % 4))
                .collect();
            subscribe(id, &filters)
        }
        3 => unsubscribe(id, &[FILTERS[random.below(FILTERS.len())]]),
        4 => Vec::from([
            [0x40, 0x50, 0x62, 0x70][random.below(4)],
            2,
            0,
            random.byte() % 24,
        ]),
        5 => Vec::from([[0xc0, 0xe0][random.below(2)], 0]),
        _ => {
            let len = [0, 5, 600, 20_000][random.below(4)];
            publish(topic, &vec![b'p'; len], random.byte() & 0x0f, id)
        }
    }
}
