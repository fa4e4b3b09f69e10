//! Who may log in, and what they may do then.
//!
//! Keys of the boot configuration are administrators'. Others are added at run time and kept; a key
//! that is revoked is kept as such, so that it stays so however often the host boots.

use crate::config::Settings;
use crate::keeper::Keeper;
use crate::keys;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use denali_protocol::keys::{Key, Role};
use zssh::ed25519_dalek::VerifyingKey;

/// Keys that are known, at most, revoked ones included.
pub const KEYS_MAX: usize = 256;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<'n> {
    /// To look.
    Read,
    /// To change a service.
    Change(&'n str),
    /// To change the host.
    Admin,
}

/// The keys of a host, by fingerprint.
#[derive(Debug, Default)]
pub struct Access {
    keys: BTreeMap<String, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    verifying: VerifyingKey,
    key: Key,
}

impl Access {
    /// Returns the keys of the boot configuration.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let keys = settings.authorized_keys.iter().map(|verifying| {
            let fingerprint = keys::fingerprint(verifying);
            let key = Key {
                fingerprint: fingerprint.clone(),
                key: keys::line(verifying),
                role: Role::Admin,
                comment: "boot configuration".into(),
                by: String::new(),
                at: 0,
                revoked: false,
            };
            let verifying = *verifying;
            (fingerprint, Known { verifying, key })
        });
        Self {
            keys: keys.collect(),
        }
    }

    /// Takes over what is kept, which wins over the boot configuration.
    pub fn load(&mut self, keeper: &Keeper) {
        for key in keeper.keys().into_iter().take(KEYS_MAX) {
            match keys::parse(&key.key) {
                Ok(verifying) => {
                    let known = Known { verifying, key };
                    self.keys.insert(keys::fingerprint(&verifying), known);
                }
                Err(error) => log::warn!("a key that is kept is none: {error}"),
            }
        }
        if !self.keys.values().any(is_admin) {
            log::error!("every administrator's key is revoked: erase the store to get in again");
        }
    }

    /// Returns whether a key opens the host.
    #[must_use]
    pub fn opens(&self, verifying: &VerifyingKey) -> bool {
        let mut known = self.keys.values();
        known.any(|known| !known.key.revoked && known.verifying == *verifying)
    }

    /// Returns the key with this fingerprint, if it opens the host.
    #[must_use]
    pub fn verifying(&self, fingerprint: &str) -> Option<VerifyingKey> {
        let known = self.keys.get(fingerprint)?;
        (!known.key.revoked).then_some(known.verifying)
    }

    /// Returns all keys in order of fingerprint.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.values().map(|known| &known.key)
    }

    /// Checks that a key may do something.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub fn check(&self, fingerprint: &str, wish: Wish<'_>) -> Result<(), String> {
        let known = self.keys.get(fingerprint);
        let Some(known) = known.filter(|known| !known.key.revoked) else {
            return Err("this key is revoked".into());
        };
        let allowed = match (&known.key.role, wish) {
            (Role::Admin, _) | (_, Wish::Read) => true,
            (Role::Deploy(patterns), Wish::Change(name)) => {
                patterns.iter().any(|it| denali_shell::matches(it, name))
            }
            (Role::Deploy(_), Wish::Admin) | (Role::Read, _) => false,
        };
        allowed.then_some(()).ok_or_else(|| match wish {
            Wish::Change(name) => format!("this key may not change `{name}`"),
            Wish::Read | Wish::Admin => "only an administrator's key may do that".into(),
        })
    }

    /// Puts a key in, or gives one another role. Returns it as it is to be kept.
    ///
    /// # Errors
    ///
    /// It is none, there are too many, or nobody could administer the host any more.
    pub fn add(&mut self, line: &str, role: Role, by: String, at: u64) -> Result<Key, String> {
        let verifying = keys::parse(line)?;
        let fingerprint = keys::fingerprint(&verifying);
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&fingerprint) {
            return Err(format!("there are {KEYS_MAX} keys already"));
        }
        if role != Role::Admin {
            self.check_others(&fingerprint)?;
        }
        let comment = line
            .split_whitespace()
            .skip(2)
            .collect::<alloc::vec::Vec<_>>();
        let key = Key {
            fingerprint: fingerprint.clone(),
            key: keys::line(&verifying),
            role,
            comment: comment.join(" "),
            by,
            at,
            revoked: false,
        };
        let known = Known {
            verifying,
            key: key.clone(),
        };
        self.keys.insert(fingerprint, known);
        Ok(key)
    }

    /// Revokes a key. Returns it as it is to be kept; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Nobody could administer the host any more.
    pub fn revoke(&mut self, fingerprint: &str) -> Result<Option<Key>, String> {
        if !self.keys.contains_key(fingerprint) {
            return Ok(None);
        }
        self.check_others(fingerprint)?;
        Ok(self.keys.get_mut(fingerprint).map(|known| {
            known.key.revoked = true;
            known.key.clone()
        }))
    }

    /// Checks that another key than this one is an administrator's.
    fn check_others(&self, fingerprint: &str) -> Result<(), String> {
        let mut others = self.keys.iter().filter(|(it, _)| *it != fingerprint);
        let another = others.any(|(_, known)| is_admin(known));
        let last = || "it is the last administrator's key: add another first".to_string();
        another.then_some(()).ok_or_else(last)
    }
}

