//! The rings from both sides: an honest guest, a careless one, and one that lies at every read.

use super::*;
use crate::net::test_frames::Random;
use std::vec;
use std::vec::Vec;

const SHARED_END: u64 = SHARED_ADDRESS + size_of::<SharedPage>() as u64;
const HEAP: u64 = 0x20_0000;
const HEAP_LEN: usize = 1 << 18;
const TX_PRODUCED: usize = offset_of!(SharedPage, tx_produced);
const TX_CONSUMED: usize = offset_of!(SharedPage, tx_consumed);
const RX_POSTED: usize = offset_of!(SharedPage, rx_posted);
const RX_FILLED: usize = offset_of!(SharedPage, rx_filled);

/// A guest's memory: the shared page and a heap.
struct Guest {
    shared: Vec<u8>,
    heap: Vec<u8>,
}

impl Guest {
    fn new() -> Self {
        Self {
            shared: vec![0; size_of::<SharedPage>()],
            heap: vec![0; HEAP_LEN],
        }
    }

    fn bytes(&mut self, address: u64, len: usize) -> Result<&mut [u8], BadAddress> {
        let (memory, base) = match address {
            SHARED_ADDRESS..SHARED_END => (&mut self.shared, SHARED_ADDRESS),
            _ => (&mut self.heap, HEAP),
        };
        let start = usize::try_from(address.checked_sub(base).ok_or(BadAddress)?).unwrap();
        let end = start.checked_add(len).ok_or(BadAddress)?;
        memory.get_mut(start..end).ok_or(BadAddress)
    }

    fn index(&mut self, offset: usize) -> u32 {
        read_index(self, offset).unwrap()
    }

    fn set_index(&mut self, offset: usize, index: u32) {
        write_index(self, offset, index).unwrap();
    }

    fn set(&mut self, ring: Ring, index: u32, descriptor: Descriptor) {
        self.write(slot_address(ring, index, 0), descriptor.as_bytes())
            .unwrap();
    }

    fn get(&mut self, ring: Ring, index: u32) -> Descriptor {
        read_descriptor(self, ring, index, 0).unwrap()
    }
}

