//! `[package.metadata.denali]`: what a service asks of its host.
//!
//! ```toml
//! [package.metadata.denali]
//! memory = "2M"                       # required
//! publish = ["8080:80", "53:53/udp"]  # host:guest
//! arguments = ["--verbose"]
//! environment = { GREETING = "hello" }
//! include = ["static/", "app.toml"]   # files that a program with `std` can read
//! address = "dhcp"                    # or "10.90.4.5"; default: one from the host's pool
//! cpu = { weight = 300, cap = 0.5 }   # default: weight 100, no cap
//! rate = { packets = "10k/s", bytes = "1M/s" }  # default: no bound
//! health = "http:80/health"           # or "tcp:80", "ready"; default: the first published TCP port
//! restart = "on-failure"              # or "always"; default: "never"
//! volume = ["data:64M"]               # disks that outlive releases and reboots
//! ```
//!
//! Errors point at the line of the key they speak of.

mod limits;

use crate::failure::{Failure, Status};
use anyhow::{Context, Result};
use denali_abi::block::{VOLUME_NAME_MAX, VOLUMES_MAX};
use denali_abi::convert::usize_to_u64;
use denali_abi::layout::{GUEST_END, PAGE_SIZE};
use denali_abi::registers::{ARGUMENTS_MAX, NAME_MAX};
use denali_protocol::{Address, Check, Limits, PublishedPort, Restart, Transport, VolumeRequest};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::{Component, Path};
use toml_edit::{Document, Item, TableLike};

/// The table's name in `Cargo.toml`.
const TABLE: &str = "package.metadata.denali";

/// The keys of the table.
const KEYS: [&str; 11] = [
    "memory",
    "publish",
    "arguments",
    "environment",
    "include",
    "address",
    "cpu",
    "rate",
    "volume",
    "health",
    "restart",
];

/// The least memory a service can be given, in bytes: a few pages and what the kernel keeps for it.
const MEMORY_MIN: u64 = 64 << 10;

/// The settings of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Memory limit in bytes, a multiple of the page size.
    pub memory: u64,
    /// Ports to publish on the host.
    pub publish: Vec<PublishedPort>,
    /// Arguments of the service.
    pub arguments: Vec<String>,
    /// Environment of the service.
    pub environment: BTreeMap<String, String>,
    /// Files and folders to pack into the image, relative to the manifest.
    pub include: Vec<String>,
    /// `None` takes an address from the host's pool.
    pub address: Option<Address>,
    /// What it may take of CPU and network.
    pub limits: Limits,
    /// Disks of its own.
    pub volumes: Vec<VolumeRequest>,
    /// How to tell that it does what it is for.
    pub health: Option<Check>,
    /// What happens when it ends though nobody asked it to.
    pub restart: Restart,
}

/// Reads the settings from the manifest at `path`.
///
/// # Errors
///
/// The file cannot be read, is no TOML, or breaks a rule; the message names file, line and key.
pub fn read(path: &Path) -> Result<Settings> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
    parse(&text, &path.display().to_string()).map_err(Into::into)
}

/// Checks a service's name, which is its package's name.
///
/// # Errors
///
/// It is longer than a host can keep.
pub fn check_name(name: &str) -> Result<(), Failure> {
    if name.len() <= NAME_MAX {
        return Ok(());
    }
    Err(Failure::new(
        Status::Usage,
        format!(
            "the name `{name}` has {} bytes, a service's name has at most {NAME_MAX}",
            name.len()
        ),
    )
    .help("shorten `package.name` in Cargo.toml"))
}

