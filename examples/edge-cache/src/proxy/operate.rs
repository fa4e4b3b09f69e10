//! Purging and statistics, for those who have the token.

use super::answer::{json, say};
use super::client::{Client, Keep};
use super::get::key;
use crate::http::{Request, Stream};
use crate::origin::Connect;
use denali_rt::io;

/// Where statistics are. Without the right token it is the origin's.
const STATISTICS: &str = "/.edge-cache/stats";

impl<C, S> Client<'_, C, S>
where
    C: Connect<Stream: Send> + Send + Sync + 'static,
    S: Stream,
{
    /// Answers what is meant for the proxy itself.
    pub(super) fn operate(&mut self, request: &Request) -> io::Result<Option<Keep>> {
        let is_operator = self.is_operator(request);
        if request.method == "PURGE" {
            if !is_operator {
                let status = if self.proxy.settings.token.is_some() {
                    401
                } else {
                    405
                };
                return say(
                    &mut self.stream,
                    request,
                    status,
                    "text/plain",
                    "not for you\n",
                )
                .map(Some);
            }
            let purged = self.proxy.with(|state| {
                let purged = state.store.purge(&key(request));
                state.flights.mark_shared(&key(request));
                state.counters.purged += purged as u64;
                purged
            });
            let status = if purged > 0 { 200 } else { 404 };
            let text = json(&[("purged", purged as u64)]);
            return say(&mut self.stream, request, status, "application/json", &text).map(Some);
        }
        if is_operator && request.method == "GET" && request.target == STATISTICS {
            let text = self.statistics();
            return say(&mut self.stream, request, 200, "application/json", &text).map(Some);
        }
        Ok(None)
    }

    fn is_operator(&self, request: &Request) -> bool {
        let token = self
            .proxy
            .settings
            .token
            .as_ref()
            .map(|token| token.as_bytes());
        let shown = request.fields.get("authorization");
        let shown = shown.and_then(|shown| shown.strip_prefix(b"Bearer "));
        match (token, shown) {
            // It takes as long for a wrong one as for the right.
            (Some(token), Some(shown)) => {
                let differences = token.iter().zip(shown).fold(0, |sum, (a, b)| sum | (a ^ b));
                token.len() == shown.len() && differences == 0
            }
            _ => false,
        }
    }

    fn statistics(&self) -> alloc::string::String {
        let proxy = self.proxy;
        let idle = proxy.origin.idle() as u64;
        let (used, limit) = (proxy.ledger.used() as u64, proxy.ledger.limit() as u64);
        proxy.with(|state| {
            let counters = state.counters;
            json(&[
                ("requests", counters.requests),
                ("hits", counters.hits),
                ("stale_hits", counters.stale_hits),
                ("stale_after_error", counters.stale_after_error),
                ("collapsed", counters.collapsed),
                ("fetched", counters.fetched),
                ("revalidated", counters.revalidated),
                ("passed", counters.passed),
                ("origin_failures", counters.origin_failures),
                ("refused", counters.refused),
                ("purged", counters.purged),
                ("clients", counters.clients),
                ("entries", state.store.len() as u64),
                ("evicted", state.store.evicted),
                ("bytes", used),
                ("bytes_limit", limit),
                ("origin_idle_connections", idle),
            ])
        })
    }
}
