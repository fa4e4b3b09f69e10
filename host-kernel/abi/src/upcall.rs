//! Upcalls: how a virtual interrupt reaches a guest in the middle of a computation.
//!
//! A guest that registered an entry gets an upcall when it next runs with
//! [`interrupts_enabled`](crate::shared::SharedPage::interrupts_enabled) set and an interrupt
//! pending. The kernel writes an [`UpcallFrame`], clears `interrupts_enabled` and the pending bits it
//! delivers, and lets the guest go on at the entry with `rsp` at the frame and clean flags. Every
//! other register, FS and GS bases and all vector state are as they were: the entry saves what it
//! is going to use. It returns by restoring that, setting `interrupts_enabled`, and loading flags,
//! stack and instruction pointer as it likes (`iretq` on the frame behind `pending` is one way), none
//! of which crosses into the kernel.
//!
//! The frame lies below [`RED_ZONE`] bytes below the interrupted `rsp` if the entry was registered
//! without a stack, or if `rsp` lies at most [`STACK_LEN`] below its top, so that upcalls nest; else
//! at the top.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes below a stack pointer that code may use without moving it (System V ABI §3.2.2).
pub const RED_ZONE: u64 = 128;

/// An interrupted stack pointer this far below the registered top lies on the registered stack.
pub const STACK_LEN: u64 = crate::layout::SMALL_STACK_SLOT;

/// What the kernel writes for an upcall: at an address that is a multiple of 16.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct UpcallFrame {
    /// The interrupts delivered: bits of [`interrupt`](crate::shared::interrupt).
    pub pending: u64,
    /// Where the guest was interrupted; from here on as `iretq` wants it.
    pub rip: u64,
    /// Its code segment.
    pub cs: u64,
    /// Its flags.
    pub rflags: u64,
    /// Its stack pointer.
    pub rsp: u64,
    /// Its stack segment.
    pub ss: u64,
}

const _: () = assert!(size_of::<UpcallFrame>() == 48);
const _: () = assert!(size_of::<UpcallFrame>().is_multiple_of(16));
