//! What clients send.

use super::reader::Reader;
use super::{Acknowledgement, Malformed, Qos};
use crate::topic;

/// A packet of a client, as it lies in the bytes it came in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Packet<'a> {
    /// CONNECT: the first of a connection.
    Connect(Connect<'a>),
    /// PUBLISH: a message.
    Publish(Publish<'a>),
    /// An answer to a message, or to such an answer.
    Acknowledgement(Acknowledgement, u16),
    /// SUBSCRIBE.
    Subscribe(Subscribe<'a>),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe<'a>),
    /// PINGREQ: the client is there.
    Ping,
    /// DISCONNECT: the client leaves, and wants no will published.
    Disconnect,
}

/// CONNECT (§3.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connect<'a> {
    /// The protocol's version; 4 is 3.1.1. Of any other, nothing else is known.
    pub(crate) level: u8,
    /// Whether the session begins and ends with the connection.
    pub(crate) clean: bool,
    /// Longest silence of the client in seconds; 0 is for ever.
    pub(crate) keep_alive: u16,
    /// The client's name.
    pub(crate) client_id: &'a str,
    /// What to publish if the client is lost.
    pub(crate) will: Option<Will<'a>>,
    /// Who it is.
    pub(crate) username: Option<&'a str>,
    /// What proves it.
    pub(crate) password: Option<&'a [u8]>,
}

/// A message to be published if a client is lost (§3.1.2.5).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Will<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

/// PUBLISH (§3.3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// Its identifier; 0 at level 0, which has none.
    pub(crate) id: u16,
}

/// SUBSCRIBE (§3.8); its list is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscribe<'a> {
    pub(crate) id: u16,
    list: Reader<'a>,
}

/// UNSUBSCRIBE (§3.10); its list is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsubscribe<'a> {
    pub(crate) id: u16,
    list: Reader<'a>,
}

impl<'a> Subscribe<'a> {
    /// Returns the filters, and the level wanted for each.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (&'a str, Qos)> + use<'a> {
        let mut list = self.list;
        core::iter::from_fn(move || subscription(&mut list).ok())
    }
}

impl<'a> Unsubscribe<'a> {
    /// Returns the filters.
    pub(crate) fn filters(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut list = self.list;
        core::iter::from_fn(move || filter(&mut list).ok())
    }
}

/// Decodes the packet with this first byte, and this behind its length.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn decode(first: u8, body: &[u8]) -> Result<Packet<'_>, Malformed> {
    let mut reader = Reader::new(body);
    let flags = first & 0x0f;
    let (packet, flags_wanted) = match first >> 4 {
        1 => (Packet::Connect(connect(reader)?), 0),
        3 => return publish(flags, reader).map(Packet::Publish),
        kind @ 4..=7 => {
            let (kind, flags_wanted) = match kind {
                4 => (Acknowledgement::Ack, 0),
                5 => (Acknowledgement::Received, 0),
                6 => (Acknowledgement::Release, 2),
                _ => (Acknowledgement::Complete, 0),
            };
            let id = reader.identifier()?;
            reader.end()?;
            (Packet::Acknowledgement(kind, id), flags_wanted)
        }
        8 => (Packet::Subscribe(subscribe(reader)?), 2),
        10 => (Packet::Unsubscribe(unsubscribe(reader)?), 2),
        12 => {
            reader.end()?;
            (Packet::Ping, 0)
        }
        14 => {
            reader.end()?;
            (Packet::Disconnect, 0)
        }
        _ => return Err(Malformed::Type),
    };
    match flags == flags_wanted {
        true => Ok(packet),
        false => Err(Malformed::Flags),
    }
}

fn connect(mut reader: Reader<'_>) -> Result<Connect<'_>, Malformed> {
    const CLEAN: u8 = 1 << 1;
    const WILL: u8 = 1 << 2;
    const WILL_RETAIN: u8 = 1 << 5;
    const PASSWORD: u8 = 1 << 6;
    const USERNAME: u8 = 1 << 7;
    let name = reader.data()?;
    let level = reader.byte()?;
    match (name, level) {
        (b"MQTT", 4) => {}
        // Versions 3.1 and 5, and those to come: known enough to be told that they are not spoken.
        (b"MQTT" | b"MQIsdp", _) => return Ok(other_version(level)),
        _ => return Err(Malformed::Protocol),
    }
    let flags = reader.byte()?;
    let will_qos = Qos::from_number(flags >> 3 & 3).ok_or(Malformed::Flags)?;
    let has_will = flags & WILL != 0;
    let will_bits_alone = !has_will && (will_qos != Qos::AtMostOnce || flags & WILL_RETAIN != 0);
    let password_alone = flags & PASSWORD != 0 && flags & USERNAME == 0;
    if flags & 1 != 0 || will_bits_alone || password_alone {
        return Err(Malformed::Flags);
    }
    let keep_alive = reader.number()?;
    let client_id = reader.text()?;
    let will = match has_will {
        true => Some(Will {
            topic: topic_name(&mut reader)?,
            payload: reader.data()?,
            qos: will_qos,
            retain: flags & WILL_RETAIN != 0,
        }),
        false => None,
    };
    let username = (flags & USERNAME != 0).then(|| reader.text()).transpose()?;
    let password = (flags & PASSWORD != 0).then(|| reader.data()).transpose()?;
    reader.end()?;
    Ok(Connect {
        level,
        clean: flags & CLEAN != 0,
        keep_alive,
        client_id,
        will,
        username,
        password,
    })
}

fn other_version(level: u8) -> Connect<'static> {
    Connect {
        level,
        clean: true,
        keep_alive: 0,
        client_id: "",
        will: None,
        username: None,
        password: None,
    }
}

