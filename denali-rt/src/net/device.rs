//! The virtual Ethernet as a smoltcp device: two rings in the shared page.
//!
//! A crossing is what costs, so none is made per frame. Frames to send gather in the ring until the
//! VM idles, which sends them anyway; only when threads keep running from one poll to the next, or
//! the ring is full, does [`network_notify`](crate::hypercall::network_notify) send them.
//! Receive buffers are posted without being touched: a page of theirs costs memory once the kernel
//! writes a frame to it. Their number follows the load between [`RX_POSTED_MIN`] and the ring's
//! length.
//!
//! The kernel may run between any two instructions of ours. So indices and descriptors are read
//! and written with volatile accesses, and a buffer belongs to whoever the indices say: there is
//! no reference to one while it is the kernel's.

#![expect(unsafe_code, reason = "shares rings and buffers with the kernel")]

use super::stack::Link;
use super::stack::header::{Checksum, checksum_capabilities};
use alloc::alloc::{alloc, alloc_zeroed, dealloc, handle_alloc_error};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, compiler_fence};
use denali_abi::convert::{u32_to_usize, u64_to_usize};
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::net::{Descriptor, FRAME_LEN_MAX, RING_LEN, flags};
use denali_abi::shared::SharedPage;
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

const RING: usize = u32_to_usize(RING_LEN);

/// Receive buffers posted by a VM that hears little: 24 KiB of addresses, of which only what
/// frames are written to takes memory.
const RX_POSTED_MIN: u32 = 16;

/// Polls with little to receive after which half of the receive buffers are given up.
const CALM_POLLS: u32 = 256;

