//! Host names.

use super::config::{CONFIGURE_MAX, wait_until_configured};
use super::wait;
use crate::io::{ErrorKind, Result};
use crate::time::{Duration, Instant};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

/// How long a name server may take, its retries included.
const LOOKUP_MAX: Duration = Duration::from_secs(20);

/// Returns the addresses of `host`: a name, or an address in figures.
///
/// # Errors
///
/// `NotFound` for a name without addresses or if no name server answers within ten seconds,
/// `InvalidInput` for what cannot be a name, `NetworkUnreachable` if no name server is known.
pub fn lookup(host: &str) -> Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    }
    if !is_name(host) {
        return Err(ErrorKind::InvalidInput.into());
    }
    wait_until_configured(CONFIGURE_MAX)?;
    let (query, signals) = wait::with(|network, _| network.start_lookup(host))??;
    let deadline = Some(Instant::now() + LOOKUP_MAX);
    let answer = wait::block_on(&signals.readable, deadline, |network, _| {
        network.lookup_result(query)
    });
    match answer {
        Ok(addresses) if addresses.is_empty() => Err(ErrorKind::NotFound.into()),
        Ok(addresses) => Ok(addresses.into_iter().map(IpAddr::V4).collect()),
        Err(error) => {
            if error.kind() == ErrorKind::TimedOut {
                wait::with(|network, _| network.cancel_lookup(query))?;
            }
            Err(error)
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
