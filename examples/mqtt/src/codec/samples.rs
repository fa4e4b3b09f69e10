//! Packets as clients write them, and randomness with a seed, for tests.

use alloc::vec::Vec;

/// Flags of CONNECT: clean session, a retained will of level 1, name and password.
pub(crate) const CLEAN_WITH_WILL_AND_USER: u8 = 0b1110_1110;

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from([first]);
    super::encode::remaining_length(&mut bytes, body.len());
    bytes.extend_from_slice(body);
    bytes
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend_from_slice(text);
}

/// Writes CONNECT with these flags; a will is `bye` on `gone/CLIENT`, credentials `user`, `secret`.
pub(crate) fn connect(client: &str, flags: u8, keep_alive: u16) -> Vec<u8> {
    let mut body = Vec::from(*b"\0\x04MQTT\x04");
    body.push(flags);
    body.extend(keep_alive.to_be_bytes());
    text(&mut body, client.as_bytes());
    if flags & 4 != 0 {
        text(&mut body, &[b"gone/", client.as_bytes()].concat());
        text(&mut body, b"bye");
    }
    if flags & 0x80 != 0 {
        text(&mut body, b"user");
    }
    if flags & 0x40 != 0 {
        text(&mut body, b"secret");
    }
    packet(0x10, &body)
}

/// Writes PUBLISH; `flags` are duplicate (8), level (2, 4) and retain (1).
pub(crate) fn publish(topic: &str, payload: &[u8], flags: u8, id: u16) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic.as_bytes());
    if flags & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend_from_slice(payload);
    packet(0x30 | flags, &body)
}

/// Writes SUBSCRIBE.
pub(crate) fn subscribe(id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = Vec::from(id.to_be_bytes());
    for (filter, qos) in filters {
        text(&mut body, filter.as_bytes());
        body.push(*qos);
    }
    packet(0x82, &body)
}

/// Writes UNSUBSCRIBE.
pub(crate) fn unsubscribe(id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = Vec::from(id.to_be_bytes());
    filters
        .iter()
        .for_each(|filter| text(&mut body, filter.as_bytes()));
    packet(0xa2, &body)
}

/// Returns one or more packets of each kind that clients send.
pub(crate) fn samples() -> Vec<Vec<u8>> {
    Vec::from([
        connect("me", 2, 30),
        connect("", 2, 0),
        connect("me", 0, 1),
        connect("you", CLEAN_WITH_WILL_AND_USER, 10),
        publish("a/b", b"payload", 0, 0),
        publish("a/b", b"", 1, 0),
        publish("a", b"payload", 2, 1),
        publish("a/b/c", b"payload", 4, 2),
        publish("a/b/c", b"payload", 12, 2),
        Vec::from([0x40, 2, 0, 1]),
        Vec::from([0x50, 2, 0, 2]),
        Vec::from([0x62, 2, 0, 2]),
        Vec::from([0x70, 2, 0, 2]),
        subscribe(3, &[("a/+", 1), ("#", 2), ("$SYS/#", 0)]),
        unsubscribe(4, &["a/+", "b"]),
        Vec::from([0xc0, 0]),
        Vec::from([0xe0, 0]),
    ])
}

/// Randomness that is the same for the same seed (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    }

    /// Returns a number below `end`, which is at most 65,536.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        number % end.max(1)
    }
}