/// Parses the settings from a manifest's `text`; `file` is its name in errors.
///
/// # Errors
///
/// As [`read`].
pub fn parse(text: &str, file: &str) -> Result<Settings, Failure> {
    let document = Document::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        Failure::new(Status::Usage, format!("{file}:{line}: {}", error.message()))
    })?;
    let reader = Reader { text, file };
    let missing = || {
        reader
            .failure(None, format!("[{TABLE}] is missing"))
            .help(format!("add to Cargo.toml: [{TABLE}] with memory = \"2M\""))
    };
    let mut item = document.as_item();
    for key in TABLE.split('.') {
        item = item.get(key).ok_or_else(missing)?;
    }
    let table = item
        .as_table_like()
        .ok_or_else(|| reader.failure(item.span(), format!("{TABLE} is not a table")))?;
    reader.check_keys(table)?;
    let settings = Settings {
        memory: reader.memory(table, item.span())?,
        publish: reader.publish(table)?,
        volumes: reader.volumes(table)?,
        health: reader.health(table)?,
        restart: reader.restart(table)?,
        arguments: reader.arguments(table)?,
        environment: reader.environment(table)?,
        include: reader.include(table)?,
        address: reader.address(table)?,
        limits: reader.limits(table)?,
    };
    reader.check_length(&settings, item.span())?;
    Ok(settings)
}

/// A string of the manifest and where it stands.
type Spanned<'t> = (&'t str, Option<Range<usize>>);

/// The text at hand and the name to cite it by.
struct Reader<'a> {
    text: &'a str,
    file: &'a str,
}

