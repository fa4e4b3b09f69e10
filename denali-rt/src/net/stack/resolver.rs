//! Host names: smoltcp's DNS client, present only while somebody asks.

use super::connection::Signals;
use super::{Link, Signal, Stack, due, neighbors, smol};
use crate::io::ErrorKind;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::task::Poll;
use smoltcp::iface::{Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::dns::{GetQueryResultError, QueryHandle, Socket, StartQueryError};
use smoltcp::wire::{DnsQueryType, IpAddress};

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// Questions open at once.
const QUERIES_MAX: usize = 64;

/// A kind of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Family {
    /// A records.
    Ipv4,
    /// AAAA records.
    Ipv6,
}

impl Family {
    const fn query(self) -> DnsQueryType {
        match self {
            Self::Ipv4 => DnsQueryType::A,
            Self::Ipv6 => DnsQueryType::Aaaa,
        }
    }
}

/// Answers to host-name questions.
#[derive(Debug)]
pub(super) struct Resolver<S> {
    client: Option<Client>,
    signals: Arc<Signals<S>>,
    retry: bool,
}

#[derive(Debug)]
struct Client {
    set: SocketSet<'static>,
    handle: SocketHandle,
    queries: usize,
    due: Option<Instant>,
}

impl Client {
    fn new(servers: &[IpAddress]) -> Self {
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(Socket::new(servers, Vec::new()));
        Self {
            set,
            handle,
            queries: 0,
            due: None,
        }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }
}

impl<S: Signal> Resolver<S> {
    /// Creates a resolver without a client.
    pub(super) fn new() -> Self {
        Self {
            client: None,
            signals: Arc::default(),
            retry: false,
        }
    }

    /// Returns the client's set if a datagram from `source_port` may be for it.
    pub(super) fn set_for(&mut self, source_port: u16) -> Option<&mut SocketSet<'static>> {
        self.retry = true;
        self.client
            .as_mut()
            .filter(|_| source_port == DNS_PORT)
            .map(|client| &mut client.set)
    }

    /// Makes the next poll go on at once.
    pub(super) fn retry(&mut self) {
        self.retry = true;
    }

    /// Goes on with open questions to `servers`. Adds to `awaited` those it waits for and nobody has
    /// asked for. Returns when to do so again.
    pub(super) fn poll(
        &mut self,
        interface: &mut Interface,
        link: &mut impl Link,
        servers: &[IpAddress],
        awaited: &mut Vec<IpAddr>,
        now: Instant,
    ) -> Option<Instant> {
        let retry = core::mem::take(&mut self.retry);
        let client = self.client.as_mut()?;
        if retry || client.due.is_some_and(|due| due <= now) {
            client.socket().update_servers(servers);
            let before = link.transmitted();
            for _ in 0..QUERIES_MAX {
                if interface.poll_egress(smol(now), link, &mut client.set) == PollResult::None {
                    break;
                }
            }
            let due = interface.poll_at(smol(now), &client.set);
            if link.transmitted() == before && neighbors::is_awaited(due, now) {
                awaited.extend(servers.iter().copied().map(IpAddr::from));
            }
            self.signals.readable.notify();
        }
        client.due = interface
            .poll_at(smol(now), &client.set)
            .map(|at| due(at, now));
        client.due
    }
}

impl<L: Link, S: Signal> Stack<L, S> {
    /// Returns the kinds of addresses worth asking for, those we could reach, the better first.
    pub(crate) fn families(&self) -> &'static [Family] {
        let beyond_link = self.address.ipv6().nth(1);
        // Global unicast is 2000::/3 (RFC 4291 §2.4).
        let is_global = beyond_link.is_some_and(|own| own.octets()[0] >> 5 == 1);
        match (self.address.ipv4(), beyond_link) {
            (Some(_), Some(_)) if is_global => &[Family::Ipv6, Family::Ipv4],
            (Some(_), Some(_)) => &[Family::Ipv4, Family::Ipv6],
            (None, Some(_)) => &[Family::Ipv6],
            (_, None) => &[Family::Ipv4],
        }
    }

    /// Asks for the addresses of `name`. Returns the question and what tells of its answer.
    pub(crate) fn start_lookup(
        &mut self,
        name: &str,
        family: Family,
    ) -> Result<(QueryHandle, Arc<Signals<S>>), ErrorKind> {
        let servers = self.address.name_servers();
        let is_reachable = |server: &IpAddress| {
            let reach = self.address.reach(IpAddr::from(*server));
            reach == Poll::Ready(Ok(()))
        };
        if !servers.iter().any(is_reachable) {
            return Err(ErrorKind::NetworkUnreachable);
        }
        let client = self
            .resolver
            .client
            .get_or_insert_with(|| Client::new(servers));
        if client.queries >= QUERIES_MAX {
            return Err(ErrorKind::OutOfMemory);
        }
        let Client { set, handle, .. } = client;
        let socket = set.get_mut::<Socket<'static>>(*handle);
        let query = socket
            .start_query(self.interface.context(), name, family.query())
            .map_err(|error| match error {
                StartQueryError::NoFreeSlot => ErrorKind::OutOfMemory,
                StartQueryError::InvalidName | StartQueryError::NameTooLong => {
                    ErrorKind::InvalidInput
                }
            })?;
        client.queries += 1;
        self.resolver.retry = true;
        Ok((query, self.resolver.signals.clone()))
    }

    /// Returns the answer to a question, once; the question is then closed.
    pub(crate) fn lookup_result(
        &mut self,
        query: QueryHandle,
    ) -> Poll<Result<Vec<IpAddr>, ErrorKind>> {
        let Some(client) = self.resolver.client.as_mut() else {
            return Poll::Ready(Err(ErrorKind::NotFound));
        };
        let answer = match client.socket().get_query_result(query) {
            Err(GetQueryResultError::Pending) => return Poll::Pending,
            Err(GetQueryResultError::Failed) => Err(ErrorKind::NotFound),
            Ok(addresses) => Ok(addresses.into_iter().map(IpAddr::from).collect()),
        };
        self.close_lookup();
        Poll::Ready(answer)
    }

    /// Drops a question whose answer nobody waits for any more.
    pub(crate) fn cancel_lookup(&mut self, query: QueryHandle) {
        if let Some(client) = self.resolver.client.as_mut() {
            client.socket().cancel_query(query);
            self.close_lookup();
        }
    }

    /// Frees the client with its last question.
    fn close_lookup(&mut self) {
        let Some(client) = self.resolver.client.as_mut() else {
            return;
        };
        client.queries -= 1;
        if client.queries == 0 {
            self.resolver.client = None;
        }
    }
}
