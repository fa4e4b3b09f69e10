//! A VM that is kept still while it is read.

use super::body::{PAGE_LEN, Page};
use crate::kernel::VmId;
use crate::shared::Shared;
use crate::terminal::{Closed, Terminal};
use alloc::boxed::Box;
use core::time::Duration;
use denali_abi::control::{FrozenState, FrozenVm};
use denali_abi::errno::Errno;
use denali_abi::hypercall::PAGES_LOOKED;
use denali_abi::layout::{GUEST_END, PAGE_SIZE};

/// Pages of a guest's address space.
const PAGES: u64 = GUEST_END / PAGE_SIZE;

/// How often a VM is asked that is not ready for it, and how long to wait between.
const TRIES: u32 = 5000;
const PAUSE: Duration = Duration::from_millis(1);

/// Pages read before others get their turn.
const PAGES_BETWEEN_PAUSES: u32 = 16;

/// Why a VM is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// Nobody is there any more to read it for.
    Closed,
    /// The kernel does not go along.
    Kernel(Errno),
}

impl From<Closed> for Interrupted {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// A VM that does not run as long as this lives.
#[derive(Debug)]
pub struct Frozen<'s> {
    vm: VmId,
    shared: &'s Shared,
}

impl<'s> Frozen<'s> {
    /// Freezes a VM.
    ///
    /// # Errors
    ///
    /// The kernel does not go along: it has ended, or has not begun.
    pub fn new(vm: VmId, shared: &'s Shared) -> Result<Self, Errno> {
        shared.with(|supervisor| supervisor.kernel().vm_freeze(vm))?;
        Ok(Self { vm, shared })
    }

    /// Gives every page that the VM has written to `take`, in order, and returns the rest.
    ///
    /// # Errors
    ///
    /// The client went away, the VM was ended meanwhile, or `take` does not go on.
    pub fn read(
        &self,
        terminal: &mut dyn Terminal,
        mut take: impl FnMut(u32, &Page) -> Result<(), Interrupted>,
    ) -> Result<Box<FrozenVm>, Interrupted> {
        let mut page = Box::new([0; PAGE_LEN]);
        let (mut next, mut count) = (0, 0_u32);
        while next < PAGES {
            let found = self.patiently(terminal, |kernel| {
                kernel.page_read(self.vm, next, &mut page)
            })?;
            count += 1;
            if count.is_multiple_of(PAGES_BETWEEN_PAUSES) {
                terminal.pause(Duration::ZERO)?;
            }
            next = if found < (next + u64::from(PAGES_LOOKED)).min(PAGES) {
                take(u32::try_from(found).unwrap_or(u32::MAX), &page)?;
                found + 1
            } else {
                found
            };
        }
        let mut state = Box::new(blank());
        self.patiently(terminal, |kernel| kernel.vm_save(self.vm, &mut state))?;
        Ok(state)
    }

    /// Makes a call until the VM is ready for it.
    fn patiently<R>(
        &self,
        terminal: &mut dyn Terminal,
        mut call: impl FnMut(&mut dyn crate::kernel::Kernel) -> Result<R, Errno>,
    ) -> Result<R, Interrupted> {
        for _ in 0..TRIES {
            match self.shared.with(|supervisor| call(supervisor.kernel())) {
                Err(Errno::Busy) => terminal.pause(PAUSE)?,
                result => return result.map_err(Interrupted::Kernel),
            }
        }
        Err(Interrupted::Kernel(Errno::Busy))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let vm = self.vm;
        let thawed = self
            .shared
            .with(|supervisor| supervisor.kernel().vm_thaw(vm, None));
        if let Err(error) = thawed {
            log::warn!("VM {} does not go on: {error}", vm.0);
        }
    }
}

/// Returns a state that says nothing.
pub(super) const fn blank() -> FrozenVm {
    FrozenVm {
        state: FrozenState {
            monotonic_ns: 0,
            console_written: 0,
            upcall_entry: 0,
            upcall_stack: 0,
            resume_generation: 0,
            idles: 0,
            tx_consumed: 0,
            rx_filled: 0,
            block_taken: 0,
            block_completed: 0,
        },
        registers: [0; 4096],
        shared: [0; 4096],
        console: [0; 4096],
    }
}
