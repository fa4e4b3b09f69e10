//! Deployments that last: what is kept before and after a release is run, and how services come back.
//!
//! Without a keeper a deployment is what it is without a disk: it lasts as long as the host.

use crate::deploy::{Deployed, Farewell, Kept};
use crate::health;
use crate::hex;
use crate::keeper::{Entry, Facts, Keeper};
use crate::package::{self, Package};
use crate::refusal::Refused;
use crate::shared::Shared;
use crate::signing;
use crate::supervisor::Failure;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use denali_protocol::events::Kind;
use denali_protocol::releases::Outcome;
use denali_protocol::signing::Signature;
use denali_rt::{random, time};

/// Why a release failed of which nobody knows more.
const CUT_SHORT: &str = "the host or its supervisor ended before it was known to be healthy";

/// Who deploys, and on what ground.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployer {
    /// The fingerprint of the key.
    pub who: String,
    /// The release that is taken up again.
    pub of: Option<u32>,
    /// By whom the package was signed.
    pub signature: Option<Signature>,
}

/// Returns the number that the next release of a service will have; 0 on a host that keeps none.
pub fn next_number(shared: &Shared, name: &str) -> u32 {
    let Some(keeper) = shared.keeper() else {
        return 0;
    };
    let last = keeper.lock().entry(name).map_or(0, |entry| entry.last);
    last.saturating_add(1)
}

/// Runs a package as a release of its service, and keeps it.
///
/// # Errors
///
/// What of the package, the host or the store is wrong; the last release runs on then.
pub fn deploy(
    shared: &Shared,
    bytes: &[u8],
    package: Package<'_>,
    deployer: &Deployer,
) -> Result<Deployed, Refused> {
    let name = package.manifest.name.clone();
    let by = &deployer.who;
    let deployed = deploy_and_keep(shared, bytes, package, deployer);
    shared.with(|supervisor| match &deployed {
        Ok(Deployed {
            service, release, ..
        }) => {
            let version = &service.version;
            let detail = match release {
                Some(number) => format!("release {number}, {version}, by {by}"),
                None => format!("{version}, by {by}"),
            };
            supervisor
                .events()
                .note(Kind::Deployed, Some(&name), &detail);
        }
        Err(refused) => {
            let why = refused.message.lines().next().unwrap_or_default();
            let detail = format!("{why}, by {by}");
            supervisor
                .events()
                .note(Kind::Refused, Some(&name), &detail);
        }
    });
    deployed
}

fn deploy_and_keep(
    shared: &Shared,
    bytes: &[u8],
    package: Package<'_>,
    deployer: &Deployer,
) -> Result<Deployed, Refused> {
    let Some(keeper) = shared.keeper() else {
        if !package.manifest.volumes.is_empty() {
            return Err(Refused::admission(
                "asks for volumes, and this host has no disk for them: \
                 `cargo denali host up --data SIZE`",
            ));
        }
        return switch(shared, package);
    };
    let name = package.manifest.name.clone();
    let version = package.manifest.version.clone();
    let package = with_kept(shared, package, &mut keeper.lock())?;
    let facts = Facts {
        name: &name,
        version: &version,
        build_id: &hex::encode(&package.header.build_id),
        by: &deployer.who,
        at: time::wall().as_secs(),
        of: deployer.of,
        signature: deployer.signature.clone(),
    };
    let number = keeper.lock().begin(&facts, bytes).map_err(not_kept)?;
    let deployed = switch(shared, package);
    let mut keeper = keeper.lock();
    match deployed {
        Ok(deployed) => {
            let now = time::wall().as_secs();
            keeper.succeed(&name, number, now).map_err(|error| {
                // It runs; but nobody can say what is there after a reboot.
                Refused::admission(format!(
                    "release {number} runs, but cannot be kept: {error}; deploy it again"
                ))
            })?;
            Ok(Deployed {
                release: Some(number),
                ..deployed
            })
        }
        Err(refused) => {
            let reason = refused.message.lines().next().unwrap_or_default();
            if let Err(error) = keeper.fail(&name, number, reason) {
                log::warn!("cannot keep that release {number} of {name} failed: {error}");
            }
            Err(refused)
        }
    }
}

/// Runs a package; if another release of the service runs, beside it until it is healthy.
fn switch(shared: &Shared, package: Package<'_>) -> Result<Deployed, Refused> {
    let check = health::check_of(&package.manifest).filter(|_| !package.dormant);
    let begun = shared.with(|supervisor| supervisor.begin(package))?;
    if !begun.can_go_back() {
        // Whatever becomes of it is there to be looked at.
        return shared.with(|supervisor| supervisor.finish(begun, Farewell::AtOnce));
    }
    match health::wait(shared, &begun, check.as_ref()) {
        Ok(()) => shared.with(|supervisor| supervisor.finish(begun, Farewell::Gentle)),
        Err(why) => {
            let outcome = shared.with(|supervisor| supervisor.abandon(begun));
            Err(Refused::unhealthy(format!(
                "the new release {why}\n{outcome}"
            )))
        }
    }
}

