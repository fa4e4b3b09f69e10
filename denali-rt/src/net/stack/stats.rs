//! Counters of the stack.

/// What the network of this VM has done so far, and holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that exist, those closing in the background included.
    pub connections: usize,
    /// Closed connections whose ports are still reserved.
    pub time_wait: usize,
    /// Bytes of socket buffers in use.
    pub buffer_bytes: usize,
    /// Frames received.
    pub frames_received: u64,
    /// Frames dropped for a wrong checksum.
    pub frames_corrupt: u64,
    /// Connections accepted into a backlog.
    pub accepted: u64,
    /// Connection requests dropped because the backlog was full.
    pub backlog_overflows: u64,
    /// Connection requests dropped for want of memory.
    pub memory_refusals: u64,
    /// Connections given up because the peer fell silent.
    pub timeouts: u64,
    /// Connections the peer reset.
    pub resets: u64,
    /// Connection timers that fired.
    pub timers: u64,
}
