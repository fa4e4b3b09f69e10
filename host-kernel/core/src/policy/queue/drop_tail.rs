//! Drop-tail: a full receive ring loses the newest frame, a full NIC lets senders wait.
//!
//! A receiver that posts no buffers loses its own frames and holds nobody up. The NIC drains
//! whatever the guests do, so waiting for it is bounded, and TCP sees no needless loss.

use super::{Full, QueueDiscipline, Verdict};
use denali_abi::net::RING_LEN;

/// Frames of one VM per crossing: half a ring, so that the guest can refill while the rest goes.
const TRANSMIT_BUDGET: u32 = RING_LEN / 2;

/// The plain discipline, without state.
#[derive(Clone, Copy, Debug, Default)]
pub struct DropTail;

impl QueueDiscipline for DropTail {
    fn transmit_budget(&mut self, _vm: u32) -> u32 {
        TRANSMIT_BUDGET
    }

    fn on_full(&mut self, full: Full) -> Verdict {
        match full {
            Full::Nic { .. } => Verdict::Keep,
            Full::Peer { .. } | Full::Receiver { .. } => Verdict::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_the_nic_and_for_no_guest() {
        let mut policy = DropTail;
        assert_eq!(policy.on_full(Full::Nic { from: 1 }), Verdict::Keep);
        assert_eq!(policy.on_full(Full::Peer { from: 1, to: 2 }), Verdict::Drop);
        assert_eq!(policy.on_full(Full::Receiver { to: 2 }), Verdict::Drop);
    }
}
