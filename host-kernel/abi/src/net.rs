//! The virtual Ethernet: descriptors of the transmit and receive rings.
//!
//! One crossing sends or receives a batch. The rings lie in the shared page
//! ([`crate::shared::SharedPage`]); buffers lie anywhere in heap, image data or stacks.
//!
//! *Transmit*: the guest fills descriptors and advances `tx_produced`; the kernel sends them and
//! advances `tx_consumed`. *Receive*: the guest posts empty buffers and advances `rx_posted`; the
//! kernel writes a frame, its length and flags, and advances `rx_filled`.
//! Indices count up and wrap at 2^32; the slot is the index modulo [`RING_LEN`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Descriptors in each ring, a power of two.
pub const RING_LEN: u32 = 64;

/// Longest ordinary Ethernet frame in bytes, header included, without check sequence.
pub const FRAME_LEN_MAX: usize = 1514;

/// Longest super-segment in bytes, Ethernet header included.
pub const SUPER_LEN_MAX: usize = 65_535;

/// Shortest frame the switch accepts: an Ethernet header.
pub const FRAME_LEN_MIN: usize = 14;

/// One buffer of a ring.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Descriptor {
    /// Guest address of the buffer.
    pub address: u64,
    /// Bytes to send; on receive the buffer's capacity, then the bytes written.
    pub length: u32,
    /// [`flags`].
    pub flags: u16,
    /// Payload bytes per segment where `flags` asks for segmentation, else 0.
    pub segment_size: u16,
}

const _: () = assert!(size_of::<Descriptor>() == 16);

/// Bits of [`Descriptor::flags`].
///
/// A guest may set a bit on transmit only if [`NetworkConfig::features`] offers it, and gets only
/// those on receive that it has in
/// [`SharedPage::rx_accepts`](crate::shared::SharedPage::rx_accepts). All but [`MORE`](flags::MORE)
/// stand in the first descriptor of a frame.
pub mod flags {
    /// The frame goes on in the next descriptor.
    pub const MORE: u16 = 1 << 0;
    /// The TCP or UDP checksum is not computed, and its field holds anything. On receive the contents
    /// are good: the frame comes from a VM of this host, or the NIC vouches for it.
    pub const CHECKSUM_PARTIAL: u16 = 1 << 1;
    /// Receive: the checksum has been verified.
    pub const CHECKSUM_VALID: u16 = 1 << 2;
    /// The frame is a TCP/IPv4 super-segment of up to [`SUPER_LEN_MAX`](super::SUPER_LEN_MAX) bytes,
    /// to be cut at `segment_size`, or not cut at all between VMs. Includes [`CHECKSUM_PARTIAL`].
    pub const SEGMENT_TCP4: u16 = 1 << 3;
    /// The same for TCP/IPv6.
    pub const SEGMENT_TCP6: u16 = 1 << 4;
}

/// How the guest gets its IPv4 address.
pub mod addressing {
    /// The address in [`super::NetworkConfig`] is the VM's; the switch drops any other source.
    pub const STATIC: u32 = 0;
    /// By DHCP; the switch learns the address from the server's acknowledgement.
    pub const DHCP: u32 = 1;
}

/// What a VM needs to know of its network.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct NetworkConfig {
    /// The VM's hardware address.
    pub mac: [u8; 6],
    /// Longest frame in bytes, Ethernet header included. Set by the kernel.
    pub frame_len_max: u16,
    /// Offload features the kernel offers, as bits of [`flags`]. Set by the kernel.
    pub features: u32,
    /// One of [`addressing`].
    pub addressing: u32,
    /// The VM's IPv4 address, or all zero with DHCP.
    pub address: [u8; 4],
    /// Prefix length of its subnet, 0 to 32.
    pub prefix_len: u32,
    /// The router, or all zero for none.
    pub gateway: [u8; 4],
    /// The name server, or all zero for none.
    pub dns: [u8; 4],
}

const _: () = assert!(size_of::<NetworkConfig>() == 32);
