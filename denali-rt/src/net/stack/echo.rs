//! Asking others for an echo (ICMP, ICMPv6): what `ping` does.

use super::connection::{Path, Signals};
use super::loopback::Loopback;
use super::{Link, Signal, Stack, due, earliest, neighbors, smol};
use crate::io::ErrorKind;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::task::Poll;
use smoltcp::iface::{Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp::{Endpoint, PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress};

/// Bytes of an ICMP echo header.
const HEADER_LEN: usize = 8;

/// Most bytes of payload in one request.
pub(crate) const PAYLOAD_MAX: usize = 1024;

/// Messages kept each way.
const MESSAGES: usize = 2;

/// Who asks at once, at most.
const ASKING_MAX: usize = 64;

/// An answer.
#[derive(Debug)]
pub(in crate::net) struct Echo {
    /// Who sent it.
    pub(in crate::net) from: IpAddr,
    /// The number of the request.
    pub(in crate::net) sequence: u16,
    /// What came back.
    pub(in crate::net) payload: Vec<u8>,
}

/// Open requests by their identifier.
#[derive(Debug)]
pub(super) struct Echoes<S> {
    asking: BTreeMap<u16, Asking<S>>,
    retry: bool,
}

#[derive(Debug)]
struct Asking<S> {
    set: SocketSet<'static>,
    handle: SocketHandle,
    remote: IpAddr,
    signals: Arc<Signals<S>>,
    due: Option<Instant>,
}

impl<S: Signal> Asking<S> {
    fn socket(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }
}

impl<S: Signal> Echoes<S> {
    /// Creates an empty table.
    pub(super) fn new() -> Self {
        Self {
            asking: BTreeMap::new(),
            retry: false,
        }
    }

    /// Returns the set of the socket that asked with `ident`.
    pub(super) fn set_for(&mut self, ident: u16) -> Option<&mut SocketSet<'static>> {
        self.asking.get_mut(&ident).map(|asking| &mut asking.set)
    }

    /// Wakes who waits for an answer to `ident`.
    pub(super) fn received(&mut self, ident: u16) {
        if let Some(asking) = self.asking.get_mut(&ident) {
            asking.signals.readable.notify();
        }
    }

    /// Makes the next poll try at once to send what waited for a hardware address.
    pub(super) fn retry(&mut self) {
        self.retry = true;
    }

    /// Sends requests. Adds to `awaited` whom they wait for and nobody has asked for. Returns when to
    /// try again.
    pub(super) fn poll(
        &mut self,
        interface: &mut Interface,
        link: &mut impl Link,
        awaited: &mut Vec<IpAddr>,
        now: Instant,
    ) -> Option<Instant> {
        let retry = core::mem::take(&mut self.retry);
        let mut next = None;
        for asking in self.asking.values_mut() {
            if retry || asking.due.is_some_and(|due| due <= now) {
                let before = link.transmitted();
                for _ in 0..MESSAGES {
                    let sent = interface.poll_egress(smol(now), link, &mut asking.set);
                    if sent == PollResult::None {
                        break;
                    }
                }
                let at = interface.poll_at(smol(now), &asking.set);
                if link.transmitted() == before && neighbors::is_awaited(at, now) {
                    awaited.push(asking.remote);
                }
                asking.due = at.map(|at| due(at, now));
            }
            next = earliest(next, asking.due);
        }
        next
    }
}

