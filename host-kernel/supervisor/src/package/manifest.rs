//! The manifest of a package, checked key by key.

use super::{MANIFEST_LEN_MAX, PUBLISH_MAX};
use crate::refusal::Refused;
use alloc::format;
use alloc::string::String;
use denali_abi::block::{VOLUME_NAME_MAX, VOLUMES_MAX};
use denali_abi::layout::PAGE_SIZE;
use denali_abi::registers::NAME_MAX;
use denali_protocol::{Check, Manifest, PACKAGE_FORMAT};

/// Longest version in bytes.
const VERSION_LEN_MAX: usize = 64;

/// Longest path of a health check in bytes.
const HEALTH_PATH_MAX: usize = 256;

/// Reads the manifest in `json`.
pub(super) fn parse(json: &[u8]) -> Result<Manifest, Refused> {
    if json.len() > MANIFEST_LEN_MAX {
        return Err(Refused::package(format!(
            "manifest is {} bytes long, at most {MANIFEST_LEN_MAX} are possible",
            json.len()
        )));
    }
    let manifest: Manifest = serde_json::from_slice(json)
        .map_err(|error| Refused::package(format!("manifest is malformed: {error}")))?;
    check(&manifest).map_err(|message| Refused::package(format!("manifest: {message}")))?;
    Ok(manifest)
}

/// Returns whether `name` can be the name of a service.
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty()
        && name.len() <= NAME_MAX
        && !name.starts_with('-')
        && name.bytes().all(allowed)
}

fn check(manifest: &Manifest) -> Result<(), String> {
    if manifest.format != PACKAGE_FORMAT {
        let format = manifest.format;
        return Err(format!(
            "`format` is {format}, this host reads {PACKAGE_FORMAT}"
        ));
    }
    if !is_name(&manifest.name) {
        return Err(format!(
            "`name` must be letters, digits, `-` and `_`, at most {NAME_MAX} of them"
        ));
    }
    if manifest.version.len() > VERSION_LEN_MAX {
        return Err(format!("`version` is longer than {VERSION_LEN_MAX} bytes"));
    }
    if manifest.memory == 0 || !manifest.memory.is_multiple_of(PAGE_SIZE) {
        return Err(format!(
            "`memory` must be a multiple of {PAGE_SIZE} bytes above 0"
        ));
    }
    if !manifest.limits.is_valid() {
        return Err("`limits` has a value out of range".into());
    }
    check_health(manifest)?;
    check_volumes(manifest)?;
    check_ports(manifest)?;
    check_arguments(manifest)
}

fn check_health(manifest: &Manifest) -> Result<(), String> {
    let (port, path) = match &manifest.health {
        None | Some(Check::Ready) => return Ok(()),
        Some(Check::Tcp { port }) => (*port, "/"),
        Some(Check::Http { port, path }) => (*port, path.as_str()),
    };
    let sound = path.starts_with('/')
        && path.len() <= HEALTH_PATH_MAX
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if port == 0 || !sound {
        return Err("`health` must have a port above 0 and a path that begins with `/`".into());
    }
    Ok(())
}

fn check_volumes(manifest: &Manifest) -> Result<(), String> {
    if manifest.volumes.len() > VOLUMES_MAX {
        return Err(format!("`volumes` has more than {VOLUMES_MAX}"));
    }
    for (index, volume) in manifest.volumes.iter().enumerate() {
        if !is_name(&volume.name) || volume.name.len() > VOLUME_NAME_MAX {
            return Err(format!(
                "`volumes` has the name `{}`: letters, digits, `-` and `_`, at most \
                 {VOLUME_NAME_MAX}",
                volume.name.escape_debug()
            ));
        }
        if volume.size == 0 || !volume.size.is_multiple_of(PAGE_SIZE) {
            return Err(format!(
                "`volumes` has a size that is no multiple of {PAGE_SIZE} above 0"
            ));
        }
        let mut before = manifest.volumes[..index].iter();
        if before.any(|other| other.name == volume.name) {
            return Err(format!("`volumes` has `{}` twice", volume.name));
        }
    }
    Ok(())
}

