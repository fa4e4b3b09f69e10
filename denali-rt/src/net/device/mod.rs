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
use denali_abi::convert::u64_to_usize;
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::net::FRAME_LEN_MAX;
use denali_abi::shared::SharedPage;
use memory::Page;
use receive::Receive;
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use transmit::Transmit;

/// The virtual Ethernet of this VM.
#[derive(Debug)]
pub(crate) struct RingDevice {
    rx: Receive,
    tx: Transmit,
    frame_len: usize,
}

impl RingDevice {
    /// Takes over the rings of this VM; to be called once.
    pub(super) fn of_this_vm() -> Self {
        let page = core::ptr::with_exposed_provenance_mut(u64_to_usize(SHARED_ADDRESS));
        let frame_len_max = crate::registers::get().network.frame_len_max;
        // SAFETY: the kernel maps the page there for the whole life of the VM, and nothing else
        // here uses the rings.
        unsafe { Self::new(page, frame_len_max, crate::hypercall::network_notify) }
    }

    /// Takes over the rings in a shared page.
    ///
    /// # Safety
    ///
    /// `page` must stay valid for reads and writes for as long as the device lives, nobody but the
    /// kernel may use its rings, and `notify` must make the kernel consume the transmit ring.
    unsafe fn new(page: *mut SharedPage, frame_len_max: u16, notify: fn()) -> Self {
        let frame_len = usize::from(frame_len_max).clamp(FRAME_LEN_MAX, usize::from(u16::MAX));
        let buffer_len = frame_len.next_multiple_of(16);
        // SAFETY: the caller vouches for the page.
        let page = unsafe { Page::new(page) };
        Self {
            rx: Receive::new(page, buffer_len),
            tx: Transmit::new(page, buffer_len, notify),
            frame_len,
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

    fn can_transmit(&self) -> bool {
        self.tx.has_room()
    }

    fn refresh(&mut self) {
        self.rx.refresh();
        self.tx.refresh();
    }

    fn flush(&mut self) {
        self.tx.flush();
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
        Some((RxToken(&mut self.rx), TxToken(&mut self.tx)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        self.tx.has_room().then_some(TxToken(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.frame_len;
        capabilities.checksum = checksum_capabilities();
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
pub(crate) struct TxToken<'a>(&'a mut Transmit);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.send(len, f)
    }
}
