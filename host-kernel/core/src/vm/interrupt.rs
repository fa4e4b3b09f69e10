//! Virtual interrupts: a pending mask in the shared page.
//!
//! A bit means "one or more of these happened since you last looked". The mask lies in memory the
//! guest can write: whatever it puts there concerns only itself, and unknown bits are not passed on.

use crate::machine::{FrameId, Machine};
use core::mem::offset_of;
use denali_abi::shared::{SharedPage, interrupt};

/// Every bit the kernel ever sets.
const KNOWN: u32 = interrupt::RECEIVE
    | interrupt::TRANSMIT
    | interrupt::TIMER
    | interrupt::CONTROL
    | interrupt::STOP;

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

fn read(frame: FrameId, machine: &dyn Machine) -> u32 {
    let mut bytes = [0; 4];
    machine.read_frame(frame, offset_of!(SharedPage, pending), &mut bytes);
    u32::from_le_bytes(bytes)
}
