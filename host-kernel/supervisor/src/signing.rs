//! Signatures of deployments: checked before anything is created, and again before a release that is
//! kept comes back.

use crate::config::Settings;
use crate::hex;
use crate::keys;
use alloc::format;
use alloc::string::String;
use denali_protocol::releases::Release;
use denali_protocol::signing::{self, SIGNATURE_LEN, Signature};
use zssh::ed25519_dalek::{self, SigningKey, VerifyingKey};

/// Returns the host's key as OpenSSH prints it.
#[must_use]
pub fn host_line(settings: &Settings) -> String {
    keys::line(&SigningKey::from_bytes(&settings.host_key).verifying_key())
}

/// Checks the signature of a deployment, and returns it as it is kept.
///
/// # Errors
///
/// What it does not fit.
pub fn check(
    key: &VerifyingKey,
    host: &str,
    service: &str,
    release: u32,
    package: &[u8; 32],
    value: &[u8; SIGNATURE_LEN],
) -> Result<Signature, String> {
    let message = signing::message(host, service, release, &hex::encode(package));
    let signature = ed25519_dalek::Signature::from_bytes(value);
    key.verify_strict(message.as_bytes(), &signature)
        .map_err(|_| {
            format!(
                "the signature does not fit this package, host and service, and release {release}"
            )
        })?;
    Ok(Signature {
        key: keys::line(key),
        release,
        value: hex::encode(value),
    })
}

/// Checks the signature that is kept with a release; one that was not signed has none.
///
/// # Errors
///
/// What it does not fit.
pub fn check_kept(host: &str, service: &str, release: &Release) -> Result<(), String> {
    let Some(kept) = &release.signature else {
        return Ok(());
    };
    let malformed = || String::from("the signature that is kept is none");
    let key = keys::parse(&kept.key)?;
    let package = hex::decode(&release.package).ok_or_else(malformed)?;
    let value = hex::decode(&kept.value).ok_or_else(malformed)?;
    check(&key, host, service, kept.release, &package, &value).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: [u8; 32] = [9; 32];

    fn sign(host: &str, service: &str, release: u32, package: &[u8; 32]) -> [u8; SIGNATURE_LEN] {
        let message = signing::message(host, service, release, &hex::encode(package));
        let key = SigningKey::from_bytes(&[5; 32]);
        ed25519_dalek::Signer::sign(&key, message.as_bytes()).to_bytes()
    }

    #[test]
    fn a_signature_is_good_for_one_deployment() {
        let key = SigningKey::from_bytes(&[5; 32]).verifying_key();
        let good = sign("host", "web", 7, &PACKAGE);
        let fits = |host: &str,
                    service: &str,
                    release: u32,
                    package: &[u8; 32],
                    value: &[u8; SIGNATURE_LEN]| {
            check(&key, host, service, release, package, value).is_ok()
        };
        assert!(fits("host", "web", 7, &PACKAGE, &good));
        assert!(!fits("other", "web", 7, &PACKAGE, &good));
        assert!(!fits("host", "api", 7, &PACKAGE, &good));
        assert!(!fits("host", "web", 8, &PACKAGE, &good));
        assert!(!fits("host", "web", 7, &[8; 32], &good));
        for bit in 0..8 * SIGNATURE_LEN {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!fits("host", "web", 7, &PACKAGE, &bad), "bit {bit}");
        }
        let stranger = SigningKey::from_bytes(&[6; 32]).verifying_key();
        assert!(check(&stranger, "host", "web", 7, &PACKAGE, &good).is_err());
    }
}
