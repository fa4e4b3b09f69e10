//! `key`: who may log in.

use super::{Format, Stop, Words, allow, print, print_json};
use crate::access::Wish;
use crate::shared::Shared;
use crate::terminal::Terminal;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use denali_protocol::events::Kind;
use denali_protocol::keys::{Key, Role};
use denali_protocol::status;
use denali_rt::time;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    allow(Wish::Admin, shared, terminal)?;
    match words.take() {
        Some("add") => add(words, shared, terminal),
        Some("ls") => list(words, shared, terminal),
        Some("rm") => revoke(words, shared, terminal),
        _ => Err(Stop::usage("key takes add, ls or rm: see `help`")),
    }
}

fn add(mut words: Words<'_>, shared: &Shared, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    let services = words.option("--services")?;
    let role = match (words.option("--role")?, services) {
        (Some("admin"), None) => Role::Admin,
        (Some("read"), None) => Role::Read,
        (Some("deploy"), Some(names)) => Role::Deploy(names.split(',').map(String::from).collect()),
        (Some("deploy"), None) => {
            return Err(Stop::usage(
                "--role deploy needs --services with names: web,api-*",
            ));
        }
        _ => {
            return Err(Stop::usage(
                "key add takes --role admin, --role read or --role deploy --services NAMES, \
                 and a key: ssh-ed25519 AAAA…",
            ));
        }
    };
    let line = words.rest();
    let by = terminal.who();
    let key = {
        let mut access = shared.access().lock();
        access.add(&line, role, by, time::wall().as_secs())
    };
    let key = key.map_err(Stop::usage)?;
    keep(&key, shared)?;
    note(Kind::KeyAdded, &key, shared, terminal);
    print(terminal, &format!("{}: added\n", key.fingerprint))
}

fn revoke(words: Words<'_>, shared: &Shared, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    let fingerprint = words.rest();
    let revoked = shared.access().lock().revoke(&fingerprint);
    let revoked = revoked.map_err(|message| Stop::Failed {
        status: status::REFUSED,
        message,
    })?;
    let Some(key) = revoked else {
        return Err(Stop::Failed {
            status: status::NOT_FOUND,
            message: "no such key: `key ls` shows the fingerprints of those there are".into(),
        });
    };
    keep(&key, shared)?;
    note(Kind::KeyRevoked, &key, shared, terminal);
    print(terminal, &format!("{fingerprint}: revoked\n"))
}

fn list(mut words: Words<'_>, shared: &Shared, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    let format = words.format();
    words.end()?;
    let keys: Vec<Key> = shared.access().lock().iter().cloned().collect();
    if format == Format::Json {
        return print_json(terminal, &keys);
    }
    for key in &keys {
        let role = match (&key.role, key.revoked) {
            (_, true) => "revoked".into(),
            (Role::Admin, _) => "admin".into(),
            (Role::Read, _) => "read".into(),
            (Role::Deploy(names), _) => format!("deploy {}", names.join(",")),
        };
        let (fingerprint, comment) = (&key.fingerprint, key.comment.escape_debug());
        print(terminal, &format!("{fingerprint}  {role}  {comment}\n"))?;
    }
    Ok(())
}

fn keep(key: &Key, shared: &Shared) -> Result<(), Stop> {
    let Some(keeper) = shared.keeper() else {
        return Ok(());
    };
    let kept = keeper.lock().set_key(key);
    kept.map_err(|error| Stop::Failed {
        status: status::FAILED,
        message: format!("it holds until the next boot, as it cannot be kept: {error}"),
    })
}

fn note(kind: Kind, key: &Key, shared: &Shared, terminal: &dyn Terminal) {
    let detail = format!("{} {:?}, by {}", key.fingerprint, key.role, terminal.who());
    log::info!("{}: {detail}", kind.name());
    shared.with(|supervisor| supervisor.events().note(kind, None, &detail));
}