fn publish(flags: u8, mut reader: Reader<'_>) -> Result<Publish<'_>, Malformed> {
    let qos = Qos::from_number(flags >> 1 & 3).ok_or(Malformed::Flags)?;
    let is_duplicate = flags & 8 != 0;
    if is_duplicate && qos == Qos::AtMostOnce {
        return Err(Malformed::Flags);
    }
    let topic = topic_name(&mut reader)?;
    let id = match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce | Qos::ExactlyOnce => reader.identifier()?,
    };
    Ok(Publish {
        topic,
        payload: reader.rest(),
        qos,
        retain: flags & 1 != 0,
        id,
    })
}

fn subscribe(mut reader: Reader<'_>) -> Result<Subscribe<'_>, Malformed> {
    let id = reader.identifier()?;
    let list = reader;
    if list.is_empty() {
        return Err(Malformed::Empty);
    }
    while !reader.is_empty() {
        subscription(&mut reader)?;
    }
    Ok(Subscribe { id, list })
}

fn unsubscribe(mut reader: Reader<'_>) -> Result<Unsubscribe<'_>, Malformed> {
    let id = reader.identifier()?;
    let list = reader;
    if list.is_empty() {
        return Err(Malformed::Empty);
    }
    while !reader.is_empty() {
        filter(&mut reader)?;
    }
    Ok(Unsubscribe { id, list })
}

fn subscription<'a>(list: &mut Reader<'a>) -> Result<(&'a str, Qos), Malformed> {
    let filter = filter(list)?;
    let qos = Qos::from_number(list.byte()?).ok_or(Malformed::Flags)?;
    Ok((filter, qos))
}

fn filter<'a>(list: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let filter = list.text()?;
    match topic::is_filter(filter) {
        true => Ok(filter),
        false => Err(Malformed::Topic),
    }
}

fn topic_name<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let name = reader.text()?;
    match topic::is_name(name) {
        true => Ok(name),
        false => Err(Malformed::Topic),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn decoded(packet: &[u8]) -> Result<Packet<'_>, Malformed> {
        let frame = super::super::frame(packet).unwrap().unwrap();
        decode(frame.first, &packet[frame.head_len..frame.len])
    }

    #[test]
    fn a_connect_says_all_it_was_given() {
        let bytes = samples::connect("me", samples::CLEAN_WITH_WILL_AND_USER, 30);
        let Ok(Packet::Connect(connect)) = decoded(&bytes) else {
            panic!("{:?}", decoded(&bytes));
        };
        assert_eq!(
            (connect.level, connect.clean, connect.keep_alive),
            (4, true, 30)
        );
        assert_eq!((connect.client_id, connect.username), ("me", Some("user")));
        assert_eq!(connect.password, Some(&b"secret"[..]));
        let will = connect.will.unwrap();
        assert_eq!(
            (will.topic, will.payload, will.retain),
            ("gone/me", &b"bye"[..], true)
        );
        assert_eq!(will.qos, Qos::AtLeastOnce);
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        let mut reserved = samples::connect("me", 2, 0);
        let flags = reserved.len() - 7;
        reserved[flags] |= 1;
        assert_eq!(decoded(&reserved).unwrap_err(), Malformed::Flags);
        let subscribe = samples::subscribe(0, &[("a", 1)]);
        assert_eq!(decoded(&subscribe).unwrap_err(), Malformed::Identifier);
        let subscribe = samples::subscribe(1, &[]);
        assert_eq!(decoded(&subscribe).unwrap_err(), Malformed::Empty);
        let subscribe = samples::subscribe(1, &[("a", 3)]);
        assert_eq!(decoded(&subscribe).unwrap_err(), Malformed::Flags);
        let subscribe = samples::subscribe(1, &[("a/#/b", 0)]);
        assert_eq!(decoded(&subscribe).unwrap_err(), Malformed::Topic);
        let publish = samples::publish("a/+", b"", 0, 0);
        assert_eq!(decoded(&publish).unwrap_err(), Malformed::Topic);
        assert_eq!(
            decoded(&[0x62, 2, 0, 0]).unwrap_err(),
            Malformed::Identifier
        );
        assert_eq!(decoded(&[0x60, 2, 0, 1]).unwrap_err(), Malformed::Flags);
        assert_eq!(
            decoded(&[0x36, 5, 0, 1, b'a', 0, 1]).unwrap_err(),
            Malformed::Flags
        );
        assert_eq!(
            decoded(&[0x30, 4, 0, 2, b'a', 0]).unwrap_err(),
            Malformed::Text
        );
        assert_eq!(decoded(&[0xf0, 0]).unwrap_err(), Malformed::Type);
        assert_eq!(decoded(&[0x20, 2, 0, 0]).unwrap_err(), Malformed::Type);
    }

    #[test]
    fn another_version_is_told_apart_from_no_mqtt() {
        let Ok(Packet::Connect(five)) = decoded(b"\x10\x0d\0\x04MQTT\x05\x02\0\x3c\0\0\0") else {
            panic!("a CONNECT of version 5");
        };
        assert_eq!(five.level, 5);
        assert_eq!(
            decoded(b"\x10\x07\0\x04HTTP\x04").unwrap_err(),
            Malformed::Protocol
        );
    }
}
