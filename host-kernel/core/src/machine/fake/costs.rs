//! What a fake machine's work takes.

/// What the kernel's work costs in virtual time; nothing by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// Nanoseconds for each piece of memory or frame of the NIC that is written, whatever its size.
    pub call_ns: u64,
    /// Nanoseconds for each KiB of it.
    pub kib_ns: u64,
}