/// Transmit buffers kept for reuse.
const TX_SPARE_MAX: usize = 4;

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
        let page = Page(page);
        Self {
            rx: Receive {
                page,
                buffers: [const { None }; RING],
                buffer_len: frame_len.next_multiple_of(16),
                posted: 0,
                filled: 0,
                taken: 0,
                target: RX_POSTED_MIN,
                calm: 0,
                in_chain: false,
            },
            tx: Transmit {
                page,
                buffers: [const { None }; RING],
                buffer_len: frame_len.next_multiple_of(16),
                spare: Vec::new(),
                produced: 0,
                consumed: 0,
                notify,
            },
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

/// The receive ring, seen from the guest: `taken <= filled <= posted <= taken + RING_LEN`.
#[derive(Debug)]
struct Receive {
    page: Page,
    /// The buffers of slots `taken..posted`.
    buffers: [Option<Buffer>; RING],
    buffer_len: usize,
    posted: u32,
    filled: u32,
    taken: u32,
    /// How many buffers to keep posted.
    target: u32,
    calm: u32,
    /// Whether the next descriptor goes on with a frame too long for us.
    in_chain: bool,
}

impl Receive {
    fn refresh(&mut self) {
        let filled = self.page.load(offset_of!(SharedPage, rx_filled));
        if filled.wrapping_sub(self.taken) <= self.posted.wrapping_sub(self.taken) {
            self.filled = filled;
        }
        // Whatever the kernel wrote to buffers before it advanced the index is to be seen now.
        compiler_fence(Ordering::Acquire);
        self.drop_chains();
        self.adapt();
        self.post();
    }

    /// Follows the load: twice the buffers when they ran out, half of them after a calm time.
    fn adapt(&mut self) {
        let waiting = self.filled.wrapping_sub(self.taken);
        if waiting >= self.target {
            self.target = (self.target * 2).min(RING_LEN);
            self.calm = 0;
        } else if waiting * 4 > self.target {
            self.calm = 0;
        } else if self.target > RX_POSTED_MIN {
            self.calm += 1;
            if self.calm == CALM_POLLS {
                self.target /= 2;
                self.calm = 0;
            }
        }
    }

    fn peek(&self) -> Option<(&[u8], Checksum)> {
        if self.taken == self.filled {
            return None;
        }
        let descriptor = self.page.descriptor(offset_of!(SharedPage, rx), self.taken);
        let buffer = self.buffers[slot(self.taken)].as_ref()?;
        let checksum = match descriptor.flags & (flags::CHECKSUM_VALID | flags::CHECKSUM_PARTIAL) {
            0 => Checksum::Unverified,
            _ => Checksum::Verified,
        };
        let len = u32_to_usize(descriptor.length).min(self.buffer_len);
        // SAFETY: the slot is filled, so the buffer is ours and the kernel has written its first
        // `length` bytes; it stays ours until `advance`, which needs `self` to itself.
        let frame = unsafe { core::slice::from_raw_parts(buffer.start.as_ptr(), len) };
        Some((frame, checksum))
    }

    /// Gives up the next frame; its buffer is posted again.
    fn advance(&mut self) {
        self.step();
        self.drop_chains();
        self.post();
    }

    fn step(&mut self) {
        if self.taken == self.filled {
            return;
        }
        let buffer = self.buffers[slot(self.taken)].take();
        self.taken = self.taken.wrapping_add(1);
        if self.posted.wrapping_sub(self.taken) < self.target
            && let Some(buffer) = buffer
        {
            self.post_buffer(buffer);
        }
    }

    /// Drops frames that span several buffers: we never ask for such.
    fn drop_chains(&mut self) {
        while self.taken != self.filled {
            let descriptor = self.page.descriptor(offset_of!(SharedPage, rx), self.taken);
            let goes_on = descriptor.flags & flags::MORE != 0;
            if !self.in_chain && !goes_on {
                break;
            }
            self.in_chain = goes_on;
            self.step();
        }
    }

    /// Posts buffers until `target` are there, and tells the kernel.
    fn post(&mut self) {
        while self.posted.wrapping_sub(self.taken) < self.target {
            self.post_buffer(Buffer::untouched(self.buffer_len));
        }
        compiler_fence(Ordering::Release);
        self.page
            .store(offset_of!(SharedPage, rx_posted), self.posted);
    }

    fn post_buffer(&mut self, buffer: Buffer) {
        let descriptor = buffer.descriptor(self.buffer_len);
        self.page
            .set_descriptor(offset_of!(SharedPage, rx), self.posted, descriptor);
        self.buffers[slot(self.posted)] = Some(buffer);
        self.posted = self.posted.wrapping_add(1);
    }
}

/// The transmit ring, seen from the guest: `consumed <= produced <= consumed + RING_LEN`.
#[derive(Debug)]
struct Transmit {
    page: Page,
    /// The buffers of slots `consumed..produced`.
    buffers: [Option<Buffer>; RING],
    buffer_len: usize,
    /// Buffers for frames to come, the last used one last, for its page is certainly resident.
    spare: Vec<Buffer>,
    produced: u32,
    consumed: u32,
    notify: fn(),
}

impl Transmit {
    /// Takes buffers back; sends what has been lying there since the last poll, for then the VM has
    /// not idled in between.
    fn refresh(&mut self) {
        self.reclaim();
        self.flush();
        self.spare.truncate(TX_SPARE_MAX);
    }

    fn flush(&mut self) {
        if self.produced != self.consumed {
            (self.notify)();
            self.reclaim();
        }
    }

    fn has_room(&self) -> bool {
        self.produced.wrapping_sub(self.consumed) < RING_LEN
    }

    fn reclaim(&mut self) {
        let consumed = self.page.load(offset_of!(SharedPage, tx_consumed));
        if consumed.wrapping_sub(self.consumed) > self.produced.wrapping_sub(self.consumed) {
            return;
        }
        while self.consumed != consumed {
            let buffer = self.buffers[slot(self.consumed)].take();
            self.spare.extend(buffer);
            self.consumed = self.consumed.wrapping_add(1);
        }
    }

    /// Puts a frame of `len` bytes that `fill` writes into the ring.
    fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let len = len.min(self.buffer_len);
        let mut buffer = self
            .spare
            .pop()
            .unwrap_or_else(|| Buffer::zeroed(self.buffer_len));
        // SAFETY: the buffer is ours, `buffer_len` bytes long and initialised since `zeroed`.
        let bytes = unsafe { core::slice::from_raw_parts_mut(buffer.start.as_mut(), len) };
        let result = fill(bytes);
        let descriptor = buffer.descriptor(len);
        self.page
            .set_descriptor(offset_of!(SharedPage, tx), self.produced, descriptor);
        self.buffers[slot(self.produced)] = Some(buffer);
        self.produced = self.produced.wrapping_add(1);
        // The kernel must see the frame before the index that announces it.
        compiler_fence(Ordering::Release);
        self.page
            .store(offset_of!(SharedPage, tx_produced), self.produced);
        if !self.has_room() {
            self.flush();
        }
        result
    }
}