fn check_ports(manifest: &Manifest) -> Result<(), String> {
    if manifest.publish.len() > PUBLISH_MAX {
        return Err(format!("`publish` has more than {PUBLISH_MAX} ports"));
    }
    for (index, port) in manifest.publish.iter().enumerate() {
        if port.host == 0 || port.guest == 0 {
            return Err("`publish` has port 0".into());
        }
        let same = |other: &&denali_protocol::PublishedPort| {
            other.host == port.host && other.protocol == port.protocol
        };
        if manifest.publish[..index].iter().find(same).is_some() {
            return Err(format!("`publish` has host port {} twice", port.host));
        }
    }
    Ok(())
}

/// Checks that the strings survive the encoding: an empty argument would end the arguments, a NUL
/// would end a string, and a `=` in a key would move into the value.
fn check_arguments(manifest: &Manifest) -> Result<(), String> {
    let has_nul = |text: &String| text.contains('\0');
    if manifest
        .arguments
        .iter()
        .any(|argument| argument.is_empty() || has_nul(argument))
    {
        return Err("`arguments` has an empty string or one with a NUL".into());
    }
    for (key, value) in &manifest.environment {
        if key.is_empty() || key.contains('=') || has_nul(key) || has_nul(value) {
            return Err(format!(
                "`environment` has an impossible entry `{}`",
                key.escape_debug()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::manifest;
    use denali_protocol::{PublishedPort, Transport};

    #[test]
    fn names_are_short_and_plain() {
        for name in ["a", "web-server", "x_9", "0123456789abcdef0123456789abcdef"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "a b",
            "-a",
            "ä",
            "a/b",
            "0123456789abcdef0123456789abcdef0",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn each_mistake_is_named_by_its_key() {
        type Change = fn(&mut Manifest);
        let port = PublishedPort {
            host: 80,
            guest: 80,
            protocol: Transport::Tcp,
        };
        assert_eq!(manifest("a").publish[0].host, 8080);
        let cases: [(&str, Change); 13] = [
            ("format", |manifest| manifest.format = 2),
            ("name", |manifest| manifest.name = "a b".into()),
            ("version", |manifest| manifest.version = "1".repeat(65)),
            ("memory", |manifest| manifest.memory = 0),
            ("memory", |manifest| manifest.memory = 4097),
            ("limits", |manifest| manifest.limits.cpu_weight = 0),
            ("limits", |manifest| manifest.limits.cpu_cap = Some(1001)),
            ("publish", |manifest| manifest.publish[0].guest = 0),
            ("publish", |manifest| {
                manifest.publish.push(manifest.publish[0]);
            }),
            ("publish", |manifest| {
                manifest.publish = alloc::vec![manifest.publish[0]; 33];
            }),
            ("arguments", |manifest| {
                manifest.arguments.push(String::new());
            }),
            ("arguments", |manifest| {
                manifest.arguments.push("a\0b".into());
            }),
            ("environment", |manifest| {
                manifest.environment.insert("A=B".into(), String::new());
            }),
        ];
        for (key, change) in cases {
            let mut manifest = manifest("a");
            change(&mut manifest);
            let refused = parse(&serde_json::to_vec(&manifest).unwrap()).expect_err(key);
            assert!(
                refused.message.contains(&format!("`{key}`")),
                "{}",
                refused.message
            );
        }
        let mut both = manifest("a");
        let udp = PublishedPort {
            protocol: Transport::Udp,
            ..port
        };
        both.publish = alloc::vec![port, udp];
        assert!(parse(&serde_json::to_vec(&both).unwrap()).is_ok());
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for json in [
            &b""[..],
            b"{}",
            b"null",
            b"\xff",
            b"{\"format\":1,\"surprise\":true}",
        ] {
            assert!(parse(json).is_err());
        }
        assert!(
            parse(&alloc::vec![b' '; MANIFEST_LEN_MAX + 1])
                .unwrap_err()
                .message
                .contains("at most")
        );
    }
}
