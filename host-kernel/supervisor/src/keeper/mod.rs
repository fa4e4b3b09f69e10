//! What the supervisor keeps across reboots, on its partition of a disk.
//!
//! | record                 | holds                                              |
//! |------------------------|----------------------------------------------------|
//! | `service/NAME`         | which release is current, and when it was last used |
//! | `release/NAME/NUMBER`  | a [`Release`]                                      |
//! | `secret/NAME/KEY`      | the value of a secret                              |
//! | `volume/NAME/VOLUME`   | where a volume lies, and its key                   |
//! | `script/NAME`          | a [`Script`]                                       |
//! | `key/FINGERPRINT`      | a [`Key`]                                          |
//! | `words/NAME`           | the last lines of a run that ended by itself       |
//!
//! Packages are blobs by digest. A deployment is two transactions: the package and a release that
//! has begun, before anything is created; that the release is current, before anybody is told. So
//! after a power cut each service is at the old or the new release.

pub mod device;
mod volumes;

use crate::hex;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use denali_protocol::keys::Key;
use denali_protocol::releases::{Outcome, Release};
use denali_protocol::scripts::Script;
use denali_protocol::signing::Signature;
use denali_store::{Changes, Device, Digest, Error, Opened, Store, Usage};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// Releases of a service that are kept; the current one is, however old.
pub const RELEASES_MAX: usize = 10;

/// Secrets of a service, at most.
pub const SECRETS_MAX: usize = 32;

/// What is known of a service beside its releases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// The release that runs, if any ever did.
    pub current: Option<u32>,
    /// The number of the last release.
    pub last: u32,
    /// When its current release began, in seconds since the Unix epoch.
    pub used: u64,
    /// Whether it was stopped by order.
    pub stopped: bool,
}

/// Who deploys what.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The service.
    pub name: &'a str,
    /// The version of its crate.
    pub version: &'a str,
    /// The image's build-id in hexadecimal digits.
    pub build_id: &'a str,
    /// The fingerprint of the key.
    pub by: &'a str,
    /// The time in seconds since the Unix epoch.
    pub at: u64,
    /// The release that is taken up again.
    pub of: Option<u32>,
    /// By whom the package was signed.
    pub signature: Option<Signature>,
}

/// The keeper of the store.
pub struct Keeper {
    store: Store<Box<dyn Device + Send>>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    /// Opens the store on a device; a blank one gets an empty store.
    ///
    /// # Errors
    ///
    /// What is wrong with it; nothing was changed then.
    pub fn open(device: Box<dyn Device + Send>, identity: u64) -> Result<(Self, Opened), Error> {
        let (store, opened) = Store::open(device, identity)?;
        Ok((Self { store }, opened))
    }

    /// Returns what of the partition is in use.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// Keeps a package and that its release has begun. Returns the release's number.
    ///
    /// # Errors
    ///
    /// What the store cannot do; nothing was changed then.
    pub fn begin(&mut self, facts: &Facts<'_>, package: &[u8]) -> Result<u32, Error> {
        let mut entry = self.entry(facts.name).unwrap_or_default();
        entry.last += 1;
        let release = Release {
            number: entry.last,
            package: hex::encode(&sha2::Sha256::digest(package)),
            version: facts.version.into(),
            build_id: facts.build_id.into(),
            by: facts.by.into(),
            at: facts.at,
            of: facts.of,
            signature: facts.signature.clone(),
            outcome: Outcome::Begun,
        };
        let mut changes = Changes::new();
        put(&mut changes, &service_key(facts.name), &entry);
        put(
            &mut changes,
            &release_key(facts.name, release.number),
            &release,
        );
        self.store.commit_blob(package, &changes)?;
        Ok(release.number)
    }