/// The shared page.
#[derive(Clone, Copy, Debug)]
struct Page(*mut SharedPage);

impl Page {
    /// Returns the index at byte `offset`.
    fn load(self, offset: usize) -> u32 {
        let field = self.0.wrapping_byte_add(offset).cast::<u32>();
        // SAFETY: `offset` is that of a `u32` in the page, which is valid by `RingDevice::new`.
        unsafe { field.read_volatile() }
    }

    /// Sets the index at byte `offset`.
    fn store(self, offset: usize, value: u32) {
        let field = self.0.wrapping_byte_add(offset).cast::<u32>();
        // SAFETY: `offset` is that of a `u32` in the page, which is valid by `RingDevice::new`.
        unsafe { field.write_volatile(value) }
    }

    /// Returns descriptor `index` of the ring at byte `offset`.
    fn descriptor(self, offset: usize, index: u32) -> Descriptor {
        let ring = self.0.wrapping_byte_add(offset).cast::<Descriptor>();
        // SAFETY: `offset` is that of a ring in the page, and a slot lies within the ring.
        unsafe { ring.wrapping_add(slot(index)).read_volatile() }
    }

    /// Sets descriptor `index` of the ring at byte `offset`.
    fn set_descriptor(self, offset: usize, index: u32, descriptor: Descriptor) {
        let ring = self.0.wrapping_byte_add(offset).cast::<Descriptor>();
        // SAFETY: `offset` is that of a ring in the page, and a slot lies within the ring.
        unsafe { ring.wrapping_add(slot(index)).write_volatile(descriptor) }
    }
}

/// Returns where in a ring `index` lies.
const fn slot(index: u32) -> usize {
    u32_to_usize(index % RING_LEN)
}

/// Memory for one frame.
#[derive(Debug)]
struct Buffer {
    start: NonNull<u8>,
    layout: Layout,
}

impl Buffer {
    /// Allocates `len` bytes without touching them.
    fn untouched(len: usize) -> Self {
        let layout = Self::layout(len);
        // SAFETY: the size is not zero.
        Self::from_allocation(unsafe { alloc(layout) }, layout)
    }

    /// Allocates `len` zero bytes.
    fn zeroed(len: usize) -> Self {
        let layout = Self::layout(len);
        // SAFETY: the size is not zero.
        Self::from_allocation(unsafe { alloc_zeroed(layout) }, layout)
    }

    fn layout(len: usize) -> Layout {
        Layout::from_size_align(len.max(16), 16).expect("a frame is shorter than 128 KiB")
    }

    fn from_allocation(start: *mut u8, layout: Layout) -> Self {
        match NonNull::new(start) {
            Some(start) => Self { start, layout },
            None => handle_alloc_error(layout),
        }
    }

    /// Describes the buffer to the kernel.
    fn descriptor(&self, len: usize) -> Descriptor {
        Descriptor {
            address: denali_abi::convert::usize_to_u64(self.start.as_ptr().expose_provenance()),
            length: u32::try_from(len).unwrap_or(0),
            flags: 0,
            segment_size: 0,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and dropped only when the kernel has no use of it.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}
