//! Addresses that are not the VM's: the kernel's, nobody's, and those that cannot exist.

use crate::raw::{DIRECT_MAP, KERNEL_TEXT, execute, peek, poke};
use crate::{Attack, Outcome};
use denali_abi::end::EndReason::{
    self, AccessViolation, BadAddress, PrivilegedInstruction, StackOverflow,
};
use denali_abi::layout::{
    GUEST_END, LARGE_STACKS_BASE, PAGE_SIZE, REGISTERS_ADDRESS, SHARED_ADDRESS, SMALL_STACKS_BASE,
};

const NOWHERE: &[EndReason] = &[BadAddress];
const FORBIDDEN: &[EndReason] = &[AccessViolation];
const GUARD: &[EndReason] = &[StackOverflow];

/// What a jump to an address that cannot exist ends in depends on when the processor looks.
const IMPOSSIBLE: &[EndReason] = &[PrivilegedInstruction, BadAddress];

/// An attack that touches one address.
macro_rules! touch {
    ($name:literal, $reasons:expr, $access:ident, $address:expr) => {
        Attack::killed($name, $reasons, || $access($address))
    };
}

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    touch!("read-null", NOWHERE, read, 0),
    touch!("write-null", NOWHERE, write, 0),
    touch!("execute-null", NOWHERE, run, 0),
    touch!("read-kernel-text", NOWHERE, read, KERNEL_TEXT),
    touch!("write-kernel-text", NOWHERE, write, KERNEL_TEXT),
    touch!("execute-kernel-text", NOWHERE, run, KERNEL_TEXT),
    touch!("read-direct-map", NOWHERE, read, DIRECT_MAP + 0x40_0000),
    touch!("write-direct-map", NOWHERE, write, DIRECT_MAP + 0x40_0000),
    touch!("execute-direct-map", NOWHERE, run, DIRECT_MAP + 0x40_0000),
    touch!(
        "read-device-registers",
        NOWHERE,
        read,
        0xffff_c000_fee0_0020
    ),
    touch!(
        "write-device-registers",
        NOWHERE,
        write,
        0xffff_c000_fee0_0300
    ),
    touch!("read-interrupt-controller", NOWHERE, read, 0xfee0_0020),
    touch!("read-last-byte", NOWHERE, read, u64::MAX - 7),
    touch!("read-non-canonical", IMPOSSIBLE, read, 1 << 47),
    touch!(
        "write-non-canonical",
        IMPOSSIBLE,
        write,
        0xffff_7fff_ffff_fff8
    ),
    touch!("execute-non-canonical", IMPOSSIBLE, run, 1 << 62),
    touch!("read-last-canonical", NOWHERE, read, (1 << 47) - 8),
    touch!("read-behind-memory", NOWHERE, read, GUEST_END),
    touch!("write-behind-memory", NOWHERE, write, GUEST_END),
    touch!("read-across-the-end", NOWHERE, read, GUEST_END - 4),
    touch!(
        "read-behind-shared-page",
        NOWHERE,
        read,
        SHARED_ADDRESS + PAGE_SIZE
    ),
    touch!(
        "write-across-shared-page",
        NOWHERE,
        write,
        SHARED_ADDRESS + PAGE_SIZE - 4
    ),
    touch!("write-registers-page", FORBIDDEN, write, REGISTERS_ADDRESS),
    touch!("execute-registers-page", FORBIDDEN, run, REGISTERS_ADDRESS),
    touch!(
        "execute-shared-page",
        FORBIDDEN,
        run,
        SHARED_ADDRESS + 0x900
    ),
    touch!(
        "write-into-shared-page-below",
        FORBIDDEN,
        write,
        SHARED_ADDRESS - 4
    ),
    touch!("read-small-stack-guard", GUARD, read, SMALL_STACKS_BASE + 8),
    touch!(
        "write-large-stack-guard",
        GUARD,
        write,
        LARGE_STACKS_BASE + 0x10_0ff8
    ),
    touch!(
        "execute-stack-guard",
        GUARD,
        run,
        LARGE_STACKS_BASE + 0x20_0000
    ),
];

fn read(address: u64) -> Outcome {
    core::hint::black_box(peek(address));
    Ok(())
}

fn write(address: u64) -> Outcome {
    poke(address, 0xbad);
    Ok(())
}

fn run(address: u64) -> Outcome {
    execute(address);
    Ok(())
}