    /// Keeps that a release is the current one from now on; what is too old goes.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn succeed(&mut self, name: &str, number: u32, now: u64) -> Result<(), Error> {
        let mut entry = self.entry(name).unwrap_or_default();
        let mut changes = Changes::new();
        let releases = self.releases(name);
        let numbers = releases.iter().map(|release| release.number);
        let others = numbers.filter(|other| *other != number);
        let old: Vec<u32> = others.skip(RELEASES_MAX - 1).collect();
        for mut release in releases {
            let outcome = match release.outcome {
                _ if release.number == number => Outcome::Current,
                Outcome::Current => Outcome::Replaced,
                _ => continue,
            };
            release.outcome = outcome;
            put(&mut changes, &release_key(name, release.number), &release);
        }
        entry.current = Some(number);
        (entry.used, entry.stopped) = (now, false);
        put(&mut changes, &service_key(name), &entry);
        if old.is_empty() {
            return self.store.commit(&changes);
        }
        for number in &old {
            changes.remove(release_key(name, *number).as_bytes());
        }
        self.commit_and_sweep(&changes, |service, number| {
            service == name && old.contains(&number)
        })
    }

    /// Keeps that a release did not start, and why.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn fail(&mut self, name: &str, number: u32, reason: &str) -> Result<(), Error> {
        let Some(mut release) = self.release(name, number) else {
            return Ok(());
        };
        release.outcome = Outcome::Failed(reason.into());
        let mut changes = Changes::new();
        put(&mut changes, &release_key(name, number), &release);
        self.store.commit(&changes)
    }

    /// Keeps whether a service was stopped by order.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn set_stopped(&mut self, name: &str, stopped: bool) -> Result<(), Error> {
        let Some(mut entry) = self.entry(name).filter(|entry| entry.stopped != stopped) else {
            return Ok(());
        };
        entry.stopped = stopped;
        let mut changes = Changes::new();
        put(&mut changes, &service_key(name), &entry);
        self.store.commit(&changes)
    }

    /// Forgets a service: its releases, secrets, and packages that nobody else has.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn forget(&mut self, name: &str) -> Result<(), Error> {
        let mut changes = Changes::new();
        changes.remove(service_key(name).as_bytes());
        changes.remove(format!("words/{name}").as_bytes());
        for kind in ["release", "secret", "volume"] {
            let prefix = format!("{kind}/{name}/");
            for (key, _) in self.store.range(prefix.as_bytes()) {
                changes.remove(key);
            }
        }
        self.commit_and_sweep(&changes, |service, _| service == name)
    }

    /// Returns what is kept of a service.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<Entry> {
        get(self.store.get(service_key(name).as_bytes())?)
    }

    /// Returns all services that are kept, the most recently used first.
    #[must_use]
    pub fn entries(&self) -> Vec<(String, Entry)> {
        let records = self.store.range(b"service/");
        let mut entries: Vec<(String, Entry)> = records
            .filter_map(|(key, value)| {
                let name = core::str::from_utf8(key).ok()?.strip_prefix("service/")?;
                Some((name.to_string(), get(value)?))
            })
            .collect();
        entries.sort_by_key(|(_, entry)| core::cmp::Reverse(entry.used));
        entries
    }

    /// Returns the releases of a service, newest first.
    #[must_use]
    pub fn releases(&self, name: &str) -> Vec<Release> {
        let records = self.store.range(format!("release/{name}/").as_bytes());
        let mut releases: Vec<Release> = records.filter_map(|(_, value)| get(value)).collect();
        releases.reverse();
        releases
    }

    /// Returns a release of a service.
    #[must_use]
    pub fn release(&self, name: &str, number: u32) -> Option<Release> {
        get(self.store.get(release_key(name, number).as_bytes())?)
    }

    /// Returns the package of a release.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it is not what was kept.
    pub fn package(&mut self, name: &str, number: u32) -> Result<Option<Vec<u8>>, Error> {
        let release = self.release(name, number);
        let digest = release.and_then(|release| hex::decode(&release.package));
        match digest {
            Some(digest) => self.store.read_blob(&digest),
            None => Ok(None),
        }
    }

    /// Keeps a secret of a service.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin); [`Error::Full`] if the service has too many.
    pub fn set_secret(&mut self, name: &str, key: &str, value: &[u8]) -> Result<(), Error> {
        let keys = self.secret_keys(name);
        if keys.len() >= SECRETS_MAX && !keys.iter().any(|other| other == key) {
            return Err(Error::Full);
        }
        let mut changes = Changes::new();
        changes.put(secret_key(name, key).as_bytes(), value);
        self.store.commit(&changes)
    }

    /// Forgets a secret. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn remove_secret(&mut self, name: &str, key: &str) -> Result<bool, Error> {
        let record = secret_key(name, key);
        if self.store.get(record.as_bytes()).is_none() {
            return Ok(false);
        }
        let mut changes = Changes::new();
        changes.remove(record.as_bytes());
        self.store.commit(&changes).map(|()| true)
    }

    /// Returns the keys of a service's secrets.
    #[must_use]
    pub fn secret_keys(&self, name: &str) -> Vec<String> {
        let secrets = self.secrets(name);
        secrets.into_iter().map(|(key, _)| key).collect()
    }

    /// Returns the secrets of a service.
    #[must_use]
    pub fn secrets(&self, name: &str) -> Vec<(String, String)> {
        let prefix = format!("secret/{name}/");
        let records = self.store.range(prefix.as_bytes());
        records
            .filter_map(|(key, value)| {
                let key = core::str::from_utf8(key.get(prefix.len()..)?).ok()?;
                let value = core::str::from_utf8(value).ok()?;
                Some((key.to_string(), value.to_string()))
            })
            .collect()
    }

    /// Keeps the last lines of a service's run that ended by itself.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn set_words(&mut self, name: &str, words: &[u8]) -> Result<(), Error> {
        if self.entry(name).is_none() {
            // A copy, of which nothing is kept.
            return Ok(());
        }
        let mut changes = Changes::new();
        changes.put(format!("words/{name}").as_bytes(), words);
        self.store.commit(&changes)
    }

    /// Returns the last lines that are kept, by service.
    #[must_use]
    pub fn words(&self) -> Vec<(String, Vec<u8>)> {
        let records = self.store.range(b"words/");
        records
            .filter_map(|(key, value)| {
                let name = core::str::from_utf8(key).ok()?.strip_prefix("words/")?;
                Some((name.to_string(), value.to_vec()))
            })
            .collect()
    }

    /// Keeps a key, or that it is revoked.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn set_key(&mut self, key: &Key) -> Result<(), Error> {
        let mut changes = Changes::new();
        put(&mut changes, &format!("key/{}", key.fingerprint), key);
        self.store.commit(&changes)
    }

    /// Returns the keys that are kept, in order of fingerprint.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let records = self.store.range(b"key/");
        records.filter_map(|(_, value)| get(value)).collect()
    }

    /// Keeps a script.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn set_script(&mut self, name: &str, script: &Script) -> Result<(), Error> {
        let mut changes = Changes::new();
        put(&mut changes, &script_key(name), script);
        self.store.commit(&changes)
    }

    /// Forgets a script.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn remove_script(&mut self, name: &str) -> Result<(), Error> {
        let mut changes = Changes::new();
        changes.remove(script_key(name).as_bytes());
        self.store.commit(&changes)
    }

    /// Returns the scripts that are kept, in order of name.
    #[must_use]
    pub fn scripts(&self) -> Vec<(String, Script)> {
        let records = self.store.range(b"script/");
        records
            .filter_map(|(key, value)| {
                let name = core::str::from_utf8(key).ok()?.strip_prefix("script/")?;
                Some((name.to_string(), get(value)?))
            })
            .collect()
    }

    /// Makes changes and removes packages that no release has then; `goes` says which releases go.
    fn commit_and_sweep(
        &mut self,
        changes: &Changes,
        goes: impl Fn(&str, u32) -> bool,
    ) -> Result<(), Error> {
        let mut wanted = BTreeSet::new();
        for (key, value) in self.store.range(b"release/") {
            let Some(release) = get::<Release>(value) else {
                continue;
            };
            let name = core::str::from_utf8(key).unwrap_or_default();
            let name = name.split('/').nth(1).unwrap_or_default();
            if !goes(name, release.number) {
                wanted.extend(hex::decode::<32>(&release.package));
            }
        }
        let blobs = self.store.blobs();
        let unwanted: Vec<Digest> = blobs.filter(|digest| !wanted.contains(digest)).collect();
        self.store.commit_removing(&unwanted, changes)
    }
}

fn service_key(name: &str) -> String {
    format!("service/{name}")
}

/// Numbers are padded, so that they are in order.
fn release_key(name: &str, number: u32) -> String {
    format!("release/{name}/{number:010}")
}

fn script_key(name: &str) -> String {
    format!("script/{name}")
}

fn secret_key(name: &str, key: &str) -> String {
    format!("secret/{name}/{key}")
}

fn put(changes: &mut Changes, key: &str, value: &impl Serialize) {
    // These types are numbers, strings and options of them: they always are JSON.
    let json = serde_json::to_vec(value).unwrap_or_default();
    changes.put(key.as_bytes(), &json);
}

fn get<T: for<'a> Deserialize<'a>>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