impl GuestMemory for Guest {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), BadAddress> {
        buffer.copy_from_slice(self.bytes(address, buffer.len())?);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BadAddress> {
        self.bytes(address, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }
}

fn buffer(address: u64, length: u32, flags: u16) -> Descriptor {
    Descriptor {
        address,
        length,
        flags,
        segment_size: 0,
    }
}

/// Starts all indices at `index`, as if that many frames had passed.
fn at(index: u32) -> (RingState, Guest) {
    let mut guest = Guest::new();
    for offset in [TX_PRODUCED, TX_CONSUMED, RX_POSTED, RX_FILLED] {
        guest.set_index(offset, index);
    }
    let state = RingState {
        tx_consumed: index,
        tx_published: index,
        rx_filled: index,
        segments_sent: 0,
        tx_was_full: false,
    };
    (state, guest)
}

#[track_caller]
fn violates(descriptor: Descriptor, violation: RingViolation) {
    let (mut state, mut guest) = at(0);
    guest.set(Ring::Transmit, 0, descriptor);
    guest.set_index(TX_PRODUCED, 1);
    let result = state.next_transmit(&mut guest, &mut [0; FRAME_LEN_MAX], 0);
    assert_eq!(result, Err(violation));
}

#[test]
fn a_frame_stays_until_it_is_consumed_and_is_published_once() {
    let (mut state, mut guest) = at(0);
    let mut frame = [0; FRAME_LEN_MAX];
    assert_eq!(state.next_transmit(&mut guest, &mut frame, 0), Ok(None));
    guest.write(HEAP, b"a frame").unwrap();
    guest.set(Ring::Transmit, 0, buffer(HEAP, 7, 0));
    guest.set_index(TX_PRODUCED, 1);
    for _ in 0..2 {
        let found = state
            .next_transmit(&mut guest, &mut frame, 0)
            .unwrap()
            .unwrap();
        assert_eq!(&frame[..found.frame_len()], b"a frame");
    }
    assert_eq!(state.finish_transmit(&mut guest), Ok(Room::AsBefore));
    assert_eq!(guest.index(TX_CONSUMED), 0);
    let found = state
        .next_transmit(&mut guest, &mut frame, 0)
        .unwrap()
        .unwrap();
    state.consume(found);
    assert_eq!(guest.index(TX_CONSUMED), 0);
    assert_eq!(state.finish_transmit(&mut guest), Ok(Room::AsBefore));
    assert_eq!(guest.index(TX_CONSUMED), 1);
}

#[test]
fn a_full_ring_that_drains_asks_for_an_interrupt_once() {
    let (mut state, mut guest) = at(u32::MAX - 3);
    guest.set_index(TX_PRODUCED, (u32::MAX - 3).wrapping_add(RING_LEN));
    for slot in 0..RING_LEN {
        guest.set(Ring::Transmit, slot, buffer(HEAP, 60, 0));
    }
    let mut rooms = Vec::new();
    while let Some(frame) = state
        .next_transmit(&mut guest, &mut [0; FRAME_LEN_MAX], 0)
        .unwrap()
    {
        state.consume(frame);
        rooms.push(state.finish_transmit(&mut guest).unwrap());
    }
    assert_eq!(rooms.len(), RING_LEN as usize);
    assert_eq!(rooms[0], Room::Regained);
    assert!(rooms[1..].iter().all(|room| *room == Room::AsBefore));
}

#[test]
fn chains_are_joined_and_wait_for_their_end() {
    let (mut state, mut guest) = at(62);
    guest.write(HEAP, b"headpayloadtail").unwrap();
    guest.set(Ring::Transmit, 62, buffer(HEAP, 4, flags::MORE));
    guest.set(Ring::Transmit, 63, buffer(HEAP + 4, 7, flags::MORE));
    guest.set(Ring::Transmit, 64, buffer(HEAP + 11, 4, 0));
    let mut frame = [0; FRAME_LEN_MAX];
    guest.set_index(TX_PRODUCED, 64);
    assert_eq!(state.next_transmit(&mut guest, &mut frame, 0), Ok(None));
    guest.set_index(TX_PRODUCED, 65);
    let found = state
        .next_transmit(&mut guest, &mut frame, 0)
        .unwrap()
        .unwrap();
    assert_eq!(&frame[..found.frame_len()], b"headpayloadtail");
    state.consume(found);
    assert_eq!(state.tx_consumed, 65);
}

#[test]
fn descriptors_that_break_the_contract_are_violations() {
    violates(buffer(HEAP, 1515, 0), RingViolation::Length);
    violates(buffer(HEAP, u32::MAX, 0), RingViolation::Length);
    violates(buffer(HEAP - 1, 60, 0), RingViolation::Address);
    violates(buffer(u64::MAX, 60, 0), RingViolation::Address);
    violates(
        buffer(HEAP + HEAP_LEN as u64 - 59, 60, 0),
        RingViolation::Address,
    );
    for bit in 1..16 {
        violates(buffer(HEAP, 60, 1 << bit), RingViolation::Flags);
    }
    violates(
        Descriptor {
            segment_size: 1,
            ..buffer(HEAP, 60, 0)
        },
        RingViolation::Flags,
    );
}

#[test]
fn a_chain_longer_than_the_limit_is_a_violation() {
    let limit = u32::try_from(CHAIN_MAX).unwrap();
    for last in [limit - 1, limit, RING_LEN] {
        let (mut state, mut guest) = at(0);
        for slot in 0..RING_LEN {
            let more = if slot == last { 0 } else { flags::MORE };
            guest.set(Ring::Transmit, slot, buffer(HEAP, 1, more));
        }
        guest.set_index(TX_PRODUCED, RING_LEN);
        let result = state.next_transmit(&mut guest, &mut [0; FRAME_LEN_MAX], 0);
        let whole = Outgoing {
            len: CHAIN_MAX,
            descriptors: limit,
            wish: Wish::default(),
            segments_sent: 0,
        };
        let expected = if last < limit {
            Ok(Some(whole))
        } else {
            Err(RingViolation::Chain)
        };
        assert_eq!(result, expected);
    }
}

#[test]
fn indices_hold_around_the_wrap_at_every_distance() {
    for kernel in (u32::MAX - 2 * RING_LEN..=u32::MAX).chain(0..=2 * RING_LEN) {
        for ahead in (0..=3 * RING_LEN).chain((1..=3 * RING_LEN).map(u32::wrapping_neg)) {
            let (mut state, mut guest) = at(kernel);
            let slot = buffer(HEAP, 60, 0);
            guest.set(Ring::Transmit, kernel, slot);
            guest.set(Ring::Receive, kernel, slot);
            guest.set_index(TX_PRODUCED, kernel.wrapping_add(ahead));
            guest.set_index(RX_POSTED, kernel.wrapping_add(ahead));
            let sent = state.next_transmit(&mut guest, &mut [0; FRAME_LEN_MAX], 0);
            let received = state.deliver(&mut guest, &[0; 60], Wish::default());
            if ahead > RING_LEN {
                assert_eq!(sent, Err(RingViolation::Index));
                assert_eq!(received, Err(RingViolation::Index));
            } else if ahead == 0 {
                assert_eq!((sent, received), (Ok(None), Ok(Delivery::NoBuffer)));
            } else {
                state.consume(sent.unwrap().unwrap());
                state.finish_transmit(&mut guest).unwrap();
                assert_eq!(received, Ok(Delivery::Filled));
                assert_eq!(guest.index(TX_CONSUMED), kernel.wrapping_add(1));
                assert_eq!(guest.index(RX_FILLED), kernel.wrapping_add(1));
            }
        }
    }
}

#[test]
fn a_frame_fills_a_buffer_and_its_length() {
    let (mut state, mut guest) = at(0);
    assert_eq!(
        state.deliver(&mut guest, b"early", Wish::default()),
        Ok(Delivery::NoBuffer)
    );
    guest.set(Ring::Receive, 0, buffer(HEAP, 1514, 0xffff));
    guest.set_index(RX_POSTED, 1);
    assert_eq!(
        state.deliver(&mut guest, b"frame", Wish::default()),
        Ok(Delivery::Filled)
    );
    assert_eq!(guest.get(Ring::Receive, 0), buffer(HEAP, 5, 0));
    assert_eq!(&guest.heap[..6], b"frame\0");
    assert_eq!(guest.index(RX_FILLED), 1);
    assert_eq!(
        state.deliver(&mut guest, b"late", Wish::default()),
        Ok(Delivery::NoBuffer)
    );
}

#[test]
fn a_frame_spans_small_buffers_or_changes_nothing() {
    let (mut state, mut guest) = at(63);
    guest.set(Ring::Receive, 63, buffer(HEAP, 4, 0));
    guest.set(Ring::Receive, 64, buffer(HEAP + 100, 4, 0));
    guest.set_index(RX_POSTED, 65);
    let before = guest.shared.clone();
    assert_eq!(
        state.deliver(&mut guest, b"123456789", Wish::default()),
        Ok(Delivery::NoBuffer)
    );
    assert_eq!(guest.shared, before);
    assert_eq!(
        state.deliver(&mut guest, b"12345", Wish::default()),
        Ok(Delivery::Filled)
    );
    assert_eq!(guest.get(Ring::Receive, 63), buffer(HEAP, 4, flags::MORE));
    assert_eq!(guest.get(Ring::Receive, 64), buffer(HEAP + 100, 1, 0));
    assert_eq!(guest.index(RX_FILLED), 65);
}

#[test]
fn a_receive_buffer_outside_memory_is_a_violation() {
    for address in [0, HEAP - 1, u64::MAX, HEAP + HEAP_LEN as u64 - 4] {
        let (mut state, mut guest) = at(0);
        guest.set(Ring::Receive, 0, buffer(address, 1514, 0));
        guest.set_index(RX_POSTED, 1);
        assert_eq!(
            state.deliver(&mut guest, b"frame", Wish::default()),
            Err(RingViolation::Address)
        );
    }
}

/// Memory whose every read may return something else, mostly almost right, and that notes writes.
struct Liar {
    random: Random,
    state: RingState,
    posted: [Option<Descriptor>; RING_LEN as usize],
    reads: u32,
}

impl Liar {
    fn index_near(&mut self, kernel: u32) -> u32 {
        let random = self.random.next();
        match random % 16 {
            0 => u32::try_from(random >> 24 & 0xffff_ffff).unwrap(),
            1 => kernel.wrapping_sub(1),
            2 => kernel.wrapping_add(RING_LEN + 1),
            3 => kernel.wrapping_add(RING_LEN),
            _ => kernel.wrapping_add(u32::try_from(random >> 8 & 31).unwrap()),
        }
    }