fn is_admin(known: &Known) -> bool {
    known.key.role == Role::Admin && !known.key.revoked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, Memory, PUBLIC_KEY};
    use alloc::boxed::Box;
    use alloc::vec;
    use zssh::ed25519_dalek::SigningKey;

    fn line(seed: u8) -> String {
        let key = SigningKey::from_bytes(&[seed; 32]).verifying_key();
        format!("{} somebody {seed}", keys::line(&key))
    }

    fn fingerprint_of(line: &str) -> String {
        keys::fingerprint(&keys::parse(line).unwrap())
    }

    fn access() -> Access {
        Access::new(&fixtures::settings())
    }

    #[test]
    fn each_role_may_do_what_it_says() {
        let mut access = access();
        let boot = fingerprint_of(PUBLIC_KEY);
        let deploy = Role::Deploy(vec!["web".into(), "api-*".into()]);
        let deployer = access.add(&line(1), deploy, boot.clone(), 7).unwrap();
        let reader = access.add(&line(2), Role::Read, boot.clone(), 7).unwrap();
        assert_eq!(deployer.comment, "somebody 1");
        let may = |key: &str, wish| access.check(key, wish).is_ok();
        for wish in [Wish::Read, Wish::Change("web"), Wish::Admin] {
            assert!(may(&boot, wish));
            assert_eq!(may(&reader.fingerprint, wish), wish == Wish::Read);
            let expected = wish != Wish::Admin;
            assert_eq!(may(&deployer.fingerprint, wish), expected);
        }
        assert!(may(&deployer.fingerprint, Wish::Change("api-7")));
        assert!(!may(&deployer.fingerprint, Wish::Change("webs")));
        assert!(!may("SHA256:unknown", Wish::Read));
    }

    #[test]
    fn a_revoked_key_opens_nothing_whatever_the_boot_configuration_says() {
        let (mut keeper, _) = Keeper::open(Box::new(Memory::new(2048)), 1).unwrap();
        let mut access = access();
        let boot = fingerprint_of(PUBLIC_KEY);
        let refused = access.revoke(&boot).unwrap_err();
        assert!(refused.contains("last administrator"));
        let other = access.add(&line(1), Role::Admin, boot.clone(), 7).unwrap();
        keeper.set_key(&other).unwrap();
        let revoked = access.revoke(&boot).unwrap().unwrap();
        keeper.set_key(&revoked).unwrap();
        assert!(!access.opens(&keys::parse(PUBLIC_KEY).unwrap()));
        assert!(access.check(&boot, Wish::Read).is_err());
        assert!(access.add(&line(1), Role::Read, boot.clone(), 8).is_err());
        assert_eq!(access.revoke("SHA256:unknown"), Ok(None));
        let mut again = Access::new(&fixtures::settings());
        again.load(&keeper);
        assert!(!again.opens(&keys::parse(PUBLIC_KEY).unwrap()));
        assert!(again.opens(&keys::parse(&line(1)).unwrap()));
    }

    #[test]
    fn keys_are_bounded() {
        let mut access = access();
        let mut added = 0;
        for seed in 0..=u16::MAX {
            let [low, high] = seed.to_le_bytes();
            let mut bytes = [0; 32];
            (bytes[0], bytes[1]) = (low, high);
            let key = SigningKey::from_bytes(&bytes).verifying_key();
            match access.add(&keys::line(&key), Role::Read, String::new(), 0) {
                Ok(_) => added += 1,
                Err(why) => {
                    assert!(why.contains("already"));
                    break;
                }
            }
        }
        assert_eq!(added, KEYS_MAX - 1);
    }
}
