//! The virtual Ethernet as a smoltcp device: two rings in the shared page.
//!
//! A crossing is what costs, so none is made per frame. Frames to send gather in the ring until the
//! VM idles, which sends them anyway; only when threads keep running from one poll to the next, or
//! the ring is full, does [`network_notify`](crate::hypercall::network_notify) send them.
//! Receive buffers are posted without being touched: a page of theirs costs memory once the kernel
//! writes a frame to it.
//!
//! The kernel may run between any two instructions of ours. So indices and descriptors are read
//! and written with volatile accesses, and a buffer belongs to whoever the indices say: there is
//! no reference to one while it is the kernel's.

#![expect(unsafe_code, reason = "shares rings and buffers with the kernel")]

mod memory;
mod receive;
mod transmit;

#[cfg(test)]
mod tests;

use super::stack::Link;
use super::stack::header::{Checksum, checksum_capabilities};
use core::num::{NonZeroU16, NonZeroUsize};
use denali_abi::convert::{u32_to_usize, u64_to_usize};
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::net::{FRAME_LEN_MAX, NetworkConfig, RING_LEN, SUPER_LEN_MAX, flags};
use denali_abi::shared::SharedPage;
use memory::Page;
use receive::Receive;
use smoltcp::phy::{self, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::time::Instant;
use transmit::Transmit;

/// The virtual Ethernet of this VM.
#[derive(Debug)]
pub(crate) struct RingDevice {
    rx: Receive,
    tx: Transmit,
    frame_len: usize,
    /// What the kernel takes from us, as bits of [`flags`].
    features: u16,
}

impl RingDevice {
    /// Takes over the rings of this VM; to be called once.
    pub(super) fn of_this_vm() -> Self {
        let page = core::ptr::with_exposed_provenance_mut(u64_to_usize(SHARED_ADDRESS));
        let network = crate::registers::get().network;
        // SAFETY: the kernel maps the page there for the whole life of the VM, and nothing else
        // here uses the rings.
        unsafe { Self::new(page, &network, crate::hypercall::network_notify) }
    }

    /// Takes over the rings in a shared page.
    ///
    /// # Safety
    ///
    /// `page` must stay valid for reads and writes for as long as the device lives, nobody but the
    /// kernel may use its rings, and `notify` must make the kernel consume the transmit ring.
    unsafe fn new(page: *mut SharedPage, network: &NetworkConfig, notify: fn()) -> Self {
        let features = u16::try_from(network.features).unwrap_or(0);
        let frame_len =
            usize::from(network.frame_len_max).clamp(FRAME_LEN_MAX, usize::from(u16::MAX));
        let buffer_len = frame_len.next_multiple_of(16);
        // SAFETY: the caller vouches for the page.
        let page = unsafe { Page::new(page) };
        Self {
            rx: Receive::new(page, buffer_len),
            tx: Transmit::new(page, buffer_len, features, notify),
            frame_len,
            features,
        }
    }
}

// SAFETY: the pointers in it are to memory that only the device and the kernel use, so it does not
// matter which thread calls.
unsafe impl Send for RingDevice {}

impl Link for RingDevice {
    fn peek(&self) -> Option<(&[u8], Checksum)> {
        self.rx.peek()
    }

    fn skip(&mut self) {
        self.rx.advance();
    }

    fn can_transmit(&mut self) -> bool {
        self.tx.has_room()
    }

    fn refresh(&mut self) {
        self.rx.refresh();
        self.tx.refresh();
    }

    fn flush(&mut self) {
        self.tx.flush();
    }

    fn transmitted(&self) -> u32 {
        self.tx.produced()
    }

    fn provide_for(&mut self, len: usize) -> bool {
        const HEADERS_MAX: usize = 128;
        let longest = (len + HEADERS_MAX).min(SUPER_LEN_MAX);
        let is_cut_behind_us = self.features & flags::SEGMENT_TCP4 != 0;
        !is_cut_behind_us || longest <= self.frame_len || self.tx.provide_for(longest)
    }

    fn rest(&mut self) {
        self.rx.vacate();
        self.tx.drop_spare();
    }
}

impl phy::Device for RingDevice {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        if self.rx.peek().is_none() || !self.tx.has_room() {
            return None;
        }
        Some((RxToken(&mut self.rx), TxToken::new(&mut self.tx)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        self.tx.has_room().then(|| TxToken::new(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.frame_len;
        capabilities.max_burst_size = Some(u32_to_usize(RING_LEN));
        capabilities.checksum = checksum_capabilities();
        if self.features & flags::CHECKSUM_PARTIAL != 0 {
            capabilities.checksum.tcp = phy::Checksum::None;
            // Not IPv6: smoltcp 0.14 would make the super-segment and then drop it, for being longer
            // than the MTU, where it writes the IPv6 header.
            let offered = self.features & flags::SEGMENT_TCP4 != 0;
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(SUPER_LEN_MAX).filter(|_| offered);
        }
        capabilities
    }
}

/// The right to take the next received frame.
#[derive(Debug)]
pub(crate) struct RxToken<'a>(&'a mut Receive);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(self.0.peek().map_or(&[], |(frame, _)| frame));
        self.0.advance();
        result
    }
}

/// The right to send a frame.
#[derive(Debug)]
pub(crate) struct TxToken<'a> {
    ring: &'a mut Transmit,
    segment_size: Option<NonZeroU16>,
}

impl<'a> TxToken<'a> {
    const fn new(ring: &'a mut Transmit) -> Self {
        Self {
            ring,
            segment_size: None,
        }
    }
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.ring.send(len, self.segment_size, f)
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment_size = meta.segmentation_offload_size;
    }
}
