//! What may come from memory.

use super::client::{Client, Keep};
use super::fetch::{Fetched, fetch};
use super::{Proxy, answer};
use crate::caching::{Directives, Entry, Use, judge, may_serve_after_error};
use crate::flight::{Boarding, Flight, Landing};
use crate::http::{Framing, Request, Stream};
use crate::origin::{Connect, Failure};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use denali_rt::io;
use denali_rt::thread;
use denali_rt::time::Instant;

impl<C, S> Client<'_, C, S>
where
    C: Connect<Stream: Send> + Send + Sync + 'static,
    S: Stream,
{
    /// Answers a GET or HEAD without a body.
    pub(super) fn get(&mut self, request: &Request) -> io::Result<Keep> {
        let said = Directives::of(&request.fields);
        let key = key(request);
        let now = (self.proxy.now)();
        let stored = self
            .proxy
            .with(|state| state.store.find(&key, &request.fields));
        if let Some(entry) = &stored {
            match judge(&said, entry, now) {
                Use::Serve => {
                    self.proxy.count(|counters| counters.hits += 1);
                    return self.serve_entry(request, entry, "hit");
                }
                Use::ServeAndRevalidate => {
                    self.proxy.count(|counters| counters.stale_hits += 1);
                    revalidate(self.proxy, request, &key, entry, &self.address);
                    return self.serve_entry(request, entry, "hit");
                }
                Use::Revalidate => {}
            }
        }
        if said.only_if_cached {
            self.refuse(504)?;
            return Ok(Keep::Close);
        }
        if request.method == "HEAD" {
            return self.pass(request, Framing::Length(0));
        }
        match self.proxy.with(|state| state.flights.board(&key)) {
            Boarding::Leader(flight) => self.fetch(request, &key, stored, Some(&flight)),
            Boarding::Alone => self.fetch(request, &key, stored, None),
            Boarding::Follower(flight) => self.follow(request, &key, stored, &flight),
        }
    }

    /// Waits for a fetch that somebody else began.
    fn follow(
        &mut self,
        request: &Request,
        key: &str,
        stored: Option<Arc<Entry>>,
        flight: &Flight,
    ) -> io::Result<Keep> {
        let patience = self.proxy.settings.patience;
        // As long as the fetch itself may take, and its body as long again.
        let deadline = Instant::now() + patience.connect + patience.response * 2;
        match flight.wait(deadline) {
            Some(Landing::Entry(entry)) if entry.serves(&request.fields) => {
                self.proxy.count(|counters| counters.collapsed += 1);
                self.serve_entry(request, &entry, "fwd=uri-miss; collapsed")
            }
            Some(Landing::Failed) => self.fail(request, stored, Failure::Bad),
            Some(Landing::Entry(_) | Landing::Nothing) | None => {
                self.fetch(request, key, stored, None)
            }
        }
    }

    /// Asks the origin, and tells those who wait for it.
    fn fetch(
        &mut self,
        request: &Request,
        key: &str,
        stored: Option<Arc<Entry>>,
        flight: Option<&Flight>,
    ) -> io::Result<Keep> {
        let why = if stored.is_some() {
            "stale"
        } else {
            "uri-miss"
        };
        let fetched = fetch(self.proxy, request, key, stored.as_ref(), &self.address);
        if let Some(flight) = flight {
            land(self.proxy, key, flight, &fetched);
        }
        match fetched {
            Fetched::Stored { entry, status } => {
                let how = format!("fwd={why}; fwd-status={status}; stored");
                self.serve_entry(request, &entry, &how)
            }
            Fetched::Failed(failure) => self.fail(request, stored, failure),
            Fetched::Passing(passing) => {
                let said = Directives::of(&request.fields);
                if let Some(entry) = &stored
                    && passing.exchange.response.status >= 500
                    && may_serve_after_error(&said, entry, (self.proxy.now)())
                {
                    return self.serve_after_error(request, entry);
                }
                self.proxy.count(|counters| counters.passed += 1);
                self.pass_on(request, passing, &format!("fwd={why}"))
            }
        }
    }

    /// Answers though the origin failed: with what is stored, if that may be, or with an error.
    fn fail(
        &mut self,
        request: &Request,
        stored: Option<Arc<Entry>>,
        failure: Failure,
    ) -> io::Result<Keep> {
        let said = Directives::of(&request.fields);
        match stored {
            Some(entry) if may_serve_after_error(&said, &entry, (self.proxy.now)()) => {
                self.serve_after_error(request, &entry)
            }
            _ => self.bad_gateway(request, failure),
        }
    }

    fn serve_after_error(&mut self, request: &Request, entry: &Entry) -> io::Result<Keep> {
        self.proxy.count(|counters| counters.stale_after_error += 1);
        self.serve_entry(request, entry, "hit; detail=\"origin failed\"")
    }

    pub(super) fn bad_gateway(&mut self, request: &Request, failure: Failure) -> io::Result<Keep> {
        let status = match failure {
            Failure::Bad => 502,
            Failure::TimedOut => 504,
        };
        answer::say(
            &mut self.stream,
            request,
            status,
            "text/plain",
            &format!("{status}: no answer from the origin\n"),
        )
    }

    fn serve_entry(&mut self, request: &Request, entry: &Entry, how: &str) -> io::Result<Keep> {
        answer::serve(&mut self.stream, request, entry, how, (self.proxy.now)())
    }
}

/// Returns what responses to a request are stored under.
pub(super) fn key(request: &Request) -> String {
    format!("{}{}", request.host, request.target)
}

/// Asks the origin in the background whether a response is still the same.
fn revalidate<C>(
    proxy: &Arc<Proxy<C>>,
    request: &Request,
    key: &str,
    entry: &Arc<Entry>,
    address: &str,
) where
    C: Connect<Stream: Send> + Send + Sync + 'static,
{
    if proxy.with(|state| state.flights.is_under_way(key)) {
        return;
    }
    let Boarding::Leader(flight) = proxy.with(|state| state.flights.board(key)) else {
        return;
    };
    let (theirs, request, entry) = (Arc::clone(proxy), request.clone(), Arc::clone(entry));
    let (their_key, address, their_flight) = (
        String::from(key),
        String::from(address),
        Arc::clone(&flight),
    );
    let spawned = thread::Builder::new().spawn(move || {
        let fetched = fetch(&theirs, &request, &their_key, Some(&entry), &address);
        land(&theirs, &their_key, &their_flight, &fetched);
    });
    if spawned.is_err() {
        proxy.with(|state| state.flights.land(key, &flight, Landing::Failed));
    }
}

fn land<C: Connect>(proxy: &Proxy<C>, key: &str, flight: &Flight, fetched: &Fetched<C::Stream>) {
    let landing = match fetched {
        Fetched::Stored { entry, .. } => Landing::Entry(Arc::clone(entry)),
        Fetched::Failed(_) => Landing::Failed,
        Fetched::Passing(passing) if passing.exchange.response.status >= 500 => Landing::Failed,
        Fetched::Passing(_) => Landing::Nothing,
    };
    proxy.with(|state| state.flights.land(key, flight, landing));
}
