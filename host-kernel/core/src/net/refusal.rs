//! Why the switch did not let a frame out of a VM, and how often each reason occurred.

/// A reason to drop a frame on transmit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The VM has no port.
    NotConnected,
    /// Shorter or longer than an Ethernet frame may be.
    Length,
    /// The source hardware address is not the VM's.
    SourceMac,
    /// Addressed to a bridge's reserved group, 01:80:c2 (IEEE 802.1Q §8.6.3): LLDP, 802.1X, STP.
    ReservedGroup,
    /// Neither IPv4, ARP nor IPv6; VLAN tags too.
    EtherType,
    /// A header contradicts itself or the frame's length.
    Malformed,
    /// ARP that speaks for another hardware or protocol address.
    ArpSender,
    /// The IPv4 source is not the VM's.
    Ipv4Source,
    /// A DHCP request for another client's hardware address.
    DhcpClient,
    /// An answer only a DHCP or DHCPv6 server gives.
    DhcpServer,
    /// The IPv6 source is not derived from the VM's hardware address.
    Ipv6Source,
    /// An IPv6 header chain that could hide what it carries (RFC 7113 §3).
    Ipv6Header,
    /// A router advertisement or redirect.
    RouterAdvertisement,
    /// A neighbour advertisement for another address.
    NeighborAdvertisement,
}

impl Refusal {
    /// Every reason, in order.
    pub const ALL: [Self; 14] = [
        Self::NotConnected,
        Self::Length,
        Self::SourceMac,
        Self::ReservedGroup,
        Self::EtherType,
        Self::Malformed,
        Self::ArpSender,
        Self::Ipv4Source,
        Self::DhcpClient,
        Self::DhcpServer,
        Self::Ipv6Source,
        Self::Ipv6Header,
        Self::RouterAdvertisement,
        Self::NeighborAdvertisement,
    ];
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "no port",
            Self::Length => "bad length",
            Self::SourceMac => "forged source MAC",
            Self::ReservedGroup => "reserved group address",
            Self::EtherType => "protocol not allowed",
            Self::Malformed => "malformed header",
            Self::ArpSender => "forged ARP sender",
            Self::Ipv4Source => "forged IPv4 source",
            Self::DhcpClient => "DHCP request for another client",
            Self::DhcpServer => "DHCP server answer",
            Self::Ipv6Source => "forged IPv6 source",
            Self::Ipv6Header => "opaque IPv6 header chain",
            Self::RouterAdvertisement => "router advertisement",
            Self::NeighborAdvertisement => "forged neighbour advertisement",
        })
    }
}

/// How often each [`Refusal`] occurred since boot.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefusalCounters([u64; Refusal::ALL.len()]);

impl RefusalCounters {
    /// Returns how often `refusal` occurred.
    #[must_use]
    pub fn count(&self, refusal: Refusal) -> u64 {
        self.0.get(refusal as usize).copied().unwrap_or(0)
    }

    /// Returns how many frames were refused for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn record(&mut self, refusal: Refusal) {
        if let Some(count) = self.0.get_mut(refusal as usize) {
            *count = count.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_counter() {
        let mut counters = RefusalCounters::default();
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
            counters.record(refusal);
            assert_eq!(counters.count(refusal), 1);
        }
        assert_eq!(counters.total(), 14);
    }
}
