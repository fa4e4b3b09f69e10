//! Counters of the host.

/// What happened since boot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Time the CPU was idle, in nanoseconds.
    pub idle_ns: u64,
    /// World switches.
    pub switches: u64,
    /// Frames received from the wire.
    pub nic_rx_frames: u64,
    /// Frames sent to the wire.
    pub nic_tx_frames: u64,
    /// Frames from the wire for nobody here, or dropped for want of room.
    pub nic_dropped: u64,
    /// VMs ever created.
    pub vms_created: u64,
    /// VMs that ended, for whatever reason.
    pub vms_ended: u64,
    /// Restarts of the supervisor.
    pub supervisor_restarts: u64,
    /// Answers of the scheduler that the mechanism did not follow.
    pub scheduler_refused: u64,
    /// Answers of the gatekeeper that the mechanism did not follow.
    pub gatekeeper_refused: u64,
    /// Trace events lost because nobody took them.
    pub trace_lost: u64,
}
