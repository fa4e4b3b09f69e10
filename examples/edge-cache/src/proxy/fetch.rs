//! Asking the origin for what may be stored.
//!
//! A response is read whole before anybody gets it, so that a client that reads slowly holds up
//! nobody who waits for the same. One too long for that goes through as it comes.

use super::{Proxy, onward};
use crate::caching::{Content, Entry, Variant, may_be_stored};
use crate::http::{Framing, Request, Response};
use crate::origin::{Connect, Exchange, Failure, Outgoing};
use alloc::sync::Arc;
use denali_rt::io;

/// A response that is not stored.
#[derive(Debug)]
pub(super) struct Passing<S> {
    pub(super) exchange: Exchange<S>,
    /// What has been read of the body.
    pub(super) read: Content,
    /// Bytes of the body at the start of the input.
    pub(super) pending: usize,
}

/// What the origin had.
#[derive(Debug)]
pub(super) enum Fetched<S> {
    /// Something to be stored, new or still the same.
    Stored {
        entry: Arc<Entry>,
        /// What the origin answered.
        status: u16,
    },
    /// Something for this request alone.
    Passing(Passing<S>),
    Failed(Failure),
}

/// Asks the origin for the response to a request, of which `stored` is known.
pub(super) fn fetch<C: Connect>(
    proxy: &Proxy<C>,
    request: &Request,
    key: &str,
    stored: Option<&Arc<Entry>>,
    address: &str,
) -> Fetched<C::Stream> {
    let stored = stored.filter(|entry| entry.has_validator());
    let head = onward::whole(request, address, stored.map(|entry| &**entry));
    let asked_at = (proxy.now)();
    let outgoing = Outgoing {
        method: "GET",
        head: &head,
    };
    let exchange = match proxy.origin.ask(&outgoing) {
        Ok(exchange) => exchange,
        Err(failure) => {
            proxy.count(|counters| counters.origin_failures += 1);
            return Fetched::Failed(failure);
        }
    };
    let delay = (proxy.now)().tick.saturating_sub(asked_at.tick);
    match (exchange.response.status, stored) {
        (304, Some(stored)) => refresh(proxy, request, stored, exchange, delay),
        (304, None) => Fetched::Failed(Failure::Bad),
        _ => take(proxy, request, key, exchange, delay),
    }
}

/// Notes that a stored response is still the same (RFC 9111 §4.3.4).
fn refresh<C: Connect>(
    proxy: &Proxy<C>,
    request: &Request,
    stored: &Entry,
    exchange: Exchange<C::Stream>,
    delay: u64,
) -> Fetched<C::Stream> {
    let mut response = stored.response.clone();
    let mut newer = exchange.response.fields.clone();
    newer.remove_hop_by_hop();
    response.fields.update(&newer);
    let variant = Variant::of(&response.fields, &request.fields);
    let variant = variant.unwrap_or_else(|| stored.variant.clone());
    let content = Arc::clone(&stored.content);
    let when = ((proxy.now)(), delay);
    let entry = proxy.with(|state| {
        state.counters.revalidated += 1;
        state
            .store
            .insert(&stored.key, variant, response, content, when)
    });
    proxy.origin.keep(exchange);
    match entry {
        Some(entry) => Fetched::Stored { entry, status: 304 },
        None => Fetched::Failed(Failure::Bad),
    }
}

/// Takes a response in, if it may be stored and is not too long.
fn take<C: Connect>(
    proxy: &Proxy<C>,
    request: &Request,
    key: &str,
    exchange: Exchange<C::Stream>,
    delay: u64,
) -> Fetched<C::Stream> {
    let variant = Variant::of(&exchange.response.fields, &request.fields);
    let variant = variant.filter(|_| may_be_stored(request, &exchange.response));
    let Some(variant) = variant.filter(|_| !is_too_long(proxy, &exchange.response)) else {
        if exchange.response.status < 500 {
            // What is stored is no longer what the origin says.
            proxy.with(|state| state.store.purge(key));
        }
        return Fetched::Passing(Passing {
            exchange,
            read: Content::default(),
            pending: 0,
        });
    };
    let mut passing = Passing {
        exchange,
        read: Content::default(),
        pending: 0,
    };
    match read_whole(proxy, &mut passing) {
        Err(error) => {
            proxy.count(|counters| counters.origin_failures += 1);
            Fetched::Failed(error.into())
        }
        Ok(false) => Fetched::Passing(passing),
        Ok(true) => {
            let Passing {
                exchange, mut read, ..
            } = passing;
            read.shrink();
            store(proxy, key, variant, exchange, read, delay)
        }
    }
}

fn store<C: Connect>(
    proxy: &Proxy<C>,
    key: &str,
    variant: Variant,
    exchange: Exchange<C::Stream>,
    content: Content,
    delay: u64,
) -> Fetched<C::Stream> {
    let mut response = exchange.response.clone();
    response.fields.remove_hop_by_hop();
    let status = response.status;
    let content = Arc::new(content);
    let (when, kept) = (((proxy.now)(), delay), Arc::clone(&content));
    let entry = proxy.with(|state| {
        state.counters.fetched += 1;
        state.flights.mark_shared(key);
        state.store.insert(key, variant, response, kept, when)
    });
    match (entry, Arc::try_unwrap(content)) {
        (Some(entry), _) => {
            proxy.origin.keep(exchange);
            Fetched::Stored { entry, status }
        }
        (None, Ok(read)) => Fetched::Passing(Passing {
            exchange,
            read,
            pending: 0,
        }),
        (None, Err(_)) => Fetched::Failed(Failure::Bad),
    }
}

fn is_too_long<C: Connect>(proxy: &Proxy<C>, response: &Response) -> bool {
    match response.framing("GET") {
        Ok(Framing::Length(len)) => len > proxy.settings.object_max as u64,
        _ => false,
    }
}

/// Reads a body. Returns whether all of it found room.
fn read_whole<C: Connect>(proxy: &Proxy<C>, passing: &mut Passing<C::Stream>) -> io::Result<bool> {
    let Passing {
        exchange,
        read,
        pending,
    } = passing;
    let connection = &mut exchange.connection;
    loop {
        let len = exchange
            .body
            .next(&mut connection.input, &mut connection.stream)?;
        if len == 0 {
            return Ok(true);
        }
        let piece = &connection.input.unread()[..len];
        let room = proxy.settings.object_max.saturating_sub(read.len());
        let piece = &piece[..len.min(room)];
        let taken = read.push(piece, |len| proxy.with(|state| state.store.reserve(len)));
        connection.input.consume(taken);
        if taken < len {
            *pending = len - taken;
            return Ok(false);
        }
    }
}