impl Reader<'_> {
    fn failure(&self, span: Option<Range<usize>>, what: impl AsRef<str>) -> Failure {
        let at = span.map_or_else(
            || self.file.to_owned(),
            |span| format!("{}:{}", self.file, line_of(self.text, span.start)),
        );
        Failure::new(Status::Usage, format!("{at}: {}", what.as_ref()))
    }

    fn check_keys(&self, table: &dyn TableLike) -> Result<(), Failure> {
        for (name, item) in table.iter() {
            if !KEYS.contains(&name) {
                let span = table
                    .key(name)
                    .and_then(toml_edit::Key::span)
                    .or_else(|| item.span());
                return Err(self
                    .failure(span, format!("{TABLE} has no key `{name}`"))
                    .help(format!("the keys are {}", KEYS.join(", "))));
            }
        }
        Ok(())
    }

    fn memory(&self, table: &dyn TableLike, at: Option<Range<usize>>) -> Result<u64, Failure> {
        let example = "write for example memory = \"2M\"";
        let Some(item) = table.get("memory") else {
            return Err(self
                .failure(at, format!("{TABLE} has no key `memory`"))
                .help(example));
        };
        let text = self
            .string("memory", item)
            .map_err(|failure| failure.help(example))?;
        let wrong = |what: &str| {
            self.failure(item.span(), format!("{TABLE}.memory: \"{text}\" {what}"))
                .help(example)
        };
        let bytes =
            parse_memory(text).ok_or_else(|| wrong("is not an amount of memory in K, M or G"))?;
        if bytes < MEMORY_MIN {
            return Err(wrong("is less than the least a service can run in, 64K"));
        }
        if bytes > GUEST_END {
            return Err(wrong("is more than a service can address, 2G"));
        }
        Ok(bytes)
    }

    fn publish(&self, table: &dyn TableLike) -> Result<Vec<PublishedPort>, Failure> {
        let mut ports = Vec::new();
        for (text, span) in self.strings(table, "publish")? {
            let wrong = |what: &str| {
                self.failure(span.clone(), format!("{TABLE}.publish: \"{text}\" {what}"))
                    .help("write host:guest, for example publish = [\"8080:80\", \"53:53/udp\"]")
            };
            let port =
                parse_port(text).ok_or_else(|| wrong("does not name ports from 1 to 65535"))?;
            let taken =
                |other: &PublishedPort| (other.host, other.protocol) == (port.host, port.protocol);
            if ports.iter().any(taken) {
                return Err(wrong("publishes a port of the host twice"));
            }
            ports.push(port);
        }
        Ok(ports)
    }

    fn health(&self, table: &dyn TableLike) -> Result<Option<Check>, Failure> {
        let Some(item) = table.get("health") else {
            return Ok(None);
        };
        let text = self.string("health", item)?;
        let wrong = || {
            self.failure(
                item.span(),
                format!("{TABLE}.health: \"{text}\" is no check"),
            )
            .help("write for example \"tcp:80\", \"http:80/health\" or \"ready\"")
        };
        parse_check(text).map(Some).ok_or_else(wrong)
    }

    fn restart(&self, table: &dyn TableLike) -> Result<Restart, Failure> {
        let Some(item) = table.get("restart") else {
            return Ok(Restart::Never);
        };
        let text = self.string("restart", item)?;
        let found = Restart::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| {
            self.failure(
                item.span(),
                format!("{TABLE}.restart: \"{text}\" is no policy"),
            )
            .help("write \"never\", \"on-failure\" or \"always\"")
        })
    }

    fn volumes(&self, table: &dyn TableLike) -> Result<Vec<VolumeRequest>, Failure> {
        let mut volumes: Vec<VolumeRequest> = Vec::new();
        for (text, span) in self.strings(table, "volume")? {
            let wrong = |what: &str| {
                self.failure(span.clone(), format!("{TABLE}.volume: \"{text}\" {what}"))
                    .help("write name:size, for example volume = [\"data:64M\"]")
            };
            let volume = parse_volume(text).ok_or_else(|| wrong("is no volume"))?;
            if volumes.iter().any(|other| other.name == volume.name) {
                return Err(wrong("has its name twice"));
            }
            volumes.push(volume);
        }
        if volumes.len() > VOLUMES_MAX {
            let what = format!("{TABLE}.volume: a service has at most {VOLUMES_MAX}");
            return Err(self.failure(None, what));
        }
        Ok(volumes)
    }

    fn arguments(&self, table: &dyn TableLike) -> Result<Vec<String>, Failure> {
        let mut arguments = Vec::new();
        for (text, span) in self.strings(table, "arguments")? {
            if text.is_empty() || text.contains('\0') {
                return Err(self.failure(
                    span,
                    format!("{TABLE}.arguments: an argument is empty or contains a zero byte"),
                ));
            }
            arguments.push(text.to_owned());
        }
        Ok(arguments)
    }

    fn environment(&self, table: &dyn TableLike) -> Result<BTreeMap<String, String>, Failure> {
        let Some(item) = table.get("environment") else {
            return Ok(BTreeMap::new());
        };
        let variables = item.as_table_like().ok_or_else(|| {
            self.failure(
                item.span(),
                format!("{TABLE}.environment is not a table of strings"),
            )
            .help("write for example environment = { GREETING = \"hello\" }")
        })?;
        let mut environment = BTreeMap::new();
        for (name, value) in variables.iter() {
            let text = self.string(&format!("environment.{name}"), value)?;
            if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
                return Err(self.failure(
                    value.span(),
                    format!(
                        "{TABLE}.environment: `{name}` is not a name and value without zero bytes"
                    ),
                ));
            }
            environment.insert(name.to_owned(), text.to_owned());
        }
        Ok(environment)
    }

    fn include(&self, table: &dyn TableLike) -> Result<Vec<String>, Failure> {
        let mut paths = Vec::new();
        for (text, span) in self.strings(table, "include")? {
            let path = Path::new(text);
            let inside = path
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            if text.is_empty() || !inside {
                let what =
                    format!("{TABLE}.include: \"{text}\" is not a path below the project's folder");
                let failure = self.failure(span, what);
                return Err(failure.help("write for example include = [\"static/\"]"));
            }
            paths.push(text.to_owned());
        }
        Ok(paths)
    }

    fn address(&self, table: &dyn TableLike) -> Result<Option<Address>, Failure> {
        let Some(item) = table.get("address") else {
            return Ok(None);
        };
        let text = self.string("address", item)?;
        if text == "dhcp" {
            return Ok(Some(Address::Dhcp));
        }
        let address: Ipv4Addr = text.parse().map_err(|_| {
            self.failure(
                item.span(),
                format!("{TABLE}.address: \"{text}\" is neither \"dhcp\" nor an IPv4 address"),
            )
        })?;
        Ok(Some(Address::Static(address.octets())))
    }

    /// Checks that arguments and environment fit the page the service reads them from.
    fn check_length(&self, settings: &Settings, at: Option<Range<usize>>) -> Result<(), Failure> {
        let arguments: usize = settings.arguments.iter().map(|text| text.len() + 1).sum();
        let environment: usize = settings
            .environment
            .iter()
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum();
        let length = arguments + 1 + environment;
        if length <= ARGUMENTS_MAX {
            return Ok(());
        }
        let what = format!(
            "arguments and environment take {length} bytes, a service has room for {ARGUMENTS_MAX}"
        );
        Err(self
            .failure(at, what)
            .help("embed long settings in the service as a file"))
    }

    fn string<'t>(&self, key: &str, item: &'t Item) -> Result<&'t str, Failure> {
        item.as_str().ok_or_else(|| {
            self.failure(
                item.span(),
                format!(
                    "{TABLE}.{key} is of type {}, not a string",
                    item.type_name()
                ),
            )
        })
    }

    fn strings<'t>(
        &self,
        table: &'t dyn TableLike,
        key: &str,
    ) -> Result<Vec<Spanned<'t>>, Failure> {
        let Some(item) = table.get(key) else {
            return Ok(Vec::new());
        };
        let wrong = |span| self.failure(span, format!("{TABLE}.{key} is not an array of strings"));
        let array = item.as_array().ok_or_else(|| wrong(item.span()))?;
        array
            .iter()
            .map(|value| {
                let text = value.as_str().ok_or_else(|| wrong(value.span()))?;
                Ok((text, value.span()))
            })
            .collect()
    }
}

