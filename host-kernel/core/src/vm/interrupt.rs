//! Virtual interrupts: a pending mask in the shared page.
//!
//! A bit means "one or more of these happened since you last looked". Mask, enable flag and timer
//! lie in memory the guest can write: whatever it puts there concerns only itself, and unknown bits
//! are not passed on. How a mask reaches a guest that does not ask is in `upcall.rs`.

use super::Vm;
use crate::machine::{FrameId, Machine};
use core::mem::offset_of;
use core::num::NonZeroU64;
use denali_abi::shared::{SharedPage, interrupt};

/// Every bit the kernel ever sets.
const KNOWN: u32 = interrupt::RECEIVE
    | interrupt::TRANSMIT
    | interrupt::TIMER
    | interrupt::CONTROL
    | interrupt::STOP
    | interrupt::BLOCK
    | interrupt::RESUME;

/// Bytes of the shared page that say all about interrupts.
const STATE_LEN: usize = offset_of!(SharedPage, timer_ns) + size_of::<u64>();

const _: () = assert!(offset_of!(SharedPage, interrupts_enabled) == 0);
const _: () = assert!(offset_of!(SharedPage, pending) == 4);

/// What the shared page says about interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    is_enabled: bool,
    /// Known bits.
    pub(super) pending: u32,
    /// When the timer is to be pending, by the VM's own clock.
    pub(super) timer_ns: Option<NonZeroU64>,
}

impl State {
    /// Returns whether a VM with an upcall gets it now.
    pub(super) const fn is_deliverable(self) -> bool {
        self.is_enabled && self.pending != 0
    }
}

/// Reads the state of the shared page in `frame`.
pub(super) fn state(frame: FrameId, machine: &dyn Machine) -> State {
    let mut bytes = [0; STATE_LEN];
    machine.read_frame(frame, 0, &mut bytes);
    let [
        e0,
        e1,
        e2,
        e3,
        p0,
        p1,
        p2,
        p3,
        ..,
        t0,
        t1,
        t2,
        t3,
        t4,
        t5,
        t6,
        t7,
    ] = bytes;
    let timer_ns = u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
    State {
        is_enabled: [e0, e1, e2, e3] != [0; 4],
        pending: u32::from_le_bytes([p0, p1, p2, p3]) & KNOWN,
        timer_ns: NonZeroU64::new(timer_ns),
    }
}

/// Adds `bits` to the pending mask of the shared page in `frame`.
pub fn post(frame: FrameId, bits: u32, machine: &mut dyn Machine) {
    let pending = read(frame, machine) | bits;
    machine.write_frame(
        frame,
        offset_of!(SharedPage, pending),
        &pending.to_le_bytes(),
    );
}

/// Returns the pending mask and clears it.
pub fn take(frame: FrameId, machine: &mut dyn Machine) -> u32 {
    let pending = read(frame, machine);
    if pending != 0 {
        machine.write_frame(frame, offset_of!(SharedPage, pending), &[0; 4]);
    }
    pending & KNOWN
}

/// Returns and clears what idle-with-timeout returns to `vm`: nothing if an upcall will tell it.
pub fn take_for_idle(vm: &Vm, machine: &mut dyn Machine) -> Taken {
    if vm.upcall.is_some() && state(vm.shared, machine).is_deliverable() {
        return Taken::ByUpcall;
    }
    Taken::Mask(take(vm.shared, machine))
}

/// What there is for a VM that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This mask, which may be empty.
    Mask(u32),
    /// Something, and an upcall tells what.
    ByUpcall,
}

/// Makes the timer pending and forgets its deadline. Returns its bit.
pub(super) fn expire_timer(frame: FrameId, machine: &mut dyn Machine) -> u32 {
    machine.write_frame(frame, offset_of!(SharedPage, timer_ns), &[0; 8]);
    post(frame, interrupt::TIMER, machine);
    interrupt::TIMER
}

/// Takes note that all that was pending is delivered: nothing is, and no more is wanted.
pub(super) fn delivered(frame: FrameId, machine: &mut dyn Machine) {
    machine.write_frame(frame, 0, &[0; 8]);
}

fn read(frame: FrameId, machine: &dyn Machine) -> u32 {
    let mut bytes = [0; 4];
    machine.read_frame(frame, offset_of!(SharedPage, pending), &mut bytes);
    u32::from_le_bytes(bytes)
}
