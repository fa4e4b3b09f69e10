//! What a frame leaves to whoever handles it next: its checksum, and being cut into segments.
//!
//! A guest may send a frame whose TCP or UDP checksum is not computed, and a TCP *super-segment*
//! of up to [`SUPER_LEN_MAX`] bytes. Between VMs nothing is computed and nothing is cut; the NIC
//! does both where it can; else this module does, on the kernel's copy of the frame.
//!
//! All of it is an allegation: the headers are found anew in the copy, what does not fit is
//! refused, and length fields and the sum that the next one relies on are written here.

use super::ethernet::{Frame, ethertype, protocol};
use super::refusal::Refusal;
use crate::machine::Offload;
use denali_abi::net::{FRAME_LEN_MAX, SUPER_LEN_MAX, flags};

/// Most segments that the kernel cuts from one super-segment. What lies behind is not sent, as if
/// it were lost; only a peer whose segments are shorter than 1,024 bytes comes to feel it.
pub const SEGMENTS_MAX: usize = 64;

/// What the descriptor of a frame says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Bits of [`flags`], without [`flags::MORE`].
    pub flags: u16,
    /// Payload bytes a segment, if it is to be cut.
    pub segment_size: u16,
}

impl Wish {
    /// Returns whether the frame is to be cut.
    #[must_use]
    pub const fn is_super(self) -> bool {
        self.flags & SEGMENT != 0
    }
}

const SEGMENT: u16 = flags::SEGMENT_TCP4 | flags::SEGMENT_TCP6;

const ETHERNET_LEN: usize = 14;
const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;
const TCP_LEN_MIN: usize = 20;

// Offsets in the headers (RFC 791 §3.1, RFC 8200 §3, RFC 9293 §3.1, RFC 768).
const IPV4_TOTAL_LEN: usize = 2;
const IPV4_IDENTIFICATION: usize = 4;
const IPV4_FRAGMENT: usize = 6;
const IPV4_PROTOCOL: usize = 9;
const IPV4_CHECKSUM: usize = 10;
const IPV4_ADDRESSES: usize = 12;
const IPV6_PAYLOAD_LEN: usize = 4;
const IPV6_PROTOCOL: usize = 6;
const IPV6_ADDRESSES: usize = 8;
const TCP_SEQUENCE: usize = 4;
const TCP_DATA_OFFSET: usize = 12;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

const TCP_FIN: u8 = 1;
const TCP_SYN: u8 = 2;
const TCP_RST: u8 = 4;
const TCP_PSH: u8 = 8;
const TCP_URG: u8 = 32;
const TCP_CWR: u8 = 128;

/// The IP versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

/// Where the headers of a TCP or UDP frame lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Headers {
    version: Version,
    protocol: u8,
    /// Where the transport header starts.
    transport: usize,
    /// Where the payload starts.
    payload: usize,
}

impl Headers {
    /// Finds the headers of a frame that is TCP or UDP and no fragment.
    fn find(frame: &[u8]) -> Option<Self> {
        let ethernet = Frame::parse(frame)?;
        let packet = ethernet.payload;
        let (version, protocol, transport) = match ethernet.ethertype {
            ethertype::IPV4 => {
                let words = packet.first()? & 0xf;
                let fragment = u16::from_be_bytes([
                    *packet.get(IPV4_FRAGMENT)?,
                    *packet.get(IPV4_FRAGMENT + 1)?,
                ]);
                // More fragments, or an offset.
                if packet.first()? >> 4 != 4 || words < 5 || fragment & 0x3fff != 0 {
                    return None;
                }
                let length = usize::from(words) * 4;
                (Version::V4, *packet.get(IPV4_PROTOCOL)?, length)
            }
            ethertype::IPV6 if packet.first()? >> 4 == 6 => {
                (Version::V6, *packet.get(IPV6_PROTOCOL)?, IPV6_LEN)
            }
            _ => return None,
        };
        let transport = ETHERNET_LEN + transport;
        let length = match protocol {
            protocol::TCP => usize::from(frame.get(transport + TCP_DATA_OFFSET)? >> 4) * 4,
            protocol::UDP => UDP_LEN,
            _ => return None,
        };
        let payload = transport + length;
        let long_enough = protocol == protocol::UDP || length >= TCP_LEN_MIN;
        (long_enough && payload <= frame.len()).then_some(Self {
            version,
            protocol,
            transport,
            payload,
        })
    }

    const fn checksum(&self) -> usize {
        self.transport
            + if self.protocol == protocol::TCP {
                TCP_CHECKSUM
            } else {
                UDP_CHECKSUM
            }
    }

