//! The key this user logs in with, and the key their hosts show: made once, Ed25519, in OpenSSH's
//! formats.
//!
//! Both are put into the boot configuration of every host the user makes, so nobody has to accept
//! an unknown host.

use crate::directories;
use crate::failure::{Failure, Status};
use anyhow::{Context, Result};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::{LineEnding, SigningKey};
use russh::keys::{PrivateKey, PublicKey};
use std::path::{Path, PathBuf};

/// File of the user's private key; the public one lies beside it with `.pub`.
const USER_KEY: &str = "id_ed25519";

/// File of the host's private key.
const HOST_KEY: &str = "host_ed25519";

/// Public keys of hosts that others made, as OpenSSH writes them: `[host]:port ssh-ed25519 AAAA…`.
const KNOWN_HOSTS: &str = "known_hosts";

/// The keys of this user.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Logs in.
    pub user: PrivateKey,
    /// Is shown by hosts.
    pub host: PrivateKey,
    folder: PathBuf,
}

impl Keys {
    /// Loads the keys; makes them if there are none.
    ///
    /// # Errors
    ///
    /// A key file is damaged, or the folder cannot be written.
    pub fn load() -> Result<Self> {
        Self::load_from(directories::config()?)
    }

    /// Loads the keys in `folder`; makes them if there are none.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_from(folder: PathBuf) -> Result<Self> {
        directories::create_private(&folder)?;
        let _lock = directories::lock(&folder.join("lock"))?;
        Ok(Self {
            user: load_or_make(&folder.join(USER_KEY), "denali user")?,
            host: load_or_make(&folder.join(HOST_KEY), "denali host")?,
            folder,
        })
    }

    /// Returns the file with the user's public key.
    #[must_use]
    pub fn user_public_path(&self) -> PathBuf {
        self.folder.join(USER_KEY).with_extension("pub")
    }

    /// Returns the file that lists the keys of hosts others made.
    #[must_use]
    pub fn known_hosts_path(&self) -> PathBuf {
        self.folder.join(KNOWN_HOSTS)
    }

    /// Returns the user's public key in one line, as OpenSSH prints it.
    ///
    /// # Errors
    ///
    /// The key cannot be written in that format.
    pub fn user_public_line(&self) -> Result<String> {
        self.user
            .public_key()
            .to_openssh()
            .context("writing the user's public key")
    }

    /// Returns the host key's secret seed.
    ///
    /// # Errors
    ///
    /// The key in the file is of another kind.
    pub fn host_seed(&self) -> Result<[u8; 32]> {
        let pair = self.host.key_data().ed25519().with_context(|| {
            format!(
                "`{}` is not an Ed25519 key",
                self.folder.join(HOST_KEY).display()
            )
        })?;
        Ok(pair.private.to_bytes())
    }

    /// Signs a text with your key.
    ///
    /// # Errors
    ///
    /// The key cannot sign.
    pub fn sign(&self, text: &str) -> Result<Vec<u8>> {
        fn sign<K: SigningKey>(key: &K, text: &str) -> Result<Vec<u8>> {
            let signature = key
                .try_sign(text.as_bytes())
                .context("signing with your key")?;
            Ok(signature.as_bytes().to_vec())
        }
        sign(&self.user, text)
    }

    /// Returns the keys the host at an address may show: those listed for it, or else our own.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn trusted_for(&self, host: &str, port: u16) -> Result<Vec<PublicKey>> {
        let path = self.known_hosts_path();
        let listed = russh::keys::known_hosts::known_host_keys_path(host, port, &path)
            .with_context(|| format!("reading `{}`", path.display()))?;
        if listed.is_empty() {
            return Ok(vec![self.host.public_key().clone()]);
        }
        Ok(listed.into_iter().map(|(_, key)| key).collect())
    }
}

fn load_or_make(path: &Path, comment: &str) -> Result<PrivateKey> {
    if path.exists() {
        return PrivateKey::read_openssh_file(path).map_err(|error| {
            Failure::new(
                Status::Usage,
                format!("the key `{}`: {error}", path.display()),
            )
            .help("move it away; a new one is made then")
            .into()
        });
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("asking the system for random bytes")?;
    let key = PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), comment)
        .context("making a key")?;
    let private = key.to_openssh(LineEnding::LF).context("writing a key")?;
    let public = key.public_key().to_openssh().context("writing a key")? + "\n";
    directories::write(
        &path.with_extension("pub"),
        public.as_bytes(),
        directories::PUBLIC,
    )?;
    directories::write(path, private.as_bytes(), directories::PRIVATE)?;
    Ok(key)
}
