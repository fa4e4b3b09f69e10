//! What the broker counts, and tells below `$SYS`.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    /// Packets that came in.
    pub(crate) packets_received: u64,
    /// Messages that came in.
    pub(crate) messages_received: u64,
    /// Messages that went out or wait to, each once for each who gets it.
    pub(crate) messages_sent: u64,
    /// Messages that somebody did not get for want of room.
    pub(crate) messages_dropped: u64,
    /// Bytes that came in.
    pub(crate) bytes_received: u64,
    /// Bytes that went out.
    pub(crate) bytes_sent: u64,
    /// Connections accepted.
    pub(crate) connections: u64,
    /// Connections refused: too many, or wrong credentials.
    pub(crate) connections_refused: u64,
    /// Connections ended because the client broke the rules.
    pub(crate) protocol_errors: u64,
    /// Connections ended because the client fell silent.
    pub(crate) timeouts: u64,
}

/// What is there now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) uptime: u64,
    pub(crate) clients_connected: u64,
    pub(crate) clients_total: u64,
    pub(crate) subscriptions: u64,
    pub(crate) retained: u64,
    pub(crate) memory_used: u64,
    pub(crate) memory_limit: u64,
}

/// The topic before all others of ours.
pub(crate) const PREFIX: &str = "$SYS/broker/";

/// Returns each statistic's topic behind [`PREFIX`], and its value. Names are mosquitto's where it
/// has them.
pub(crate) fn statistics(counters: &Counters, gauges: &Gauges) -> Vec<(&'static str, String)> {
    let version = concat!("denali mqtt ", env!("CARGO_PKG_VERSION")).to_string();
    let numbers = [
        ("uptime", gauges.uptime),
        ("clients/connected", gauges.clients_connected),
        (
            "clients/disconnected",
            gauges.clients_total - gauges.clients_connected,
        ),
        ("clients/total", gauges.clients_total),
        ("subscriptions/count", gauges.subscriptions),
        ("retained messages/count", gauges.retained),
        ("packets/received", counters.packets_received),
        ("messages/received", counters.messages_received),
        ("messages/sent", counters.messages_sent),
        ("publish/messages/dropped", counters.messages_dropped),
        ("bytes/received", counters.bytes_received),
        ("bytes/sent", counters.bytes_sent),
        ("connections/accepted", counters.connections),
        ("connections/refused", counters.connections_refused),
        ("connections/protocol errors", counters.protocol_errors),
        ("connections/timeouts", counters.timeouts),
        ("memory/used", gauges.memory_used),
        ("memory/limit", gauges.memory_limit),
    ];
    let numbers = numbers
        .into_iter()
        .map(|(topic, number)| (topic, number.to_string()));
    core::iter::once(("version", version))
        .chain(numbers)
        .collect()
}
