//! The virtual Ethernet: from a guest's rings through the switch to another ring or the wire.
//!
//! | module       | what it does                                             |
//! |--------------|----------------------------------------------------------|
//! | [`ring`]     | takes frames out of and puts them into untrusted rings   |
//! | [`ethernet`] | reads what the checks need from a frame                  |
//! | [`ipv6`]     | the same for IPv6 and neighbour discovery                |
//! | [`source`]   | checks whom a frame claims to come from                  |
//! | [`switch`]   | decides where a frame goes                               |
//! | `ports`      | who is connected, with which addresses                   |
//! | `succession` | decides between a VM and the one that takes its place    |
//! | [`group`]    | which VMs hear which multicast groups                    |
//! | [`table`]    | finds a port by hardware or IPv4 address                 |
//! | `answer`     | answers in place of who sleeps where it is               |
//! | [`offload`]  | computes checksums and cuts super-segments                |
//! | [`refusal`]  | why a frame was not sent, and how often                  |
//!
//! Nothing here allocates, panics or formats for a frame, whatever its bytes are.

pub(crate) mod answer;
pub mod ethernet;
pub mod group;
pub mod ipv6;
pub mod offload;
mod ports;
pub mod refusal;
pub mod ring;
pub mod source;
mod succession;
pub mod switch;
pub mod table;

#[cfg(test)]
mod test_frames;