/// Parses an amount of memory in bytes, rounded up to whole pages: `512K`, `2M`, `1G`, `4 MiB`.
#[must_use]
pub fn parse_memory(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].trim_start() {
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    bytes.checked_next_multiple_of(PAGE_SIZE)
}

/// Parses a check: `tcp:80`, `http:80/health`, `ready`.
fn parse_check(text: &str) -> Option<Check> {
    let port = |digits: &str| digits.parse().ok().filter(|port| *port > 0);
    if text == "ready" {
        return Some(Check::Ready);
    }
    match text.split_once(':')? {
        ("tcp", digits) => Some(Check::Tcp {
            port: port(digits)?,
        }),
        ("http", rest) => {
            let at = rest.find('/')?;
            let (digits, path) = rest.split_at(at);
            let plain = path.bytes().all(|byte| byte.is_ascii_graphic());
            plain.then_some(Check::Http {
                port: port(digits)?,
                path: path.to_owned(),
            })
        }
        _ => None,
    }
}

/// Parses a volume: `data:64M`.
fn parse_volume(text: &str) -> Option<VolumeRequest> {
    let (name, size) = text.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let sound = !name.is_empty() && name.len() <= VOLUME_NAME_MAX && name.bytes().all(plain);
    let size = parse_memory(size).filter(|size| *size > 0)?;
    sound.then(|| VolumeRequest {
        name: name.to_owned(),
        size,
    })
}

/// Parses a published port: `80`, `8080:80`, `53:53/udp`.
#[must_use]
pub fn parse_port(text: &str) -> Option<PublishedPort> {
    let (ports, protocol) = match text.split_once('/') {
        None => (text, Transport::Tcp),
        Some((ports, "tcp")) => (ports, Transport::Tcp),
        Some((ports, "udp")) => (ports, Transport::Udp),
        Some(_) => return None,
    };
    let (host, guest) = ports.split_once(':').unwrap_or((ports, ports));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    Some(PublishedPort {
        host: number(host)?,
        guest: number(guest)?,
        protocol,
    })
}