    /// Returns how many bytes of the frame the packet says are its own: others may lie behind it.
    fn length(&self, frame: &[u8]) -> usize {
        let (at, before) = match self.version {
            Version::V4 => (IPV4_TOTAL_LEN, ETHERNET_LEN),
            Version::V6 => (IPV6_PAYLOAD_LEN, ETHERNET_LEN + IPV6_LEN),
        };
        let field = frame.get(ETHERNET_LEN + at..).and_then(<[u8]>::first_chunk);
        before + field.map_or(0, |field| usize::from(u16::from_be_bytes(*field)))
    }

    /// Writes the length of the packet, which ends with the frame, and what depends on it.
    fn set_length(&self, frame: &mut [u8]) {
        let ip = frame.get_mut(ETHERNET_LEN..).unwrap_or_default();
        match self.version {
            Version::V4 => {
                put(ip, IPV4_TOTAL_LEN, length_of(ip.len()));
                put(ip, IPV4_CHECKSUM, 0);
                let header = ip.get(..self.transport - ETHERNET_LEN).unwrap_or_default();
                let sum = !fold(sum(header));
                put(ip, IPV4_CHECKSUM, sum);
            }
            Version::V6 => put(ip, IPV6_PAYLOAD_LEN, length_of(ip.len() - IPV6_LEN)),
        }
        if self.protocol == protocol::UDP {
            let length = length_of(frame.len() - self.transport);
            put(frame, self.transport + 4, length);
        }
    }

    /// Returns the sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1).
    fn pseudo_header(&self, frame: &[u8]) -> u16 {
        let (start, length) = match self.version {
            Version::V4 => (ETHERNET_LEN + IPV4_ADDRESSES, 8),
            Version::V6 => (ETHERNET_LEN + IPV6_ADDRESSES, 32),
        };
        let addresses = frame.get(start..start + length).unwrap_or_default();
        let rest = u64::from(length_of(frame.len() - self.transport));
        fold(sum(addresses) + rest + u64::from(self.protocol))
    }

    /// Writes the checksum.
    fn set_checksum(&self, frame: &mut [u8]) {
        put(frame, self.checksum(), self.pseudo_header(frame));
        let segment = frame.get(self.transport..).unwrap_or_default();
        let sum = !fold(sum(segment));
        // RFC 768: a UDP checksum of zero would mean that there is none.
        let zero = sum == 0 && self.protocol == protocol::UDP;
        put(frame, self.checksum(), if zero { 0xffff } else { sum });
    }
}

/// Checks a frame and what is wished for it, and prepares it for whoever does it: lengths, the IP
/// header's checksum, and the sum of the pseudo-header where the checksum belongs.
///
/// Returns how to go on; a super-segment that is short enough to be one segment is none.
///
/// # Errors
///
/// [`Refusal::Malformed`] if the wish does not fit the frame.
pub fn prepare(frame: &mut [u8], wish: Wish) -> Result<Offload, Refusal> {
    if wish.flags == 0 {
        return Ok(Offload::default());
    }
    let headers = Headers::find(frame).ok_or(Refusal::Malformed)?;
    let segmentation = match headers.version {
        Version::V4 => flags::SEGMENT_TCP4,
        Version::V6 => flags::SEGMENT_TCP6,
    };
    let size = usize::from(wish.segment_size);
    if wish.is_super() {
        let controls = frame.get(headers.transport + TCP_FLAGS).copied();
        let plain = controls.is_some_and(|bits| bits & (TCP_SYN | TCP_RST | TCP_URG) == 0);
        let fits = size > 0 && headers.payload + size <= FRAME_LEN_MAX;
        let is_tcp = headers.protocol == protocol::TCP && wish.flags & SEGMENT == segmentation;
        if !is_tcp || !plain || !fits || frame.len() > SUPER_LEN_MAX {
            return Err(Refusal::Malformed);
        }
    }
    headers.set_length(frame);
    put(frame, headers.checksum(), headers.pseudo_header(frame));
    let cut = wish.is_super() && frame.len() - headers.payload > size;
    if !cut && frame.len() > FRAME_LEN_MAX {
        return Err(Refusal::Malformed);
    }
    Ok(Offload {
        flags: flags::CHECKSUM_PARTIAL | if cut { segmentation } else { 0 },
        segment_size: if cut { wish.segment_size } else { 0 },
        header_len: length_of(headers.payload),
        checksum_start: length_of(headers.transport),
        checksum_offset: length_of(headers.checksum() - headers.transport),
    })
}

