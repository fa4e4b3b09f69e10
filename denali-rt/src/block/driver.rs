//! Requests under way: which place of the rings each has, and what became of it.

use super::Block;
use super::rings::{Buffer, Rings};
use denali_abi::block::{BLOCK_RING_LEN, BlockRequest};
use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;

/// Requests under way at a time.
const PLACES: usize = BLOCK_RING_LEN as usize;

/// What a place is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    UnderWay,
    /// Under way, and nobody waits for it any more.
    Abandoned,
    /// Done, with this result.
    Done(i32),
}

#[derive(Debug)]
struct Place {
    state: State,
    buffer: Option<Buffer>,
}

/// The driver of this VM's block devices.
#[derive(Debug)]
pub(super) struct Driver {
    rings: Option<Rings>,
    places: [Place; PLACES],
    submitted: u32,
    reaped: u32,
}

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(usize);

impl Driver {
    pub(super) const fn new() -> Self {
        Self {
            rings: None,
            places: [const {
                Place {
                    state: State::Free,
                    buffer: None,
                }
            }; PLACES],
            submitted: 0,
            reaped: 0,
        }
    }

    /// Puts a request into the ring. `None` if there is no room. The kernel has to be told.
    pub(super) fn begin(
        &mut self,
        operation: u32,
        volume: u32,
        block: u64,
        contents: Option<&Block>,
    ) -> Option<Ticket> {
        let rings = *self.rings.get_or_insert_with(Rings::of_this_vm);
        let free = |place: &Place| place.state == State::Free;
        let index = self.places.iter().position(free)?;
        let place = self.places.get_mut(index)?;
        let buffer = place.buffer.get_or_insert_with(Buffer::new);
        if let Some(contents) = contents {
            buffer.fill(contents);
        }
        let request = BlockRequest {
            operation,
            volume,
            block,
            address: buffer.address(),
            tag: denali_abi::convert::usize_to_u64(index),
        };
        place.state = State::UnderWay;
        rings.set_request(self.submitted, request);
        self.submitted = self.submitted.wrapping_add(1);
        rings.set_submitted(self.submitted);
        Some(Ticket(index))
    }

    /// Takes note of completions. Returns whether there were any.
    pub(super) fn reap(&mut self) -> bool {
        let Some(rings) = self.rings else {
            return false;
        };
        let completed = rings.completed();
        if completed == self.reaped {
            return false;
        }
        while self.reaped != completed {
            let completion = rings.completion(self.reaped);
            self.reaped = self.reaped.wrapping_add(1);
            if let Some(place) = self.places.get_mut(u64_to_usize(completion.tag)) {
                place.state = match place.state {
                    State::Abandoned => State::Free,
                    _ => State::Done(completion.result),
                };
            }
        }
        rings.set_reaped(self.reaped);
        true
    }

    /// Returns the result of a request that is done, and frees its place.
    pub(super) fn take(
        &mut self,
        Ticket(index): Ticket,
        contents: Option<&mut Block>,
    ) -> Option<Result<(), Errno>> {
        let place = self.places.get_mut(index)?;
        let State::Done(result) = place.state else {
            return None;
        };
        place.state = State::Free;
        if result != 0 {
            return Some(Err(Errno::from_code(-result).unwrap_or(Errno::Io)));
        }
        if let Some((contents, buffer)) = contents.zip(place.buffer.as_ref()) {
            buffer.copy_to(contents);
        }
        Some(Ok(()))
    }

    /// Lets a request go that nobody waits for any more.
    pub(super) fn abandon(&mut self, Ticket(index): Ticket) {
        if let Some(place) = self.places.get_mut(index) {
            place.state = match place.state {
                State::UnderWay | State::Abandoned => State::Abandoned,
                State::Done(_) | State::Free => State::Free,
            };
        }
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