/// Returns the number of the line that holds byte `offset`, counted from 1.
fn line_of(text: &str, offset: usize) -> u64 {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + usize_to_u64(before.iter().filter(|byte| **byte == b'\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(lines: &str) -> String {
        format!("[package]\nname = \"web\"\n\n[package.metadata.denali]\n{lines}\n")
    }

    #[test]
    fn all_keys_are_read() {
        let text = with(
            "memory = \"2M\"\npublish = [\"8080:80\", \"53:53/udp\"]\narguments = [\"-v\"]\n\
             environment = { A = \"b\" }\ninclude = [\"static/\"]\naddress = \"10.90.4.5\"\n\
             cpu = { weight = 300, cap = 0.5 }\nrate = { packets = \"10k/s\" }",
        );
        let settings = parse(&text, "Cargo.toml").unwrap();
        assert_eq!(settings.memory, 2 << 20);
        assert_eq!(
            settings.publish,
            [
                PublishedPort {
                    host: 8080,
                    guest: 80,
                    protocol: Transport::Tcp
                },
                PublishedPort {
                    host: 53,
                    guest: 53,
                    protocol: Transport::Udp
                },
            ]
        );
        assert_eq!(settings.arguments, ["-v"]);
        assert_eq!(settings.environment["A"], "b");
        assert_eq!(settings.include, ["static/"]);
        assert_eq!(settings.address, Some(Address::Static([10, 90, 4, 5])));
        let limits = settings.limits.to_string();
        assert_eq!(limits, "weight 300, cap 0.5, packets 10k/s, bytes -");
    }

    #[test]
    fn each_mistake_is_shown_with_its_line_and_key() {
        let cases = [
            (
                "",
                "Cargo.toml:4: package.metadata.denali has no key `memory`",
            ),
            (
                "memory = 2",
                "Cargo.toml:5: package.metadata.denali.memory is of type integer",
            ),
            (
                "memory = \"2X\"",
                "Cargo.toml:5: package.metadata.denali.memory: \"2X\" is not",
            ),
            (
                "memory = \"1K\"",
                "Cargo.toml:5: package.metadata.denali.memory: \"1K\" is less",
            ),
            (
                "memory = \"3G\"",
                "Cargo.toml:5: package.metadata.denali.memory: \"3G\" is more",
            ),
            (
                "memory = \"2M\"\nport = 80",
                "Cargo.toml:6: package.metadata.denali has no key `port`",
            ),
            (
                "memory = \"2M\"\npublish = 80",
                "Cargo.toml:6: package.metadata.denali.publish is not",
            ),
            (
                "memory = \"2M\"\npublish = [\n\"0:80\"]",
                "Cargo.toml:7: package.metadata.denali.publish: \"0:80\"",
            ),
            (
                "memory = \"2M\"\npublish = [\"80\", \"80:1\"]",
                "publishes a port of the host twice",
            ),
            (
                "memory = \"2M\"\narguments = [\"\"]",
                "Cargo.toml:6: package.metadata.denali.arguments",
            ),
            (
                "memory = \"2M\"\nenvironment = { A = 1 }",
                "denali.environment.A is of type integer",
            ),
            (
                "memory = \"2M\"\naddress = \"10.0\"",
                "Cargo.toml:6: package.metadata.denali.address",
            ),
            ("memory = ", "Cargo.toml:5: "),
        ];
        for (lines, expected) in cases {
            let failure = parse(&with(lines), "Cargo.toml").unwrap_err();
            assert!(failure.to_string().contains(expected), "{lines}: {failure}");
            assert_eq!(failure.status(), Status::Usage);
        }
    }

    #[test]
    fn a_manifest_without_the_table_says_what_to_add() {
        let failure = parse("[package]\nname = \"web\"\n", "Cargo.toml").unwrap_err();
        assert_eq!(
            failure.to_string(),
            "Cargo.toml: [package.metadata.denali] is missing"
        );
        assert!(failure.hint().unwrap().contains("memory = \"2M\""));
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused() {
        let text = with(&format!(
            "memory = \"2M\"\narguments = [\"{}\"]",
            "x".repeat(ARGUMENTS_MAX)
        ));
        let failure = parse(&text, "Cargo.toml").unwrap_err();
        assert!(
            failure.to_string().contains("a service has room for 3072"),
            "{failure}"
        );
    }

    #[test]
    fn amounts_of_memory_are_rounded_up_to_pages() {
        assert_eq!(parse_memory("65K"), Some(68 << 10));
        assert_eq!(parse_memory("4 MiB"), Some(4 << 20));
        for text in ["", "M", "1", "1.5M", "-1M", "99999999999999999999G", "1T"] {
            assert_eq!(parse_memory(text), None, "{text}");
        }
    }
}
