//! The network: TCP, UDP and host names, in the shapes of `std::net`.
//!
//! A call that has to wait blocks the calling green thread, never the VM. The stack is smoltcp; it
//! moves when a thread calls it and whenever the VM is about to idle, so a VM without traffic does
//! nothing at all, and sockets cost memory only while they exist.
//!
//! ```no_run
//! use denali_rt::io::{Read, Write};
//! use denali_rt::net::TcpListener;
//!
//! fn main() -> denali_rt::io::Result<()> {
//!     let listener = TcpListener::bind(7)?;
//!     let (mut stream, _peer) = listener.accept()?;
//!     let mut buffer = [0; 512];
//!     loop {
//!         match stream.read(&mut buffer)? {
//!             0 => return Ok(()),
//!             count => stream.write_all(&buffer[..count])?,
//!         }
//!     }
//! }
//! ```
//!
//! | module       | what it is                                                     |
//! |--------------|----------------------------------------------------------------|
//! | `listener`   | accepting connections                                           |
//! | `tcp`        | one connection                                                  |
//! | `options`    | what can be set on a connection                                 |
//! | `readiness`  | watching many sockets at once                                   |
//! | `udp`        | datagrams                                                       |
//! | `ping`       | whether somebody is there                                       |
//! | `dns`        | host names                                                      |
//! | `addresses`  | what can stand for the addresses of a peer                      |
//! | `config`     | the VM's own addresses                                          |
//! | `wait`       | the stack of this VM, and threads waiting for it                |
//! | `device`     | frames in and out through the rings of the shared page          |
//! | `stack`      | the state machine: no hardware, no clock, no threads            |
//!
//! A port is one for IPv4 and IPv6: who listens on it hears both, unless bound to an address of
//! IPv4. What is sent to 127.0.0.1, `::1` or an address of the VM never leaves it.
//!
//! What there is not: IP fragments.

mod addresses;
mod config;
mod device;
mod dns;
mod listener;
mod options;
mod ping;
mod readiness;
mod stack;
mod tcp;
mod udp;
mod wait;

pub use addresses::ToSocketAddrs;
pub use config::{Configuration, config, configure, configure_ipv6, wait_until_configured};
pub use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
pub use dns::lookup;
pub(crate) use dns::lookup_async;
pub use listener::{BindAddress, Incoming, TcpListener};
pub use ping::ping;
pub use readiness::{Pollable, Readiness, Watch};
pub use stack::Shutdown;
pub use stack::connection::{Buffers, Congestion, KeepAlive};
pub use stack::stats::Stats;
pub use tcp::TcpStream;
pub use udp::UdpSocket;

use crate::io::Result;
use crate::random;
use crate::registers;
use crate::time::Instant;

/// Moves frames and timers, and wakes threads whose wait is over. Returns when to call again if no
/// frame arrives before.
///
/// Does nothing before the network was used or [`start`]ed.
pub(crate) fn poll(now: Instant) -> Option<Instant> {
    wait::with_started(|network| network.poll(now)).flatten()
}

/// Goes on with what the kernel says of the network now, after the VM was restored or cloned.
pub(crate) fn resume(now: Instant) {
    let seed = [random::u64(), random::u64()];
    wait::with_started(|network| network.resume(&registers::network(), seed, now));
}

/// Gives back what the network does not need while the VM idles.
pub(crate) fn rest() {
    wait::with_started(|network| network.rest());
}

/// Starts the network, if the VM has one: from now on it answers ARP and echo requests.
pub(crate) fn start() {
    // Without a network there is nothing to start.
    let _ = wait::with(|_, _| ());
}

/// Returns the counters of this VM's network.
///
/// # Errors
///
/// Without a network.
pub fn stats() -> Result<Stats> {
    wait::with(|network, _| network.stats())
}

/// Returns an address in its own form: one of IPv4 that is mapped into IPv6 (RFC 4291 §2.5.5.2) as
/// one of IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
