//! Purely virtual instructions.
//!
//! A guest loads the number into `rax`, arguments into `rdi`, `rsi`, `rdx`, `r10`, `r8`, `r9`, and
//! executes `syscall`. The result comes back in `rax`: zero or more, or a negated
//! [`Errno`](crate::errno::Errno). To the guest it is a function call: `rcx`, `r11` and all vector
//! registers are lost, every other register is kept.
//!
//! The numbers start far above Linux's, so that a stray Linux system call ends the VM with
//! [`EndReason::BadHypercall`](crate::end::EndReason::BadHypercall) and its number instead of doing
//! something unintended.

/// The first number in use.
pub const HYPERCALL_BASE: u64 = 0x4445_0000;

/// The first number only the supervisor may call.
pub const CONTROL_BASE: u64 = HYPERCALL_BASE + 0x100;

/// `console_write` takes at most this many bytes a call.
pub const CONSOLE_WRITE_MAX: u64 = 4096;

/// `random` gives at most this many bytes a call.
pub const RANDOM_MAX: u64 = 256;

/// `image_write` takes at most this many bytes a call.
pub const IMAGE_WRITE_MAX: u64 = 64 * 1024;

/// `page_read` looks at this many pages a call.
pub const PAGES_LOOKED: u32 = 4096;

/// `idle_with_timeout` with this deadline waits for an interrupt alone.
pub const NO_DEADLINE: u64 = u64::MAX;

