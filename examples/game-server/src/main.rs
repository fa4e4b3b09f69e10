//! The game server as a service: a socket, a clock, and ten ticks a second.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::vec::Vec;
use denali_rt::io::{Error, ErrorKind, Result};
use denali_rt::net::UdpSocket;
use denali_rt::time::{Duration, Instant};
use denali_rt::{env, random};
use game_server::protocol::DATAGRAM_MAX;
use game_server::server::{Outgoing, Server, Settings};
use game_server::world::{PLAYERS_MAX, TICKS_PER_SECOND};

denali_rt::entry!(main);

/// The port of Quake III Arena, which browsers try first.
const PORT: u16 = 27960;

/// Time between two ticks.
const TICK: Duration = Duration::from_millis(1000 / TICKS_PER_SECOND as u64);

/// Shortest wait for a datagram: a timeout of zero is none.
const WAIT_MIN: Duration = Duration::from_micros(1);

fn main() -> Result<()> {
    let settings = settings(env::args())?;
    let socket = UdpSocket::bind(PORT)?;
    log::info!(
        "{} places, a tick every {} ms, listening on port {PORT}",
        settings.players_max,
        TICK.as_millis()
    );
    let mut server = Server::new(settings);
    let mut out = Vec::new();
    let mut due = Instant::now() + TICK;
    loop {
        if server.players() == 0 {
            // Nobody looks, so nothing happens until somebody comes.
            receive(&socket, &mut server, None, &mut out)?;
            due = Instant::now() + TICK;
        }
        while receive(&socket, &mut server, Some(due), &mut out)? {}
        let late = Instant::now() - due;
        server.tick(
            u32::try_from(late.as_micros()).unwrap_or(u32::MAX),
            &mut out,
        );
        send(&socket, &mut out);
        due += TICK;
        if Instant::now() - due > TICK {
            // Whoever is far behind goes on from here instead of hurrying after.
            due = Instant::now();
        }
    }
}

/// Waits for a datagram until `due`, or for ever, and answers it. Returns false if none came.
fn receive(
    socket: &UdpSocket,
    server: &mut Server,
    due: Option<Instant>,
    out: &mut Outgoing,
) -> Result<bool> {
    let mut buffer = [0; DATAGRAM_MAX];
    let wait = due.map(|due| (due - Instant::now()).max(WAIT_MIN));
    socket.set_read_timeout(wait)?;
    match socket.recv_from(&mut buffer) {
        Ok((len, from)) => {
            server.receive(from, &buffer[..len], out);
            send(socket, out);
            // A flood must not keep the next tick from coming.
            Ok(due.is_none_or(|due| Instant::now() < due))
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
        Err(error) => Err(error),
    }
}

fn send(socket: &UdpSocket, out: &mut Outgoing) {
    for (to, datagram) in out.drain(..) {
        if let Err(error) = socket.send_to(&datagram, to) {
            log::debug!("{to}: {error}");
        }
    }
}

/// Reads `--name NAME` and `--players NUMBER`.
fn settings(mut arguments: impl Iterator<Item = &'static str>) -> Result<Settings> {
    let mut secret = [0; 32];
    random::fill(&mut secret);
    let mut settings = Settings {
        name: "Denali".into(),
        players_max: PLAYERS_MAX,
        seed: random::u64(),
        secret,
    };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let number = value
            .parse()
            .ok()
            .filter(|number| (1..=PLAYERS_MAX).contains(number));
        match (argument, number) {
            ("--name", _) if is_name(value) => settings.name = value.into(),
            ("--players", Some(number)) => settings.players_max = number,
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "the arguments are `--name NAME`, up to 32 printable bytes without a backslash, \
                     and `--players NUMBER`, 1 to 32",
                ));
            }
        }
    }
    Ok(settings)
}

fn is_name(name: &str) -> bool {
    let is_printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'\\';
    (1..=32).contains(&name.len()) && name.bytes().all(is_printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_a_name_and_a_number_of_places() {
        let read = |arguments: &[&'static str]| settings(arguments.iter().copied());
        let given = read(&["--name", "My Arena", "--players", "8"]).expect("right arguments");
        assert_eq!((given.name.as_str(), given.players_max), ("My Arena", 8));
        for wrong in [
            &["--players", "33"][..],
            &["--players", "0"],
            &["--name", "a\\b"],
            &["-x"],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
