//! `checkpoint`: the state of a running service on standard output, as a file.

use super::{Stop, Words, allow, note};
use crate::access::Wish;
use crate::checkpoint::Facts;
use crate::checkpoint::body::{END, PAGE_LEN};
use crate::checkpoint::frozen::{Frozen, Interrupted};
use crate::checkpoint::sealed::{HostKey, Sealer};
use crate::refusal::Refused;
use crate::shared::Shared;
use crate::supervisor::Failure;
use crate::terminal::{Stream, Terminal};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;
use denali_protocol::PACKAGE_LEN_MAX;
use denali_protocol::events::Kind;
use denali_rt::random;
use zerocopy::IntoBytes as _;

/// Most bytes of a file: as much as a package, in whose place it is kept.
const FILE_LEN_MAX: usize = u64_to_usize(PACKAGE_LEN_MAX);

/// What ends the reading of a service whose file would be larger.
const TOO_LARGE: Interrupted = Interrupted::Kernel(Errno::TooLarge);

/// Bytes written at a time.
const PIECE_LEN: usize = 16 * 1024;

/// Pages of the image read before others get their turn.
const PAGES_BETWEEN_PAUSES: u64 = 16;

pub(super) fn exec(
    words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let name = words.name()?;
    allow(Wish::Change(name), shared, terminal)?;
    // The service waits only for its memory to be read, so the file is kept until it is.
    let slot = shared.take_upload_slot();
    let _slot = slot
        .ok_or_else(|| Refused::conflict("a deployment is under way: try again when it is done"))?;
    let file = make(name, shared, terminal)?;
    for piece in file.chunks(PIECE_LEN) {
        terminal.write(Stream::Output, piece)?;
    }
    note(Kind::Checkpointed, name, shared, terminal);
    Ok(())
}

/// Makes the file.
fn make(name: &str, shared: &Shared, terminal: &mut dyn Terminal) -> Result<Vec<u8>, Stop> {
    let failed = |message| Stop::of_service(name, Failure::Other(message));
    let service = shared.with(|supervisor| supervisor.service(name).cloned());
    let service = service.ok_or_else(|| Stop::of_service(name, Failure::NoSuchService))?;
    let Some((vm, origin)) = service.vm.zip(service.origin.as_deref()) else {
        return Err(failed(
            "there is no VM, or the supervisor restarted since its deployment and lost its \
             arguments: deploy it again"
                .into(),
        ));
    };
    let image = service.image;
    let header = shared.with(|supervisor| supervisor.kernel().image_header(image));
    let header = header.map_err(|errno| failed(format!("its image cannot be read: {errno}")))?;
    let facts = serde_json::to_vec(&Facts::of(&service, origin, &header))
        .map_err(|error| failed(format!("{error}")))?;
    let mut salt = [0; 32];
    random::fill(&mut salt);
    let key = shared.with(|supervisor| HostKey::of(&supervisor.settings().host_key));
    let mut sealer = Sealer::new(&key, salt);
    let length = u32::try_from(facts.len()).unwrap_or(u32::MAX);
    sealer.add(&length.to_le_bytes());
    sealer.add(&facts);
    let mut page = Box::new([0; PAGE_LEN]);
    for index in 0..header.content_pages() {
        let read =
            shared.with(|supervisor| supervisor.kernel().image_read(image, index, &mut page));
        read.map_err(|errno| failed(format!("its image cannot be read: {errno}")))?;
        if !sealer.has_room(FILE_LEN_MAX) {
            return Err(cannot_read(name, TOO_LARGE));
        }
        sealer.add(&*page);
        if index % PAGES_BETWEEN_PAUSES == 0 {
            terminal.pause(Duration::ZERO)?;
        }
    }
    let frozen = Frozen::new(vm, shared).map_err(|errno| cannot_freeze(name, errno))?;
    let read = frozen.read(terminal, |number, page| {
        if !sealer.has_room(FILE_LEN_MAX) {
            return Err(TOO_LARGE);
        }
        sealer.add(&number.to_le_bytes());
        sealer.add(page);
        Ok(())
    });
    drop(frozen);
    let state = read.map_err(|interrupted| cannot_read(name, interrupted))?;
    if !sealer.has_room(FILE_LEN_MAX) {
        return Err(cannot_read(name, TOO_LARGE));
    }
    sealer.add(&END.to_le_bytes());
    sealer.add(state.as_bytes());
    Ok(sealer.finish())
}

/// Says why a service cannot be kept still.
pub(super) fn cannot_freeze(name: &str, errno: Errno) -> Stop {
    let message = match errno {
        Errno::Invalid => "does not run: start it first".into(),
        Errno::Busy => "has not begun yet".into(),
        other => format!("cannot be kept still: {other}"),
    };
    Stop::of_service(name, Failure::Other(message))
}

/// Says why a service is not read to its end.
pub(super) fn cannot_read(name: &str, interrupted: Interrupted) -> Stop {
    let message = match interrupted {
        Interrupted::Closed => return Stop::Closed,
        Interrupted::Kernel(Errno::TooLarge) => {
            format!("its state takes more than {} MiB", PACKAGE_LEN_MAX >> 20)
        }
        Interrupted::Kernel(Errno::Busy) => "does not come to rest: try again".into(),
        Interrupted::Kernel(errno) => format!("cannot be read: {errno}"),
    };
    Stop::of_service(name, Failure::Other(message))
}
