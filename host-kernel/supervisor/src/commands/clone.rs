//! `clone`: services that go on from where a running one is.

use super::checkpoint::{cannot_freeze, cannot_read};
use super::{Format, Stop, Words, allow, note, print, print_json};
use crate::access::Wish;
use crate::checkpoint::frozen::{Frozen, Interrupted};
use crate::checkpoint::restoring::patiently;
use crate::kernel::VmId;
use crate::shared::Shared;
use crate::supervisor::Failure;
use crate::terminal::Terminal;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use denali_abi::control::vm_flags;
use denali_protocol::Scaled;
use denali_protocol::events::Kind;

/// Most clones made by one command.
const CLONES_MAX: u32 = 1000;

/// Clones that are filled at the same time: all of them are in memory until then.
const BATCH: usize = 16;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let count = match words.option("--count")? {
        None => 1,
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|count| (1..=CLONES_MAX).contains(count))
            .ok_or_else(|| Stop::usage("--count takes a number from 1 to 1000"))?,
    };
    let name = words.name()?;
    allow(Wish::Change(name), shared, terminal)?;
    let vm = shared.with(|supervisor| supervisor.vm_of(name));
    let vm = vm.map_err(|failure| Stop::of_service(name, failure))?;
    let vm = vm.ok_or_else(|| cannot_freeze(name, denali_abi::errno::Errno::Invalid))?;
    let before = shared.with(|supervisor| supervisor.copies(name));
    let numbers: Vec<u32> = (before + 1..=before.saturating_add(count)).collect();
    let frozen = Frozen::new(vm, shared).map_err(|errno| cannot_freeze(name, errno))?;
    for batch in numbers.chunks(BATCH) {
        let mut clones = Clones {
            name,
            shared,
            made: Vec::new(),
        };
        clones.fill(batch, &frozen, terminal)?;
    }
    drop(frozen);
    note(Kind::Scaled, name, shared, terminal);
    let copies = before + count;
    match format {
        Format::Json => print_json(
            terminal,
            &Scaled {
                name: name.into(),
                before,
                copies,
            },
        ),
        Format::Human => print(
            terminal,
            &format!(
                "{name}: cloned as {name}-{} to {name}-{copies}\n",
                before + 1
            ),
        ),
    }
}

/// Clones that are being made; what is not finished goes again.
struct Clones<'c> {
    name: &'c str,
    shared: &'c Shared,
    made: Vec<(u32, VmId)>,
}

impl Clones<'_> {
    /// Makes clones with these numbers and lets them go on.
    fn fill(
        &mut self,
        numbers: &[u32],
        frozen: &Frozen<'_>,
        terminal: &mut dyn Terminal,
    ) -> Result<(), Stop> {
        let (name, shared) = (self.name, self.shared);
        for &number in numbers {
            let made = shared.with(|it| it.make_clone(name, number, vm_flags::FROZEN));
            let made = made.map_err(|failure| Stop::of_service(name, failure))?;
            self.made.extend(made.map(|vm| (number, vm)));
        }
        let made = &self.made;
        let state = frozen.read(terminal, |number, page| {
            for &(_, vm) in made {
                let written = patiently(shared, |supervisor| {
                    supervisor.kernel().page_write(vm, u64::from(number), page)
                });
                written.map_err(Interrupted::Kernel)?;
            }
            Ok(())
        });
        let state = state.map_err(|interrupted| cannot_read(name, interrupted))?;
        while let Some(&(_, vm)) = self.made.last() {
            let thawed = patiently(shared, |it| it.kernel().vm_thaw(vm, Some(&state)));
            thawed.map_err(|errno| {
                let message = format!("a clone does not go on: {errno}");
                Stop::of_service(name, Failure::Other(message))
            })?;
            self.made.pop();
        }
        Ok(())
    }
}

impl Drop for Clones<'_> {
    fn drop(&mut self) {
        for (number, _) in &self.made {
            let clone: String = format!("{}-{number}", self.name);
            let removed = self.shared.with(|supervisor| supervisor.remove(&clone));
            if let Err(failure) = removed {
                log::warn!("{clone} was not finished and is not removed: {failure:?}");
            }
        }
    }
}
