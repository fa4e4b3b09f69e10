//! Host names.

use super::config::{CONFIGURE_MAX, wait_until_configured, wait_until_configured_async};
use super::readiness::Notifier;
use super::stack::connection::Signals;
use super::wait;
use crate::io::{ErrorKind, Result};
use crate::task;
use crate::time::{Duration, Instant};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr};
use core::task::Poll;
use smoltcp::socket::dns::QueryHandle;

/// How long a name server may take, its retries included.
const LOOKUP_MAX: Duration = Duration::from_secs(20);

/// Returns the addresses of `host`: a name, or an address in figures.
///
/// # Errors
///
/// `NotFound` for a name without addresses or if no name server answers within ten seconds,
/// `InvalidInput` for what cannot be a name, `NetworkUnreachable` if no name server is known.
pub fn lookup(host: &str) -> Result<Vec<IpAddr>> {
    if let Some(known) = without_server(host) {
        return known;
    }
    wait_until_configured(CONFIGURE_MAX)?;
    let query = Query::start(host)?;
    let deadline = Some(Instant::now() + LOOKUP_MAX);
    let answer = wait::block_on(&query.signals.readable, deadline, |network, _| {
        query.result(network)
    });
    found(answer)
}

/// Like [`lookup`], for a task.
pub(crate) async fn lookup_async(host: &str) -> Result<Vec<IpAddr>> {
    if let Some(known) = without_server(host) {
        return known;
    }
    wait_until_configured_async(CONFIGURE_MAX).await?;
    let query = Query::start(host)?;
    let answer = wait::until_ready(&query.signals.readable, |network, _| query.result(network));
    found(task::timeout(LOOKUP_MAX, answer).await?)
}

/// Returns what can be said of `host` without asking anybody.
fn without_server(host: &str) -> Option<Result<Vec<IpAddr>>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(Ok(vec![address]));
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Some(Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]));
    }
    (!is_name(host)).then(|| Err(ErrorKind::InvalidInput.into()))
}

fn found(answer: Result<Vec<Ipv4Addr>>) -> Result<Vec<IpAddr>> {
    let addresses = answer?;
    if addresses.is_empty() {
        return Err(ErrorKind::NotFound.into());
    }
    Ok(addresses.into_iter().map(IpAddr::V4).collect())
}

/// A question to the name servers, withdrawn when dropped before it is answered.
struct Query {
    handle: QueryHandle,
    signals: Arc<Signals<Notifier>>,
    is_answered: Cell<bool>,
}

impl Query {
    fn start(host: &str) -> Result<Self> {
        let (handle, signals) = wait::with(|network, _| network.start_lookup(host))??;
        Ok(Self {
            handle,
            signals,
            is_answered: Cell::new(false),
        })
    }

    fn result(&self, network: &mut wait::Network) -> Poll<Result<Vec<Ipv4Addr>, ErrorKind>> {
        let result = network.lookup_result(self.handle);
        self.is_answered.set(result.is_ready());
        result
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        if !self.is_answered.get() {
            // The network was there when the question was asked.
            wait::with(|network, _| network.cancel_lookup(self.handle)).unwrap_or_default();
        }
    }
}

/// Returns whether `host` has the form of a host name (RFC 1123 §2.1; underscores are common).
fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.len() <= 253 && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_server() {
        assert_eq!(
            lookup("10.0.0.1").unwrap(),
            [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))]
        );
        assert_eq!(lookup("::1").unwrap().len(), 1);
        assert_eq!(
            lookup("LocalHost").unwrap(),
            [IpAddr::V4(Ipv4Addr::LOCALHOST)]
        );
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for host in [
            "",
            ".",
            "a..b",
            "a b",
            "höhe",
            &"a".repeat(64),
            &"a.".repeat(150),
        ] {
            assert!(!is_name(host), "{host}");
        }
        assert!(is_name("example.org") && is_name("example.org.") && is_name("_dns.a-b.c"));
    }
}
