//! `deploy`: receive a package, check it whole, run it.

use super::{Format, Stop, Words, allow, print, print_json, table};
use crate::access::Wish;
use crate::deploy::Deployed;
use crate::hex;
use crate::package;
use crate::refusal::Refused;
use crate::releases::{self, Deployer};
use crate::shared::{Shared, UploadSlot};
use crate::signing;
use crate::terminal::{Flow, Terminal};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use denali_abi::convert::u64_to_usize;
use denali_protocol::signing::{SIGNATURE_LEN, Signature};
use denali_protocol::{DeployStep, PACKAGE_LEN_MAX, Service};
use sha2::{Digest as _, Sha256};

/// Most copies that one deployment makes.
const COPIES_MAX: u32 = 100_000;

/// Copies made before other logins and the network get their turn.
const COPIES_BETWEEN_PAUSES: u32 = 16;

/// Copies made between two words about it.
const COPIES_BETWEEN_REPORTS: u32 = 1000;

/// How often a login asks for the upload slot, and how long it waits between.
const SLOT_TRIES: u32 = 300;
const SLOT_PAUSE: Duration = Duration::from_millis(100);

/// What a deployer announces.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Args<'a> {
    name: &'a str,
    length: u64,
    digest: [u8; 32],
    /// How many services to make of it, named `NAME-1` and so on; `None` makes the one.
    copies: Option<u32>,
    /// Whether it begins with the first packet for it.
    dormant: bool,
    /// Whether a signature follows the package.
    signed: bool,
    format: Format,
}

impl<'a> Args<'a> {
    fn parse(mut words: Words<'a>, format: Format) -> Result<Self, Refused> {
        let usage = |stop: Stop| match stop {
            Stop::Failed { message, .. } => Refused::usage(message),
            Stop::Closed => Refused::usage(String::new()),
        };
        let length = words
            .option("--length")
            .map_err(usage)?
            .and_then(|digits| digits.parse().ok())
            .filter(|length| *length > 0)
            .ok_or_else(|| Refused::usage("deploy needs --length with the package's bytes"))?;
        let digest = words
            .option("--sha256")
            .map_err(usage)?
            .and_then(hex::decode)
            .ok_or_else(|| Refused::usage("deploy needs --sha256 with 64 hexadecimal digits"))?;
        let copies = match words.option("--copies").map_err(usage)? {
            None => None,
            Some(digits) => Some(
                digits
                    .parse()
                    .ok()
                    .filter(|copies| (1..=COPIES_MAX).contains(copies))
                    .ok_or_else(|| Refused::usage("--copies takes a number from 1 to 100000"))?,
            ),
        };
        let dormant = words.flag("--dormant");
        let signed = words.flag("--signed");
        let name = words.name().map_err(usage)?;
        if length > PACKAGE_LEN_MAX {
            return Err(Refused::admission(format!(
                "package is {length} bytes long, this host takes at most {PACKAGE_LEN_MAX}: \
                 embed less in the service"
            )));
        }
        Ok(Self {
            name,
            length,
            digest,
            copies,
            dormant,
            signed,
            format,
        })
    }
}

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let deployed = Args::parse(words, format)
        .map_err(Failed::from)
        .and_then(|args| {
            allow(Wish::Change(args.name), shared, terminal)?;
            deploy(&args, shared, terminal)
        });
    match deployed {
        Err(Failed::Refused(refused)) => {
            if format == Format::Json {
                let Refused { kind, message } = refused.clone();
                print_json(terminal, &DeployStep::Refused { kind, message })?;
            }
            Err(refused.into())
        }
        Err(Failed::Stop(stop)) => Err(stop),
        Ok(()) => Ok(()),
    }
}