    fn descriptor(&mut self) -> Descriptor {
        let random = self.random.next();
        let length =
            [60, 500, 1514, 1515, u32::MAX, 0, 1, 200][usize::try_from(random % 8).unwrap()];
        let flags = match random >> 8 & 31 {
            0 => u16::try_from(random >> 16 & 0xffff).unwrap(),
            1..=12 => flags::MORE,
            _ => 0,
        };
        let address = if random >> 40 & 31 == 0 {
            random << 20
        } else {
            HEAP
        };
        buffer(address, length, flags)
    }
}

impl GuestMemory for Liar {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), BadAddress> {
        self.reads += 1;
        assert!(
            self.reads <= 2 + 2 * u32::try_from(CHAIN_MAX).unwrap(),
            "unbounded work"
        );
        match address.checked_sub(SHARED_ADDRESS) {
            Some(0..64) if address < SHARED_ADDRESS + 64 => {
                let offset = usize::try_from(address - SHARED_ADDRESS).unwrap();
                assert!(
                    offset == TX_PRODUCED || offset == RX_POSTED,
                    "reads back its own index"
                );
                let kernel = if offset == TX_PRODUCED {
                    self.state.tx_consumed
                } else {
                    self.state.rx_filled
                };
                bytes.copy_from_slice(&self.index_near(kernel).to_le_bytes());
            }
            _ if address < SHARED_END => {
                let descriptor = self.descriptor();
                let start = slot_address(Ring::Receive, 0, 0);
                if let Some(offset) = address.checked_sub(start) {
                    self.posted[usize::try_from(offset / 16).unwrap()] = Some(descriptor);
                }
                bytes.copy_from_slice(descriptor.as_bytes());
            }
            _ => {
                assert!(bytes.len() <= FRAME_LEN_MAX);
                if address != HEAP {
                    return Err(BadAddress);
                }
                bytes.fill_with(|| 0xee);
            }
        }
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BadAddress> {
        if (SHARED_ADDRESS..SHARED_END).contains(&address) {
            assert!(matches!(bytes.len(), 4 | 16));
            assert!(address + bytes.len() as u64 <= SHARED_END);
            return Ok(());
        }
        let inside = |posted: &Descriptor| {
            posted.address == address && bytes.len() <= posted.length as usize
        };
        assert!(
            self.posted.iter().flatten().any(inside),
            "writes outside posted buffers"
        );
        if address == HEAP {
            Ok(())
        } else {
            Err(BadAddress)
        }
    }
}

#[test]
fn a_lying_memory_meets_no_panic_and_no_overlong_frame() {
    const SEED: u64 = 0x5eed_0005;
    let mut state = RingState::default();
    let mut liar = Liar {
        random: Random(SEED),
        state,
        posted: [None; RING_LEN as usize],
        reads: 0,
    };
    let mut frame = [0; FRAME_LEN_MAX];
    let (mut sent, mut filled, mut violations) = (0_u32, 0_u32, 0_u32);
    for round in 0..1_000_000_u32 {
        liar.state = state;
        liar.reads = 0;
        liar.posted = [None; RING_LEN as usize];
        let before = state;
        let violated = if round.is_multiple_of(2) {
            match state.next_transmit(&mut liar, &mut frame, FEATURES) {
                Ok(Some(found)) => {
                    assert!(found.frame_len() <= FRAME_LEN_MAX);
                    state.consume(found);
                    sent += 1;
                    state.finish_transmit(&mut liar).is_err()
                }
                Ok(None) => false,
                Err(_) => true,
            }
        } else {
            let len = usize::try_from(liar.random.next()).unwrap() % (FRAME_LEN_MAX + 1);
            match state.deliver(&mut liar, &frame[..len], Wish::default()) {
                Ok(Delivery::Filled) => {
                    filled += 1;
                    false
                }
                Ok(Delivery::NoBuffer | Delivery::Unsuited) => false,
                Err(_) => true,
            }
        };
        violations += u32::from(violated);
        let moved = state.tx_consumed.wrapping_sub(before.tx_consumed)
            + state.rx_filled.wrapping_sub(before.rx_filled);
        assert!(moved as usize <= CHAIN_MAX, "seed {SEED:#x}, round {round}");
    }
    assert!(sent > 50_000 && filled > 50_000 && violations > 50_000);
}