/// Runs an earlier release again, as a new one: the one named, or the last that ran before.
///
/// # Errors
///
/// There is no such release, or as [`deploy`].
pub fn rollback(
    shared: &Shared,
    name: &str,
    number: Option<u32>,
    by: &str,
) -> Result<Deployed, Failure> {
    let keeper = shared.keeper().ok_or_else(nothing_kept)?;
    let found = {
        let mut keeper = keeper.lock();
        if keeper.entry(name).is_none() {
            return Err(Failure::NoSuchService);
        }
        let number = number
            .or_else(|| previous(&keeper, name))
            .ok_or_else(|| Failure::Other("there is no release before this one".into()))?;
        let bytes = keeper
            .package(name, number)
            .map_err(|error| Failure::Other(format!("release {number}: {error}")))?;
        bytes.map(|bytes| (number, bytes))
    };
    let (number, bytes) = found.ok_or_else(|| {
        Failure::Other("no such release: `releases` shows those there are".into())
    })?;
    let package = package::parse(&bytes, name).map_err(Failure::Refused)?;
    let release = keeper.lock().release(name, number);
    let deployer = Deployer {
        who: by.into(),
        of: Some(number),
        signature: release.and_then(|release| release.signature),
    };
    deploy(shared, &bytes, package, &deployer).map_err(Failure::Refused)
}

/// Returns the release that ran before the current one.
fn previous(keeper: &Keeper, name: &str) -> Option<u32> {
    let current = keeper.entry(name)?.current?;
    let releases = keeper.releases(name);
    let ran = |outcome: &Outcome| *outcome == Outcome::Replaced;
    releases
        .into_iter()
        .find(|release| release.number < current && ran(&release.outcome))
        .map(|release| release.number)
}

/// What came back after a boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Services that run.
    pub running: u32,
    /// Services that were stopped by order, and can be started.
    pub stopped: u32,
    /// Services that could not be run, and why.
    pub failed: Vec<(String, String)>,
}

/// Brings back the services that are kept and not there, the most recently used first.
pub fn restore(shared: &Shared) -> Restored {
    let mut restored = Restored::default();
    let Some(keeper) = shared.keeper() else {
        return restored;
    };
    let entries = kept(&keeper.lock());
    let count = |left: usize| u32::try_from(left).unwrap_or(u32::MAX);
    for (nth, (name, number, entry)) in entries.iter().enumerate() {
        shared.set_restoring(count(entries.len() - nth));
        let (name, number) = (name.clone(), *number);
        match restore_one(shared, keeper, &name, number, entry) {
            Ok(()) if entry.stopped => restored.stopped += 1,
            Ok(()) => restored.running += 1,
            Err(why) => {
                log::error!("{name}: release {number} does not come back: {why}");
                restored.failed.push((name, why));
            }
        }
    }
    shared.set_restoring(0);
    restored
}

/// Returns services that have a current release, with its number.
pub fn kept(keeper: &Keeper) -> Vec<(String, u32, Entry)> {
    let entries = keeper.entries().into_iter();
    entries
        .filter_map(|(name, entry)| Some((name, entry.current?, entry)))
        .collect()
}

fn restore_one(
    shared: &Shared,
    keeper: &denali_rt::sync::Mutex<Keeper>,
    name: &str,
    number: u32,
    entry: &Entry,
) -> Result<(), String> {
    // One package in memory at a time, uploads included.
    let _slot = shared.wait_for_upload_slot();
    let bytes = keeper
        .lock()
        .package(name, number)
        .map_err(|error| error.to_string())?
        .ok_or("its package is not there")?;
    let host = shared.with(|supervisor| signing::host_line(supervisor.settings()));
    if let Some(release) = keeper.lock().release(name, number) {
        signing::check_kept(&host, name, &release)?;
    }
    let package = package::parse(&bytes, name).map_err(|refused| refused.message)?;
    let package =
        with_kept(shared, package, &mut keeper.lock()).map_err(|refused| refused.message)?;
    let begun = unfinished(&keeper.lock(), name, entry);
    let kept = match begun {
        Some(_) => Kept::Unfinished,
        None if entry.stopped => Kept::Stopped,
        None => Kept::Running,
    };
    shared
        .with(|supervisor| supervisor.restore(package, kept))
        .map_err(|refused| refused.message)?;
    if let Some(begun) = begun {
        let failed = keeper.lock().fail(name, begun, CUT_SHORT);
        failed.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Returns the number of a release that had begun, and of which nobody knows more.
fn unfinished(keeper: &Keeper, name: &str, entry: &Entry) -> Option<u32> {
    let last = keeper.release(name, entry.last)?;
    (last.outcome == Outcome::Begun).then_some(last.number)
}

/// Gives a package what is kept for its service: secrets in its environment, and volumes.
fn with_kept<'a>(
    shared: &Shared,
    package: Package<'a>,
    keeper: &mut Keeper,
) -> Result<Package<'a>, Refused> {
    let name = &package.manifest.name;
    let blocks = shared.with(|supervisor| supervisor.kernel().host_status().block.volume_blocks);
    let volumes = keeper
        .volumes(name, &package.manifest.volumes, blocks, random::fill)
        .map_err(Refused::admission)?;
    let secrets = keeper.secrets(name);
    Ok(package.with_environment(&secrets)?.with_volumes(volumes))
}

/// Returns the failure on a host that keeps nothing.
pub(crate) fn nothing_kept() -> Failure {
    Failure::Other(
        "this host keeps nothing, as it has no disk for it: `cargo denali host up --data SIZE`"
            .into(),
    )
}

fn not_kept(error: denali_store::Error) -> Refused {
    Refused::admission(format!("the release cannot be kept: {error}"))
}

#[cfg(test)]
#[path = "releases_tests.rs"]
mod tests;
