//! Which host a command means: the local one, a named one, or `HOST:PORT`.

use super::keys::Keys;
use super::state::{self, Running};
use super::{DEFAULT_NAME, network};
use crate::failure::{Failure, Status};
use crate::ssh::Access;
use anyhow::Result;

/// A host to talk to.
#[derive(Clone, Debug)]
pub struct Target {
    access: Access,
    local: Option<Running>,
}

impl Target {
    /// Finds the host that `text` means: a local host's name or `HOST:PORT`; without text, the
    /// local host.
    ///
    /// # Errors
    ///
    /// The text means nothing, or no local host runs.
    pub fn resolve(text: Option<&str>) -> Result<Self> {
        let keys = Keys::load()?;
        let Some(text) = text else {
            return Self::local(default_host()?, keys);
        };
        if let Some(running) = local_host_at(text)? {
            return Self::local(running, keys);
        }
        let (host, port) = split(text)?;
        Ok(Self {
            access: Access::new(host, port, keys)?,
            local: None,
        })
    }

    /// Returns a host that runs on this machine.
    ///
    /// # Errors
    ///
    /// The list of known hosts cannot be read.
    pub fn local(running: Running, keys: Keys) -> Result<Self> {
        let access = Access::new("127.0.0.1".to_owned(), running.state.port, keys)?;
        Ok(Self {
            access,
            local: Some(running),
        })
    }

    /// Returns how to log in.
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the local host, if it is one.
    #[must_use]
    pub const fn running(&self) -> Option<&Running> {
        self.local.as_ref()
    }
}

fn default_host() -> Result<Running> {
    if let Some(running) = state::find(DEFAULT_NAME)? {
        return Ok(running);
    }
    let mut others = state::all()?;
    if others.len() == 1 {
        return Ok(others.remove(0));
    }
    let failure = if others.is_empty() {
        Failure::new(Status::Unreachable, "no local host is up")
            .help("start one: cargo denali host up")
    } else {
        let names: Vec<&str> = others.iter().map(|host| host.state.name.as_str()).collect();
        Failure::new(Status::Usage, "several local hosts are up")
            .help(format!("name one of {} with --host", names.join(", ")))
    };
    Err(failure.into())
}

/// Returns the local host of that name or address.
fn local_host_at(text: &str) -> Result<Option<Running>> {
    let hosts = state::all()?;
    let means = |host: &Running| {
        text == host.state.name
            || text == host.address()
            || text == format!("localhost:{}", host.state.port)
    };
    Ok(hosts.into_iter().find(means))
}

fn split(text: &str) -> Result<(String, u16), Failure> {
    let wrong = || {
        Failure::new(
            Status::Usage,
            format!("`{text}` is neither a local host nor HOST:PORT"),
        )
        .help("write HOST:PORT, or the name of a local host: cargo denali host status")
    };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None if text.contains('.') => (text, network::SSH_PORT),
        None => return Err(wrong()),
    };
    if host.is_empty() || port == 0 {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        assert_eq!(
            split("192.0.2.7:2222").unwrap(),
            ("192.0.2.7".to_owned(), 2222)
        );
        assert_eq!(
            split("example.org").unwrap(),
            ("example.org".to_owned(), 22)
        );
        for text in [
            "",
            "nohost",
            ":22",
            "host:",
            "host:0",
            "host:99999",
            "host:x",
        ] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