/// A refusal, which `--json` shows as a step, or the end of the login.
enum Failed {
    Refused(Refused),
    Stop(Stop),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Stop> for Failed {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

fn deploy(args: &Args<'_>, shared: &Shared, terminal: &mut dyn Terminal) -> Result<(), Failed> {
    let _slot = wait_for_slot(shared, terminal)?;
    let host = shared.with(|supervisor| signing::host_line(supervisor.settings()));
    let release = match args.copies {
        None => releases::next_number(shared, args.name),
        Some(_) => 0,
    };
    let ready = DeployStep::Ready {
        host: host.clone(),
        release,
    };
    show(args, terminal, &ready)?;
    let (bytes, value) = receive(args, terminal)?;
    show(
        args,
        terminal,
        &DeployStep::Verified {
            length: args.length,
        },
    )?;
    let mut package = package::parse(&bytes, args.name)?;
    if args.dormant {
        package = package.into_dormant();
    }
    let deployer = Deployer {
        who: terminal.who(),
        of: None,
        signature: signature(args, value, &host, release, shared, terminal)?,
    };
    let deployed = match args.copies {
        None => releases::deploy(shared, &bytes, package, &deployer)?,
        Some(copies) => deploy_copies(&package.without_ports(), copies, args, shared, terminal)?,
    };
    shared.with(|supervisor| supervisor.log_fit(&deployed.service));
    let (memory, available) = (deployed.memory, deployed.available);
    show(args, terminal, &DeployStep::Admitted { memory, available })?;
    let Deployed {
        service,
        replaced,
        release,
        ..
    } = deployed;
    show(
        args,
        terminal,
        &DeployStep::Done {
            service,
            replaced,
            release,
        },
    )?;
    Ok(())
}

/// Checks by whom the package was signed.
fn signature(
    args: &Args<'_>,
    value: Option<[u8; SIGNATURE_LEN]>,
    host: &str,
    release: u32,
    shared: &Shared,
    terminal: &dyn Terminal,
) -> Result<Option<Signature>, Refused> {
    let Some(value) = value else {
        if shared.with(|supervisor| supervisor.settings().signed_only) {
            return Err(Refused::package(
                "this host takes signed deployments only: use `cargo denali deploy`",
            ));
        }
        return Ok(None);
    };
    let key = shared.access().lock().verifying(&terminal.who());
    let key = key.ok_or_else(|| Refused::package("the key that signs is revoked"))?;
    signing::check(&key, host, args.name, release, &args.digest, &value)
        .map(Some)
        .map_err(|why| Refused::package(format!("{why}: deploy again")))
}

/// Makes several services of one package and returns the last. Others get their turns meanwhile.
fn deploy_copies(
    package: &package::Package<'_>,
    copies: u32,
    args: &Args<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<Deployed, Failed> {
    if !package.manifest.volumes.is_empty() {
        return Err(Refused::usage("copies cannot have volumes: deploy them one by one").into());
    }
    let mut last = None;
    for number in 1..=copies {
        let copy = package.copy(number)?;
        last = Some(shared.with(|supervisor| supervisor.deploy(copy))?);
        if number % COPIES_BETWEEN_PAUSES == 0 {
            terminal.pause(Duration::ZERO).map_err(Stop::from)?;
        }
        if number % COPIES_BETWEEN_REPORTS == 0 && number < copies {
            let uptime_ns = shared.with(|supervisor| supervisor.host().uptime_ns);
            let copies = number;
            show(args, terminal, &DeployStep::Copied { copies, uptime_ns })?;
        }
    }
    last.ok_or_else(|| Refused::usage("no copies").into())
}

fn wait_for_slot<'a>(
    shared: &'a Shared,
    terminal: &mut dyn Terminal,
) -> Result<UploadSlot<'a>, Failed> {
    for _ in 0..SLOT_TRIES {
        if let Some(slot) = shared.take_upload_slot() {
            return Ok(slot);
        }
        terminal.pause(SLOT_PAUSE).map_err(Stop::from)?;
    }
    Err(Refused::conflict("another deployment is under way: try again when it is done").into())
}

/// Receives the package, compares length and digest with what was announced, and takes the
/// signature behind it, if there is to be one.
fn receive(
    args: &Args<'_>,
    terminal: &mut dyn Terminal,
) -> Result<(Vec<u8>, Option<[u8; SIGNATURE_LEN]>), Failed> {
    let package_len = u64_to_usize(args.length);
    let all_len = package_len + if args.signed { SIGNATURE_LEN } else { 0 };
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(all_len).map_err(|_| {
        let length = args.length;
        Refused::admission(format!(
            "package of {length} bytes does not fit the supervisor's memory: embed less in the \
             service"
        ))
    })?;
    let mut too_long = false;
    terminal
        .receive(&mut |piece| {
            too_long = piece.len() > all_len - bytes.len();
            if too_long {
                return Flow::Enough;
            }
            bytes.extend_from_slice(piece);
            Flow::More
        })
        .map_err(Stop::from)?;
    let (arrived, length) = (bytes.len(), args.length);
    if too_long {
        return Err(Refused::package(format!(
            "more than the announced {length} bytes arrived: deploy again"
        ))
        .into());
    }
    if arrived < all_len {
        return Err(Refused::package(format!(
            "only {arrived} of {length} bytes arrived: deploy again"
        ))
        .into());
    }
    let value = bytes
        .get(package_len..)
        .and_then(|rest| rest.try_into().ok());
    bytes.truncate(package_len);
    if Sha256::digest(&bytes)[..] != args.digest {
        return Err(Refused::package("the digest of what arrived is wrong: deploy again").into());
    }
    Ok((bytes, value))
}

/// Prints one step.
fn show(args: &Args<'_>, terminal: &mut dyn Terminal, step: &DeployStep) -> Result<(), Stop> {
    match args.format {
        Format::Json => print_json(terminal, step),
        Format::Human => print(terminal, &sentence(step)),
    }
}

fn sentence(step: &DeployStep) -> String {
    match step {
        DeployStep::Ready { release, .. } => format!("ready for release {release}\n"),
        DeployStep::Verified { length } => format!("verified {length} bytes\n"),
        DeployStep::Copied { copies, .. } => format!("{copies} copies made\n"),
        DeployStep::Admitted { memory, available } => {
            let (memory, available) = (table::kib(*memory), table::kib(*available));
            format!("admitted with {memory}, {available} left\n")
        }
        DeployStep::Done {
            service,
            replaced,
            release,
        } => {
            let Service {
                name,
                version,
                address,
                publish,
                ..
            } = service;
            let done = if *replaced { "replaced" } else { "deployed" };
            let address = address.as_deref().unwrap_or("an address from DHCP");
            let ports = table::ports(publish);
            let kept = match release {
                Some(number) => format!("release {number}"),
                None => "not kept beyond this boot".into(),
            };
            format!("{done} {name} {version} at {address}, ports {ports}, {kept}\n")
        }
        DeployStep::Refused { message, .. } => format!("refused: {message}\n"),
    }
}