/// What a hypercall number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Hypercall {
    /// `(deadline_ns)`: sends what the transmit ring holds, then gives up the CPU until a virtual
    /// interrupt is pending or the monotonic clock reaches `deadline_ns`. Returns at once if one is
    /// pending already. Returns the pending mask, and clears it.
    IdleWithTimeout = HYPERCALL_BASE,
    /// `(code)`: ends the VM with an exit code (`i32`). Does not return.
    Terminate = HYPERCALL_BASE + 1,
    /// `()`: gives the rest of the quantum to others. Returns 0.
    Yield = HYPERCALL_BASE + 2,
    /// `()`: sends what the transmit ring holds. Returns 0.
    NetworkNotify = HYPERCALL_BASE + 3,
    /// `(address, length)`: appends bytes to the VM's console ring. Returns the number taken, at
    /// most [`CONSOLE_WRITE_MAX`]. Errors: `BadAddress`.
    ConsoleWrite = HYPERCALL_BASE + 4,
    /// `(address, length)`: fills memory with random bytes, at most [`RANDOM_MAX`]. Returns the
    /// number given. Errors: `BadAddress`.
    Random = HYPERCALL_BASE + 5,
    /// `(address, pages)`: gives whole pages of heap or stack back; they read as zero afterwards.
    /// Returns the number of pages that were resident. Any number of pages may be named; the call
    /// does bounded work (4,096 pages). Errors: `BadAddress`, `Invalid`.
    ReleaseMemory = HYPERCALL_BASE + 6,
    /// `(entry, stack_top)`: from now on delivers pending interrupts as upcalls ([`crate::upcall`])
    /// to `entry`; `(0, 0)` ends that. A `stack_top` of 0 means the stack that was interrupted.
    /// Returns 0. Errors: `BadAddress`, `Invalid`.
    RegisterUpcall = HYPERCALL_BASE + 7,
    /// `()`: takes what the ring of block devices holds ([`crate::block`]). Returns 0.
    BlockSubmit = HYPERCALL_BASE + 8,

    /// `(header_address)`: makes an empty image from an [`ImageHeader`](crate::image::ImageHeader).
    /// Returns its id. Errors: `Invalid`, `OutOfMemory`, `TooLarge`, `TableFull`, `BadAddress`.
    ImageCreate = CONTROL_BASE,
    /// `(image, offset, address, length)`: writes contents at a byte offset into text, rodata and
    /// data (the header page is not counted). Refused with `Busy` once a VM runs the image. Returns
    /// 0. Errors: `NotFound`, `Busy`, `Invalid`, `BadAddress`.
    ImageWrite = CONTROL_BASE + 1,
    /// `(image)`: frees an image that no VM uses. Returns 0. Errors: `NotFound`, `Busy`.
    ImageDestroy = CONTROL_BASE + 2,
    /// `(config_address)`: creates and starts a VM from a [`VmConfig`](crate::control::VmConfig).
    /// Refused with `Busy` while another VM has one of the volumes' blocks. Returns its id. Errors:
    /// `NotFound`, `Invalid`, `Exists`, `Busy`, `OutOfMemory`, `TooLarge`, `TableFull`,
    /// `BadAddress`.
    VmCreate = CONTROL_BASE + 3,
    /// `(vm, deadline_ns)`: ends a VM; descriptor and console stay until it is destroyed. With a
    /// deadline other than 0 a VM that is admitted is only asked to end by itself until then, by
    /// [`STOP`](crate::shared::interrupt::STOP); nothing happens at the deadline. Returns 0.
    /// Errors: `NotFound`, `Invalid`.
    VmStop = CONTROL_BASE + 4,
    /// `(vm)`: frees an ended VM. Returns 0. Errors: `NotFound`, `Busy`.
    VmDestroy = CONTROL_BASE + 5,
    /// `(vm, address)`: writes a [`VmStatus`](crate::control::VmStatus). Returns 0. Errors:
    /// `NotFound`, `BadAddress`.
    VmStatus = CONTROL_BASE + 6,
    /// `(after)`: returns the id of the next VM in the table behind `after`, starting with 0.
    /// Errors: `NotFound`.
    VmNext = CONTROL_BASE + 7,
    /// `(vm, position, address, length)`: copies console bytes from the absolute `position` on (or
    /// the oldest kept, if that is later). Returns how many; the position they started at is
    /// written in front of them as a `u64` at `address`, so `length` counts 8 bytes more. The VM
    /// [`KERNEL_VM`](crate::control::KERNEL_VM) is the kernel: what it said while booting, at most
    /// 1,024 bytes a call. Errors: `NotFound`, `Invalid`, `BadAddress`.
    ConsoleRead = CONTROL_BASE + 8,
    /// `(address)`: writes a [`HostStatus`](crate::control::HostStatus). Returns 0. Errors:
    /// `BadAddress`.
    HostStatus = CONTROL_BASE + 9,
    /// `(vm, address)`: gives a VM new [`Limits`](crate::control::Limits), from now on. Returns 0.
    /// Errors: `NotFound`, `BadAddress`, `Invalid`.
    VmLimits = CONTROL_BASE + 10,
    /// `(key_address)`: makes the partition for the store volume 0 of the supervisor, encrypted with
    /// a key of [`VOLUME_KEY_LEN`](crate::block::VOLUME_KEY_LEN) bytes. Returns its blocks. Errors:
    /// `NotFound`, `Exists`, `Invalid`, `BadAddress`.
    StoreOpen = CONTROL_BASE + 11,
    /// `(image, index, address)`: copies page `index` of an image, 4,096 bytes; of the first page, with
    /// number 0, the [`ImageHeader`](crate::image::ImageHeader) alone. Returns 0. Errors: `NotFound`,
    /// `Invalid`, `BadAddress`, `OutOfMemory`.
    ImageRead = CONTROL_BASE + 12,
    /// `(vm)`: from now on the VM does not run and is given no frames, until `vm_thaw`. `Invalid` if it
    /// has ended or is the supervisor, `Busy` if it has never run. Returns 0. Errors: `NotFound`,
    /// `Invalid`, `Busy`.
    VmFreeze = CONTROL_BASE + 13,
    /// `(vm, state_address)`: lets a frozen VM go on, with 0 for the address as it was. One that was
    /// created [`FROZEN`](crate::control::vm_flags::FROZEN) and has never run takes a
    /// [`FrozenVm`](crate::control::FrozenVm) instead and learns of it by
    /// [`RESUME`](crate::shared::interrupt::RESUME); it ends if that is unsound. `Busy` if it is not
    /// in memory yet, or was created frozen and is given no state. Returns 0. Errors: `NotFound`,
    /// `Invalid`, `Busy`, `BadAddress`.
    VmThaw = CONTROL_BASE + 14,
    /// `(vm, address)`: writes the [`FrozenVm`](crate::control::FrozenVm) of a frozen VM. `Busy` while
    /// it is on its way into memory, or a device works for it. Returns 0. Errors: `NotFound`,
    /// `Invalid`, `Busy`, `BadAddress`.
    VmSave = CONTROL_BASE + 15,
    /// `(vm, page, address)`: copies, of the [`PAGES_LOOKED`] pages from number `page` on, the first
    /// that a frozen VM may have written, 4,096 bytes. Returns its number, or if there is none that of the
    /// page behind those looked at. `Busy` as for `vm_save`. Errors: `NotFound`, `Invalid`, `Busy`,
    /// `BadAddress`.
    PageRead = CONTROL_BASE + 16,
    /// `(vm, page, address)`: writes a page of data, bss, heap or stack of a frozen VM that has never
    /// run, 4,096 bytes. `Busy` as for `vm_save`. Returns 0. Errors: `NotFound`, `Invalid`, `Busy`,
    /// `BadAddress`, `OutOfMemory`.
    PageWrite = CONTROL_BASE + 17,
    /// `(vm)`: has a VM created [`SUCCESSOR`](crate::control::vm_flags::SUCCESSOR) take the place of the one
    /// whose addresses it has, if there is one. What clients begin is for it from now on; the other keeps
    /// its connections. Returns 0. Errors: `NotFound`.
    VmSucceed = CONTROL_BASE + 18,
}

