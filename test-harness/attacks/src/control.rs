//! Calls that only the supervisor may make.

use crate::raw::{FOREIGN, call, hypercall, refused};
use crate::{Attack, End, Outcome};
use denali_abi::errno::Errno;
use denali_abi::hypercall::{CONTROL_BASE, Hypercall};

/// An attack that makes one control call in every way it can be meant.
macro_rules! control {
    ($name:literal, $call:ident) => {
        Attack::new($name, End::Refused(Errno::NotPermitted), || {
            forbidden(Hypercall::$call)
        })
    };
}

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    control!("image-create", ImageCreate),
    control!("image-write", ImageWrite),
    control!("image-destroy", ImageDestroy),
    control!("vm-create", VmCreate),
    control!("vm-stop", VmStop),
    control!("vm-destroy", VmDestroy),
    control!("vm-status", VmStatus),
    control!("vm-next", VmNext),
    control!("console-read", ConsoleRead),
    control!("host-status", HostStatus),
    control!("vm-limits", VmLimits),
    control!("store-open", StoreOpen),
    control!("image-read", ImageRead),
    control!("vm-freeze", VmFreeze),
    control!("vm-thaw", VmThaw),
    control!("vm-save", VmSave),
    control!("page-read", PageRead),
    control!("page-write", PageWrite),
    control!("vm-succeed", VmSucceed),
    Attack::new(
        "every-control-call",
        End::Refused(Errno::NotPermitted),
        || {
            for number in CONTROL_BASE..=Hypercall::VmSucceed.number() {
                for argument in FOREIGN {
                    refused(call(number, [argument; 4]), Errno::NotPermitted)?;
                }
            }
            Ok(())
        },
    ),
];

/// Names each of the first VMs and images, and its own memory.
fn forbidden(number: Hypercall) -> Outcome {
    let memory = alloc::vec![0_u64; 512];
    let address = crate::raw::address_of(memory.as_ptr());
    for id in 0..64_u64 {
        for id in [id, id << 32 | 1, 1 << 32 | id] {
            let result = hypercall(number, [id, address, address, 64]);
            refused(result, Errno::NotPermitted)?;
        }
    }
    refused(hypercall(number, [address, 0, 0, 0]), Errno::NotPermitted)
}
