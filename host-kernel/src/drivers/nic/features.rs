//! What the driver and a network device agree to leave to each other (virtio 1.2 §5.1.3).

use super::SUPER_BUFFERS;
use denali_abi::net::flags;

/// The device has an address.
pub(super) const MAC: u64 = 1 << 5;
/// The device puts a received frame into as many buffers as it takes.
pub(super) const MERGED_BUFFERS: u64 = 1 << 15;
/// The device says of received frames that it verified their checksum, or left it out.
pub(super) const RECEIVE_CHECKSUM: u64 = 1 << 1;
/// The device may join received segments of TCP/IPv4.
pub(super) const RECEIVE_TCP4: u64 = 1 << 7;
/// The same for TCP/IPv6.
pub(super) const RECEIVE_TCP6: u64 = 1 << 8;

const CHECKSUM: u64 = 1 << 0;
const SEGMENT_TCP4: u64 = 1 << 11;
const SEGMENT_TCP6: u64 = 1 << 12;

/// Returns what to take of what a device `offered`: super-segments from the wire only if they may
/// come in several of its `buffers` of the receive queue, and if these suffice for the longest.
pub(super) const fn optional(offered: u64, buffers: u16) -> u64 {
    let sent = CHECKSUM | SEGMENT_TCP4 | SEGMENT_TCP6;
    let joined = RECEIVE_CHECKSUM | MERGED_BUFFERS;
    if offered & joined == joined && buffers >= SUPER_BUFFERS {
        sent | joined | RECEIVE_TCP4 | RECEIVE_TCP6
    } else {
        sent | RECEIVE_CHECKSUM
    }
}

/// Returns which bits of [`Offload::flags`](denali_kernel_core::machine::Offload::flags) a device
/// takes from its `buffers` of the transmit queue.
pub(super) const fn offloads(features: u64, buffers: u16) -> u16 {
    let mut offloads = 0;
    if features & CHECKSUM != 0 {
        offloads |= flags::CHECKSUM_PARTIAL;
    }
    // Cutting needs the checksum (§5.1.3.1), and a queue that takes the longest frame at once.
    if offloads != 0 && buffers >= SUPER_BUFFERS {
        if features & SEGMENT_TCP4 != 0 {
            offloads |= flags::SEGMENT_TCP4;
        }
        if features & SEGMENT_TCP6 != 0 {
            offloads |= flags::SEGMENT_TCP6;
        }
    }
    offloads
}
