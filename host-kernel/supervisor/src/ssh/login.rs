//! Who may log in, and how the server presents itself.

use super::random::Random;
use super::wire::{Wire, WireStream};
use crate::commands::LINE_LEN_MAX;
use crate::config::Settings;
use crate::keys;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use denali_protocol::ADMIN_USER;
use zssh::ed25519_dalek::{SigningKey, VerifyingKey};
use zssh::{AuthMethod, Behavior, PublicKey, SecretKey};

/// The host's key and the keys that open it.
#[derive(Debug)]
pub struct Identity {
    host_key: SecretKey,
    authorized_keys: Vec<VerifyingKey>,
}

impl Identity {
    /// Returns the identity in `settings`.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            host_key: SecretKey::Ed25519 {
                secret_key: SigningKey::from_bytes(&settings.host_key),
            },
            authorized_keys: settings.authorized_keys.clone(),
        }
    }

    /// Returns whether `user` may log in by `method`.
    fn allows(&self, user: &str, method: &AuthMethod) -> bool {
        match method {
            AuthMethod::None => false,
            AuthMethod::PublicKey(PublicKey::Ed25519 { public_key }) => {
                user == ADMIN_USER && self.authorized_keys.contains(public_key)
            }
        }
    }
}

/// What `zssh` asks of a server, for one connection.
pub(super) struct Login {
    stream: WireStream,
    random: Random,
    identity: Arc<Identity>,
}

impl Login {
    pub(super) const fn new(wire: Rc<Wire>, identity: Arc<Identity>) -> Self {
        Self {
            stream: WireStream::new(wire),
            random: Random,
            identity,
        }
    }
}

impl Behavior for Login {
    type Stream = WireStream;
    type Random = Random;
    type User = String;
    type Command = String;

    fn stream(&mut self) -> &mut WireStream {
        &mut self.stream
    }

    fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    fn host_secret_key(&self) -> &SecretKey {
        &self.identity.host_key
    }

    fn server_id(&self) -> &'static str {
        concat!("SSH-2.0-denali_", env!("CARGO_PKG_VERSION"))
    }

    /// Called before the signature is verified: it tells nobody more than whether a key is known.
    fn allow_user(&mut self, user: &str, method: &AuthMethod) -> Option<String> {
        let allowed = self.identity.allows(user, method);
        match method {
            AuthMethod::PublicKey(PublicKey::Ed25519 { public_key }) if allowed => {
                Some(keys::fingerprint(public_key))
            }
            AuthMethod::PublicKey(_) | AuthMethod::None => None,
        }
    }

    fn allow_shell(&self) -> bool {
        true
    }

    /// Keeps one byte more than a command may have, so that a longer one is seen to be too long.
    fn parse_command(&mut self, command: &str) -> String {
        command.chars().take(LINE_LEN_MAX + 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn only_admin_with_a_known_key_may_log_in() {
        let settings = fixtures::settings();
        let identity = Identity::new(&settings);
        let known = PublicKey::Ed25519 {
            public_key: settings.authorized_keys[0],
        };
        let unknown = PublicKey::Ed25519 {
            public_key: SigningKey::from_bytes(&[9; 32]).verifying_key(),
        };
        assert!(identity.allows("admin", &AuthMethod::PublicKey(known)));
        assert!(!identity.allows("admin", &AuthMethod::PublicKey(unknown)));
        assert!(!identity.allows("root", &AuthMethod::PublicKey(known)));
        assert!(!identity.allows("admin", &AuthMethod::None));
    }
}
