//! The kernel's heap: one region taken at boot, never grown.
//!
//! It holds the core's tables. What VMs make the kernel allocate lies in frames, not here.

#![expect(unsafe_code, reason = "the global allocator")]

use talc::TalcCell;
use talc::base::binning::DefaultBinning;
use talc::cell::TalcSyncCell;
use talc::source::Manual;

#[global_allocator]
// SAFETY: one CPU, and interrupt handlers run no Rust, so that no two calls ever overlap.
static HEAP: TalcSyncCell<Manual, DefaultBinning> = unsafe { TalcSyncCell::new(TalcCell::new(Manual)) };
