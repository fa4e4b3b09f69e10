//! `restore`: a service goes on from a checkpoint on standard input.

use super::{Stop, Words, allow, keep_stopped, note, print_service};
use crate::access::Wish;
use crate::checkpoint::body::Reader;
use crate::checkpoint::restoring::Restoring;
use crate::checkpoint::sealed::{HostKey, Opener};
use crate::refusal::Refused;
use crate::shared::Shared;
use crate::terminal::{Flow, Terminal};
use denali_protocol::events::Kind;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let name = words.name()?;
    allow(Wish::Change(name), shared, terminal)?;
    let slot = shared.take_upload_slot();
    let _slot = slot
        .ok_or_else(|| Refused::conflict("a deployment is under way: try again when it is done"))?;
    receive(name, shared, terminal)?;
    keep_stopped(name, false, shared)?;
    note(Kind::Restored, name, shared, terminal);
    print_service(name, format, shared, terminal)
}

/// Makes the service while the file arrives.
fn receive(name: &str, shared: &Shared, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    let key = shared.with(|supervisor| HostKey::of(&supervisor.settings().host_key));
    let mut opener = Opener::new(key);
    let mut reader = Reader::default();
    let mut restoring = Restoring::new(name, shared);
    let mut outcome = Ok(());
    terminal.receive(&mut |piece| {
        outcome = opener.add(piece, |plain| reader.add(plain, &mut restoring));
        match outcome {
            Ok(()) => Flow::More,
            Err(_) => Flow::Enough,
        }
    })?;
    let whole = outcome
        .and_then(|()| opener.finish())
        .and_then(|()| reader.finish());
    whole.map_err(|unsound| restoring.refusal(unsound))?;
    Ok(restoring.finish()?)
}
