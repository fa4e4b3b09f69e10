//! Hypercalls that do not exist, and arguments that lie.

use crate::raw::{FOREIGN, address_of, call, hypercall, refused};
use crate::{Attack, End, Outcome, ensure};
use denali_abi::end::EndReason::{self, BadHypercall};
use denali_abi::errno::Errno;
use denali_abi::hypercall::{CONTROL_BASE, HYPERCALL_BASE, Hypercall};
use denali_abi::layout::{GUEST_END, IMAGE_BASE, REGISTERS_ADDRESS, SMALL_STACKS_BASE};

const UNKNOWN: &[EndReason] = &[BadHypercall];

/// An attack that calls a number.
macro_rules! number {
    ($name:literal, $number:expr) => {
        Attack::killed($name, UNKNOWN, || {
            call($number, [1, 0x11_0000, 16, 0]);
            Ok(())
        })
    };
}

/// An attack on an argument.
macro_rules! argument {
    ($name:literal, $errno:ident, $run:expr) => {
        Attack::new($name, End::Refused(Errno::$errno), $run)
    };
}

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    number!("number-below-ours", HYPERCALL_BASE - 1),
    number!("number-behind-ours", Hypercall::BlockSubmit.number() + 1),
    number!("number-16", HYPERCALL_BASE + 16),
    number!("number-below-control", CONTROL_BASE - 1),
    number!("number-behind-control", Hypercall::VmSucceed.number() + 1),
    number!("number-high-bits", HYPERCALL_BASE | 1 << 32),
    number!("number-sign-bit", HYPERCALL_BASE | 1 << 63),
    number!("number-sign-extended", HYPERCALL_BASE | 0xffff_ffff << 32),
    number!("number-largest", u64::MAX),
    number!("number-page-fault", 14),
    number!("number-of-its-own-vector", 256),
    number!("linux-read", 0),
    number!("linux-write", 1),
    number!("linux-mmap", 9),
    number!("linux-mprotect", 10),
    number!("linux-ioctl", 16),
    number!("linux-fork", 57),
    number!("linux-execve", 59),
    number!("linux-exit", 60),
    number!("linux-kill", 62),
    number!("linux-ptrace", 101),
    number!("linux-iopl", 172),
    number!("linux-ioperm", 173),
    number!("linux-init-module", 175),
    number!("linux-exit-group", 231),
    number!("linux-bpf", 321),
    number!("linux-io-uring", 425),
    number!("linux-last", 462),
    number!("linux-x32", 0x4000_0000),
    argument!("console-from-foreign-memory", BadAddress, || {
        each_is_refused(Hypercall::ConsoleWrite, FOREIGN)
    }),
    argument!("console-across-the-end", BadAddress, || {
        let result = hypercall(Hypercall::ConsoleWrite, [GUEST_END - 8, 4096, 0, 0]);
        refused(result, Errno::BadAddress)
    }),
    argument!("console-wraps-around", BadAddress, || {
        let result = hypercall(Hypercall::ConsoleWrite, [u64::MAX - 8, u64::MAX, 0, 0]);
        refused(result, Errno::BadAddress)
    }),
    argument!("random-to-foreign-memory", BadAddress, || {
        each_is_refused(Hypercall::Random, FOREIGN)
    }),
    argument!("random-to-read-only-memory", BadAddress, || {
        let own = random_to_read_only as *const () as u64;
        each_is_refused(Hypercall::Random, [IMAGE_BASE, own, REGISTERS_ADDRESS])
    }),
    argument!("random-to-guard", BadAddress, || {
        each_is_refused(
            Hypercall::Random,
            [SMALL_STACKS_BASE, SMALL_STACKS_BASE + 0xfff],
        )
    }),
    Attack::harmless("random-stays-in-its-bounds", random_to_read_only),
    Attack::harmless("console-takes-a-bounded-part", console_takes_a_part),
    Attack::harmless("empty-console-write", || {
        for address in FOREIGN {
            let result = hypercall(Hypercall::ConsoleWrite, [address, 0, 0, 0]);
            ensure!(result == 0, "{result} for nothing at {address:#x}");
        }
        Ok(())
    }),
    Attack::harmless("deadlines-in-the-past", || {
        for deadline in [0, 1, 1 << 20] {
            let result = hypercall(Hypercall::IdleWithTimeout, [deadline, 0, 0, 0]);
            ensure!(result > 0, "{result} for a deadline at {deadline}");
        }
        Ok(())
    }),
    Attack::harmless("high-half-of-exit-code", || {
        hypercall(Hypercall::Terminate, [7 << 32, 0, 0, 0]);
        Err(alloc::string::String::from("terminate returned"))
    }),
    Attack::harmless("superfluous-arguments", || {
        for argument in FOREIGN {
            let result = hypercall(Hypercall::Yield, [argument; 4]);
            ensure!(result == 0, "{result} with {argument:#x}");
        }
        Ok(())
    }),
    Attack::harmless("registers-are-kept", registers_are_kept),
];

