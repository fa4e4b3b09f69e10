//! Two VMs with one address: a service's VM, and the one that is to take its place.
//!
//! They have one hardware address too, so that nobody outside notices the change. A connection stays with the VM it
//! began at. New ones are the elder's until the successor takes over, and the successor's from then on; before, the
//! successor has those that the supervisor begins, to see whether it works, and those that it begins itself.
//!
//! The successor's connections are remembered as bits of a table, by their hash: memory does not grow with them. One
//! of the elder's that falls on a bit is cut off. That happens to one in 65,536 / n, where n are the connections begun
//! since, and only until the elder has ended.

use super::ethernet::{Frame, Ipv4, ethertype, field, field_u16, protocol};
use super::ipv6::{Icmpv6, Ipv6, icmpv6};
use super::switch::{Audience, Destination};
use alloc::boxed::Box;
use alloc::vec::Vec;
use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;

/// Bits to remember connections by, as a power of two.
const BITS_LOG2: u32 = 16;

/// Words they take.
const WORDS: usize = 1 << (BITS_LOG2 - 6);

/// Most services of a host that change at a time.
pub(super) const SUCCESSIONS_MAX: usize = 64;

/// The flags of a TCP segment (RFC 9293 §3.1).
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Two VMs, of which one takes the other's place. VMs are named by their indices.
#[derive(Debug)]
pub(super) struct Succession {
    elder: u32,
    successor: u32,
    /// The VM whose new connections are the successor's from the start.
    checker: Option<u32>,
    is_over: bool,
    flows: Box<[u64]>,
}

/// A TCP segment or UDP datagram, as the two VMs' peer sees it.
struct Flow {
    hash: u64,
    /// It is TCP, and does not begin a connection.
    goes_on: bool,
}

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToUs,
    FromUs,
}

impl Succession {
    /// Prepares that `successor` takes the place of `elder`.
    ///
    /// # Errors
    ///
    /// [`Errno::OutOfMemory`].
    pub(super) fn new(elder: u32, successor: u32, checker: Option<u32>) -> Result<Self, Errno> {
        let mut flows = Vec::new();
        flows
            .try_reserve_exact(WORDS)
            .map_err(|_| Errno::OutOfMemory)?;
        flows.resize(WORDS, 0);
        Ok(Self {
            elder,
            successor,
            checker,
            is_over: false,
            flows: flows.into_boxed_slice(),
        })
    }

    /// Returns the other VM, if `vm` is one of the two.
    pub(super) fn twin(&self, vm: u32) -> Option<u32> {
        match vm {
            _ if vm == self.elder => Some(self.successor),
            _ if vm == self.successor => Some(self.elder),
            _ => None,
        }
    }

    /// Gives `vm` what begins from now on, if it waits for that. Returns whether it did.
    pub(super) fn take_over(&mut self, vm: u32) -> bool {
        let waits = vm == self.successor && !self.is_over;
        self.is_over |= waits;
        waits
    }

    /// Returns where a frame from `from`, or from the wire, goes.
    pub(super) fn recipient(&mut self, frame: &Frame<'_>, from: Option<u32>) -> Destination {
        let is_checked = from.is_some() && from == self.checker;
        let newcomers = if self.is_over || is_checked {
            self.successor
        } else {
            self.elder
        };
        let Some(flow) = Flow::of(frame, Way::ToUs) else {
            return if is_about_neighbors(frame) {
                // Either may have asked.
                Destination::AllVms {
                    audience: Audience::Twins([self.elder, self.successor]),
                    except: from,
                    wire: false,
                }
            } else {
                Destination::Vm(newcomers)
            };
        };
        Destination::Vm(if self.remembers(&flow) {
            self.successor
        } else if flow.goes_on {
            self.elder
        } else {
            if newcomers == self.successor {
                self.remember(&flow);
            }
            newcomers
        })
    }

    /// Takes note of what `vm` sends.
    pub(super) fn note_sent(&mut self, vm: u32, frame: &Frame<'_>) {
        if vm == self.successor
            && let Some(flow) = Flow::of(frame, Way::FromUs)
            && !flow.goes_on
        {
            self.remember(&flow);
        }
    }

    fn remembers(&self, flow: &Flow) -> bool {
        let (word, bit) = flow.place();
        self.flows.get(word).is_some_and(|word| word & bit != 0)
    }

    fn remember(&mut self, flow: &Flow) {
        let (word, bit) = flow.place();
        if let Some(word) = self.flows.get_mut(word) {
            *word |= bit;
        }
    }
}

impl Flow {
    /// Returns the flow of a frame; `None` if it is neither TCP nor UDP, or no ports are in it.
    fn of(frame: &Frame<'_>, way: Way) -> Option<Self> {
        let is_to_us = way == Way::ToUs;
        let (peer, kind, payload) = match frame.ethertype {
            ethertype::IPV4 => {
                let packet = Ipv4::parse(frame.payload).filter(|it| it.fragment_offset == 0)?;
                let peer = if is_to_us {
                    packet.source
                } else {
                    packet.destination
                };
                (
                    u128::from(u32::from_be_bytes(peer)),
                    packet.protocol,
                    packet.payload,
                )
            }
            ethertype::IPV6 => {
                let packet = Ipv6::parse(frame.payload)?;
                let peer = if is_to_us {
                    packet.source
                } else {
                    field(frame.payload, 24)?
                };
                (u128::from_be_bytes(peer), packet.protocol, packet.payload)
            }
            _ => return None,
        };
        let ports = (field_u16(payload, 0)?, field_u16(payload, 2)?);
        let (theirs, ours) = if is_to_us { ports } else { (ports.1, ports.0) };
        let goes_on = match kind {
            protocol::TCP => {
                let [flags] = field(payload, 13)?;
                flags & (SYN | ACK) != SYN
            }
            protocol::UDP => false,
            _ => return None,
        };
        let parts: [&[u8]; 4] = [
            &peer.to_be_bytes(),
            &theirs.to_be_bytes(),
            &ours.to_be_bytes(),
            &[kind],
        ];
        let hash = hash(parts.into_iter().flatten().copied());
        Some(Self { hash, goes_on })
    }

    /// Returns the word and the bit within it that stand for the flow.
    fn place(&self) -> (usize, u64) {
        let index = self.hash >> (u64::BITS - BITS_LOG2);
        (u64_to_usize(index >> 6), 1 << (index & 63))
    }
}

/// Returns whether a frame is ARP, or what IPv6 has in its place.
fn is_about_neighbors(frame: &Frame<'_>) -> bool {
    let discovery = icmpv6::ROUTER_SOLICITATION..=icmpv6::REDIRECT;
    match frame.ethertype {
        ethertype::ARP => true,
        ethertype::IPV6 => Ipv6::parse(frame.payload)
            .filter(|packet| packet.protocol == protocol::ICMPV6)
            .and_then(|packet| Icmpv6::parse(packet.payload))
            .is_some_and(|message| discovery.contains(&message.kind)),
        _ => false,
    }
}

/// FNV-1a, its high bits mixed once more.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x100_0000_01b3;
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let folded = bytes.fold(BASIS, fold);
    (folded ^ folded >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
#[path = "succession_tests.rs"]
mod tests;