impl<L: Link, S: Signal> Stack<L, S> {
    /// Prepares to ask `remote` for echoes. Returns the identifier of the requests and what tells
    /// of answers.
    pub(crate) fn open_echo(
        &mut self,
        remote: IpAddr,
    ) -> Result<(u16, Arc<Signals<S>>), ErrorKind> {
        if self.echoes.asking.len() >= ASKING_MAX {
            return Err(ErrorKind::OutOfMemory);
        }
        let ident = self.free_port(|stack, ident| !stack.echoes.asking.contains_key(&ident))?;
        let buffer = || {
            let slots = vec![PacketMetadata::EMPTY; MESSAGES];
            PacketBuffer::new(slots, vec![0; MESSAGES * (HEADER_LEN + PAYLOAD_MAX)])
        };
        let mut socket = Socket::new(buffer(), buffer());
        socket
            .bind(Endpoint::Ident(ident))
            .map_err(|_| ErrorKind::InvalidInput)?;
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        let signals = Arc::<Signals<S>>::default();
        let asking = Asking {
            set,
            handle,
            remote,
            signals: signals.clone(),
            due: None,
        };
        self.echoes.asking.insert(ident, asking);
        Ok((ident, signals))
    }

    /// Asks for an echo of `payload`.
    pub(crate) fn ask_echo(
        &mut self,
        ident: u16,
        seq_no: u16,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), ErrorKind> {
        let asking = self.echoes.asking.get(&ident);
        let remote = asking.ok_or(ErrorKind::NotConnected)?.remote;
        let path = self.path_to(remote);
        if path == Path::Loopback {
            self.loopback(now);
        }
        let asking = self.echoes.asking.get_mut(&ident);
        let asking = asking.ok_or(ErrorKind::NotConnected)?;
        let socket = asking.socket();
        let len = HEADER_LEN + payload.len();
        let buffer = socket
            .send(len, remote.into())
            .map_err(|_| ErrorKind::OutOfMemory)?;
        write_request(buffer, remote.into(), (ident, seq_no), payload);
        match (path, self.loopback.as_deref_mut()) {
            (Path::Loopback, Some(Loopback { interface, queue })) => {
                interface.poll_egress(smol(now), queue, &mut asking.set);
            }
            _ => asking.due = Some(now),
        }
        Ok(())
    }

    /// Takes an answer.
    pub(crate) fn take_echo(&mut self, ident: u16) -> Poll<Result<Echo, ErrorKind>> {
        let Some(asking) = self.echoes.asking.get_mut(&ident) else {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        };
        match asking.socket().recv() {
            Ok((message, from)) => match read_answer(message, from) {
                Some((sequence, payload)) => Poll::Ready(Ok(Echo {
                    from: from.into(),
                    sequence,
                    payload,
                })),
                None => Poll::Pending,
            },
            Err(_) => Poll::Pending,
        }
    }

    /// Ends the asking.
    pub(crate) fn close_echo(&mut self, ident: u16) {
        self.echoes.asking.remove(&ident);
    }
}

/// Writes an echo request. Its checksum is computed when it is sent.
fn write_request(buffer: &mut [u8], remote: IpAddress, (ident, seq_no): (u16, u16), data: &[u8]) {
    let checksums = ChecksumCapabilities::default();
    match remote {
        IpAddress::Ipv4(_) => {
            let request = Icmpv4Repr::EchoRequest {
                ident,
                seq_no,
                data,
            };
            request.emit(&mut Icmpv4Packet::new_unchecked(buffer), &checksums);
        }
        IpAddress::Ipv6(to) => {
            let request = Icmpv6Repr::EchoRequest {
                ident,
                seq_no,
                data,
            };
            request.emit(
                &to,
                &to,
                &mut Icmpv6Packet::new_unchecked(buffer),
                &checksums,
            );
        }
    }
}

/// Returns number and payload of an echo reply, which smoltcp has checked.
fn read_answer(message: &[u8], from: IpAddress) -> Option<(u16, Vec<u8>)> {
    match from {
        IpAddress::Ipv4(_) => {
            let packet = Icmpv4Packet::new_checked(message).ok()?;
            Some((packet.echo_seq_no(), packet.data().to_vec()))
        }
        IpAddress::Ipv6(_) => {
            let packet = Icmpv6Packet::new_checked(message).ok()?;
            Some((packet.echo_seq_no(), packet.payload().to_vec()))
        }
    }
}