fn each_is_refused(number: Hypercall, addresses: impl IntoIterator<Item = u64>) -> Outcome {
    for address in addresses {
        let result = hypercall(number, [address, 16, 0, 0]);
        refused(result, Errno::BadAddress)
            .map_err(|error| alloc::format!("{error} for {address:#x}"))?;
    }
    Ok(())
}

/// A length beyond every bound fills no more than the documented 256 bytes.
fn random_to_read_only() -> Outcome {
    let mut bytes = alloc::vec![0_u8; 1024];
    let result = hypercall(
        Hypercall::Random,
        [address_of(bytes.as_mut_ptr()), u64::MAX, 0, 0],
    );
    ensure!(result == 256, "{result} bytes given");
    let bytes = core::hint::black_box(bytes);
    ensure!(
        bytes[256..].iter().all(|&byte| byte == 0),
        "bytes behind the bound were written"
    );
    ensure!(
        bytes[..256].iter().any(|&byte| byte != 0),
        "no bytes were written"
    );
    Ok(())
}

fn console_takes_a_part() -> Outcome {
    let bytes = alloc::vec![b'.'; 16_384];
    let result = hypercall(
        Hypercall::ConsoleWrite,
        [address_of(bytes.as_ptr()), u64::MAX, 0, 0],
    );
    ensure!(result == 4096, "{result} bytes taken");
    Ok(())
}

/// What the kernel leaves in registers is the guest's own: no address and no value of the kernel.
fn registers_are_kept() -> Outcome {
    for round in 0..256_u64 {
        let mut kept = [round; 8];
        let (rcx, r11): (u64, u64);
        // SAFETY: saves the two registers that compiled code keeps for itself.
        unsafe {
            core::arch::asm!(
                "push rbx", "push rbp",
                "mov rbx, {mark}", "mov rbp, {mark}", "mov r12, {mark}", "mov r14, {mark}",
                "syscall",
                "mov [rdi], rbx", "mov [rdi + 8], rbp", "mov [rdi + 16], r12",
                "mov [rdi + 24], r14", "mov [rdi + 32], rsi", "mov [rdi + 40], r8",
                "mov [rdi + 48], r9", "mov [rdi + 56], r10",
                "pop rbp", "pop rbx",
                mark = in(reg) round,
                in("rdi") kept.as_mut_ptr(),
                in("rsi") round, in("r8") round, in("r9") round, in("r10") round,
                inlateout("rax") Hypercall::Yield.number() => _,
                lateout("rcx") rcx,
                lateout("r11") r11,
                out("r12") _, out("r14") _, out("rdx") _,
                clobber_abi("sysv64"),
            );
        }
        ensure!(kept == [round; 8], "round {round} came back as {kept:x?}");
        ensure!(
            rcx < GUEST_END && r11 < 1 << 22,
            "rcx {rcx:#x}, r11 {r11:#x}"
        );
    }
    Ok(())
}
