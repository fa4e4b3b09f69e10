//! The driver against rings of its own, with the kernel played by the test.

#![expect(unsafe_code, reason = "plays the kernel's part in rings of its own")]

use super::*;
use alloc::boxed::Box;
use denali_abi::block::{BLOCK_LEN, BlockCompletion, BlockRings, operation};

/// Rings, and the kernel's part.
struct Kernel {
    rings: *mut BlockRings,
}

impl Kernel {
    fn with_driver() -> (Self, Driver) {
        let rings = Box::into_raw(Box::new(BlockRings::default()));
        let mut driver = Driver::new();
        // SAFETY: leaked memory lives for ever.
        driver.rings = Some(unsafe { Rings::new(rings) });
        (Self { rings }, driver)
    }

    fn rings(&mut self) -> &mut BlockRings {
        // SAFETY: leaked, and the driver uses it in between alone.
        unsafe { &mut *self.rings }
    }

    fn complete(&mut self, tag: u64, result: i32) {
        let rings = self.rings();
        let slot = (rings.completed % BLOCK_RING_LEN) as usize;
        rings.completions[slot] = BlockCompletion {
            tag,
            result,
            reserved: 0,
        };
        rings.completed = rings.completed.wrapping_add(1);
    }
}

#[test]
fn requests_complete_in_any_order() {
    let (mut kernel, mut driver) = Kernel::with_driver();
    let plain = [7; BLOCK_LEN];
    let first = driver.begin(operation::WRITE, 0, 5, Some(&plain)).unwrap();
    let second = driver.begin(operation::READ, 1, 6, None).unwrap();
    assert_eq!(kernel.rings().submitted, 2);
    let [one, two] = [0, 1].map(|at| kernel.rings().requests[at]);
    assert_eq!(
        (one.operation, one.block, one.tag),
        (operation::WRITE, 5, 0)
    );
    assert_eq!((two.volume, two.block, two.tag), (1, 6, 1));
    assert!(!driver.reap());
    kernel.complete(1, 0);
    assert!(driver.reap());
    assert_eq!(driver.take(first, None), None);
    let mut read = [1; BLOCK_LEN];
    assert_eq!(driver.take(second, Some(&mut read)), Some(Ok(())));
    assert_eq!(read, [0; BLOCK_LEN]);
    kernel.complete(0, -Errno::Io.code());
    driver.reap();
    assert_eq!(driver.take(first, None), Some(Err(Errno::Io)));
    assert_eq!(kernel.rings().reaped, 2);
}

#[test]
fn a_place_is_used_again_only_when_the_kernel_is_done_with_it() {
    let (mut kernel, mut driver) = Kernel::with_driver();
    let tickets: alloc::vec::Vec<Ticket> = (0..u64::from(BLOCK_RING_LEN))
        .map(|block| driver.begin(operation::READ, 0, block, None).unwrap())
        .collect();
    assert_eq!(driver.begin(operation::READ, 0, 99, None), None);
    driver.abandon(tickets[3]);
    assert_eq!(driver.begin(operation::READ, 0, 99, None), None);
    kernel.complete(3, 0);
    driver.reap();
    assert_eq!(driver.begin(operation::READ, 0, 99, None), Some(tickets[3]));
    let at = usize::try_from(BLOCK_RING_LEN % BLOCK_RING_LEN).unwrap();
    assert_eq!(kernel.rings().requests[at].block, 99, "the ring goes round");
}
