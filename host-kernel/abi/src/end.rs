//! Why a VM ended.
//!
//! The kernel keeps one [`EndRecord`] per ended VM until the supervisor destroys it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The reason a VM ended: its own doing, a fault, or the supervisor's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EndReason {
    /// It called terminate; the detail is its exit code.
    Terminated = 1,
    /// The supervisor stopped it.
    Stopped = 2,
    /// It touched an address where nothing may be mapped; the detail is the address.
    BadAddress = 3,
    /// It wrote to or executed a page that does not allow it; the detail is the address.
    AccessViolation = 4,
    /// It ran into the guard page of a stack; the detail is the address.
    StackOverflow = 5,
    /// It needed more memory than it was given; the detail is the address it touched.
    OutOfMemory = 6,
    /// It executed a privileged or sensitive instruction; the detail is the error code.
    PrivilegedInstruction = 7,
    /// It executed an undefined instruction.
    InvalidInstruction = 8,
    /// It divided by zero, or the quotient overflowed.
    DivideError = 9,
    /// An unmasked floating-point exception.
    FloatingPoint = 10,
    /// A breakpoint or debug trap without a debugger.
    Breakpoint = 11,
    /// Any other processor exception; the detail is its vector.
    OtherException = 12,
    /// It called a hypercall that does not exist; the detail is the number.
    BadHypercall = 13,
    /// It broke the rules of the shared page: ring indices too far apart.
    RingViolation = 14,
    /// A disk could not keep what it had in memory, or not give it back.
    DiskError = 15,
    /// A disk gave back something else than what was written; the detail is the address.
    SwapCorrupt = 16,
}

impl EndReason {
    /// Every reason, in order of number.
    pub const ALL: [Self; 16] = [
        Self::Terminated,
        Self::Stopped,
        Self::BadAddress,
        Self::AccessViolation,
        Self::StackOverflow,
        Self::OutOfMemory,
        Self::PrivilegedInstruction,
        Self::InvalidInstruction,
        Self::DivideError,
        Self::FloatingPoint,
        Self::Breakpoint,
        Self::OtherException,
        Self::BadHypercall,
        Self::RingViolation,
        Self::DiskError,
        Self::SwapCorrupt,
    ];

    /// Returns the number of this reason, above zero.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Returns the reason with number `code`, if there is one.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Returns a short lower-case name, as `ls` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Terminated => "terminated",
            Self::Stopped => "stopped",
            Self::BadAddress => "bad address",
            Self::AccessViolation => "access violation",
            Self::StackOverflow => "stack overflow",
            Self::OutOfMemory => "out of memory",
            Self::PrivilegedInstruction => "privileged instruction",
            Self::InvalidInstruction => "invalid instruction",
            Self::DivideError => "divide error",
            Self::FloatingPoint => "floating-point exception",
            Self::Breakpoint => "breakpoint",
            Self::OtherException => "processor exception",
            Self::BadHypercall => "bad hypercall",
            Self::RingViolation => "ring violation",
            Self::DiskError => "disk error",
            Self::SwapCorrupt => "swapped page corrupt",
        }
    }
}

/// What the kernel remembers of the end of a VM.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct EndRecord {
    /// An [`EndReason`] code, or 0 while the VM lives.
    pub reason: u32,
    /// Zero.
    pub reserved: u32,
    /// The reason's detail: an address, an exit code (sign-extended), a vector.
    pub detail: u64,
    /// Instruction pointer at the end.
    pub rip: u64,
    /// Stack pointer at the end.
    pub rsp: u64,
}

const _: () = assert!(size_of::<EndRecord>() == 32);