/// Checks what the NIC says of a frame that it has received, and returns what is left to do.
///
/// Of a frame to be cut everything that the cutting relies on is checked. Another one is as good as
/// its contents: its headers are found when somebody [`finish`]es it.
///
/// # Errors
///
/// [`Refusal::Malformed`] if what it says does not fit the frame.
pub fn accept(frame: &mut [u8], said: Offload) -> Result<Offload, Refusal> {
    let wish = Wish {
        flags: said.flags,
        segment_size: said.segment_size,
    };
    if !wish.is_super() {
        let sound = frame.len() <= FRAME_LEN_MAX && wish.segment_size == 0;
        return if sound {
            Ok(said)
        } else {
            Err(Refusal::Malformed)
        };
    }
    let headers = Headers::find(frame).ok_or(Refusal::Malformed)?;
    let ip = frame
        .get(ETHERNET_LEN..headers.transport)
        .unwrap_or_default();
    let sound = headers.version == Version::V6 || fold(sum(ip)) == 0xffff;
    if !sound || headers.length(frame) != frame.len() {
        return Err(Refusal::Malformed);
    }
    prepare(frame, wish)
}

/// Computes the checksum of a frame that is not to be cut.
pub fn finish(frame: &mut [u8]) {
    if let Some(headers) = Headers::find(frame) {
        let length = headers.length(frame).max(headers.payload);
        if let Some(packet) = frame.get_mut(..length) {
            headers.set_checksum(packet);
        }
    }
}

/// Returns into how many segments a prepared super-segment is cut.
#[must_use]
pub fn segments(frame: &[u8], offload: &Offload) -> usize {
    let payload = frame.len().saturating_sub(usize::from(offload.header_len));
    let size = usize::from(offload.segment_size).max(1);
    payload.div_ceil(size).min(SEGMENTS_MAX)
}

/// Writes segment `nth` of a prepared super-segment, complete, and returns its length; 0 if there
/// is none.
pub fn cut(
    frame: &[u8],
    offload: &Offload,
    nth: usize,
    segment: &mut [u8; FRAME_LEN_MAX],
) -> usize {
    write_segment(frame, offload, nth, segment).unwrap_or(0)
}

fn write_segment(
    frame: &[u8],
    offload: &Offload,
    nth: usize,
    segment: &mut [u8; FRAME_LEN_MAX],
) -> Option<usize> {
    let headers = Headers::find(frame)?;
    let size = usize::from(offload.segment_size);
    let at = size.checked_mul(nth)?;
    let payload = frame.get(headers.payload + at..)?;
    if payload.is_empty() {
        return None;
    }
    let is_last = payload.len() <= size;
    let payload = payload.get(..size.min(payload.len()))?;
    let length = headers.payload + payload.len();
    let written = segment.get_mut(..length)?;
    let (head, body) = written.split_at_mut_checked(headers.payload)?;
    copy(head, frame);
    copy(body, payload);

    let sequence: [u8; 4] = head
        .get(headers.transport + TCP_SEQUENCE..)?
        .first_chunk()
        .copied()?;
    let sequence = u32::from_be_bytes(sequence).wrapping_add(u32::try_from(at).ok()?);
    head.get_mut(headers.transport + TCP_SEQUENCE..)?
        .first_chunk_mut()
        .map(|field| *field = sequence.to_be_bytes())?;
    // The end belongs to the last one, the congestion signal to the first (RFC 3168 §6.1.2).
    let controls = head.get_mut(headers.transport + TCP_FLAGS)?;
    if !is_last {
        *controls &= !(TCP_FIN | TCP_PSH);
    }
    if nth > 0 {
        *controls &= !TCP_CWR;
    }
    if headers.version == Version::V4 {
        let at = ETHERNET_LEN + IPV4_IDENTIFICATION;
        let first = u16::from_be_bytes([*written.get(at)?, *written.get(at + 1)?]);
        put(written, at, first.wrapping_add(u16::try_from(nth).ok()?));
    }
    headers.set_length(written);
    headers.set_checksum(written);
    Some(length)
}

/// Copies as much as both have room for.
fn copy(to: &mut [u8], from: &[u8]) {
    let length = to.len().min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..length), from.get(..length)) {
        to.copy_from_slice(from);
    }
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = value.to_be_bytes();
    }
}

/// Returns a length that [`SUPER_LEN_MAX`] bounds.
fn length_of(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// Returns the sum of 16-bit words (RFC 1071), four bytes at a time.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let mut total = 0_u64;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        if let [a, b, c, d] = *chunk {
            total += u64::from(u32::from_be_bytes([a, b, c, d]));
        }
    }
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(chunks.remainder()) {
        *to = *from;
    }
    // A frame is far too short for the total to overflow.
    total + u64::from(u32::from_be_bytes(last))
}

/// Folds a sum into 16 bits with the carries going round.
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
#[path = "offload_tests.rs"]
mod tests;