impl Hypercall {
    /// Every hypercall, guests' first.
    pub const ALL: [Self; 28] = [
        Self::IdleWithTimeout,
        Self::Terminate,
        Self::Yield,
        Self::NetworkNotify,
        Self::ConsoleWrite,
        Self::Random,
        Self::ReleaseMemory,
        Self::RegisterUpcall,
        Self::BlockSubmit,
        Self::ImageCreate,
        Self::ImageWrite,
        Self::ImageDestroy,
        Self::VmCreate,
        Self::VmStop,
        Self::VmDestroy,
        Self::VmStatus,
        Self::VmNext,
        Self::ConsoleRead,
        Self::HostStatus,
        Self::VmLimits,
        Self::StoreOpen,
        Self::ImageRead,
        Self::VmFreeze,
        Self::VmThaw,
        Self::VmSave,
        Self::PageRead,
        Self::PageWrite,
        Self::VmSucceed,
    ];

    /// Returns the number a guest loads into `rax`.
    #[must_use]
    pub const fn number(self) -> u64 {
        self as u64
    }

    /// Returns the hypercall with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number.wrapping_sub(HYPERCALL_BASE) {
            0 => Self::IdleWithTimeout,
            1 => Self::Terminate,
            2 => Self::Yield,
            3 => Self::NetworkNotify,
            4 => Self::ConsoleWrite,
            5 => Self::Random,
            6 => Self::ReleaseMemory,
            7 => Self::RegisterUpcall,
            8 => Self::BlockSubmit,
            0x100 => Self::ImageCreate,
            0x101 => Self::ImageWrite,
            0x102 => Self::ImageDestroy,
            0x103 => Self::VmCreate,
            0x104 => Self::VmStop,
            0x105 => Self::VmDestroy,
            0x106 => Self::VmStatus,
            0x107 => Self::VmNext,
            0x108 => Self::ConsoleRead,
            0x109 => Self::HostStatus,
            0x10a => Self::VmLimits,
            0x10b => Self::StoreOpen,
            0x10c => Self::ImageRead,
            0x10d => Self::VmFreeze,
            0x10e => Self::VmThaw,
            0x10f => Self::VmSave,
            0x110 => Self::PageRead,
            0x111 => Self::PageWrite,
            0x112 => Self::VmSucceed,
            _ => return None,
        })
    }

    /// Returns its name, as the reference has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleWithTimeout => "idle_with_timeout",
            Self::Terminate => "terminate",
            Self::Yield => "yield",
            Self::NetworkNotify => "network_notify",
            Self::ConsoleWrite => "console_write",
            Self::Random => "random",
            Self::ReleaseMemory => "release_memory",
            Self::RegisterUpcall => "register_upcall",
            Self::BlockSubmit => "block_submit",
            Self::ImageCreate => "image_create",
            Self::ImageWrite => "image_write",
            Self::ImageDestroy => "image_destroy",
            Self::VmCreate => "vm_create",
            Self::VmStop => "vm_stop",
            Self::VmDestroy => "vm_destroy",
            Self::VmStatus => "vm_status",
            Self::VmNext => "vm_next",
            Self::ConsoleRead => "console_read",
            Self::HostStatus => "host_status",
            Self::VmLimits => "vm_limits",
            Self::StoreOpen => "store_open",
            Self::ImageRead => "image_read",
            Self::VmFreeze => "vm_freeze",
            Self::VmThaw => "vm_thaw",
            Self::VmSave => "vm_save",
            Self::PageRead => "page_read",
            Self::PageWrite => "page_write",
            Self::VmSucceed => "vm_succeed",
        }
    }

    /// Returns whether only the supervisor may call it.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.number() >= CONTROL_BASE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_hypercalls_correspond() {
        for call in Hypercall::ALL {
            assert_eq!(Hypercall::from_number(call.number()), Some(call));
        }
        for number in [
            0,
            231,
            HYPERCALL_BASE - 1,
            HYPERCALL_BASE + 9,
            CONTROL_BASE + 19,
        ] {
            assert_eq!(Hypercall::from_number(number), None);
        }
    }

    #[test]
    fn a_guest_has_at_most_sixteen_and_the_supervisor_nineteen_more() {
        let control = Hypercall::ALL
            .iter()
            .filter(|call| call.is_control())
            .count();
        assert!(Hypercall::ALL.len() - control <= 16);
        assert!(control <= 19);
    }
}
