//! Host names.

use super::config::{CONFIGURE_MAX, wait_until_configured, wait_until_configured_async};
use super::readiness::Notifier;
use super::stack::Family;
use super::stack::connection::Signals;
use super::wait;
use crate::io::{Error, ErrorKind, Result};
use crate::task;
use crate::time::{Duration, Instant};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::task::Poll;
use smoltcp::socket::dns::QueryHandle;

/// How long a name server may take, its retries included.
const LOOKUP_MAX: Duration = Duration::from_secs(20);

/// Returns the addresses of `host`: a name, or an address in figures. IPv6 addresses of a name are
/// among them if the VM reaches beyond its link by IPv6, and come first if it does so by a global
/// address (RFC 6724 §2.1).
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
    let queries = Query::start_all(host)?;
    let deadline = Some(Instant::now() + LOOKUP_MAX);
    let answers = queries.iter().map(|query| {
        wait::block_on(&query.signals.readable, deadline, |network, _| {
            query.result(network)
        })
    });
    found(answers.collect())
}

/// Like [`lookup`], for a task.
pub(crate) async fn lookup_async(host: &str) -> Result<Vec<IpAddr>> {
    if let Some(known) = without_server(host) {
        return known;
    }
    wait_until_configured_async(CONFIGURE_MAX).await?;
    let queries = Query::start_all(host)?;
    let mut answers = Vec::new();
    for query in &queries {
        let answer = wait::until_ready(&query.signals.readable, |network, _| query.result(network));
        answers.push(task::timeout(LOOKUP_MAX, answer).await?);
    }
    found(answers)
}

/// Returns what can be said of `host` without asking anybody.
fn without_server(host: &str) -> Option<Result<Vec<IpAddr>>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(Ok(vec![address]));
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Some(Ok(vec![
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]));
    }
    (!is_name(host)).then(|| Err(ErrorKind::InvalidInput.into()))
}

/// Joins answers. One kind of addresses is enough; without any, the last error counts.
fn found(answers: Vec<Result<Vec<IpAddr>>>) -> Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    let mut error = Error::from(ErrorKind::NotFound);
    for answer in answers {
        match answer {
            Ok(more) => addresses.extend(more),
            Err(failed) => error = failed,
        }
    }
    if addresses.is_empty() {
        Err(error)
    } else {
        Ok(addresses)
    }
}

/// A question to the name servers, withdrawn when dropped before it is answered.
struct Query {
    handle: QueryHandle,
    signals: Arc<Signals<Notifier>>,
    is_answered: Cell<bool>,
}

impl Query {
    /// Asks for all kinds of addresses that could be reached, those to be tried first first.
    fn start_all(host: &str) -> Result<Vec<Self>> {
        let families = wait::with(|network, _| network.families())?;
        families
            .iter()
            .map(|family| Self::start(host, *family))
            .collect()
    }

    fn start(host: &str, family: Family) -> Result<Self> {
        let (handle, signals) = wait::with(|network, _| network.start_lookup(host, family))??;
        Ok(Self {
            handle,
            signals,
            is_answered: Cell::new(false),
        })
    }

    fn result(&self, network: &mut wait::Network) -> Poll<Result<Vec<IpAddr>, ErrorKind>> {
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
        let ourselves = lookup("LocalHost").unwrap();
        assert_eq!(ourselves[0], IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(ourselves[1], IpAddr::V6(Ipv6Addr::LOCALHOST));
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
