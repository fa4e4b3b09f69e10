//! Public keys that may log in, as lines of an OpenSSH `authorized_keys` file.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64, Base64Unpadded, Encoding as _};
use sha2::{Digest as _, Sha256};
use zssh::ed25519_dalek::VerifyingKey;

/// The only kind of key we accept.
const ALGORITHM: &str = "ssh-ed25519";

/// Length of the SSH encoding of an Ed25519 public key: two length-prefixed strings (RFC 8709 §4).
/// A multiple of three, so its base64 has no padding.
const BLOB_LEN: usize = 4 + ALGORITHM.len() + 4 + 32;

/// Returns the key in a line such as `ssh-ed25519 AAAA… comment`.
///
/// # Errors
///
/// One line that says what is wrong with the key.
pub fn parse(line: &str) -> Result<VerifyingKey, String> {
    let mut words = line.split_ascii_whitespace();
    let algorithm = words.next().unwrap_or_default();
    if algorithm != ALGORITHM {
        return Err(format!(
            "key of kind `{algorithm}`: only {ALGORITHM} keys may log in"
        ));
    }
    let encoded = words
        .next()
        .ok_or_else(|| format!("`{ALGORITHM}` without a key behind it"))?;
    let mut buffer = [0; BLOB_LEN];
    let blob = Base64::decode(encoded, &mut buffer)
        .ok()
        .and_then(key_bytes)
        .ok_or_else(|| format!("`{encoded}` is no {ALGORITHM} key"))?;
    VerifyingKey::from_bytes(&blob).map_err(|_| format!("`{encoded}` is no point of the curve"))
}

/// Returns a key as OpenSSH prints it.
#[must_use]
pub fn line(key: &VerifyingKey) -> String {
    let mut blob = Vec::with_capacity(BLOB_LEN);
    for part in [ALGORITHM.as_bytes(), key.as_bytes()] {
        blob.extend(u32::try_from(part.len()).unwrap_or(0).to_be_bytes());
        blob.extend(part);
    }
    let mut buffer = [0; 2 * BLOB_LEN];
    let encoded = Base64::encode(&blob, &mut buffer);
    format!("{ALGORITHM} {}", encoded.unwrap_or_default())
}

/// Returns the fingerprint of a key as OpenSSH prints it: the SHA-256 of its SSH encoding.
#[must_use]
pub fn fingerprint(key: &VerifyingKey) -> String {
    let mut digest = Sha256::new();
    for part in [ALGORITHM.as_bytes(), key.as_bytes()] {
        digest.update(u32::try_from(part.len()).unwrap_or(0).to_be_bytes());
        digest.update(part);
    }
    let mut buffer = [0; 64];
    let encoded = Base64Unpadded::encode(&digest.finalize(), &mut buffer);
    format!("SHA256:{}", encoded.unwrap_or_default())
}

/// Returns the key inside its SSH encoding.
fn key_bytes(blob: &[u8]) -> Option<[u8; 32]> {
    let (kind, rest) = string(blob)?;
    let (key, rest) = string(rest)?;
    if kind != ALGORITHM.as_bytes() || !rest.is_empty() {
        return None;
    }
    key.try_into().ok()
}

/// Splits a length-prefixed string off `blob`.
fn string(blob: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = blob.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::PUBLIC_KEY;

    #[test]
    fn a_key_as_openssh_prints_it_is_read() {
        assert!(parse(PUBLIC_KEY).is_ok());
        assert_eq!(
            parse(PUBLIC_KEY),
            parse(&format!("  {PUBLIC_KEY} someone@example"))
        );
        let key = parse(PUBLIC_KEY).unwrap();
        assert_eq!(PUBLIC_KEY, format!("{} admin", line(&key)));
    }

    #[test]
    fn a_fingerprint_is_what_openssh_prints() {
        // By `ssh-keygen -l -f`.
        let key = parse(PUBLIC_KEY).unwrap();
        assert_eq!(
            fingerprint(&key),
            "SHA256:n6W4LgQ+G/bwRW6JVSq8VC+sLJZXh8DK0r/8UseUHgc"
        );
    }

    #[test]
    fn every_other_line_is_refused_with_a_reason() {
        let truncated = &PUBLIC_KEY[..PUBLIC_KEY.len() - 8];
        for line in [
            "",
            "ssh-rsa AAAA",
            "ssh-ed25519",
            "ssh-ed25519 !!!!",
            "ssh-ed25519 AAAA",
            truncated,
        ] {
            assert!(!parse(line).expect_err(line).is_empty());
        }
    }
}
