//! Remote login: an SSH server with one green thread per connection.
//!
//! Protocol and cryptography are the crate `zssh`; here is what surrounds them: who may log in,
//! how many connections there are, how long anything may take, and what a login can do.

mod executor;
mod login;
mod random;
mod session;
mod shell;
mod wire;

#[cfg(test)]
mod hostile_tests;

pub use login::Identity;

use crate::shared::Shared;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use denali_rt::net::{TcpListener, TcpStream};
use denali_rt::thread;

/// Connections at once, logged in or not. More are closed at once.
pub const CONNECTIONS_MAX: usize = 8;

/// How long to wait before the next try when a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves logins on `port` for ever.
///
/// # Errors
///
/// If the port cannot be bound.
pub fn serve(port: u16, identity: Identity, shared: &Arc<Shared>) -> Result<(), String> {
    let listener = TcpListener::bind(port)
        .map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    let identity = Arc::new(identity);
    let connections = Arc::new(AtomicUsize::new(0));
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                let Some(place) = Place::take(&connections) else {
                    log::warn!("{peer}: all {CONNECTIONS_MAX} connections are taken");
                    continue;
                };
                let name = peer.to_string();
                if let Err(error) = start(stream, name, &identity, shared, place) {
                    log::warn!("{peer}: cannot start a thread: {error}");
                }
            }
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

fn start(
    stream: TcpStream,
    peer: String,
    identity: &Arc<Identity>,
    shared: &Arc<Shared>,
    place: Place,
) -> Result<(), denali_rt::io::Error> {
    let (identity, shared) = (Arc::clone(identity), Arc::clone(shared));
    thread::Builder::new()
        .name("login")
        .stack(thread::StackSize::Large)
        .spawn(move || {
            session::serve(stream, &peer, &identity, &shared);
            drop(place);
        })
        .map(drop)
}

/// One of the [`CONNECTIONS_MAX`] places.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(connections: &Arc<AtomicUsize>) -> Option<Self> {
        let grow = |count: usize| (count < CONNECTIONS_MAX).then_some(count + 1);
        connections
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, grow)
            .ok()
            .map(|_| Self(Arc::clone(connections)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn places_are_bounded_and_come_back() {
        let connections = Arc::new(AtomicUsize::new(0));
        let taken: Vec<_> = (0..CONNECTIONS_MAX)
            .map(|_| Place::take(&connections))
            .collect();
        assert!(taken.iter().all(Option::is_some));
        assert!(Place::take(&connections).is_none());
        drop(taken);
        assert!(Place::take(&connections).is_some());
    }
}
