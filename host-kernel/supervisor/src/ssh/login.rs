//! Who may log in, and how the server presents itself.

use super::random::Random;
use super::wire::{Wire, WireStream};
use crate::commands::LINE_LEN_MAX;
use crate::config::Settings;
use crate::keys;
use crate::shared::Shared;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use denali_protocol::ADMIN_USER;
use zssh::ed25519_dalek::SigningKey;
use zssh::{AuthMethod, Behavior, PublicKey, SecretKey};

/// Keys that may be offered at one connection, each twice: to ask, and with its signature.
const OFFERS_MAX: u32 = 40;

/// The host's key.
#[derive(Debug)]
pub struct Identity {
    host_key: SecretKey,
}

impl Identity {
    /// Returns the identity in `settings`.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            host_key: SecretKey::Ed25519 {
                secret_key: SigningKey::from_bytes(&settings.host_key),
            },
        }
    }

    /// Returns the host's key.
    pub(super) const fn host_key(&self) -> &SecretKey {
        &self.host_key
    }
}

/// What `zssh` asks of a server, for one connection.
pub(super) struct Login {
    stream: WireStream,
    random: Random,
    identity: Arc<Identity>,
    shared: Arc<Shared>,
    wire: Rc<Wire>,
    /// How often a key was offered.
    offers: u32,
}

impl Login {
    pub(super) fn new(wire: Rc<Wire>, identity: Arc<Identity>, shared: Arc<Shared>) -> Self {
        Self {
            stream: WireStream::new(Rc::clone(&wire)),
            random: Random,
            identity,
            shared,
            wire,
            offers: 0,
        }
    }

    /// Returns the fingerprint of the key by which `user` may log in.
    pub(super) fn allows(shared: &Shared, user: &str, method: &AuthMethod) -> Option<String> {
        match method {
            AuthMethod::None => None,
            AuthMethod::PublicKey(PublicKey::Ed25519 { public_key }) => {
                let opens = user == ADMIN_USER && shared.access().lock().opens(public_key);
                opens.then(|| keys::fingerprint(public_key))
            }
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
        self.identity.host_key()
    }

    fn server_id(&self) -> &'static str {
        concat!("SSH-2.0-denali_", env!("CARGO_PKG_VERSION"))
    }

    /// Called before the signature is verified: it tells nobody more than whether a key is known.
    fn allow_user(&mut self, user: &str, method: &AuthMethod) -> Option<String> {
        self.offers += 1;
        if self.offers > OFFERS_MAX {
            self.wire.give_up();
            return None;
        }
        Self::allows(&self.shared, user, method)
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
    use crate::fixtures::{self, SharedKernel};

    #[test]
    fn only_admin_with_a_known_key_may_log_in() {
        let settings = fixtures::settings();
        let shared = Shared::new(SharedKernel::new(1000).supervisor());
        let known = PublicKey::Ed25519 {
            public_key: settings.authorized_keys[0],
        };
        let unknown = PublicKey::Ed25519 {
            public_key: SigningKey::from_bytes(&[9; 32]).verifying_key(),
        };
        let allows = |user, method| Login::allows(&shared, user, &method);
        let admin = allows("admin", AuthMethod::PublicKey(known));
        assert_eq!(admin.as_deref(), Some(fixtures::FINGERPRINT));
        assert_eq!(allows("admin", AuthMethod::PublicKey(unknown)), None);
        assert_eq!(allows("root", AuthMethod::PublicKey(known)), None);
        assert_eq!(allows("admin", AuthMethod::None), None);
    }
}
